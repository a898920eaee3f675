"""Exact resume: a trial that is interrupted after any update and goes on ends with the same bits."""

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from trainers.artifacts import checkpoints
from trainers.artifacts import kept_models as models
from trainers.artifacts.layout import checkpoints_of
from trainers.artifacts.place import PlaceLostError
from trainers.artifacts.places import place_of
from trainers.one_trial import run
from trainers.sampling import Sampling
from trainers.training import loop
from trainers.training.resuming import Checkpoints
from trainers.trial import Interrupted, Report, Trial, Wanted

if TYPE_CHECKING:
    from s3_server import S3Server

Make = Callable[..., Trial]

# On S3 whatever is about more than one number, method or selection is slow.
PLACES = pytest.mark.parametrize("artifacts", ["home", "s3"], indirect=True)
PLACES_SLOW = pytest.mark.parametrize("artifacts", ["home", pytest.param("s3", marks=pytest.mark.slow)], indirect=True)


class Killed(BaseException):
    """As sudden as a signal: nothing in the code catches it."""


def killed_after(updates: int, monkeypatch: pytest.MonkeyPatch, trial: Trial) -> list[Report]:
    """Run a trial until its process is killed after so many updates; what it had reported."""
    reports: list[Report] = []
    count = 0
    update = loop.Loop._update

    def counted(self: loop.Loop, places: Any) -> None:
        nonlocal count
        if count == updates:
            raise Killed
        count += 1
        update(self, places)

    with monkeypatch.context() as patched:
        patched.setattr(loop.Loop, "_update", counted)
        with pytest.raises(Killed):
            run(trial, reports.append)
    return reports


def weights(trial: Trial, selection: str | None = None) -> dict[str, torch.Tensor]:
    model = models.load(place_of(trial), trial.config, selection or trial.wanted.selections[0])
    assert model is not None
    return dict(model.weights)


def essence(reports: list[Report]) -> list[Any]:
    return [(report.epoch, report.step, report.scores, without_clock(report.measures)) for report in reports]


def without_clock(measures: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in measures.items() if not name.endswith("_per_second")}


@PLACES_SLOW
@pytest.mark.parametrize("method", ["zero-shot", "ord-FS", "gradient-mix-train"])
@pytest.mark.parametrize("updates", [6, *(pytest.param(updates, marks=pytest.mark.slow) for updates in (1, 7, 11))])
def test_killed_after_any_update_and_gone_on_with_ends_with_the_same_bits(
    make_trial: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, updates: int
) -> None:
    longer = {"epochs": updates + 3} if method == "ord-FS" else {}  # an epoch is an update
    whole = make_trial(method, home=tmp_path / "whole", keep=True, **longer)
    expected: list[Report] = []
    undisturbed = run(whole, expected.append)
    broken = make_trial(method, home=tmp_path / "broken", keep=True, checkpoint_seconds=0.0, **longer)
    monkeypatch.setattr("trainers.training.resuming.CHECKPOINT_SHARE", 0)
    if broken.source:
        run(
            replace(broken, config=broken.source, source=None, wanted=Wanted(selections=("source-dev",))),
            lambda _: None,
        )
    before = killed_after(updates, monkeypatch, broken)
    after: list[Report] = []
    resumed = run(broken, after.append)
    assert resumed.scores == undisturbed.scores
    assert resumed.selected == undisturbed.selected
    assert without_clock(resumed.facts["training"]) == without_clock(undisturbed.facts["training"])
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(broken)[name]), name
    told = {report.step: report for report in [*before, *after]}
    assert essence(list(told.values())) == essence(expected)
    assert min((report.step for report in after), default=updates) >= updates
    again = run(broken, lambda _: None)  # its outcome was lost on the way: from the model that was kept
    assert (again.scores, again.selected) == (undisturbed.scores, undisturbed.selected)


@pytest.mark.parametrize("sampling", [Sampling(temperature=5.0), Sampling(repeat_shots=4)], ids=["drawn", "repeated"])
@pytest.mark.parametrize("updates", [pytest.param(3, marks=pytest.mark.slow), 9])
def test_an_epoch_whose_windows_are_drawn_is_gone_on_with(
    make_trial: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampling: Sampling, updates: int
) -> None:
    whole = make_trial("gradient-mix-train", home=tmp_path / "whole", keep=True, sampling=sampling)
    undisturbed = run(whole, lambda _: None)
    broken = make_trial(
        "gradient-mix-train", home=tmp_path / "broken", keep=True, checkpoint_seconds=0.0, sampling=sampling
    )
    monkeypatch.setattr("trainers.training.resuming.CHECKPOINT_SHARE", 0)
    killed_after(updates, monkeypatch, broken)
    assert run(broken, lambda _: None).scores == undisturbed.scores
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(broken)[name]), name


