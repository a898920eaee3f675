"""From a spec to its plan: the trials, what is scored of each, and the result that each score becomes.

More than 300 lines: the parts of a plan, and the one class that makes them.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
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
from trainers.trial import RULE, Schedule, Selection, Split, Training, TrialConfig, Wanted


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
        planned = self.trials.setdefault(trial.config.digest, trial)
        if planned.wanted is not trial.wanted:
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

    What the seeds of a candidate share is made once: a plan of thousands of trials takes a fraction of a second.

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
        self._groups, self._tests = cache(self._groups_of), cache(self._tests_of)
        self._selections, self._training_data = cache(self._selections_on), cache(self._training_data_of)
        self._dev_digest, self._source_training = cache(self._dev_digest_of), cache(self._source_training_of)
        self._plugins = cache(plugins)

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
        training, adapts = candidate.training(self.spec), METHODS[name].adapts
        models = [self._model(name, k, candidate, training, group, scored) for group, scored in self._groups(name)]
        of_candidate = partial(
            PlannedResult, method=name, k=k, candidate=self.spaces[name].label(candidate), judged_on=self.judged_on
        )
        for seed in self.spec.seeds:
            source = self._source_training(seed, training) if adapts else None
            if source is not None:
                self.planned.add(source)
            for model in models:
                self._add(model, seed, source, of_candidate)
            if source is not None:
                self._add_source_result(source, of_candidate)

    def _add(
        self, model: "_Model", seed: int, source: PlannedTrial | None, of_candidate: "partial[PlannedResult]"
    ) -> None:
        """Add the trial of a model at one seed, and its results."""
        config = replace(model.config, seed=seed)
        judge = self._dev_sets(model, model.judged_on, seed)
        wanted = replace(model.wanted, judge=judge) if judge else model.wanted
        self.planned.add(PlannedTrial(config=config, source=source.config if source else None, wanted=wanted))
        dev = self._dev_sets(model, model.devs, seed) | judge
        alpha = None if isinstance(config.alpha, tuple) else config.alpha
        result = partial(of_candidate, seed=seed, alpha=alpha, trial=config.digest)
        parts: list[tuple[Split, Mapping[str, str]]] = [("test", wanted.evaluate), ("dev", dev)]
        self.planned.results.extend(
            result(selection=model.selections[language], language=language, split=split, data=data)
            for split, of_languages in parts
            for language, data in of_languages.items()
        )

    def _add_source_result(self, source: PlannedTrial, of_candidate: "partial[PlannedResult]") -> None:
        """Add the score on the source language that an adapted model takes from its source training."""
        [selection] = source.wanted.selections
        config, language = source.config, self.source
        result = partial(of_candidate, seed=config.seed, alpha=None, trial=config.digest, selection=selection)
        self.planned.results.append(result(language=language, split="test", data=source.wanted.evaluate[language]))

    def _groups_of(self, name: str) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
        """The targets of each of a method's models, and those of them that are scored."""
        of_method = set(self.targets.of[name])
        found = [
            (group, tuple(target for target in group if target in of_method))
            for group in groups(self.spec, name, self.targets.trained[name])
        ]
        return [(group, scored) for group, scored in found if scored]

    def _model(
        self,
        name: str,
        k: int,
        candidate: Candidate,
        training: Training,
        group: tuple[str, ...],
        scored: tuple[str, ...],
    ) -> "_Model":
        """What trains one candidate of a method for a group of targets, and is scored on some of them."""
        method, is_searched = METHODS[name], bool(self.spaces[name].searched)
        alpha = candidate.surgery_alpha(self.spec, len(group)) if method.surgery else None
        config = self._config(method.trajectory or name, group if k else (), k, alpha, training)
        config = replace(config, population=self.spec.search.population if is_searched else None)
        wanted = Wanted(
            selections=self._selections(name, config.target_languages),
            evaluate=self._tests(scored if method.adapts else (self.source, *scored)),
            sweep=digest([config.method, k, group]) if is_searched else None,
            test_every_report=self.spec.test_at == "every",
            keep=self.spec.keeps(config.method),
        )
        selections = {language: self._selection_of(name, language) for language in (self.source, *scored)}
        of_source = self.spec.search.objective == "source-dev"
        judged_on = ((self.source,) if of_source else group) if is_searched else ()
        devs = dev_languages((selections[language] for language in wanted.evaluate), self.source, scored)
        # drawing is slow: only where shots have to be left out of the dev set
        without_shots = {
            language
            for language in {*devs, *judged_on}.intersection(config.target_languages) - {self.source}
            if shots_could_select(self.data.facts(language, "dev"), self.settings.shots_split)
        }
        return _Model(
            config=config,
            wanted=wanted,
            selections=selections,
            devs=devs,
            judged_on=judged_on,
            without_shots=without_shots,
        )

    def _source_training_of(self, seed: int, training: Training) -> PlannedTrial:
        """The source training that two-stage methods start from and take their score on the source language from."""
        config = replace(self._config(SOURCE_TRAINING, (), 0, None, training), seed=seed)
        selections, evaluate = self._selections(SOURCE_TRAINING, ()), self._tests((self.source,))
        wanted = Wanted(selections=selections, evaluate=evaluate, keep=True)
        return PlannedTrial(config=config, source=None, wanted=wanted)

    def _dev_sets(self, model: "_Model", languages: Iterable[str], seed: int) -> dict[str, str]:
        """The dev sets of languages as a model's trial reads them: {language: digest of the examples}."""
        k = model.config.k
        return {
            language: self._dev_digest(language, *((k, seed) if language in model.without_shots else (0, 0)))
            for language in languages
        }

    def _dev_digest_of(self, language: str, k: int, seed: int) -> str:
        """The digest of a language's dev set without the shots of K and seed; K = 0 for the whole."""
        if language == self.source:
            return source_dev(self.data, language).digest
        split = self.settings.shots_split
        shots = draw_from(self.data, TASKS[self.spec.task], language, split, k, seed) if k else None
        return target_dev(self.data, language, shots, split).digest

    def _selections_on(self, name: str, targets: tuple[str, ...]) -> tuple[Selection, ...]:
        """The selections of a method's training on targets: its own, then those of the spec's methods that share it."""
        trajectory = METHODS[name].trajectory or name
        found = list(self._selections_of(trajectory, targets))
        for other in self.spec.methods:
            if METHODS[other].trajectory == trajectory:
                of_other = set(self.targets.of[other])
                if scored := [target for target in targets if target in of_other]:
                    found += self._selections_of(other, scored)
        return tuple(dict.fromkeys(found))

    def _selections_of(self, name: str, targets: Sequence[str]) -> tuple[Selection, ...]:
        return METHODS[name].selections(targets, self.settings.selection, self.spec.average)

    def _selection_of(self, name: str, language: str) -> Selection:
        """A method's selection for a language. Where each target has its own, the source has that of the training."""
        of_training = METHODS[name].selection == "target-dev" and language == self.source
        [selection] = self._selections_of(METHODS[name].trajectory or name if of_training else name, [language])
        return selection

    def _tests_of(self, languages: tuple[str, ...]) -> dict[str, str]:
        """The test splits of languages: {language: digest of the examples that are scored}."""
        cut = self.spec.training.max_test_examples
        return {language: evaluation_data(self.data.facts(language, "test"), cut) for language in languages}

    def _training_data_of(self, method: str, targets: tuple[str, ...]) -> str:
        """The digest of all that a training reads."""
        shots, selections = self.settings.shots_split, self._selections(method, targets)
        return training_data(self.data, self.source, targets, shots, selections)

    def _config(
        self, method: str, targets: tuple[str, ...], k: int, alpha: float | Schedule | None, training: Training
    ) -> TrialConfig:
        """A training, at seed 0."""
        return TrialConfig(
            task=self.spec.task,
            method=method,
            source_language=self.source,
            target_languages=targets,
            k=k,
            seed=0,
            alpha=alpha,
            protocol=self.spec.protocol,
            training=training,
            encoder=self.spec.encoder,
            encoder_digest=self.encoder,
            encoder_revision=self.spec.encoder_revision,
            data_digest=self._training_data(method, targets),
            plugins=self._plugins(self.spec.task, method, self.spec.data.name),
            sampling=self.spec.sampling_of(method),
            held_out=self.spec.held_out_of(method),
        )


@dataclass(frozen=True, kw_only=True)
class _Model:
    """What the trials of one candidate for one group of targets share over the seeds.

    Attributes:
        config: the training, but for its seed.
        wanted: what is wanted of it, but for the dev sets that it is judged on.
        selections: which checkpoint is scored on each language.
        devs: the languages whose dev sets select.
        judged_on: the languages whose dev sets the objective is the mean over; none where nothing is searched.
        without_shots: the languages whose dev sets lack the shots that are drawn at a seed.
    """

    config: TrialConfig
    wanted: Wanted
    selections: Mapping[str, Selection]
    devs: Sequence[str]
    judged_on: Sequence[str]
    without_shots: Set[str]


class _Remembered:
    """Data whose facts and examples are read once and cached."""

    def __init__(self, data: Data) -> None:
        self.languages, self.place = data.languages, data.place
        self.facts, self.examples = cache(data.facts), cache(data.examples)
