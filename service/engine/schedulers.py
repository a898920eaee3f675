"""Tune's schedulers, one for each set of trials that may be compared: those of one sweep at one seed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler

from search_spaces.search import AshaScheduler

# A set of trials that may be compared.
Rivals = tuple[str, int]


@dataclass(frozen=True)
class Past:
    """What an earlier driver saw of a trial; Tune's schedulers know a trial by its id alone."""

    trial_id: str


class PerSweep(FIFOScheduler):  # type: ignore[misc]
    """Stops trials early by halving each set of rivals on its own; others run to their end.

    Args:
        asha: its parameters.
        rivals: of each trial that is compared, by digest; there may come more.
        epochs: the most that any of them has.
        past: what is known of some already: by digest the rivals, and (epoch, objective) in order. A driver that starts
            again goes on with it.
    """

    def __init__(
        self,
        asha: AshaScheduler,
        rivals: Mapping[str, Rivals],
        epochs: int,
        past: Mapping[str, tuple[Rivals, Sequence[tuple[int, float]]]],
    ) -> None:
        super().__init__()
        self.asha, self.rivals, self.epochs, self.past = asha, rivals, epochs, past
        self.halving: dict[Rivals, AsyncHyperBandScheduler] = {}

    def on_trial_add(self, tune_controller: Any, trial: TuneTrial) -> None:
        """A trial may run."""
        self._tell(trial, lambda halving: halving.on_trial_add(tune_controller, trial))

    def on_trial_result(self, tune_controller: Any, trial: TuneTrial, result: dict[str, Any]) -> str:
        """Whether it goes on: the last epoch is not stopped, what it learnt is to be scored."""
        digest, epochs = str(trial.trial_id), trial.config["trial"].config.training.epochs
        if digest not in self.rivals or result.get("objective") is None or result["epoch"] >= epochs:
            return str(TrialScheduler.CONTINUE)
        return str(self._of(digest).on_trial_result(tune_controller, trial, result))

    def on_trial_complete(self, tune_controller: Any, trial: TuneTrial, result: dict[str, Any]) -> None:
        """A trial has ended. Its rung is known already, and a result without an objective says nothing."""

    def _tell(self, trial: TuneTrial, what: Callable[[AsyncHyperBandScheduler], None]) -> None:
        if str(trial.trial_id) in self.rivals:
            what(self._of(str(trial.trial_id)))

    def _of(self, digest: str) -> AsyncHyperBandScheduler:
        rivals = self.rivals[digest]
        if rivals not in self.halving:
            self.halving[rivals] = self._made(rivals)
        return self.halving[rivals]

    def _made(self, rivals: Rivals) -> AsyncHyperBandScheduler:
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
            if of == rivals:
                halving.on_trial_add(None, Past(digest))
                for epoch, objective in history:
                    halving.on_trial_result(None, Past(digest), {"epoch": epoch, "objective": objective})
        return halving