@PLACES_SLOW
@pytest.mark.parametrize("updates", [14, *(pytest.param(updates, marks=pytest.mark.slow) for updates in (3, 21, 27))])
def test_averages_and_the_choice_of_each_target_are_gone_on_with(
    make_trial: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, updates: int
) -> None:
    selections = ("source-dev", "target-dev:de", "target-dev:hi", "average:3", "average:1")
    make = partial(make_trial, "naive-mix-train", selections=selections, keep=True, epochs=4)
    whole, broken = make(home=tmp_path / "whole"), make(home=tmp_path / "broken", checkpoint_seconds=0.0)
    undisturbed = run(whole, lambda _: None)
    monkeypatch.setattr("trainers.training.resuming.CHECKPOINT_SHARE", 0)
    killed_after(updates, monkeypatch, broken)
    resumed = run(broken, lambda _: None)
    assert (resumed.selected, resumed.scores) == (undisturbed.selected, undisturbed.scores)
    for selection in selections:
        for name, tensor in weights(whole, selection).items():
            assert torch.equal(tensor, weights(broken, selection)[name]), (selection, name)


@PLACES_SLOW
@pytest.mark.parametrize("updates", [pytest.param(4, marks=pytest.mark.slow), 9])
def test_what_a_rule_remembers_of_each_language_is_gone_on_with(
    make_trial: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, updates: int
) -> None:
    monkeypatch.setattr("trainers.surgery.rules.GradVac.beta", 0.5)  # its targets count from the first steps on
    whole = make_trial("gradvac-mix-train", home=tmp_path / "whole", keep=True)
    undisturbed = run(whole, lambda _: None)
    broken = make_trial("gradvac-mix-train", home=tmp_path / "broken", keep=True, checkpoint_seconds=0.0)
    monkeypatch.setattr("trainers.training.resuming.CHECKPOINT_SHARE", 0)
    killed_after(updates, monkeypatch, broken)
    state = checkpoints.load(place_of(broken), checkpoints_of(broken.home, broken.config.digest))
    rules = state["training"]["optimizer"]["surgery"]["rules"]
    assert set(rules) == {"de", "hi"}
    assert all(rule["target"] != 0.0 for rule in rules.values())
    assert run(broken, lambda _: None).scores == undisturbed.scores
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(broken)[name]), name


@PLACES
def test_a_trial_that_was_killed_many_times_ends_with_the_same_bits(
    make_trial: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make_trial("gradient-mix-train", home=tmp_path / "whole", keep=True)
    undisturbed = run(whole, lambda _: None)
    broken = make_trial("gradient-mix-train", home=tmp_path / "broken", keep=True, checkpoint_seconds=0.0)
    monkeypatch.setattr("trainers.training.resuming.CHECKPOINT_SHARE", 0)
    for _ in range(4):
        killed_after(3, monkeypatch, broken)
    assert run(broken, lambda _: None).scores == undisturbed.scores
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(broken)[name]), name


@PLACES
def test_killed_while_a_checkpoint_is_written_it_goes_on_from_the_one_before(
    make_trial: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = run(make_trial("naive-mix-train", home=tmp_path / "whole"), lambda _: None)
    broken = make_trial("naive-mix-train", home=tmp_path / "broken", checkpoint_seconds=0.0)
    monkeypatch.setattr("trainers.training.resuming.CHECKPOINT_SHARE", 0)
    save, count = checkpoints.save_file, 0

    def killed(*arguments: Any) -> None:
        nonlocal count
        count += 1
        save(*arguments)
        if count == 4:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "save_file", killed)
        with pytest.raises(Killed):
            run(broken, lambda _: None)
    state = checkpoints.load(place_of(broken), checkpoints_of(broken.home, broken.config.digest))
    assert state["training"]["step"] == 3
    assert run(broken, lambda _: None).scores == undisturbed.scores


