"""Tune's schedulers as a driver builds them from a spec: which trials are compared, and which of them are stopped."""

from collections.abc import Mapping
from random import Random
from statistics import fmean, median
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.tune.schedulers import TrialScheduler

from search_spaces.objective import Cohort, Judged
from search_spaces.schedulers import AnyScheduler
from search_spaces.search import variants
from search_spaces.spec import ExperimentSpec
from service.engine.schedulers import CohortScheduler, build_scheduler

EPOCHS = 4

# Specs of schedulers that stop the worst of a cohort whose others are all better.
EARLY_STOPPING: dict[str, dict[str, Any]] = {
    "asha": {"name": "asha", "reduction_factor": 2},
    "median": {"name": "median"},
}

GOOD, BAD = [50.0, 60.0, 70.0, 80.0], [10.0, 11.0, 12.0, 13.0]


def spec_of(scheduler: Mapping[str, Any] | None) -> ExperimentSpec:
    return ExperimentSpec.model_validate(
        {
            "task": "ner", "encoder": "e", "data": "sample", "target_languages": ["de"], "k": [5], "seeds": [1, 2],
            "methods": ["gradient-mix-train"], "alpha": {"grid": [0, 1]}, "training": {"epochs": EPOCHS},
            "search": {"scheduler": scheduler},
        }
    )  # fmt: skip


class Sweep:
    """Trials of one sweep, by name, which report to the scheduler of a driver."""

    def __init__(self, scheduler: Mapping[str, Any], seeds: Mapping[str, int]) -> None:
        self.scheduler, self.seeds = scheduler, seeds
        self.cohorts: dict[str, Cohort] = {name: ("sweep", seed) for name, seed in seeds.items()}
        self.history: dict[str, list[tuple[int, int, float]]] = {}
        self.restart()

    def restart(self) -> None:
        """Another driver, which knows what was reported."""
        judged = {
            name: Judged(
                config=self._config(name), sweep="sweep", state="running", epochs=len(history), seconds=1.0,
                selections=("source-dev",), selected={}, history=history,
            )
            for name, history in self.history.items()
        }  # fmt: skip
        queue: Any = SimpleNamespace(cohorts=self.cohorts, judged=lambda: judged)
        built = build_scheduler(spec_of(self.scheduler), queue, SimpleNamespace())  # type: ignore[arg-type]
        assert built is not None
        self.built: CohortScheduler = built
        self.added: dict[str, Any] = {}

    def _config(self, name: str) -> Any:
        return SimpleNamespace(seed=self.seeds.get(name), training=SimpleNamespace(epochs=EPOCHS))

    def report(self, id_: str, epoch: int, objective: float | None) -> bool:
        """A report of the trial that Tune knows by an id; whether the trial is stopped."""
        name = id_.partition(".")[0]
        if id_ not in self.added:
            self.added[id_] = SimpleNamespace(
                trial_id=id_, config={"trial": SimpleNamespace(config=self._config(name))}
            )
            self.built.on_trial_add(None, self.added[id_])
        result = {"epoch": epoch, "step": 10 * epoch, "objective": objective}
        decision = self.built.on_trial_result(None, self.added[id_], result)
        if objective is not None:
            before = [report for report in self.history.get(name, []) if report[0] < epoch]
            self.history[name] = [*before, (epoch, 10 * epoch, objective)]
        return decision == TrialScheduler.STOP

    def run(self, name: str, values: list[float]) -> int:
        """A trial with an objective after each epoch; the epoch after which it is stopped, or its last."""
        for epoch, value in enumerate(values, 1):
            if self.report(name, epoch, value):
                return epoch
        return EPOCHS


@pytest.fixture(params=EARLY_STOPPING)
def scheduler(request: pytest.FixtureRequest) -> dict[str, Any]:
    return EARLY_STOPPING[request.param]


def test_every_scheduler_of_a_spec_has_one_of_tunes() -> None:
    queue: Any = SimpleNamespace(cohorts={}, judged=dict)
    for name in variants(AnyScheduler):
        built = build_scheduler(spec_of({"name": name}), queue, SimpleNamespace())  # type: ignore[arg-type]
        assert isinstance(built, CohortScheduler)
        built.build(("sweep", 1))
    assert build_scheduler(spec_of(None), queue, SimpleNamespace()) is None  # type: ignore[arg-type]


def test_the_worst_of_a_cohort_is_stopped_and_the_others_are_not(scheduler: dict[str, Any]) -> None:
    sweep = Sweep(scheduler, dict.fromkeys("abcd", 1))
    assert [sweep.run(name, GOOD) for name in "abc"] == [EPOCHS] * 3
    assert sweep.run("d", BAD) < EPOCHS


