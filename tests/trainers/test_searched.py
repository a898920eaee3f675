"""What a search asks of a trial: to be judged, to change over its epochs, to go on with another's weights."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainers.artifacts.layout import checkpoints_of
from trainers.data.sources import open_data
from trainers.one_trial import resumed_hyperparameters, run
from trainers.training import loop
from trainers.trial import Change, Outcome, Report, Trial, TrialConfig, at_epoch

Make = Callable[..., Trial]


def ran(trial: Trial) -> tuple[Outcome, list[Report]]:
    reports: list[Report] = []
    return run(trial, reports.append), reports


@given(
    st.lists(st.tuples(st.integers(1, 20), st.floats(0, 1)), max_size=5, unique_by=lambda line: line[0]),
    st.integers(0, 30),
)
def test_a_schedule_has_the_value_of_the_last_line_that_has_begun(later: list[tuple[int, float]], epoch: int) -> None:
    schedule = ((0, 0.5), *sorted(later))
    expected = max((line for line in schedule if line[0] <= epoch), key=lambda line: line[0])[1]
    assert at_epoch(schedule, epoch) == expected


def test_a_number_is_the_schedule_that_never_changes(make_trial: Make, tmp_path: Path) -> None:
    number = make_trial("gradient-mix-train", home=tmp_path / "number", alpha=0.5)
    schedule = make_trial(
        "gradient-mix-train", home=tmp_path / "schedule", alpha=((0, 0.5),), learning_rate=((0, 1e-2), (1, 1e-2))
    )
    assert number.config.digest != schedule.config.digest
    assert ran(number)[0].scores == ran(schedule)[0].scores


def test_alpha_and_learning_rate_change_at_the_epochs_of_their_schedules(
    make_trial: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, float, float]] = []
    update = loop.Loop._update

    def watched(self: loop.Loop, places: Any) -> None:
        assert self.surgery is not None
        seen.append((self.epoch, self.surgery.alpha, self.optimizer.param_groups[0]["lr"]))
        update(self, places)

    monkeypatch.setattr(loop.Loop, "_update", watched)
    rate = ((0, 1e-2), (1, 1e-3))
    trial = make_trial("gradient-mix-train", alpha=((0, 1.0), (2, 0.0)), learning_rate=rate, epochs=3)
    run(trial, lambda _: None)
    assert {(epoch, alpha) for epoch, alpha, _ in seen} == {(1, 1.0), (2, 1.0), (3, 0.0)}
    decay = [1 - step / len(seen) for step in range(len(seen))]
    expected = [(1e-2 if epoch == 1 else 1e-3) * left for (epoch, _, _), left in zip(seen, decay, strict=True)]
    assert [rate for _, _, rate in seen] == pytest.approx(expected)


@pytest.mark.parametrize("method", ["gradient-mix-train", "ord-FS", "zero-shot"])
def test_being_judged_changes_nothing_but_what_is_known(make_trial: Make, tmp_path: Path, method: str) -> None:
    plain, plain_reports = ran(make_trial(method, home=tmp_path / "plain"))
    judged, reports = ran(make_trial(method, home=tmp_path / "judged", judge=("en", "hi")))
    assert (judged.scores, judged.selected) == (plain.scores, plain.selected)
    for before, report in zip(plain_reports, reports, strict=True):
        assert set(before.scores) <= set(report.scores)
        assert {score.language for score in report.scores if score.split == "dev"} == {"en", "hi"}


def test_a_target_is_judged_on_its_whole_dev_set(make_trial: Make) -> None:
    trial = make_trial("gradient-mix-train", judge=("de",))
    facts = open_data(trial.data, "ner", trial.home).facts("de", "dev")
    _, reports = ran(trial)
    [score] = [score for score in reports[0].scores if score.language == "de"]
    assert (score.data, score.examples) == (facts.digest, facts.examples)


def test_a_model_that_was_kept_before_anyone_judged_it_is_judged_without_training(make_trial: Make) -> None:
    kept = make_trial("gradient-mix-train", keep=True)
    run(kept, lambda _: None)
    judged, reports = ran(replace(kept, wanted=replace(kept.wanted, judge={"hi": ""})))
    [step] = judged.selected.values()
    [score] = [score for score in judged.scores if score.split == "dev"]
    assert (score.language, score.step) == ("hi", step)
    assert not any(score.language == "hi" for report in reports for score in report.scores)


def test_test_scores_of_every_report(make_trial: Make) -> None:
    outcome, reports = ran(make_trial("gradient-mix-train", test_every_report=True))
    tests = {report.step: [score for score in report.scores if score.split == "test"] for report in reports}
    assert all([score.language for score in of_step] == ["en", "de", "hi"] for of_step in tests.values())
    [step] = outcome.selected.values()
    assert list(outcome.scores) == tests[step]


def population(make_trial: Make, name: str, **changed: Any) -> Trial:
    return make_trial("gradient-mix-train", epochs=4, population=name, checkpoint_every_report=True, **changed)


class Paused(BaseException):
    """As a scheduler stops a trial in its report."""


def paused_after(trial: Trial, epochs: int) -> None:
    def report(one: Report) -> None:
        if one.epoch == epochs:
            raise Paused

    with pytest.raises(Paused):
        run(trial, report)


def test_a_member_that_is_paused_and_goes_on_ends_as_if_it_had_not(make_trial: Make, tmp_path: Path) -> None:
    whole, _ = ran(population(make_trial, "p", home=tmp_path / "whole"))
    member = population(make_trial, "p", home=tmp_path / "paused")
    paused_after(member, 2)
    rate = member.config.training.learning_rate
    assert isinstance(rate, float)
    outcome, reports = ran(replace(member, change=Change(1.0, rate)))
    assert [report.epoch for report in reports] == [3, 4]
    assert set(outcome.scores) == set(whole.scores)
    assert len(outcome.facts["history"]) == 1


def test_a_member_goes_on_with_anothers_weights_and_hyperparameters(make_trial: Make, tmp_path: Path) -> None:
    """Whoever takes over is from then on the donor, but for what it changes."""
    donor = population(make_trial, "p", home=tmp_path / "donor")
    taker = population(make_trial, "p", home=tmp_path / "taker", alpha=0.2)
    paused_after(donor, 2)
    paused_after(taker, 1)
    shutil.rmtree(checkpoints_of(taker.home, taker.config.digest))
    shutil.copytree(checkpoints_of(donor.home, donor.config.digest), checkpoints_of(taker.home, taker.config.digest))
    assert resumed_hyperparameters(taker) == Change(1.0, 1e-2)
    changed = replace(taker, change=Change(0.7, 5e-3))
    paused_after(changed, 3)
    assert resumed_hyperparameters(taker) == Change(0.7, 5e-3)
    shutil.rmtree(checkpoints_of(taker.home, taker.config.digest))
    shutil.copytree(checkpoints_of(donor.home, donor.config.digest), checkpoints_of(taker.home, taker.config.digest))
    outcome, reports = ran(changed)
    assert [report.epoch for report in reports] == [3, 4]
    assert outcome.facts["history"] == [
        {"epoch": 0, "alpha": 1.0, "learning_rate": 1e-2},
        {"epoch": 2, "alpha": 0.7, "learning_rate": 5e-3},
    ]
    scheduled = make_trial(
        "gradient-mix-train", home=tmp_path / "scheduled", epochs=4,
        alpha=((0, 1.0), (2, 0.7)), learning_rate=((0, 1e-2), (2, 5e-3)),
    )  # fmt: skip
    same, _ = ran(scheduled)
    tests = {score for score in outcome.scores if score.split == "test"}
    assert tests == set(same.scores)
    assert any(score.split == "dev" for score in outcome.scores)  # also where the donor made what is selected


def test_a_schedule_survives_its_way_through_json(make_trial: Make) -> None:
    config = make_trial("gradient-mix-train", alpha=((0, 1.0), (2, 0.5)), learning_rate=((0, 0.1),)).config
    assert TrialConfig.from_dict(json.loads(json.dumps(asdict(config)))) == config
