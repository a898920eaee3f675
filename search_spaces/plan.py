"""From a spec to its trials: what is trained, what is scored, and which result each score is."""

from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path

from search_spaces.candidates import Candidate, candidates, label, searched
from search_spaces.data_checks import target_languages
from search_spaces.groups import groups
from search_spaces.search import PbtScheduler
from search_spaces.spec import ExperimentSpec
from trainers.data.shots import draw_from
from trainers.data.sources import SOURCES
from trainers.data.splits import shots_could_select, source_dev, target_dev, training_data
from trainers.digests import digest
from trainers.encoders.by_name import encoder_digest
from trainers.examples import Data, evaluation_data
from trainers.methods import METHODS, SOURCE_TRAINING
from trainers.surgery.rules import RULES
from trainers.tasks import TASKS
from trainers.trial import Schedule, Selection, Split, TrialConfig, Wanted


@dataclass(frozen=True, kw_only=True)
class PlannedTrial:
    """A trial, the source training it starts from, and what an experiment wants of it."""

    config: TrialConfig
    source: TrialConfig | None
    wanted: Wanted


@dataclass(frozen=True)
class PlannedResult:
    """A result of the experiment: the score of what a trial's selection chose on a language's split.

    `candidate` says in words what was searched ("" where nothing was). `judged_on` is what candidates of the experiment
    are chosen by, "" where nothing is searched. `data` is the digest of the examples.

    An adapted model has no score of its own on the source language: it takes the source training's, as the paper's
    tables do.
    """

    method: str
    k: int
    seed: int
    alpha: float | None
    candidate: str
    judged_on: str
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
        self.trials[trial.config.digest] = replace(planned, wanted=planned.wanted.and_also(trial.wanted))


def plan(spec: ExperimentSpec, data: Data, home: Path) -> Plan:
    """The plan of an accepted spec over its data: source trainings first, then mixed training, then adapting.

    Raises:
        DataError, EncoderError: what was there when the spec was accepted is gone.
    """
    planner = Planner(spec, data, encoder_digest(spec.encoder, home))
    for method in spec.methods:
        for candidate in candidates(spec, method):
            for k in planner.shots_of(method):
                planner.add(method, k, candidate)
    return planner.plan()


def plugins(task: str, method: str, source: str) -> tuple[tuple[str, str, str], ...]:
    """What other packages bring to a trial, for `TrialConfig.plugins`; what is built in adds nothing."""
    rule = METHODS[method].rule
    distributions = {
        "rule": RULES.distribution(rule) if rule is not None else None,
        "source": SOURCES.distribution(source),
        "task": TASKS.distribution(task),
    }
    return tuple((kind, *found) for kind, found in distributions.items() if found is not None)


def _order(planned: PlannedTrial) -> tuple[bool, bool]:
    method = METHODS[planned.config.method]
    return method.few_shot, method.adapts


