"""Passes that are recorded on a GPU: the same to the bit as those that are not, in every way of training.

Without a GPU nothing is recorded, and they are skipped: run them there with `--device cuda`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from token_windows import Corpus, oracle, training
from trainers.training import loop, recorded
from trainers.training.loop import Loop

WAYS: dict[str, tuple[dict[str, Any], dict[str, Any] | None]] = {
    "plain": ({}, None),
    "accumulated": ({"accumulation": 3}, None),
    "surgery": ({}, {}),
    "surgery at times": ({}, {"alpha": 0.5}),
    "bf16": ({"precision": "bf16"}, {}),
    "fp16": ({"precision": "fp16"}, {}),
    "released code": ({"batching": "micro-batches", "accumulation": 3}, {"released_code": True}),
    "weight decay": ({"weight_decay": 0.1, "clip_norm": 0.5}, {}),
}


@pytest.fixture(autouse=True)
def _on_a_gpu(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if device != "cuda":
        pytest.skip("passes are recorded on a GPU: run it with --device cuda")
    monkeypatch.setattr(Corpus, "device", device)


class WithDropout(Corpus):
    """Windows for a model with dropout, all batches of which have padding, so that none goes without a mask."""

    def _collate(self, places: Sequence[int]) -> dict[str, Tensor]:
        batch = super()._collate(places)
        more = 3 - batch["labels"].shape[1] % 3
        return {
            name: torch.nn.functional.pad(part, (0, more), value={"input_ids": 1, "labels": -100}.get(name, 0))
            for name, part in batch.items()
        }

    def model(self) -> Any:
        from transformers import AutoModelForTokenClassification

        torch.manual_seed(3)
        return AutoModelForTokenClassification.from_pretrained(self.encoder, num_labels=5).to(self.device)


def made(tiny_encoder: Path, way: str, least: float, monkeypatch: pytest.MonkeyPatch) -> Loop:
    monkeypatch.setattr(loop, "LEAST_UPDATES", least)
    corpus = WithDropout(tiny_encoder, number=36)
    changed, of = WAYS[way]
    return Loop(
        corpus.model(),
        corpus.training_set(),
        training(epochs=3, **changed),
        1,
        None if of is None else oracle(**of),
    )


def state(of: Loop) -> list[Tensor]:
    return [*of.model.state_dict().values(), torch.stack(of.losses or [torch.zeros(())]), torch.cuda.get_rng_state()]


def same(some: list[Tensor], others: list[Tensor]) -> bool:
    return all(torch.equal(one.cpu(), other.cpu()) for one, other in zip(some, others, strict=True))


@pytest.mark.parametrize("way", WAYS)
def test_a_training_is_the_same_to_the_bit_recorded_or_not(
    tiny_encoder: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, replayed = (made(tiny_encoder, way, least, monkeypatch) for least in (1e9, 1))
    for one in (plain, replayed):
        one.run(lambda _: None)
    assert plain.recorded is None
    assert replayed.recorded is not None
    assert len(replayed.recorded._recordings) > 1
    assert not replayed.recorded._is_refused
    assert same(state(plain), state(replayed))
    if plain.surgery is not None and replayed.surgery is not None:
        assert plain.surgery.metrics() == replayed.surgery.metrics()


@pytest.mark.parametrize("way", ["plain", "surgery", "fp16"])
def test_a_training_resumes_to_the_bit(tiny_encoder: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = made(tiny_encoder, way, 1, monkeypatch)
    states: list[dict[str, Any]] = []

    def keep() -> None:
        if whole.step == 4:
            states.append({**whole.state_dict(), "model": {n: t.clone() for n, t in whole.model.state_dict().items()}})
            torch.save(states[-1], tiny_encoder / "state.pt")

    whole.run(lambda _: None, keep)
    resumed = made(tiny_encoder, way, 1, monkeypatch)
    resumed.load_state_dict(torch.load(tiny_encoder / "state.pt", weights_only=False))
    resumed.run(lambda _: None)
    assert same(state(whole), state(resumed))


def test_a_model_that_waits_for_the_device_is_trained_without(
    tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def waits(module: Any, inputs: Any, output: Any) -> None:
        if output.logits.sum().item() == 0.125:
            raise AssertionError

    ends = []
    for least in (1e9, 1):
        one = made(tiny_encoder, "surgery", least, monkeypatch)
        one.model.register_forward_hook(waits)
        one.run(lambda _: None)
        ends.append(state(one))
        assert one.recorded is None or one.recorded._is_refused
    assert same(*ends)


def test_what_a_recording_adds_up_is_the_training_s_own(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = made(tiny_encoder, "surgery", 1, monkeypatch)
    one.run(lambda _: None)
    assert isinstance(one.recorded, recorded.RecordedPasses)
    training_gradients, oracle_gradients = (one.recorded._gradients[of] for of in ("training", "oracle"))
    for mine, others in zip(training_gradients, oracle_gradients, strict=True):
        assert mine is None or others is None or mine.data_ptr() != others.data_ptr()
