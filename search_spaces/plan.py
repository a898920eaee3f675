"""From a spec to its plan: the trials, what is scored of each, and the result that each score becomes."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial

from search_spaces.groups import groups
from search_spaces.method_space import Candidate, MethodSpace
from search_spaces.spec import ExperimentSpec
from search_spaces.targets import LeftOut, Targets, target_languages
from trainers.data.shots import draw_from
from trainers.data.sources import SOURCES
from trainers.data.splits import shots_could_select, source_dev, target_dev, training_data
from trainers.digests import digest
from trainers.examples import Data, evaluation_data
from trainers.methods import METHODS, SOURCE_TRAINING
from trainers.selections import dev_languages
from trainers.surgery.rules import RULES
from trainers.tasks import TASKS
from trainers.trial import RULE, Schedule, Selection, Split, TrialConfig, Wanted


@dataclass(frozen=True, kw_only=True)
class PlannedTrial:
    """A trial, the source training that it starts from, and what an experiment wants of it."""

    config: TrialConfig
    source: TrialConfig | None
    wanted: Wanted


@dataclass(frozen=True, kw_only=True)
class PlannedResult:
    """A result of the experiment: the score of a trial's selected checkpoint on a language's split.

    An adapted model has no score of its own on the source language: it takes that of the source training, as the
    paper's tables do.

    Attributes:
        method: the method's name.
        k: shots; 0 for zero-shot.
        seed: the seed of the shots and the training.
        alpha: the probability of surgery; None for a method without surgery, and where alpha follows a schedule.
        candidate: the searched values in words; "" where nothing is searched.
        judged_on: the objective that the experiment's candidates are compared by; "" where nothing is searched.
        language: the language that is scored.
        split: the split that is scored.
        trial: the digest of the trial.
        selection: which of the trial's checkpoints is scored.
        data: the digest of the examples.
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
    """Everything that an experiment trains, and every score that it will have.

    Attributes:
        trials: by digest, in the order in which they should run.
        results: which score of which trial each result is.
        left_out: the targets that methods leave out.
        warnings: in words, what is odd about the data.
    """

    trials: dict[str, PlannedTrial] = field(default_factory=dict)
    results: list[PlannedResult] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    warnings: tuple[str, ...] = ()

    def add(self, trial: PlannedTrial) -> None:
        """Add a trial; if it is planned already, what is wanted of it is added to what was wanted before."""
        planned = self.trials.get(trial.config.digest, trial)
        self.trials[trial.config.digest] = replace(planned, wanted=planned.wanted.and_also(trial.wanted))


def plan(spec: ExperimentSpec, data: Data, encoder: str) -> Plan:
    """The plan of an accepted spec: source trainings first, then mixed training, then adapting.

    Candidates that a searcher proposes later are not part of it.

    Args:
        spec: an accepted spec.
        data: the data that it names.
        encoder: the digest of the encoder that it names.

    Raises:
        DataError: data that were there when the spec was accepted are gone.
    """
    planner = Planner(spec, data, encoder)
    for method in spec.methods:
        for candidate in planner.spaces[method].candidates():
            for k in planner.shots_of(method):
                planner.add(method, k, candidate)
    return replace(planner.plan(), left_out=planner.targets.left_out)


def plugins(task: str, method: str, source: str) -> tuple[tuple[str, str, str], ...]:
    """What other packages bring to a trial, for `TrialConfig.plugins`; what is built in adds nothing."""
    rule = METHODS[method].rule
    distributions = {
        RULE: RULES.distribution(rule) if rule is not None else None,
        "source": SOURCES.distribution(source),
        "task": TASKS.distribution(task),
    }
    return tuple((kind, *found) for kind, found in distributions.items() if found is not None)


def _order(item: tuple[str, PlannedTrial]) -> tuple[bool, bool]:
    method = METHODS[item[1].config.method]
    return method.few_shot, method.adapts


