"""Tune's schedulers, one for each cohort: the trials of one sweep at one seed, which may be compared."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, assert_never

from ray import tune
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    MedianStoppingRule,
    PopulationBasedTraining,
    TrialScheduler,
)

from search_spaces.method_space import epoch_range, searched_spaces
from search_spaces.objective import Cohort, Judged
from search_spaces.schedulers import AshaScheduler, MedianScheduler, PbtScheduler
from search_spaces.spaces import Grid, LogUniform, Space, bounds, highest, lowest
from search_spaces.spec import ExperimentSpec
from service.engine.slot_client import SlotClient
from service.engine.trial_queue import TrialQueue


def build_scheduler(spec: ExperimentSpec, queue: TrialQueue, slots: SlotClient) -> "CohortScheduler | None":
    """The scheduler of an experiment; None if its spec has none.

    Args:
        spec: the spec of the experiment.
        queue: its trials; those that were judged before are known to the scheduler from the start.
        slots: its slots of the pool.
    """
    scheduler = spec.search.scheduler
    match scheduler:
        case None:
            return None
        case AshaScheduler():
            return Halving(scheduler, queue.cohorts, queue.judged(), epoch_range(spec)[1])
        case MedianScheduler():
            return MedianStopping(scheduler, queue.cohorts, queue.judged())
        case PbtScheduler():
            return Populations(scheduler, queue.cohorts, searched_spaces(spec), slots)
        case _:
            assert_never(scheduler)


def digest_of(trial_id: str) -> str:
    """The digest of the trial that Tune knows by an id; it has another id after each death of its process."""
    return trial_id.partition(".")[0]


class CohortScheduler(FIFOScheduler, ABC):  # type: ignore[misc]
    """One scheduler per cohort; a trial that belongs to no cohort runs to its end.

    Args:
        cohorts: the cohort of each trial that may be compared, by digest; trials are added while it runs.

    Attributes:
        admits_trials: the scheduler decides which trials have a slot, not the gate.
        kept_checkpoints: the number of each trial's checkpoints that Tune keeps; None for all.
    """

    admits_trials = False
    kept_checkpoints: int | None = None

    def __init__(self, cohorts: Mapping[str, Cohort]) -> None:
        super().__init__()
        self.cohorts = cohorts
        self.schedulers: dict[Cohort, TrialScheduler] = {}

    @abstractmethod
    def build(self, cohort: Cohort) -> TrialScheduler:
        """One of Tune's schedulers, for a cohort that has none yet."""

    def known_as(self, trial: TuneTrial) -> Any:
        """What the scheduler of a cohort knows a trial as."""
        return trial

    def on_trial_add(self, tune_controller: Any, trial: TuneTrial) -> None:
        """A trial may run."""
        if digest_of(trial.trial_id) in self.cohorts:
            self._of(trial).on_trial_add(tune_controller, self.known_as(trial))

    def on_trial_result(self, tune_controller: Any, trial: TuneTrial, result: dict[str, Any]) -> str:
        """Whether a trial goes on after a report. After its last epoch it always does: its scores are still to come."""
        epochs = trial.config["trial"].config.training.epochs
        if (
            digest_of(trial.trial_id) not in self.cohorts
            or result.get("objective") is None
            or result["epoch"] >= epochs
        ):
            return str(TrialScheduler.CONTINUE)
        return str(self._of(trial).on_trial_result(tune_controller, self.known_as(trial), result))

    def on_trial_complete(self, tune_controller: Any, trial: TuneTrial, result: dict[str, Any]) -> None:
        """Nothing: all reports of the trial are known, and its last result has no objective."""

    def _of(self, trial: TuneTrial) -> TrialScheduler:
        cohort = self.cohorts[digest_of(trial.trial_id)]
        if cohort not in self.schedulers:
            self.schedulers[cohort] = self.build(cohort)
        return self.schedulers[cohort]

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return dict, ()  # Tune pickles its parts with its own state, which is never read here


@dataclass(frozen=True)
class TrialKey:
    """A trial by its digest, whichever id Tune has for it: early stopping needs to know no more of a trial."""

    trial_id: str


class EarlyStopping(CohortScheduler):
    """Stops trials early. A restarted driver continues with the stored reports.

    Args:
        cohorts: as for `CohortScheduler`.
        judged: trials that have reported before, by digest.
    """

    def __init__(self, cohorts: Mapping[str, Cohort], judged: Mapping[str, Judged]) -> None:
        super().__init__(cohorts)
        self.judged = judged

    def known_as(self, trial: TuneTrial) -> TrialKey:
        """The trial by its digest."""
        return TrialKey(digest_of(trial.trial_id))

    def stored(self, cohort: Cohort) -> Iterator[tuple[TrialKey, list[dict[str, Any]]]]:
        """The trials of a cohort that have reported before, each with its results in the form that Tune has them."""
        for digest, one in self.judged.items():
            if one.cohort == cohort:
                names = ("epoch", "step", "objective")
                yield TrialKey(digest), [dict(zip(names, report, strict=True)) for report in one.history]


