"""A training whose loss or gradient is not finite fails, and names the step."""

import itertools
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from trainers.one_trial import run
from trainers.tasks.ner import NamedEntityRecognition
from trainers.training.finite import CHECK_EVERY, FiniteCheck, NotFiniteError
from trainers.trial import Report, Trial

INF, NAN = float("inf"), float("nan")


def checked(losses: list[float], norms: list[float] | None = None, scaled: bool = False) -> None:
    """Add the updates of a training that ends with step 100, and check them."""
    finite = FiniteCheck(scaled)
    for loss, norm in zip(losses, norms or [1.0] * len(losses), strict=True):
        finite.add(torch.tensor(loss), torch.tensor(norm))
    finite.check(100)


@pytest.mark.parametrize(
    ("losses", "norms", "said"),
    [
        ([1.0, NAN, NAN], None, "the loss is nan at step 99"),
        ([INF], None, "the loss is inf at step 100"),
        ([1.0, 2.0, 3.0], [1.0, INF, NAN], "the norm of the gradient is inf at step 99"),
    ],
)
def test_the_first_step_that_is_not_finite_is_named(losses: list[float], norms: list[float] | None, said: str) -> None:
    with pytest.raises(NotFiniteError, match=said):
        checked(losses, norms)


def test_a_scaled_loss_may_skip_updates_but_not_all() -> None:
    checked([1.0, 2.0], [INF, NAN], scaled=True)
    checked([NAN, 1.0], [NAN, 1.0], scaled=True)
    with pytest.raises(NotFiniteError, match="the loss is nan at step 99"):
        checked([NAN, INF], [NAN, NAN], scaled=True)


def test_each_update_is_checked_once() -> None:
    finite = FiniteCheck(False)
    for _ in range(CHECK_EVERY - 1):
        finite.add(torch.tensor(1.0), torch.tensor(1.0))
    assert not finite.is_due
    finite.add(torch.tensor(1.0), torch.tensor(1.0))
    assert finite.is_due
    finite.check(CHECK_EVERY)
    assert not finite.is_due
    finite.add(torch.tensor(NAN), torch.tensor(1.0))
    with pytest.raises(NotFiniteError, match=f"at step {CHECK_EVERY + 1}:"):
        finite.check(CHECK_EVERY + 1)


@pytest.fixture
def broken_encoder(tiny_encoder: Path, tmp_path: Path) -> Path:
    """The tiny encoder with one weight that is not a number."""
    folder = tmp_path / "broken"
    shutil.copytree(tiny_encoder, folder)
    weights = load_file(folder / "model.safetensors")
    weights["encoder.layer.0.output.dense.weight"][0, 0] = NAN
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_one_weight_that_is_no_number_ends_the_trial_at_step_1(
    make_trial: Callable[..., Trial], train: Callable[[Trial], Any], broken_encoder: Path, precision: str
) -> None:
    with pytest.raises(NotFiniteError, match="the loss is nan at step 1:"):
        train(make_trial("naive-mix-train", encoder=str(broken_encoder), precision=precision))


@pytest.fixture
def lost_at_step_10(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes the tenth loss of ner, or its gradient, not finite."""

    def make(what: str) -> None:
        calls = itertools.count(1)

        def loss(_: object, outputs: Any, batch: object) -> Any:
            found = outputs.loss
            if next(calls) != 10:
                return found
            return found * NAN if what == "loss" else found + (found - found.detach()).sqrt()

        monkeypatch.setattr(NamedEntityRecognition, "loss", loss)

    return make


@pytest.mark.parametrize(
    ("what", "said"), [("loss", "the loss is nan"), ("gradient", "the norm of the gradient is (inf|nan)")]
)
def test_a_training_that_is_lost_later_has_reported_until_then(
    make_trial: Callable[..., Trial], lost_at_step_10: Callable[[str], None], what: str, said: str
) -> None:
    lost_at_step_10(what)
    reports: list[Report] = []
    with pytest.raises(NotFiniteError, match=f"{said} at step 10:"):
        run(make_trial("naive-mix-train", epochs=3, batching="bucketed"), reports.append)
    assert [(report.step, len(report.scores)) for report in reports] == [(7, 1)]  # 7 steps an epoch


def test_no_checkpoint_has_lost_weights(
    make_trial: Callable[..., Trial],
    train: Callable[[Trial], Any],
    lost_at_step_10: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    trial = make_trial("naive-mix-train", epochs=3, checkpoint_seconds=0.0)
    lost_at_step_10("loss")
    with pytest.raises(NotFiniteError):
        run(trial, lambda _: None)
    monkeypatch.undo()
    resumed = train(trial)
    assert resumed.outcome.facts["work"]["training"]["steps"] < 21
    undisturbed = train(replace(trial, home=tmp_path / "undisturbed"))
    assert resumed.essence[-2:] == undisturbed.essence[-2:]  # the last report and the outcome