class Planner:
    """Plans the candidates of a spec, one after another.

    Args:
        spec: an accepted spec.
        data: the data that it names.
        encoder: the digest of the encoder that it names.

    Attributes:
        spaces: the space of each of the spec's methods.
    """

    def __init__(self, spec: ExperimentSpec, data: Data, encoder: str) -> None:
        self.spec, self.encoder = spec, encoder
        self.planned = Plan()
        self.settings = TASKS[spec.task].under(spec.protocol)
        self.data = _Remembered(data)
        self.source = spec.source_language
        self.targets = Targets(spec, self.data, target_languages(spec, data))
        self.spaces = {method: MethodSpace(spec, method) for method in spec.methods}
        self.judged_on = spec.search.objective if any(space.searched for space in self.spaces.values()) else ""

    def plan(self) -> Plan:
        """Everything that was added: source trainings first, then mixed training, then adapting."""
        return Plan(dict(sorted(self.planned.trials.items(), key=_order)), self.planned.results)

    def proposed(self, trajectory: str, k: int, candidate: Candidate) -> Plan:
        """The plan of one further candidate alone, for all of the spec's methods that share a trajectory."""
        self.planned = Plan()
        for name in self.spec.methods:
            if trajectory in (name, METHODS[name].trajectory):
                self.add(name, k, candidate)
        return self.plan()

    def shots_of(self, method: str) -> list[int]:
        """The numbers of shots at which a method is tried."""
        return self.spec.k if METHODS[method].few_shot else [0]

    def add(self, name: str, k: int, candidate: Candidate) -> None:
        """Add the trials and results of one candidate of a method at one K, for every seed."""
        for seed in self.spec.seeds:
            self._add(name, k, seed, candidate)

    def _add(self, name: str, k: int, seed: int, candidate: Candidate) -> None:
        method, words, add = METHODS[name], self.spaces[name].label(candidate), self.planned.results.append
        of_candidate = partial(PlannedResult, method=name, k=k, seed=seed, candidate=words, judged_on=self.judged_on)
        source = self._source_training(seed, candidate) if method.adapts else None
        for group in groups(self.spec, name, self.targets.trained[name]):
            if not (scored := tuple(target for target in group if target in self.targets.of[name])):
                continue
            trial = self._trial(name, k, seed, candidate, group, scored, source)
            self.planned.add(trial)
            selections = {language: self._selection_of(name, language) for language in (self.source, *scored)}
            devs = dev_languages((selections[language] for language in trial.wanted.evaluate), self.source, scored)
            dev = {language: self._dev_digest(language, trial.config) for language in devs} | dict(trial.wanted.judge)
            alpha = None if isinstance(trial.config.alpha, tuple) else trial.config.alpha
            result = partial(of_candidate, alpha=alpha, trial=trial.config.digest)
            for language, data in trial.wanted.evaluate.items():
                add(result(selection=selections[language], language=language, split="test", data=data))
            for language, data in dev.items():
                add(result(selection=selections[language], language=language, split="dev", data=data))
        if source is not None:
            [selection] = source.wanted.selections
            result = partial(of_candidate, alpha=None, trial=source.config.digest, selection=selection)
            data = source.wanted.evaluate[self.source]
            add(result(language=self.source, split="test", data=data))

    def _trial(
        self,
        name: str,
        k: int,
        seed: int,
        candidate: Candidate,
        group: tuple[str, ...],
        scored: tuple[str, ...],
        source: PlannedTrial | None,
    ) -> PlannedTrial:
        """The trial that trains one candidate of a method for a group of targets at one seed, and is scored on some."""
        method, is_searched = METHODS[name], bool(self.spaces[name].searched)
        alpha = candidate.surgery_alpha(self.spec, len(group)) if method.surgery else None
        config = self._config(method.trajectory or name, group if k else (), k, seed, alpha, candidate)
        config = replace(config, population=self.spec.search.population if is_searched else None)
        wanted = Wanted(
            selections=self._selections(name, config.target_languages),
            evaluate=self._tests(scored if method.adapts else (self.source, *scored)),
            judge=self._judge(group, config) if is_searched else {},
            sweep=digest([config.method, k, group]) if is_searched else None,
            test_every_report=self.spec.test_at == "every",
            keep=self.spec.keeps(config.method),
        )
        return PlannedTrial(config=config, source=source.config if source else None, wanted=wanted)

    def _source_training(self, seed: int, candidate: Candidate) -> PlannedTrial:
        """The source training that two-stage methods start from and take their score on the source language from."""
        config = self._config(SOURCE_TRAINING, (), 0, seed, None, candidate)
        selections, evaluate = self._selections(SOURCE_TRAINING, ()), self._tests((self.source,))
        wanted = Wanted(selections=selections, evaluate=evaluate, keep=True)
        trial = PlannedTrial(config=config, source=None, wanted=wanted)
        self.planned.add(trial)
        return trial

    def _judge(self, group: tuple[str, ...], config: TrialConfig) -> dict[str, str]:
        """The dev sets that the objective is the mean over: {language: digest of the examples}."""
        languages = (self.source,) if self.spec.search.objective == "source-dev" else group
        return {language: self._dev_digest(language, config) for language in languages}

    def _dev_digest(self, language: str, config: TrialConfig) -> str:
        if language == self.source:
            return source_dev(self.data, language).digest
        split = self.settings.shots_split
        shots = None
        # drawing is slow: only where shots have to be left out of the dev set
        if language in config.target_languages and shots_could_select(self.data.facts(language, "dev"), split):
            shots = draw_from(self.data, TASKS[self.spec.task], language, split, config.k, config.seed)
        return target_dev(self.data, language, shots, split).digest

    def _selections(self, name: str, targets: tuple[str, ...]) -> tuple[Selection, ...]:
        """The selections of a method's training on targets: its own, then those of the spec's methods that share it."""
        trajectory = METHODS[name].trajectory or name
        found = list(self._selections_of(trajectory, targets))
        for other in self.spec.methods:
            scored = [target for target in targets if target in self.targets.of[other]]
            if METHODS[other].trajectory == trajectory and scored:
                found += self._selections_of(other, scored)
        return tuple(dict.fromkeys(found))

    def _selections_of(self, name: str, targets: Sequence[str]) -> tuple[Selection, ...]:
        return METHODS[name].selections(targets, self.settings.selection, self.spec.average)

    def _selection_of(self, name: str, language: str) -> Selection:
        """A method's selection for a language. Where each target has its own, the source has that of the training."""
        of_training = METHODS[name].selection == "target-dev" and language == self.source
        [selection] = self._selections_of(METHODS[name].trajectory or name if of_training else name, [language])
        return selection

    def _tests(self, languages: tuple[str, ...]) -> dict[str, str]:
        """The test splits of languages: {language: digest of the examples that are scored}."""
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
        shots, selections = self.settings.shots_split, self._selections(method, targets)
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
            encoder_revision=self.spec.encoder_revision,
            data_digest=training_data(self.data, self.source, targets, shots, selections),
            plugins=plugins(self.spec.task, method, self.spec.data.name),
            sampling=self.spec.sampling_of(method),
            held_out=self.spec.held_out_of(method),
        )


class _Remembered:
    """Data whose facts and examples are read once and cached."""

    def __init__(self, data: Data) -> None:
        self.languages, self.place = data.languages, data.place
        self.facts, self.examples = cache(data.facts), cache(data.examples)
