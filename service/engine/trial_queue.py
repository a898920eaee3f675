"""The trials of an experiment as they become known: those that are outstanding, and those that TPE proposes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import fmean

from search_spaces.candidates import Candidate, candidate_of, searched
from search_spaces.cost.estimate import devices
from search_spaces.objective import methods_of, objective_value
from search_spaces.plan import Plan, PlannedTrial, Planner
from search_spaces.search import TpeSearcher, TrialBudget
from search_spaces.spec import ExperimentSpec
from service.engine.proposals import Proposer
from service.engine.schedulers import Cohort
from service.store import Store
from trainers import Trial
from trainers.examples import CHANGED, DataError
from trainers.methods import METHODS
from trainers.tasks import TASKS


@dataclass
class Proposals:
    """What one proposer has proposed: by candidate the trials that are judged, and which of them have not ended."""

    proposer: Proposer
    trials: dict[Candidate, list[str]] = field(default_factory=dict)
    open: dict[Candidate, set[str]] = field(default_factory=dict)
    is_exhausted: bool = False


class ExperimentWork:
    """What `service.engine.tune` runs for an experiment.

    `cohorts` says which trials may be compared: those of one sweep at one seed.

    Args:
        experiment: its id.
        spec: what was asked for.
        planner: plans candidates that are proposed.
        store: where they are kept.
        made: trials from what is outstanding.
        at_once: trials that may run at once; so many are proposed ahead.

    Raises:
        DataError: what was proposed before would be planned otherwise now.
    """

    def __init__(
        self,
        experiment: str,
        spec: ExperimentSpec,
        planner: Planner,
        store: Store,
        made: Callable[[Mapping[str, PlannedTrial]], dict[str, Trial]],
        at_once: int,
    ) -> None:
        self.experiment, self.spec, self.planner, self.store = experiment, spec, planner, store
        self.made, self.at_once = made, at_once
        self.metric = TASKS[spec.task].metric
        self.cohorts: dict[str, Cohort] = {}
        self.ready: dict[str, Trial] = {}
        self.unended: set[str] = set()
        self.failed_before = store.trials.of_state(experiment, "failed")
        self._add(store.trials.outstanding(experiment))
        self.proposals = self._recalled()

    def more(self) -> Mapping[str, Trial]:
        """Trials that have become known since the last call."""
        for proposals in self.proposals:
            while not proposals.is_exhausted and len(self.unended) < self.at_once:
                self._propose(proposals)
        ready, self.ready = self.ready, {}
        return ready

    def still(self, digest: str) -> Trial | None:
        """A trial as it is needed now; None if another experiment has done it meanwhile."""
        return self.made(self.store.trials.outstanding(self.experiment, [digest])).get(digest)

    def is_complete(self) -> bool:
        """Whether all trials are known."""
        return not self.ready and all(proposals.is_exhausted for proposals in self.proposals)

    def refused(self, waiting: Mapping[str, Trial]) -> Mapping[str, str]:
        """Which of some trials will not start, and why. What has begun goes on, and what it starts from."""
        reason = self._refusal()
        if reason is None:
            return {}
        begun = self.store.trials.begun(self.experiment)
        needed = {trial.source.digest for digest, trial in waiting.items() if digest in begun and trial.source}
        return dict.fromkeys(waiting.keys() - begun - needed, reason)

    def _refusal(self) -> str | None:
        """Why no further trial may start: the budget is used up."""
        budget = self.spec.search.budget
        if budget is None:
            return None
        begun, seconds = self.store.spent(self.experiment)
        if isinstance(budget, TrialBudget):
            return f"the budget of {budget.trials} trials is used up" if begun >= budget.trials else None
        used_up = seconds / 3600 * devices(self.spec.resources) >= budget.device_hours
        return f"the budget of {budget.device_hours:g} device-hours is used up" if used_up else None

    def ended(self, digest: str) -> None:
        """A trial is done, was stopped or has failed."""
        self.unended.discard(digest)
        for proposals in self.proposals:
            for candidate, trials in list(proposals.open.items()):
                trials.discard(digest)
                if not trials:
                    del proposals.open[candidate]
                    proposals.proposer.tell(candidate, self._value(proposals.trials[candidate]))

    def _add(self, outstanding: Mapping[str, PlannedTrial]) -> None:
        self.ready |= self.made(outstanding)
        self.unended |= set(outstanding)
        needed = {one.source.digest for one in outstanding.values() if one.source is not None}
        for digest, one in outstanding.items():
            if one.wanted.sweep is not None and digest not in needed:  # what others start from is trained to its end
                self.cohorts[digest] = (one.wanted.sweep, one.config.seed)

    # What TPE proposes

    def _propose(self, proposals: Proposals) -> None:
        """One more candidate, or none ever."""
        candidate = proposals.proposer.propose() if self._refusal() is None else None
        if candidate is None:
            proposals.is_exhausted = True
            return
        plan = self.planner.proposed(proposals.proposer.trajectory, proposals.proposer.k, candidate)
        self.store.add_candidate(self.experiment, plan)
        self._add(self.store.trials.outstanding(self.experiment, plan.trials.keys() - self.unended))
        self._watch(proposals, candidate, plan)
        if candidate not in proposals.open:  # all its trials were there
            proposals.proposer.tell(candidate, self._value(proposals.trials[candidate]))

    def _watch(self, proposals: Proposals, candidate: Candidate, plan: Plan) -> None:
        judged = [digest for digest, trial in plan.trials.items() if trial.wanted.sweep is not None]
        proposals.trials[candidate] = judged
        if unended := self.unended & set(judged):
            proposals.open[candidate] = unended

    def _value(self, trials: list[str]) -> float | None:
        """What a candidate came to: the mean over its seeds, and over its models where each target has its own."""
        judged = self.store.results.objectives(self.experiment, self.metric)
        method = methods_of(self.spec, judged[trials[0]].config)[0]  # of one trajectory: the first that is asked for
        values = [objective_value(judged[trial], method) for trial in trials]
        known = [value for value in values if value is not None]
        return fmean(known) if len(known) == len(values) else None

    def _recalled(self) -> list[Proposals]:
        """A proposer for each method and K that TPE searches, with all that it proposed before."""
        searcher = self.spec.search.searcher
        if not isinstance(searcher, TpeSearcher):
            return []
        before = [one.config for one in self.store.results.objectives(self.experiment, self.metric).values()]
        found = []
        for name in dict.fromkeys(METHODS[method].trajectory or method for method in self.spec.methods):
            for k in self.planner.shots_of(name) if searched(self.spec, name) else []:
                proposals = Proposals(Proposer(self.spec, searcher, name, k))
                mine = [config for config in before if (config.method, config.k) == (name, k)]
                for candidate in dict.fromkeys(candidate_of(self.spec, config) for config in mine):
                    self._recall(proposals, candidate)
                found.append(proposals)
        return found

    def _recall(self, proposals: Proposals, candidate: Candidate) -> None:
        plan = self.planner.proposed(proposals.proposer.trajectory, proposals.proposer.k, candidate)
        if not self.store.results.objectives(self.experiment, self.metric).keys() >= plan.trials.keys() - _sources(
            plan
        ):
            raise DataError(CHANGED)
        self._watch(proposals, candidate, plan)
        is_open = candidate in proposals.open
        proposals.proposer.recall(candidate, None if is_open else self._value(proposals.trials[candidate]))


def _sources(plan: Plan) -> set[str]:
    return {trial.source.digest for trial in plan.trials.values() if trial.source is not None}
