"""What a plan will cost before anything is paid: trainings, steps, sub-words, time, disk and memory."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from search_spaces.cost.timing import Clock, Measured
from search_spaces.cost.workload import Sizes
from search_spaces.environment import Environment
from search_spaces.plan import Plan, PlannedTrial
from search_spaces.search import HourBudget
from search_spaces.spec import ExperimentSpec, Problem, ResourcesSpec
from trainers.data.token_counts import Size
from trainers.encoders.by_name import EncoderSize
from trainers.examples import Data
from trainers.methods import METHODS, SOURCE_TRAINING
from trainers.protocols import PROTOCOLS
from trainers.tasks import TASKS
from trainers.trial import TrialConfig, at_epoch

# Distinct sub-words among n (Heaps' law): 0.9 to 1.9 times those in the English training data of the XTREME-R samples.
HEAPS_FACTOR, HEAPS_EXPONENT = 12, 0.6

FLOAT = 4  # bytes: weights, gradients and moments are float32 at every precision
PROCESS_BYTES = 600_000_000  # Python with torch and transformers

NOTHING = Size(0, 0, 0)


@dataclass(frozen=True)
class Known:
    """What earlier trials tell about a plan.

    Attributes:
        missing: per planned trial the languages whose test scores are still to be made; None: it is reused.
        trained: planned trials whose training is over, so that a source training among them lies on disk.
        sizes: per digest of a split's examples the size of those that have been tokenised for this encoder.
        measured: what trials of this encoder, task, precision and kind of device took, at as many threads.
    """

    missing: Mapping[str, Sequence[str] | None]
    trained: frozenset[str]
    sizes: Mapping[str, Size]
    measured: Sequence[Measured]


@dataclass(frozen=True)
class Load:
    """What one trial has to compute; nothing if it is reused.

    Attributes:
        epoch: what it trains on.
        steps: of the optimizer.
        training: sub-words that are trained on, each as often as it is.
        oracle: sub-words of surgery's passes, at alpha on average.
        evaluation: sub-words of dev and test sets.
    """

    epoch: Size = NOTHING
    steps: int = 0
    training: int = 0
    oracle: float = 0.0
    evaluation: int = 0


@dataclass(frozen=True)
class Cost:
    """What one trial takes: nothing if it is reused. None is unknown, for lack of the encoder's size.

    Attributes:
        load: what it computes.
        seconds: from its start to its end.
        models: how many it leaves on the disk.
        model_bytes: of them together, at most.
        memory_bytes: while it trains, about.
    """

    load: Load = Load()
    seconds: float | None = 0.0
    models: int = 0
    model_bytes: int | None = 0
    memory_bytes: int | None = 0


@dataclass(frozen=True)
class Estimate:
    """Costs by trial, and what they are based on; `plan` has the estimated seconds of each trial."""

    spec: ExperimentSpec
    plan: Plan
    known: Known
    costs: dict[str, Cost]
    sub_words_basis: str
    time_basis: str

    @property
    def seconds(self) -> dict[str, float | None]:
        """Of each trial, from its start to its end."""
        return {digest: cost.seconds for digest, cost in self.costs.items()}

    def summary(self, environment: Environment) -> dict[str, Any]:
        """As plain data, what `POST /v1/plans` answers: numbers are of the trials that are not reused.

        Args:
            environment: whose pool would run them.
        """
        sources = [digest for digest, trial in self.plan.trials.items() if trial.config.method == SOURCE_TRAINING]
        costs = self.costs.values()
        loads = [cost.load for cost in costs]
        seconds = _total(cost.seconds for cost in costs)
        hours = None if seconds is None else seconds / 3600
        return {
            "trials": len(self.plan.trials),
            "source_trainings": len(sources),
            "source_trainings_there": sum(digest in self.known.trained for digest in sources),
            "reused": sum(self.known.missing[digest] is None for digest in self.plan.trials),
            "by_method": self._by_method(),
            "steps": sum(load.steps for load in loads),
            "tokens": {
                "training": sum(load.training for load in loads),
                "oracle": round(sum(load.oracle for load in loads)),
                "evaluation": sum(load.evaluation for load in loads),
                "basis": self.sub_words_basis,
            },
            "device_hours": None if hours is None else hours * devices(self.spec.resources),
            "device": "GPU" if self.spec.resources.gpus_per_trial else "CPU thread",
            "basis": self.time_basis,
            "disk": {
                "models": sum(cost.models for cost in costs),
                "bytes": _total(cost.model_bytes for cost in costs),
                "basis": "at most: all weights, and a row of the word embeddings for each sub-word trained on",
            },
            "memory": self._memory(environment),
        }  # fmt: skip

    def _by_method(self) -> list[dict[str, Any]]:
        """Trials by method and K; methods that are two selections of one training are one."""
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
        """The largest trial's, and whether as many as run at once have room."""
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
    """What a trial occupies: GPUs, or where it asks for none CPU threads."""
    return resources.gpus_per_trial or resources.cpus_per_trial


