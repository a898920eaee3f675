"""The trials of an experiment as they become known: those that are outstanding, and those that a searcher proposes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import fmean

from search_spaces.cost.estimate import devices
from search_spaces.method_space import Candidate, MethodSpace
from search_spaces.objective import Cohort, Judged, methods_of, objective_value
from search_spaces.plan import Plan, PlannedTrial, Planner
from search_spaces.search import TrialBudget
from search_spaces.spec import ExperimentSpec
from service.engine.proposals import Proposer, build_proposer
from service.store import Store
from trainers import Trial
from trainers.examples import CHANGED, DataError
from trainers.methods import METHODS
from trainers.tasks import TASKS


@dataclass
class Proposals:
    """The proposals of one trajectory (a method, or several that differ in their selection only) at one K.

    Attributes:
        trajectory: its name.
        k: the number of shots.
        proposer: proposes the candidates.
        trials: per candidate, its trials that are judged.
        open: per candidate, those of its trials that have not ended.
        is_exhausted: there will be no further candidate.
    """

    trajectory: str
    k: int
    proposer: Proposer
    trials: dict[Candidate, list[str]] = field(default_factory=dict)
    open: dict[Candidate, set[str]] = field(default_factory=dict)
    is_exhausted: bool = False


class TrialQueue:
    """The trials that `service.engine.tune` runs for an experiment.

    Args:
        experiment: its id.
        spec: its spec.
        planner: plans candidates that are proposed.
        store: where plans and results are kept.
        build: turns planned trials into trials that a worker can run.
        at_once: the number of trials that may run at once; as many are proposed ahead.

    Attributes:
        cohorts: the cohort of each trial that may be compared with others, by digest.
        failed_before: trials that have failed and are not run again.

    Raises:
        DataError: what was proposed before would be planned differently now.
    """

    def __init__(
        self,
        experiment: str,
        spec: ExperimentSpec,
        planner: Planner,
        store: Store,
        build: Callable[[Mapping[str, PlannedTrial]], dict[str, Trial]],
        at_once: int,
    ) -> None:
        self.experiment, self.spec, self.planner, self.store = experiment, spec, planner, store
        self.build, self.at_once = build, at_once
        self.cohorts: dict[str, Cohort] = {}
        self.ready: dict[str, Trial] = {}
        self.unended: set[str] = set()
        self.failed_before = store.trials.of_state(experiment, "failed")
        self._add(store.trials.outstanding(experiment))
        self.proposals = self._recalled()

    def more(self) -> Mapping[str, Trial]:
        """The trials that have become known since the last call, by digest, in the order in which they should start."""
        for proposals in self.proposals:
            while not proposals.is_exhausted and len(self.unended) < self.at_once:
                self._propose(proposals)
        ready, self.ready = self.ready, {}
        return ready

    def refresh(self, digest: str) -> Trial | None:
        """A trial as it is needed now; None if another experiment has run it in the meantime."""
        return self.build(self.store.trials.outstanding(self.experiment, [digest])).get(digest)

    def is_complete(self) -> bool:
        """Whether all trials are known and have been handed out."""
        return not self.ready and all(proposals.is_exhausted for proposals in self.proposals)

    def refused(self, waiting: Mapping[str, Trial]) -> Mapping[str, str]:
        """The waiting trials that will not start, with the reason.

        Trials that have begun are finished, and so are the source trainings that they start from.
        """
        reason = self._refusal()
        if reason is None:
            return {}
        begun = self.store.trials.begun(self.experiment)
        needed = {trial.source.digest for digest, trial in waiting.items() if digest in begun and trial.source}
        return dict.fromkeys(waiting.keys() - begun - needed, reason)

    def ended(self, digest: str) -> None:
        """Note that a trial has succeeded, was stopped, has failed, or is not needed any more."""
        self.unended.discard(digest)
        for proposals in self.proposals:
            for candidate, trials in list(proposals.open.items()):
                trials.discard(digest)
                if not trials:
                    del proposals.open[candidate]
                    proposals.proposer.tell(candidate, self._value(proposals.trials[candidate], self.judged()))

    def judged(self) -> dict[str, Judged]:
        """The experiment's trials that are compared with others, by digest, with their results so far."""
        return self.store.objectives.judged(self.experiment, TASKS[self.spec.task].metric)

    def _refusal(self) -> str | None:
        """Why no further trial may start: the budget is used up."""
        budget = self.spec.search.budget
        if budget is None:
            return None
        begun, seconds = self.store.experiments.spent(self.experiment)
        if isinstance(budget, TrialBudget):
            return f"the budget of {budget.trials} trials is used up" if begun >= budget.trials else None
        used_up = seconds / 3600 * devices(self.spec.resources) >= budget.device_hours
        return f"the budget of {budget.device_hours:g} device-hours is used up" if used_up else None

    def _add(self, outstanding: Mapping[str, PlannedTrial]) -> None:
        self.ready |= self.build(outstanding)
        self.unended |= set(outstanding)
        needed = {one.source.digest for one in outstanding.values() if one.source is not None}
        for digest, one in outstanding.items():
            if one.wanted.sweep is not None and digest not in needed:  # what others start from is trained to its end
                self.cohorts[digest] = (one.wanted.sweep, one.config.seed)

    # Proposals

    def _propose(self, proposals: Proposals) -> None:
        """Add one further candidate, or note that there will be none."""
        candidate = proposals.proposer.propose() if self._refusal() is None else None
        if candidate is None:
            proposals.is_exhausted = True
            return
        plan = self.planner.proposed(proposals.trajectory, proposals.k, candidate)
        self.store.experiments.add_plan(self.experiment, plan)
        self._add(self.store.trials.outstanding(self.experiment, plan.trials.keys() - self.unended))
        self._watch(proposals, candidate, plan)
        if candidate not in proposals.open:  # all its trials have been run before
            proposals.proposer.tell(candidate, self._value(proposals.trials[candidate], self.judged()))

    def _watch(self, proposals: Proposals, candidate: Candidate, plan: Plan) -> None:
        trials = [digest for digest, trial in plan.trials.items() if trial.wanted.sweep is not None]
        proposals.trials[candidate] = trials
        if unended := self.unended & set(trials):
            proposals.open[candidate] = unended

    def _value(self, trials: list[str], judged: Mapping[str, Judged]) -> float | None:
        """A candidate's objective: the mean over its seeds, and over its models where each target has its own.

        None if one of its trials has none.
        """
        # of the methods that share a training the first in the spec
        values = [objective_value(judged[trial], methods_of(self.spec, judged[trial])[0]) for trial in trials]
        known = [value for value in values if value is not None]
        return fmean(known) if len(known) == len(values) else None

    def _recalled(self) -> list[Proposals]:
        """The proposals of each searched trajectory and K, with all candidates that were proposed before."""
        found = []
        for name in dict.fromkeys(METHODS[method].trajectory or method for method in self.spec.methods):
            space = MethodSpace(self.spec, name)
            for k in self.planner.shots_of(name) if space.searched else []:
                proposer = build_proposer(self.spec.search.searcher, space)
                if proposer is not None:
                    found.append(Proposals(trajectory=name, k=k, proposer=proposer))
        judged = self.judged() if found else {}
        for proposals in found:
            before = [
                proposals.proposer.space.candidate_of(one.config)
                for one in judged.values()
                if (one.config.method, one.config.k) == (proposals.trajectory, proposals.k)
            ]
            for candidate in dict.fromkeys(before):
                self._recall(proposals, candidate, judged)
        return found

    def _recall(self, proposals: Proposals, candidate: Candidate, judged: Mapping[str, Judged]) -> None:
        plan = self.planner.proposed(proposals.trajectory, proposals.k, candidate)
        sources = {trial.source.digest for trial in plan.trials.values() if trial.source is not None}
        if not judged.keys() >= plan.trials.keys() - sources:
            raise DataError(CHANGED)
        self._watch(proposals, candidate, plan)
        is_open = candidate in proposals.open
        proposals.proposer.recall(candidate, None if is_open else self._value(proposals.trials[candidate], judged))
