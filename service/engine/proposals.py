"""Adaptive searchers: candidates that are proposed while others run, in the light of their results."""

from dataclasses import dataclass, field
from typing import Any, assert_never

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from search_spaces.method_space import Candidate, MethodSpace
from search_spaces.search import AnySearcher, GridSearcher, RandomSearcher, TpeSearcher
from search_spaces.spaces import SEARCHABLE, Grid, LogUniform, Scheduled, Space, bounds, rounded, values

# Repeated proposals in a row after which a space counts as exhausted.
MOST_REPEATS = 100

optuna.logging.set_verbosity(optuna.logging.WARNING)


def build_proposer(searcher: AnySearcher, space: MethodSpace) -> "Proposer | None":
    """The proposer of a searcher; None for a searcher whose candidates are all known before anything is trained."""
    match searcher:
        case GridSearcher() | RandomSearcher():
            return None
        case TpeSearcher():
            return Proposer(searcher, space)
        case _:
            assert_never(searcher)


@dataclass
class Proposer:
    """Optuna's TPE over the space of one method, told each candidate's mean over its seeds.

    Args:
        searcher: TPE's parameters.
        space: the space of the method, or of the trajectory that several methods share.
    """

    searcher: TpeSearcher
    space: MethodSpace
    study: Any = field(init=False)
    distributions: dict[str, BaseDistribution] = field(init=False)
    asked: dict[Candidate, Any] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        sampler = optuna.samplers.TPESampler(
            n_startup_trials=self.searcher.startup, seed=self.searcher.seed, constant_liar=True
        )
        self.study = optuna.create_study(direction="maximize", sampler=sampler)
        self.distributions = {name: _distribution(space, SEARCHABLE[name]) for name, space in self.space.spaces.items()}

    def recall(self, candidate: Candidate, value: float | None) -> None:
        """Add a candidate that an earlier driver proposed; `value` is its mean, or None if it is still running."""
        parameters = {name: getattr(candidate, name) for name in self.distributions}
        state = TrialState.RUNNING if value is None else TrialState.COMPLETE
        self.study.add_trial(
            create_trial(params=parameters, distributions=self.distributions, value=value, state=state)
        )
        self.asked[candidate] = self.study.trials[-1].number

    def propose(self) -> Candidate | None:
        """The next candidate; None once all samples have been proposed, or if no new one is found."""
        for _ in range(MOST_REPEATS if len(self.asked) < self.searcher.samples else 0):
            trial = self.study.ask(self.distributions)
            candidate = Candidate(**{name: _plain(value) for name, value in trial.params.items()})
            if candidate not in self.asked:
                self.asked[candidate] = trial.number
                return candidate
            self.study.tell(trial, state=TrialState.PRUNED)  # a repetition: there is nothing to learn from it
        return None

    def tell(self, candidate: Candidate, value: float | None) -> None:
        """Report a candidate's mean over its seeds; None if it failed."""
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
