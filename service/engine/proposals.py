"""Candidates that are proposed while others run: Optuna's TPE, told each candidate's mean over its seeds."""

from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from search_spaces.candidates import SEARCHABLE, Candidate, spaces_of
from search_spaces.search import TpeSearcher
from search_spaces.spaces import Grid, LogUniform, Scheduled, Space, bounds, rounded, values
from search_spaces.spec import ExperimentSpec

# Proposals that were made before, in a row, until a space counts as used up.
MOST_REPEATS = 100

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass
class Proposer:
    """What TPE proposes for one trajectory (a method, or several that only select differently) at one K.

    Args:
        spec: whose spaces are searched.
        searcher: TPE's parameters.
        trajectory: its name.
        k: shots.
    """

    spec: ExperimentSpec
    searcher: TpeSearcher
    trajectory: str
    k: int
    study: Any = field(init=False)
    spaces: dict[str, BaseDistribution] = field(init=False)
    asked: dict[Candidate, Any] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        sampler = optuna.samplers.TPESampler(
            n_startup_trials=self.searcher.startup, seed=self.searcher.seed, constant_liar=True
        )
        self.study = optuna.create_study(direction="maximize", sampler=sampler)
        self.spaces = {
            name: _distribution(space, SEARCHABLE[name])
            for name, space in spaces_of(self.spec, self.trajectory).items()
        }

    def recall(self, candidate: Candidate, value: float | None) -> None:
        """A candidate that an earlier driver proposed, and what it came to, if it is done."""
        parameters = {name: getattr(candidate, name) for name in self.spaces}
        state = TrialState.RUNNING if value is None else TrialState.COMPLETE
        self.study.add_trial(create_trial(params=parameters, distributions=self.spaces, value=value, state=state))
        self.asked[candidate] = self.study.trials[-1].number

    def propose(self) -> Candidate | None:
        """The next candidate; None when there are as many as were asked for, or no others are found."""
        for _ in range(MOST_REPEATS if len(self.asked) < self.searcher.samples else 0):
            trial = self.study.ask(self.spaces)
            candidate = Candidate(**{name: _plain(value) for name, value in trial.params.items()})
            if candidate not in self.asked:
                self.asked[candidate] = trial.number
                return candidate
            self.study.tell(trial, state=TrialState.PRUNED)  # the same as before: nothing to learn
        return None

    def tell(self, candidate: Candidate, value: float | None) -> None:
        """What a candidate came to: the mean over its seeds; None if it failed."""
        if value is None:
            self.study.tell(self.asked[candidate], state=TrialState.FAIL)
        else:
            self.study.tell(self.asked[candidate], value)


def _distribution(space: Space, whole: bool) -> BaseDistribution:
    if isinstance(space, Grid | Scheduled | int | float):
        return CategoricalDistribution(values(space, whole, "", 0))  # type: ignore[arg-type]
    low, high = bounds(space)
    if whole:
        return IntDistribution(int(low), int(high), log=isinstance(space, LogUniform))
    return FloatDistribution(low, high, log=isinstance(space, LogUniform))


def _plain(value: Any) -> Any:
    return rounded(value) if isinstance(value, float) else value