class Planner:
    """Plans the candidates of a spec, one after the other.

    Args:
        spec: an accepted one.
        data: what it names.
        encoder: the digest of its encoder.
    """

    def __init__(self, spec: ExperimentSpec, data: Data, encoder: str) -> None:
        self.spec, self.encoder = spec, encoder
        self.planned = Plan()
        self.settings = TASKS[spec.task].under(spec.protocol)
        self.data = _Remembered(data)
        self.source = spec.source_language
        self.targets = target_languages(spec, data)
        scheduler = spec.search.scheduler
        self.population = scheduler.population if isinstance(scheduler, PbtScheduler) else None
        self.judged_on = spec.search.objective if any(searched(spec, method) for method in spec.methods) else ""

    def plan(self) -> Plan:
        """All that was added: source trainings first, then mixed training, then adapting."""
        return Plan(dict(sorted(self.planned.trials.items(), key=lambda item: _order(item[1]))), self.planned.results)

    def proposed(self, trajectory: str, k: int, candidate: Candidate) -> Plan:
        """The plan of one more candidate, on its own, for all of the spec's methods that share this trajectory."""
        self.planned = Plan()
        for name in self.spec.methods:
            if trajectory in (name, METHODS[name].trajectory):
                self.add(name, k, candidate)
        return self.plan()

    def shots_of(self, method: str) -> list[int]:
        """The K at which a method is tried."""
        return self.spec.k if METHODS[method].few_shot else [0]

    def add(self, name: str, k: int, candidate: Candidate) -> None:
        """One candidate of a method at one K: at each seed its trials and results."""
        for seed in self.spec.seeds:
            self._add(name, k, seed, candidate)

    def _add(self, name: str, k: int, seed: int, candidate: Candidate) -> None:
        method, plan = METHODS[name], self.planned
        words, judged_on = label(self.spec, name, candidate), self.judged_on
        source = self._source_training(seed, candidate) if method.adapts else None
        for group in groups(self.spec, name, self.targets):
            alpha = candidate.surgery_alpha(self.spec, len(group)) if method.surgery else None
            config = self._config(method.trajectory or name, group if k else (), k, seed, alpha, candidate)
            config = replace(config, population=self.population if words else None)
            selections = self._selections(name)
            evaluate = self._tests(group if method.adapts else (self.source, *group))
            judge = self._judge(group, config) if words else {}
            sweep = digest([config.method, k, group]) if words else None
            start, curves = source.config if source else None, self.spec.test_at == "every"
            wanted = Wanted(
                selections=selections,
                evaluate=evaluate,
                judge=judge,
                sweep=sweep,
                test_every_report=curves,
                keep=self.spec.keeps(config.method),
            )
            plan.add(PlannedTrial(config=config, source=start, wanted=wanted))
            selection = method.selection or selections[0]
            number = None if isinstance(alpha, tuple) else alpha
            known = partial(PlannedResult, name, k, seed, number, words, judged_on)
            result = partial(known, trial=config.digest, selection=selection)
            for language, data in evaluate.items():
                plan.results.append(result(language=language, split="test", data=data))
            for language, data in {**self._dev(selection, group, config), **judge}.items():
                plan.results.append(result(language=language, split="dev", data=data))
        if source is not None:
            data = source.wanted.evaluate[self.source]
            [selection] = source.wanted.selections
            trial = source.config.digest
            known = partial(PlannedResult, name, k, seed, None, words, judged_on)
            plan.results.append(known(self.source, "test", trial, selection, data))

    def _source_training(self, seed: int, candidate: Candidate) -> PlannedTrial:
        """What two-stage methods start from, and whose score they have in the source language."""
        config = self._config(SOURCE_TRAINING, (), 0, seed, None, candidate)
        selections, evaluate = self._selections(SOURCE_TRAINING), self._tests((self.source,))
        wanted = Wanted(selections=selections, evaluate=evaluate, keep=True)
        trial = PlannedTrial(config=config, source=None, wanted=wanted)
        self.planned.add(trial)
        return trial

    def _judge(self, group: tuple[str, ...], config: TrialConfig) -> dict[str, str]:
        """The dev data that the objective is the mean over: {language: digest of the examples}."""
        languages = (self.source,) if self.spec.search.objective == "source-dev" else group
        return {language: self._dev_digest(language, config) for language in languages}

    def _dev(self, selection: Selection, group: tuple[str, ...], config: TrialConfig) -> dict[str, str]:
        """The dev data of a selection."""
        languages = {"source-dev": (self.source,), "target-dev": group, "last": ()}[selection]
        return {language: self._dev_digest(language, config) for language in languages}

    def _dev_digest(self, language: str, config: TrialConfig) -> str:
        if language == self.source:
            return source_dev(self.data, language).digest
        split = self.settings.shots_split
        shots = None
        # drawing takes long: only where shots have to be left out
        if language in config.target_languages and shots_could_select(self.data.facts(language, "dev"), split):
            shots = draw_from(self.data, TASKS[self.spec.task], language, split, config.k, config.seed)
        return target_dev(self.data, language, shots, split).digest

    def _selections(self, name: str) -> tuple[Selection, ...]:
        """Which checkpoints a method's training is asked for: all that this experiment needs of the same trajectory."""
        method = METHODS[name]
        trajectory = method.trajectory or name
        asked = [
            METHODS[other].selection or self.settings.selection
            for other in METHODS
            if other == trajectory or (METHODS[other].trajectory == trajectory and other in self.spec.methods)
        ]
        return tuple(dict.fromkeys(asked))

    def _tests(self, languages: tuple[str, ...]) -> dict[str, str]:
        """{language: digest of the test examples that are scored}."""
        cut = self.spec.training.max_test_examples
        return {language: evaluation_data(self.data.facts(language, "test"), cut) for language in languages}

    def _config(
        self,
        method: str,
        targets: tuple[str, ...],
        k: int,
        seed: int,
        alpha: float | Schedule | None,
        candidate: Candidate,
    ) -> TrialConfig:
        shots, selections = self.settings.shots_split, self._selections(method)
        return TrialConfig(
            task=self.spec.task,
            method=method,
            source_language=self.source,
            target_languages=targets,
            k=k,
            seed=seed,
            alpha=alpha,
            protocol=self.spec.protocol,
            training=candidate.training(self.spec),
            encoder=self.spec.encoder,
            encoder_digest=self.encoder,
            data_digest=training_data(self.data, self.source, targets, shots, selections),
            plugins=plugins(self.spec.task, method, self.spec.data.name),
        )


class _Remembered:
    """Data whose facts and examples are asked for many times, and are the same all through a plan."""

    def __init__(self, data: Data) -> None:
        self.languages, self.place = data.languages, data.place
        self.facts, self.examples = cache(data.facts), cache(data.examples)
