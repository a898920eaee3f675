"""Tune's schedulers, one for each set of trials that may be compared: those of one sweep at one seed."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ray import tune
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, PopulationBasedTraining, TrialScheduler

from search_spaces.search import AshaScheduler, PbtScheduler
from search_spaces.spaces import Grid, LogUniform, Space, bounds, highest, lowest
from service.engine.slot_client import Share

# Trials that may be compared: those of one sweep at one seed.
Cohort = tuple[str, int]

# By digest a trial's cohort, and its objective so far: (epoch, objective) in order.
Past = Mapping[str, tuple[Cohort, Sequence[tuple[int, float]]]]


def digest_of(trial_id: str) -> str:
    """The trial that Tune has under a name: it has a further name for each death."""
    return trial_id.partition(".")[0]


class PerCohort(FIFOScheduler, ABC):  # type: ignore[misc]
    """One scheduler per cohort; a trial outside of every cohort runs to its end.

    Args:
        cohorts: the cohort of each trial that is compared, by digest; more may come.
    """

    def __init__(self, cohorts: Mapping[str, Cohort]) -> None:
        super().__init__()
        self.cohorts = cohorts
        self.schedulers: dict[Cohort, TrialScheduler] = {}

    @abstractmethod
    def build(self, cohort: Cohort) -> TrialScheduler:
        """A scheduler of Tune's for a cohort that has none yet."""

    def known_as(self, trial: TuneTrial) -> Any:
        """What their scheduler knows a trial as."""
        return trial

    def on_trial_add(self, tune_controller: Any, trial: TuneTrial) -> None:
        """A trial may run."""
        if digest_of(trial.trial_id) in self.cohorts:
            self._of(trial).on_trial_add(tune_controller, self.known_as(trial))

    def on_trial_result(self, tune_controller: Any, trial: TuneTrial, result: dict[str, Any]) -> str:
        """Whether it goes on. After its last epoch it does: what it learnt is to be scored."""
        epochs = trial.config["trial"].config.training.epochs
        if (
            digest_of(trial.trial_id) not in self.cohorts
            or result.get("objective") is None
            or result["epoch"] >= epochs
        ):
            return str(TrialScheduler.CONTINUE)
        return str(self._of(trial).on_trial_result(tune_controller, self.known_as(trial), result))

    def on_trial_complete(self, tune_controller: Any, trial: TuneTrial, result: dict[str, Any]) -> None:
        """A trial has ended. Its rung is known already, and a result without an objective says nothing."""

    def _of(self, trial: TuneTrial) -> TrialScheduler:
        cohort = self.cohorts[digest_of(trial.trial_id)]
        if cohort not in self.schedulers:
            self.schedulers[cohort] = self.build(cohort)
        return self.schedulers[cohort]


@dataclass(frozen=True)
class Seen:
    """A trial by its digest, which is all that Tune's halving wants to know of it: under whichever name it runs."""

    trial_id: str


class Halving(PerCohort):
    """Stops trials early.

    Args:
        asha: its parameters.
        cohorts: as `PerCohort`.
        epochs: the most that any trial has.
        past: what is known already. A driver that starts again goes on with it.
    """

    def __init__(self, asha: AshaScheduler, cohorts: Mapping[str, Cohort], epochs: int, past: Past) -> None:
        super().__init__(cohorts)
        self.asha, self.epochs, self.past = asha, epochs, past

    def known_as(self, trial: TuneTrial) -> Seen:
        """The trial by its digest."""
        return Seen(digest_of(trial.trial_id))

    def build(self, cohort: Cohort) -> TrialScheduler:
        """Tune's ASHA, told what is known already."""
        halving = AsyncHyperBandScheduler(
            time_attr="epoch",
            metric="objective",
            mode="max",
            max_t=self.epochs,
            grace_period=self.asha.grace_period,
            reduction_factor=self.asha.reduction_factor,
            brackets=self.asha.brackets,
        )
        for digest, (of, history) in self.past.items():
            if of == cohort:
                halving.on_trial_add(None, Seen(digest))
                for epoch, objective in history:
                    halving.on_trial_result(None, Seen(digest), {"epoch": epoch, "objective": objective})
        return halving


class Populations(PerCohort):
    """Lets the worst of a population take over the best's weights and changed hyperparameters.

    Members take turns where the pool is smaller than the population, so that they can be compared.

    Args:
        pbt: its parameters.
        cohorts: as `PerCohort`.
        spaces: of the hyperparameters that may change.
        share: gives slots.
    """

    def __init__(
        self, pbt: PbtScheduler, cohorts: Mapping[str, Cohort], spaces: Mapping[str, Space], share: Share
    ) -> None:
        super().__init__(cohorts)
        self.pbt, self.spaces, self.share = pbt, spaces, share

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

    @property
    def keeps(self) -> int:
        """How many checkpoints of a member stay: others take over one that is up to two intervals old."""
        return 2 * self.pbt.perturbation_interval + 1

    def choose_trial_to_run(self, tune_controller: Any) -> TuneTrial | None:
        """Of the paused trials, which new ones are as well, that which is least far, once it has a slot."""
        live = tune_controller.get_live_trials()
        active = {digest_of(trial.trial_id) for trial in live if trial.status in (TuneTrial.PENDING, TuneTrial.RUNNING)}
        self.share.leave(self.share.held - active)
        paused = [trial for trial in live if trial.status == TuneTrial.PAUSED]
        paused.sort(key=lambda trial: trial.last_result.get("epoch", 0))
        by_digest = {digest_of(trial.trial_id): trial for trial in paused}
        return by_digest.get(self.share.claim(list(by_digest)) or "")

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return dict, ()  # Tune pickles its parts with its own state, which nothing ever reads

    def _within_bounds(self, config: dict[str, Any]) -> dict[str, Any]:
        """Tune multiplies by 1.2 or 0.8, wherever that leads."""
        return {**config, **{name: min(max(config[name], lowest(space)), highest(space))
                             for name, space in self.spaces.items()}}  # fmt: skip


class _Population(PopulationBasedTraining):  # type: ignore[misc]
    def _checkpoint_or_exploit(self, trial: TuneTrial, tune_controller: Any, upper: Any, lower: Any) -> None:
        """Tune keeps the weights of those that are among the best when they report; others may be so by and by."""
        super()._checkpoint_or_exploit(trial, tune_controller, upper, lower)
        state = self._trial_state[trial]
        if state.last_checkpoint is None and trial.status == TuneTrial.RUNNING:
            state.last_checkpoint = tune_controller._schedule_trial_save(trial, result=state.last_result)

    def _get_new_config(self, trial: TuneTrial, trial_to_clone: TuneTrial) -> tuple[dict[str, Any], dict[str, Any]]:
        """Tune hands over the whole configuration; which trial it is stays."""
        config, operations = super()._get_new_config(trial, trial_to_clone)
        return {**config, "trial": trial.config["trial"]}, operations


def _mutations(space: Space) -> Any:
    if isinstance(space, Grid):
        return sorted(space.grid)
    low, high = bounds(space)  # type: ignore[arg-type]
    return tune.loguniform(low, high) if isinstance(space, LogUniform) else tune.uniform(low, high)
