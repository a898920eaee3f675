"""The cost of a plan before any of it runs: trainings, steps, tokens, time, disk and memory."""

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from search_spaces.cost.timing import Clock, Measured
from search_spaces.cost.trial_cost import Cost, trial_cost
from search_spaces.cost.workload import Sizes
from search_spaces.environment import Environment
from search_spaces.plan import Plan, PlannedTrial
from search_spaces.problems import Problem
from search_spaces.search import HourBudget
from search_spaces.spec import ExperimentSpec, ResourcesSpec
from trainers.data.token_counts import Size
from trainers.encoders.encoder import EncoderSize
from trainers.examples import Data
from trainers.methods import SOURCE_TRAINING


@dataclass(frozen=True, kw_only=True)
class Known:
    """What earlier trials say about a plan.

    Attributes:
        missing: per planned trial, the languages that it has no test scores on yet; None where it is reused.
        trained: planned trials whose training has finished; the model of a source training among them is on disk.
        sizes: per digest of a split's examples, the size of those that have been tokenized for this encoder.
        measured: finished trials of this encoder, task, precision and kind of device, with as many threads.
        card: the GPU that the latest trial on one ran on; None if there was none.
    """

    missing: Mapping[str, Sequence[str] | None]
    trained: frozenset[str]
    sizes: Mapping[str, Size]
    measured: Sequence[Measured]
    card: str | None = None


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The cost of a plan.

    Attributes:
        spec: the spec that was planned.
        plan: its plan, with the estimated seconds of each trial.
        known: what earlier trials say about it.
        costs: the cost of each trial, by digest.
        tokens_basis: in words, what the numbers of tokens are based on.
        time_basis: in words, what the seconds are based on.
    """

    spec: ExperimentSpec
    plan: Plan
    known: Known
    costs: dict[str, Cost]
    tokens_basis: str
    time_basis: str

    def summary(self, environment: Environment) -> dict[str, Any]:
        """The estimate as plain data, the answer of `POST /v1/plans`. Reused trials count nothing.

        Args:
            environment: the service whose pool would run the trials.
        """
        sources = [digest for digest, trial in self.plan.trials.items() if trial.config.method == SOURCE_TRAINING]
        costs = self.costs.values()
        loads = [cost.load for cost in costs]
        seconds = _total(cost.seconds for cost in costs)
        hours = None if seconds is None else seconds / 3600
        return {
            "warnings": list(self.plan.warnings),
            "trials": len(self.plan.trials),
            "source_trainings": len(sources),
            "source_trainings_there": sum(digest in self.known.trained for digest in sources),
            "reused": sum(self.known.missing[digest] is None for digest in self.plan.trials),
            "by_method": self._by_method(),
            "left_out": [asdict(one) for one in self.plan.left_out],
            "steps": sum(load.steps for load in loads),
            "tokens": {
                "training": sum(load.training for load in loads),
                "oracle": round(sum(load.oracle for load in loads)),
                "evaluation": sum(load.evaluation for load in loads),
                "basis": self.tokens_basis,
            },
            "device_hours": None if hours is None else hours * devices(self.spec.resources),
            "device": "GPU" if self.spec.resources.gpus_per_trial else "CPU thread",
            "basis": self.time_basis,
            "disk": {
                "models": sum(cost.models for cost in costs),
                "bytes": _total(cost.model_bytes for cost in costs),
                "basis": "at most: all weights, and a row of the word embeddings for each token trained on",
            },
            "memory": self._memory(environment),
        }  # fmt: skip

    def _by_method(self) -> list[dict[str, Any]]:
        """Trials by method and K; methods that are two selections of one training count once."""
        trials, reused = Counter[tuple[str, int]](), Counter[tuple[str, int]]()
        selections: dict[tuple[str, int], tuple[str, ...]] = {}
        for digest, trial in self.plan.trials.items():
            key = (trial.config.method, trial.config.k)
            trials[key] += 1
            reused[key] += self.known.missing[digest] is None
            selections[key] = trial.wanted.selections
        return [
            {
                "method": key[0],
                "k": key[1],
                "selections": list(selections[key]),
                "trials": number,
                "reused": reused[key],
            }
            for key, number in trials.items()
        ]

    def _memory(self, environment: Environment) -> dict[str, Any]:
        """The memory of the largest trial, and whether the trials that run at once fit into the pool."""
        of_trials = [cost.memory_bytes for cost in self.costs.values()]
        largest = None if None in of_trials else max((of_trial for of_trial in of_trials if of_trial), default=0)
        at_once = trials_at_once(self.spec.resources, environment)
        there = None if self.spec.resources.gpus_per_trial else environment.memory
        known = largest is not None and at_once is not None and there is not None
        return {
            "bytes_per_trial": largest,
            "trials_at_once": at_once,
            "bytes_there": there,
            "fits": largest * at_once <= there if known else None,  # type: ignore[operator]
            "basis": "about: weights, gradients, AdamW's moments, and activations of a batch of the longest windows",
        }


def devices(resources: ResourcesSpec) -> float:
    """The devices that a trial occupies: GPUs, or CPU threads where it asks for no GPU."""
    return resources.gpus_per_trial or resources.cpus_per_trial


def trials_at_once(resources: ResourcesSpec, environment: Environment) -> int | None:
    """The number of an experiment's trials that the pool runs at once; None if no limit is known."""
    limits = [resources.max_concurrent_trials] if resources.max_concurrent_trials is not None else []
    if environment.cpus is not None:
        limits.append(environment.cpus // resources.cpus_per_trial)
    if environment.gpus is not None and resources.gpus_per_trial:
        limits.append(int(environment.gpus / resources.gpus_per_trial))
    if environment.memory is not None and resources.memory_per_trial:
        limits.append(int(environment.memory / 2**30 / resources.memory_per_trial))
    return max(1, min(limits)) if limits else None


def check_budget(found: Estimate) -> Iterator[Problem]:
    """A budget that the cheapest trial exceeds. Nothing where costs are unknown."""
    budget = found.spec.search.budget
    costs = [cost.seconds for cost in found.costs.values() if cost.seconds]
    if not isinstance(budget, HourBudget) or not costs:
        return
    cheapest = min(costs) / 3600 * devices(found.spec.resources)
    if budget.device_hours < cheapest:
        message = f"{budget.device_hours:g} device-hours are less than the cheapest trial takes"
        yield Problem("search.budget", f"{message}; allowed: from {cheapest:.2g} ({found.time_basis})")


def estimate(spec: ExperimentSpec, plan: Plan, data: Data, encoder: EncoderSize | None, known: Known) -> Estimate:
    """Estimate what a plan's trials cost.

    Args:
        spec: the spec that was planned.
        plan: its plan.
        data: its data; only facts are read, never examples.
        encoder: the size of its encoder; None if unknown, and then time, disk and memory are unknown too.
        known: what earlier trials say about the plan.
    """
    sizes = Sizes(spec, data, known.sizes)
    clock = Clock(spec, encoder, known.measured, known.card) if encoder is not None else None
    costs: dict[str, Cost] = {}
    of_kind: dict[Hashable, Cost] = {}  # thousands of trials cost what a few kinds of them do
    for digest, trial in plan.trials.items():
        missing, is_trained = known.missing[digest], digest in known.trained
        kind = (_kind(trial), missing if missing is None else tuple(missing), is_trained)
        if kind not in of_kind:
            of_kind[kind] = trial_cost(trial, missing, is_trained, sizes, encoder, clock)
        costs[digest] = of_kind[kind]
    time_basis = clock.basis if clock is not None else "unknown: the encoder's config.json does not tell its size"
    return Estimate(
        spec=spec,
        plan=_priced(plan, costs),
        known=known,
        costs=costs,
        tokens_basis=sizes.basis,
        time_basis=time_basis,
    )


def _kind(trial: PlannedTrial) -> Hashable:
    """All of a trial but its seed and the digests of its data: trials that are equal in it cost the same."""
    config, wanted = trial.config, trial.wanted
    of_training = tuple(value for name, value in vars(config).items() if name not in ("seed", "digest"))
    asked = (wanted.selections, tuple(wanted.evaluate), tuple(wanted.judge), wanted.test_every_report, wanted.keep)
    return of_training, asked


def _priced(plan: Plan, costs: Mapping[str, Cost]) -> Plan:
    """The plan with the estimated seconds of each trial."""
    trials = {
        digest: replace(trial, wanted=replace(trial.wanted, estimate=costs[digest].seconds))
        for digest, trial in plan.trials.items()
    }
    return replace(plan, trials=trials)


def _total(values: Iterable[Any]) -> Any:
    """The sum; None if one of them is unknown."""
    listed = list(values)
    return None if None in listed else sum(listed)
