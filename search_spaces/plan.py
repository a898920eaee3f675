"""From a spec to its trials: what is trained, what is scored, and which result each score is."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from search_spaces.checks import target_languages
from search_spaces.spec import ExperimentSpec
from trainers.config import Split, TrialConfig, digest
from trainers.encoders import encoder_digest
from trainers.examples import Data, evaluation_data
from trainers.methods import METHODS, SOURCE_TRAINING


@dataclass(frozen=True)
class PlannedTrial:
    """A trial, the source training it starts from, and the test data to score: {language: digest of the examples}."""

    config: TrialConfig
    source: TrialConfig | None
    evaluate: dict[str, str]


@dataclass(frozen=True)
class PlannedResult:
    """A result of the experiment: the score of a trial on a language's split, `data` being the examples' digest.

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
    data: str


@dataclass(frozen=True)
class Plan:
    """Trials in the order in which they should run, by digest, and results."""

    trials: dict[str, PlannedTrial] = field(default_factory=dict)
    results: list[PlannedResult] = field(default_factory=list)

    def add(self, config: TrialConfig, source: TrialConfig | None, evaluate: dict[str, str]) -> None:
        """Plan a trial; one that is planned already gets the further evaluations."""
        planned = self.trials.get(config.digest, PlannedTrial(config, source, {}))
        self.trials[config.digest] = replace(planned, evaluate={**planned.evaluate, **evaluate})


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
        self.facts = cache(data.facts)  # asked for many times, and the same all through a plan
        self.source = spec.source_language
        self.targets = target_languages(spec, data)

    def add(self, plan: Plan, method: str, k: int, seed: int) -> None:
        """One method at one K and seed: its trials and results."""
        alpha = self.spec.surgery_alpha() if METHODS[method].surgery else None
        adapts = METHODS[method].adapts
        source = self._config(SOURCE_TRAINING, (), 0, seed, None) if adapts else None
        if source is not None:
            plan.add(source, None, self._tests((self.source,)))

        def result(config: TrialConfig, language: str, split: Split, data: str) -> None:
            plan.results.append(PlannedResult(method, k, seed, alpha, language, split, config.digest, data))

        for group in self._groups(method):
            config = self._config(method, group if k else (), k, seed, alpha)
            evaluate = self._tests(group if adapts else (self.source, *group))
            plan.add(config, source, evaluate)
            for language, data in evaluate.items():
                result(config, language, "test", data)
            if not adapts:
                result(config, self.source, "dev", self.facts(self.source, "dev").digest)
        if source is not None:
            result(source, self.source, "test", self._tests((self.source,))[self.source])

    def _groups(self, method: str) -> Iterator[tuple[str, ...]]:
        """Which targets share a model."""
        if METHODS[method].model_per_target:
            yield from ((target,) for target in self.targets)
        else:
            yield self.targets

    def _tests(self, languages: tuple[str, ...]) -> dict[str, str]:
        """{language: digest of the test examples that are scored}."""
        cut = self.spec.training.max_test_examples
        return {language: evaluation_data(self.facts(language, "test"), cut) for language in languages}

    def _config(self, method: str, targets: tuple[str, ...], k: int, seed: int, alpha: float | None) -> TrialConfig:
        splits: list[tuple[str, Split]] = [(self.source, "train"), (self.source, "dev")]
        splits += [(target, "train") for target in targets]
        data = [[language, split, self.facts(language, split).digest] for language, split in splits]
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