def test_trials_of_different_seeds_are_not_compared(scheduler: dict[str, Any]) -> None:
    sweep = Sweep(scheduler, {**dict.fromkeys("abc", 1), "d": 2})
    for name in "abc":
        sweep.run(name, GOOD)
    assert sweep.run("d", BAD) == EPOCHS


def test_a_trial_outside_of_every_cohort_is_not_stopped_and_stops_none(scheduler: dict[str, Any]) -> None:
    sweep = Sweep(scheduler, dict.fromkeys("abcd", 1))
    for name in ("x", "y", "z"):
        sweep.run(name, GOOD)
    assert sweep.run("a", BAD) == EPOCHS
    for name in "bcd":
        sweep.run(name, GOOD)
    assert sweep.run("w", BAD) == EPOCHS


def test_a_report_without_an_objective_and_the_last_epoch_stop_nothing(scheduler: dict[str, Any]) -> None:
    sweep = Sweep(scheduler, dict.fromkeys("abcd", 1))
    for name in "abc":
        sweep.run(name, GOOD)
    assert not sweep.report("d", 1, None)
    assert not sweep.report("d", EPOCHS, 0.0)


def test_a_driver_that_starts_again_goes_on_with_what_was_reported(scheduler: dict[str, Any]) -> None:
    sweep = Sweep(scheduler, dict.fromkeys("abcd", 1))
    for name in "abc":
        sweep.run(name, GOOD)
    sweep.restart()
    assert sweep.run("d", BAD) < EPOCHS


def test_a_trial_that_died_is_the_same_trial_under_its_next_id(scheduler: dict[str, Any]) -> None:
    sweep = Sweep(scheduler, dict.fromkeys("abcd", 1))
    for name in "abc":
        sweep.run(name, GOOD)
        for epoch, value in enumerate(GOOD[:2], 1):
            assert not sweep.report(f"{name}.7", epoch, value)  # it repeats what it had reported
    assert sweep.run("d.8", BAD) < EPOCHS


# The median stopping rule


def is_below_the_median(history: Mapping[str, list[tuple[int, int, float]]], name: str, grace: int, least: int) -> bool:
    """The rule by its definition, for a trial that has just reported."""
    now = history[name][-1][0]
    if now < grace:
        return False
    means = [
        fmean(value for epoch, _, value in reports if grace <= epoch <= now)
        for other, reports in history.items()
        if other != name and reports[-1][0] >= now
    ]
    best = max(value for _, _, value in history[name])
    return len(means) >= least and best < median(means)


@given(
    values=st.lists(st.lists(st.integers(0, 9), min_size=EPOCHS, max_size=EPOCHS), min_size=2, max_size=7),
    order=st.randoms(use_true_random=False),
    grace=st.integers(1, EPOCHS - 1),
    least=st.integers(1, 4),
)
def test_the_median_rule_stops_by_its_definition_whatever_dies(
    values: list[list[int]], order: Random, grace: int, least: int
) -> None:
    scheduler = {"name": "median", "grace_period": grace, "min_samples_required": least}
    sweep = Sweep(scheduler, {str(number): 1 for number in range(len(values))})
    done = dict.fromkeys(sweep.seeds, 0)
    while running := [name for name, epoch in done.items() if epoch < EPOCHS - 1]:
        name = order.choice(running)
        event = order.choice(["report", "report", "report", "died", "restart"])
        if event == "restart":
            sweep.restart()
        elif event == "died" and done[name]:
            done[name] -= 1  # it goes on from a checkpoint before its last report, and repeats that
        else:
            done[name] += 1
            is_stopped = sweep.report(f"{name}.{order.random()}", done[name], float(values[int(name)][done[name] - 1]))
            assert is_stopped == is_below_the_median(sweep.history, name, grace, least)
            if is_stopped:
                del done[name]


def test_a_report_that_is_repeated_after_a_death_weighs_no_more() -> None:
    sweep = Sweep({"name": "median", "min_samples_required": 1}, dict.fromkeys("ab", 1))
    for id_, epoch, value in (("a", 1, 0.0), ("a", 2, 90.0), ("a.1", 2, 90.0), ("b", 1, 50.0)):
        assert not sweep.report(id_, epoch, value)
    assert not sweep.report("b", 2, 50.0)  # the mean of 0 and 90 is below; of 0, 90 and 90 it is not