class Halving(EarlyStopping):
    """Asynchronous successive halving.

    Args:
        asha: its parameters.
        cohorts: as for `CohortScheduler`.
        judged: as for `EarlyStopping`.
        epochs: the most epochs of any trial.
    """

    def __init__(
        self, asha: AshaScheduler, cohorts: Mapping[str, Cohort], judged: Mapping[str, Judged], epochs: int
    ) -> None:
        super().__init__(cohorts, judged)
        self.asha, self.epochs = asha, epochs

    def build(self, cohort: Cohort) -> TrialScheduler:
        """Tune's ASHA, with the stored reports."""
        halving = AsyncHyperBandScheduler(
            time_attr="epoch",
            metric="objective",
            mode="max",
            max_t=self.epochs,
            grace_period=self.asha.grace_period,
            reduction_factor=self.asha.reduction_factor,
            brackets=self.asha.brackets,
        )
        for trial, results in self.stored(cohort):
            halving.on_trial_add(None, trial)
            for result in results:
                halving.on_trial_result(None, trial, result)
        return halving


class MedianStopping(EarlyStopping):
    """The median stopping rule.

    Args:
        median: its parameters.
        cohorts: as for `CohortScheduler`.
        judged: as for `EarlyStopping`.
    """

    def __init__(self, median: MedianScheduler, cohorts: Mapping[str, Cohort], judged: Mapping[str, Judged]) -> None:
        super().__init__(cohorts, judged)
        self.median = median

    def build(self, cohort: Cohort) -> TrialScheduler:
        """Tune's median stopping rule, with the stored reports."""
        rule = _MedianRule(
            time_attr="epoch",
            metric="objective",
            mode="max",
            grace_period=self.median.grace_period,
            min_samples_required=self.median.min_samples_required,
            min_time_slice=inf,  # trials never pause for others: slots are shared out elsewhere
        )
        for trial, results in self.stored(cohort):
            for result in results:
                rule.on_trial_complete(None, trial, result)  # adds the result, and stops nothing
        return rule


class _MedianRule(MedianStoppingRule):  # type: ignore[misc]
    def on_trial_result(self, tune_controller: Any, trial: TrialKey, result: dict[str, Any]) -> str:
        """Whether a trial goes on. After a death it repeats reports since its last checkpoint: each counts once."""
        self._results[trial] = [one for one in self._results[trial] if one["step"] < result["step"]]
        return str(super().on_trial_result(tune_controller, trial, result))


class Populations(CohortScheduler):
    """Population-based training: the worst members copy the best members' weights and perturb hyperparameters.

    Where the pool is smaller than the population, members take turns, so that they can be compared.

    Args:
        pbt: its parameters.
        cohorts: as for `CohortScheduler`.
        spaces: the spaces of the hyperparameters that may change.
        slots: the experiment's slots of the pool.
    """

    admits_trials = True

    def __init__(
        self, pbt: PbtScheduler, cohorts: Mapping[str, Cohort], spaces: Mapping[str, Space], slots: SlotClient
    ) -> None:
        super().__init__(cohorts)
        self.pbt, self.spaces, self.slots = pbt, spaces, slots
        self.kept_checkpoints = 2 * pbt.perturbation_interval + 1  # others copy one that is up to two intervals old

    def build(self, cohort: Cohort) -> TrialScheduler:
        """Tune's population-based training."""
        return _Population(
            time_attr="epoch",
            metric="objective",
            mode="max",
            perturbation_interval=self.pbt.perturbation_interval,
            burn_in_period=self.pbt.burn_in_period,
            quantile_fraction=self.pbt.quantile_fraction,
            resample_probability=self.pbt.resample_probability,
            hyperparam_mutations={name: _mutations(space) for name, space in self.spaces.items()},
            custom_explore_fn=self._within_bounds,
            log_config=False,
        )

    def choose_trial_to_run(self, tune_controller: Any) -> TuneTrial | None:
        """Of the paused trials (new ones are paused too) the one with the fewest epochs, once it has a slot."""
        live = tune_controller.get_live_trials()
        active = {digest_of(trial.trial_id) for trial in live if trial.status in (TuneTrial.PENDING, TuneTrial.RUNNING)}
        self.slots.release(self.slots.held - active)
        paused = [trial for trial in live if trial.status == TuneTrial.PAUSED]
        paused.sort(key=lambda trial: trial.last_result.get("epoch", 0))
        by_digest = {digest_of(trial.trial_id): trial for trial in paused}
        return by_digest.get(self.slots.claim(list(by_digest)) or "")

    def _within_bounds(self, config: dict[str, Any]) -> dict[str, Any]:
        """The perturbed values, which Tune multiplies by 1.2 or 0.8, clipped to their spaces."""
        clipped = {name: min(max(config[name], lowest(space)), highest(space)) for name, space in self.spaces.items()}
        return {**config, **clipped}


class _Population(PopulationBasedTraining):  # type: ignore[misc]
    def _checkpoint_or_exploit(self, trial: TuneTrial, tune_controller: Any, upper: Any, lower: Any) -> None:
        """Keep every member's weights: Tune keeps those of the best at their report, but others may become the best."""
        super()._checkpoint_or_exploit(trial, tune_controller, upper, lower)
        state = self._trial_state[trial]
        if state.last_checkpoint is None and trial.status == TuneTrial.RUNNING:
            state.last_checkpoint = tune_controller._schedule_trial_save(trial, result=state.last_result)

    def _get_new_config(self, trial: TuneTrial, trial_to_clone: TuneTrial) -> tuple[dict[str, Any], dict[str, Any]]:
        """Copy hyperparameters only: Tune copies the whole configuration, and with it which trial it is."""
        config, operations = super()._get_new_config(trial, trial_to_clone)
        return {**config, "trial": trial.config["trial"]}, operations


def _mutations(space: Space) -> Any:
    if isinstance(space, Grid):
        return sorted(space.grid)
    low, high = bounds(space)  # type: ignore[arg-type]
    return tune.loguniform(low, high) if isinstance(space, LogUniform) else tune.uniform(low, high)