def trials_at_once(resources: ResourcesSpec, environment: Environment) -> int | None:
    """How many of an experiment's trials the pool runs at once; None if nothing limits them that is known."""
    limits = [resources.max_concurrent_trials] if resources.max_concurrent_trials is not None else []
    if environment.cpus is not None:
        limits.append(environment.cpus // resources.cpus_per_trial)
    if environment.gpus is not None and resources.gpus_per_trial:
        limits.append(int(environment.gpus / resources.gpus_per_trial))
    if environment.memory is not None and resources.memory_per_trial:
        limits.append(int(environment.memory / 2**30 / resources.memory_per_trial))
    return max(1, min(limits)) if limits else None


def too_small_a_budget(made: Estimate) -> Problem | None:
    """What is wrong with a budget that the cheapest trial exceeds; None if it does not, or costs are unknown."""
    budget = made.spec.search.budget
    costs = [seconds for seconds in made.seconds.values() if seconds]
    if not isinstance(budget, HourBudget) or not costs:
        return None
    cheapest = min(costs) / 3600 * devices(made.spec.resources)
    if budget.device_hours >= cheapest:
        return None
    message = (
        f"{budget.device_hours:g} device-hours are less than the cheapest trial takes; allowed: from {cheapest:.2g}"
    )
    return Problem("search.budget", f"{message} ({made.time_basis})")


def estimate(spec: ExperimentSpec, plan: Plan, data: Data, encoder: EncoderSize | None, known: Known) -> Estimate:
    """What a plan's trials will cost.

    Args:
        spec: what was planned.
        plan: its trials.
        data: facts about them are asked for, examples never.
        encoder: its size; None if unknown, and then time, disk and memory are.
        known: what earlier trials tell.
    """
    sizes = Sizes(spec, data, known.sizes)
    clock = Clock(spec, encoder, known.measured) if encoder is not None else None
    costs = {}
    for digest, trial in plan.trials.items():
        missing = known.missing[digest]
        if missing is None:
            costs[digest] = Cost()
            continue
        tests = len(trial.wanted.selections) * sum(sizes.test(language).sub_words for language in missing)
        is_there = digest in known.trained and trial.config.method == SOURCE_TRAINING
        load = Load(evaluation=tests) if is_there else _load(trial, sizes, tests)
        models = len(trial.wanted.selections) if spec.keeps(trial.config.method) and not is_there else 0
        if encoder is None or clock is None:
            costs[digest] = Cost(load, None, models, None, None)
        else:
            costs[digest] = _cost(trial, load, models, sizes, encoder, clock)
    time_basis = clock.basis if clock is not None else "unknown: the encoder's config.json does not tell its size"
    return Estimate(spec, _priced(plan, costs), known, costs, sizes.basis, time_basis)


def _priced(plan: Plan, costs: Mapping[str, Cost]) -> Plan:
    """The plan with the estimated seconds of each trial."""
    trials = {
        digest: replace(trial, wanted=replace(trial.wanted, estimate=costs[digest].seconds))
        for digest, trial in plan.trials.items()
    }
    return Plan(trials, plan.results)


def _load(trial: PlannedTrial, sizes: Sizes, tests: int) -> Load:
    """What a trial computes to train, to select, and to evaluate so many sub-words of tests."""
    config, training = trial.config, trial.config.training
    adapts = METHODS[config.method].adapts
    shots = [sizes.shots(language, config.k) for language in config.target_languages]
    parts = shots if adapts else [sizes.source, *shots]
    epoch = Size(*(sum(column) for column in zip(*(vars(part).values() for part in parts), strict=True)))
    steps = -(-epoch.windows // (config.k if adapts else training.batch_size)) * training.epochs
    evaluations = -(-steps // training.evaluate_every) if training.evaluate_every else training.epochs
    selecting = {"source-dev": (config.source_language,), "target-dev": config.target_languages, "last": ()}
    scored = {language for selection in trial.wanted.selections for language in selecting[selection]}
    scored |= set(trial.wanted.judge)
    dev = sum(sizes.dev(language, config).sub_words for language in scored)
    if trial.wanted.test_every_report:
        dev += sum(sizes.test(language).sub_words for language in trial.wanted.evaluate)
    oracle = _oracle(config, sizes, shots, epoch.windows, steps) if config.alpha else 0.0
    return Load(epoch, steps, epoch.sub_words * training.epochs, oracle, evaluations * dev + tests)


def _cost(trial: PlannedTrial, load: Load, models: int, sizes: Sizes, encoder: EncoderSize, clock: Clock) -> Cost:
    config, training = trial.config, trial.config.training
    adapts = METHODS[config.method].adapts
    body = encoder.body + encoder.head
    rows = encoder.vocabulary if training.weight_decay else min(encoder.vocabulary, load.epoch.sub_words)
    occurring = min(rows, round(HEAPS_FACTOR * load.epoch.sub_words**HEAPS_EXPONENT))
    parameters = body + (rows if training.weight_decay else occurring) * encoder.hidden
    changed = min(encoder.vocabulary, rows + sizes.source.sub_words) if adapts else rows
    batch_size = min(load.epoch.windows, config.k if adapts else training.batch_size)
    return Cost(
        load,
        clock.seconds(config, load.training + load.oracle, load.steps, load.evaluation, parameters),
        models,
        models * FLOAT * (body + changed * encoder.hidden),
        _memory(trial, encoder, body + rows * encoder.hidden, -(-batch_size // training.accumulation)),
    )


def _oracle(config: TrialConfig, sizes: Sizes, shots: Sequence[Size], windows: int, steps: int) -> float:
    """Sub-words of surgery's passes: at each step, with probability alpha, one language's shots."""
    passes = steps
    if PROTOCOLS[config.protocol].released_surgery:
        shots = [*shots, sizes.shots(config.source_language, config.k)]
        part = -(-config.training.batch_size // config.training.accumulation)
        passes = -(-windows // part) * config.training.epochs
    settings = TASKS[config.task].under(config.protocol)
    limits = [limit for limit in (settings.oracle_limit, settings.oracle_sample) if limit is not None]
    of_pass = [size.sub_words * min([1.0, *(limit / size.windows for limit in limits)]) for size in shots]
    alpha = fmean(at_epoch(config.alpha or 0.0, epoch) for epoch in range(config.training.epochs))
    return alpha * passes * sum(of_pass) / len(of_pass)


def _memory(trial: PlannedTrial, encoder: EncoderSize, parameters: int, windows: int) -> int:
    """Bytes while it trains: the whole table, what is trained, and the activations of so many longest windows."""
    training = trial.config.training
    # weights, gradient, moments, the oracle's gradient, what the selections chose
    copies = 1 + 1 + 2 + bool(trial.config.alpha) + len(trial.wanted.selections)
    # Korthikanti et al. (2022), "Reducing Activation Recomputation", Eq. 1: bytes of a layer at half precision
    of_sub_word = 34 * encoder.hidden + 5 * encoder.heads * training.max_length
    activations = windows * training.max_length * encoder.layers * of_sub_word
    if training.precision == "fp32":
        activations *= 2
    return PROCESS_BYTES + FLOAT * (encoder.vocabulary * encoder.hidden + copies * parameters) + activations


def _total(values: Iterable[Any]) -> Any:
    """The sum; None if one of them is unknown."""
    listed = list(values)
    return None if None in listed else sum(listed)
