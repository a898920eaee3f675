"""From a spec to its trials: what is trained, what is scored, and which result each score is."""

from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path

from search_spaces.checks import target_languages
from search_spaces.groups import groups
from search_spaces.spec import ExperimentSpec
from trainers.config import Selection, Split, TrialConfig, digest
from trainers.encoders import encoder_digest
from trainers.examples import Data, evaluation_data
from trainers.methods import METHODS, SOURCE_TRAINING
from trainers.protocols import PROTOCOLS
from trainers.shots import draw_from
from trainers.splits import shots_could_select, source_dev, target_dev
from trainers.tasks import TASKS


@dataclass(frozen=True)
class PlannedTrial:
    """A trial, the source training it starts from, and what is scored.

    `selections` are the checkpoints that are scored, `evaluate` the test data: {language: digest of the examples}.
    """

    config: TrialConfig
    source: TrialConfig | None
    selections: tuple[Selection, ...]
    evaluate: dict[str, str]


@dataclass(frozen=True)
class PlannedResult:
    """A result of the experiment: the score of what a trial's selection chose on a language's split.

    `data` is the digest of the examples.

    An adapted model has no score of its own on the source language: it takes the source training's, as the paper's
    tables do.
    """

    method: str
    k: int
    seed: int
    alpha: float | None
    language: str
    split: Split
    trial: str
    selection: Selection
    data: str


@dataclass(frozen=True)
class Plan:
    """Trials in the order in which they should run, by digest, and results."""

    trials: dict[str, PlannedTrial] = field(default_factory=dict)
    results: list[PlannedResult] = field(default_factory=list)

    def add(self, trial: PlannedTrial) -> None:
        """Plan a trial; one that is planned already gets the further evaluations."""
        planned = self.trials.get(trial.config.digest, trial)
        self.trials[trial.config.digest] = replace(planned, evaluate={**planned.evaluate, **trial.evaluate})


def plan(spec: ExperimentSpec, data: Data, home: Path) -> Plan:
    """The plan of an accepted spec over its data: source trainings first, then mixed training, then adapting.

    Raises:
        DataError, EncoderError: what was there when the spec was accepted is gone.
    """
    planner = _Planner(spec, data, encoder_digest(spec.encoder, home))
    made = Plan()
    for method in spec.methods:
        for seed in spec.seeds:
            for k in spec.k if METHODS[method].few_shot else [0]:
                planner.add(made, method, k, seed)
    return Plan(dict(sorted(made.trials.items(), key=lambda item: _order(item[1]))), made.results)


def _order(planned: PlannedTrial) -> tuple[bool, bool]:
    method = METHODS[planned.config.method]
    return method.few_shot, method.adapts


class _Planner:
    def __init__(self, spec: ExperimentSpec, data: Data, encoder: str) -> None:
        self.spec, self.encoder = spec, encoder
        self.protocol = PROTOCOLS[spec.protocol]
        self.data = _Remembered(data)
        self.source = spec.source_language
        self.targets = target_languages(spec, data)

    def add(self, plan: Plan, name: str, k: int, seed: int) -> None:
        """One method at one K and seed: its trials and results."""
        method = METHODS[name]
        source = self._source_training(plan, seed) if method.adapts else None
        for group in groups(self.spec, name, self.targets):
            alpha = self.spec.surgery_alpha(len(group)) if method.surgery else None
            config = self._config(method.trajectory or name, group if k else (), k, seed, alpha)
            selections = self._selections(name)
            evaluate = self._tests(group if method.adapts else (self.source, *group))
            plan.add(PlannedTrial(config, source.config if source else None, selections, evaluate))
            selection = method.selection or selections[0]
            result = partial(PlannedResult, name, k, seed, alpha, trial=config.digest, selection=selection)
            for language, data in evaluate.items():
                plan.results.append(result(language=language, split="test", data=data))
            if selection == "source-dev":
                dev = source_dev(self.data, self.source)
                plan.results.append(result(language=self.source, split="dev", data=dev.digest))
            if selection == "target-dev":
                [target] = group
                plan.results.append(result(language=target, split="dev", data=self._target_dev(target, k, seed)))
        if source is not None:
            data = source.evaluate[self.source]
            [selection] = source.selections
            trial = source.config.digest
            plan.results.append(PlannedResult(name, k, seed, None, self.source, "test", trial, selection, data))

    def _target_dev(self, target: str, k: int, seed: int) -> str:
        """Digest of a target's examples that select; drawing takes long, so only where shots have to be left out."""
        split = self.protocol.shots_split[self.spec.task]
        facts = self.data.facts(target, "dev")
        if not shots_could_select(facts, split):
            return facts.digest
        shots = draw_from(self.data, TASKS[self.spec.task], target, split, k, seed)
        return target_dev(self.data, target, shots, split).digest

    def _source_training(self, plan: Plan, seed: int) -> PlannedTrial:
        """What two-stage methods start from, and whose score they have in the source language."""
        config = self._config(SOURCE_TRAINING, (), 0, seed, None)
        trial = PlannedTrial(config, None, self._selections(SOURCE_TRAINING), self._tests((self.source,)))
        plan.add(trial)
        return trial

    def _selections(self, name: str) -> tuple[Selection, ...]:
        """Which checkpoints a method's training is asked for: all that this experiment needs of the same trajectory."""
        method = METHODS[name]
        trajectory = method.trajectory or name
        asked = [
            METHODS[other].selection or self.protocol.selection[self.spec.task]
            for other in METHODS
            if other == trajectory or (METHODS[other].trajectory == trajectory and other in self.spec.methods)
        ]
        return tuple(dict.fromkeys(asked))

    def _tests(self, languages: tuple[str, ...]) -> dict[str, str]:
        """{language: digest of the test examples that are scored}."""
        cut = self.spec.training.max_test_examples
        return {language: evaluation_data(self.data.facts(language, "test"), cut) for language in languages}

    def _config(self, method: str, targets: tuple[str, ...], k: int, seed: int, alpha: float | None) -> TrialConfig:
        splits: list[tuple[str, Split]] = [(self.source, "train"), (self.source, "dev")]
        splits += [(target, self.protocol.shots_split[self.spec.task]) for target in targets]
        if "target-dev" in self._selections(method):
            splits += [(target, "dev") for target in targets]
        data = [[language, split, self.data.facts(language, split).digest] for language, split in splits]
        return TrialConfig(
            task=self.spec.task,
            method=method,
            source_language=self.source,
            target_languages=targets,
            k=k,
            seed=seed,
            alpha=alpha,
            protocol=self.spec.protocol,
            training=self.spec.hyperparameters(),
            encoder=self.spec.encoder,
            encoder_digest=self.encoder,
            data_digest=digest(data),
        )


class _Remembered:
    """Data whose facts and examples are asked for many times, and are the same all through a plan."""

    def __init__(self, data: Data) -> None:
        self.languages, self.place = data.languages, data.place
        self.facts, self.examples = cache(data.facts), cache(data.examples)
