"""Tune's schedulers as a driver builds them from a spec: which trials are compared, and which of them are stopped."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.schedulers import TrialScheduler

from search_spaces.objective import Cohort, Judged
from search_spaces.schedulers import AnyScheduler
from search_spaces.search import variants
from search_spaces.spec import ExperimentSpec
from service.engine.schedulers import CohortScheduler, build_scheduler

EPOCHS = 4

# Specs of schedulers that stop the worst of a cohort whose others are all better.
EARLY_STOPPING: dict[str, dict[str, Any]] = {"asha": {"name": "asha", "reduction_factor": 2}}

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
            name: Judged(self._config(name), "sweep", "running", len(history), 1.0, {}, history)
            for name, history in self.history.items()
        }
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
            self.history.setdefault(name, []).append((epoch, 10 * epoch, objective))
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