@PLACES_SLOW
def test_an_attempt_with_other_selections_is_not_gone_on_with(
    make_trial: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainers.training.resuming.CHECKPOINT_SHARE", 0)
    both = partial(make_trial, "ord-FS", epochs=6, selections=("last", "target-dev"))
    undisturbed = run(both(home=tmp_path / "whole"), lambda _: None)
    alone = make_trial("ord-FS", epochs=6, home=tmp_path / "broken", checkpoint_seconds=0.0)
    run(make_trial("zero-shot", epochs=6, home=tmp_path / "broken"), lambda _: None)
    killed_after(5, monkeypatch, alone)
    reports: list[Report] = []
    resumed = run(both(home=tmp_path / "broken"), reports.append)
    assert (resumed.selected, resumed.scores) == (undisturbed.selected, undisturbed.scores)
    assert [report.step for report in reports] == [1, 2, 3, 4, 5, 6]


@PLACES_SLOW
@pytest.mark.parametrize("method", ["ord-FS", "gradient-mix-train"])
def test_asked_to_end_a_trial_writes_a_checkpoint_at_once_and_ends_with_the_same_bits(
    make_trial: Make, tmp_path: Path, method: str
) -> None:
    make = partial(make_trial, method, keep=True, checkpoint_seconds=3600.0)
    whole, broken = make(home=tmp_path / "whole"), make(home=tmp_path / "broken")
    expected: list[Report] = []
    undisturbed = run(whole, expected.append)
    reports: list[Report] = []
    steps: list[int] = []
    while True:  # once in the source training or the first epoch, then after every update
        asked = iter([False] * 2 + [True])
        try:
            resumed = run(broken, reports.append, lambda: next(asked, True))  # noqa: B023
            break
        except Interrupted as interrupted:
            steps.append(interrupted.step)
    assert steps[0] == 3
    assert len(steps) > 1
    assert (resumed.selected, resumed.scores) == (undisturbed.selected, undisturbed.scores)
    assert essence(reports) == essence(expected)  # none is repeated: nothing was lost
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(broken)[name]), name


def test_a_checkpoint_waits_until_training_took_long_enough(make_trial: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[int] = []
    monkeypatch.setattr(Checkpoints, "write", lambda self: saved.append(self.training.step))
    run(make_trial("naive-mix-train", checkpoint_seconds=3600.0), lambda _: None)
    assert saved == []


def test_fp16_goes_on_with_its_loss_scale(make_trial: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = partial(make_trial, "gradient-mix-train", precision="fp16", accumulation=2)
    undisturbed = run(make(home=tmp_path / "whole"), lambda _: None)
    broken = make(home=tmp_path / "broken", checkpoint_seconds=0.0)
    monkeypatch.setattr("trainers.training.resuming.CHECKPOINT_SHARE", 0)
    killed_after(9, monkeypatch, broken)
    resumed = run(broken, lambda _: None)
    assert resumed.scores == undisturbed.scores
    assert without_clock(resumed.facts["training"]) == without_clock(undisturbed.facts["training"])


@pytest.mark.parametrize("artifacts", ["s3"], indirect=True)
@pytest.mark.parametrize("seconds", [2.0, pytest.param(60.0, marks=pytest.mark.slow)])
def test_a_store_that_is_gone_for_a_while_loses_nothing(
    make_trial: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3_server: "S3Server", seconds: float
) -> None:
    monkeypatch.setattr("trainers.training.resuming.CHECKPOINT_SHARE", 0)
    whole = make_trial("gradient-mix-train", home=tmp_path / "whole", keep=True)
    undisturbed = run(whole, lambda _: None)
    trial = make_trial("gradient-mix-train", home=tmp_path / "gone", keep=True, checkpoint_seconds=0.0)
    reports: list[Report] = []

    def report(one: Report) -> None:  # in mid-training: checkpoints, predictions and the model are yet to be written
        reports.append(one)
        if len(reports) == 1:
            s3_server.lose()
            threading.Timer(seconds, s3_server.find).start()

    outcome = run(trial, report)
    assert (outcome.scores, outcome.selected) == (undisturbed.scores, undisturbed.selected)
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(trial)[name]), name


@pytest.mark.parametrize("artifacts", ["s3"], indirect=True)
def test_training_goes_on_without_checkpoints_while_its_store_is_gone_and_ends_when_it_stays_so(
    make_trial: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("trainers.training.resuming.CHECKPOINT_SHARE", 0)
    trial = make_trial("naive-mix-train", keep=True, epochs=1, checkpoint_seconds=0.0, selections=("last",))
    undisturbed = run(replace(trial, home=trial.home.with_name("whole"), artifacts=None), lambda _: None)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Checkpoints, "write", lost_at(Checkpoints.write, 2))
        patched.setattr("trainers.training.selecting.kept_models.save", lost_at(models.save, 1))
        with pytest.raises(PlaceLostError):
            run(trial, lambda _: None)
    assert "after step 2 there is no checkpoint: gone" in caplog.text
    state = checkpoints.load(place_of(trial), checkpoints_of(trial.home, trial.config.digest))
    assert state["training"]["step"] > 2
    reports: list[Report] = []
    assert run(trial, reports.append).scores == undisturbed.scores


def lost_at(act: Callable[..., None], call: int) -> Callable[..., None]:
    """Does what it is given, but for one call, at which the store is gone."""
    count = 0

    def acting(*arguments: Any) -> None:
        nonlocal count
        count += 1
        if count == call:
            raise PlaceLostError("gone")
        act(*arguments)

    return acting
