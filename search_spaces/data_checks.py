"""Checks a spec against its data: languages, splits, labels, enough examples for the shots."""

from collections.abc import Iterator

from search_spaces.groups import ungroupable
from search_spaces.inputs import Inputs
from search_spaces.messages import listed
from search_spaces.method_space import searched_spaces
from search_spaces.problems import Problem
from search_spaces.spec import ExperimentSpec
from search_spaces.targets import Targets, needed_of_target, reads_target_dev, target_languages
from trainers.data.source import RemoteSource
from trainers.data.splits import shots_could_select
from trainers.examples import Data, DataError, Facts
from trainers.languages import unknown
from trainers.methods import METHODS
from trainers.tasks import TASKS
from trainers.trial import Split


def needed_splits(spec: ExperimentSpec, targets: Targets) -> list[tuple[str, Split]]:
    """The (language, split) pairs that the spec's methods train on, select on or are tested on."""
    of_source: list[Split] = ["train", "dev", "test"]
    of_targets: dict[str, list[Split]] = {language: ["test"] for language in targets.languages}
    for method in spec.methods:
        for language in targets.of[method]:
            of_targets[language] += needed_of_target(spec, method)
    pairs = [(spec.source_language, split) for split in of_source]
    return pairs + [(target, split) for target, splits in of_targets.items() for split in dict.fromkeys(splits)]


def check_data(spec: ExperimentSpec, data: Data) -> Iterator[Problem]:
    """Languages and splits that the data lack, labels that the source lacks, and too few examples for the shots."""
    try:
        available = data.languages()
    except DataError as error:
        yield Problem("data", str(error))
        return
    if not available:
        yield Problem("data", f"has no language with a test split for {spec.task}")
        return
    targets = target_languages(spec, data)
    if not targets:
        yield Problem("target_languages", f"the data have no other language than {spec.source_language!r}")
    elif (problem := ungroupable(spec, targets)) is not None:
        yield Problem("grouping", problem)
    for field, languages in (("source_language", [spec.source_language]), ("target_languages", targets)):
        for language in languages:
            if language not in available:
                yield Problem(field, f"{language!r} has no test split for {spec.task}; allowed: {listed(available)}")
    there = Targets(spec, data, [target for target in targets if target in available])
    yield from _check_methods(spec, there)
    yield from _check_splits(spec, data, there, available)


def _check_methods(spec: ExperimentSpec, targets: Targets) -> Iterator[Problem]:
    """Methods that leave out every target."""
    for method in spec.methods:
        if targets.languages and not targets.of[method]:
            needed = " and ".join(needed_of_target(spec, method))
            lacking = (one for one in targets.left_out if one.method == method)
            words = "; ".join(f"{one.language} lacks {' and '.join(one.lacks)}" for one in lacking)
            yield Problem(
                "methods",
                f"{method} needs {needed} of a target ({words}); allowed: methods that need less, or other"
                " target_languages",
            )


def _check_splits(spec: ExperimentSpec, data: Data, targets: Targets, available: tuple[str, ...]) -> Iterator[Problem]:
    """Problems of the splits of languages that the data have."""
    labels = None
    for language, split in needed_splits(spec, targets):
        if language not in available:
            continue
        try:
            facts = data.facts(language, split)
        except DataError as error:
            yield Problem("data", str(error))
            continue
        if labels is None:  # the source's training data come first, and they define the label set
            labels = set(TASKS[spec.task].label_set(facts.labels))
        unknown = sorted(set(facts.labels) - labels)
        if unknown and spec.source_language in available:
            yield Problem(
                "data",
                f"{language}/{split} has labels that the source's training data lack: {listed(unknown)};"
                f" allowed: {listed(sorted(labels))}",
            )
        if split == TASKS[spec.task].under(spec.protocol).shots_split and language != spec.source_language:
            yield from _check_shots(spec, language, facts)
        if facts.within_train or split == "dev":
            yield from _check_rest(spec, language, facts)


def _check_shots(spec: ExperimentSpec, language: str, facts: Facts) -> Iterator[Problem]:
    """Whether there are K examples, and where there are several strata K of each."""
    for stratum in [""] if "" in facts.strata else TASKS[spec.task].label_set(()):
        there = facts.strata.get(stratum, 0)
        if max(spec.k) > there:
            what = "training" if TASKS[spec.task].under(spec.protocol).shots_split == "train" else "dev"
            labeled = f" labeled {stratum!r}" if stratum else ""
            yield Problem("k", f"{max(spec.k)} is more than the {there} {what} examples of {language}{labeled}")


def _check_rest(spec: ExperimentSpec, language: str, facts: Facts) -> Iterator[Problem]:
    """Whether a split that trains, or gives shots, and also has to provide the dev set has enough examples for both."""
    settings = TASKS[spec.task].under(spec.protocol)
    if language == spec.source_language:
        if not facts.within_train:
            return
        if settings.selection != "source-dev":
            if spec.search.objective == "source-dev" and searched_spaces(spec):
                yield Problem(
                    "search.objective",
                    f"under {spec.protocol} all training examples of {language} are trained on, and there is no third"
                    " split; allowed: target-dev",
                )
        elif facts.examples == 1:
            yield Problem("data", f"{language} has one training example and no third split; allowed: from 2 examples")
    elif shots_could_select(facts, settings.shots_split) and max(spec.k) * len(facts.strata) == facts.examples:
        reading = [method for method in spec.methods if METHODS[method].few_shot and reads_target_dev(spec, method)]
        if reading:
            what = "training" if settings.shots_split == "train" else "dev"
            yield Problem("k", f"{max(spec.k)} leaves no {what} example of {language} for the dev set of {reading[0]}")


def data_warnings(inputs: Inputs) -> list[str]:
    """In words, what is odd about the data of an accepted spec, but taken as it is. DataError if they are gone."""
    spec, data = inputs.spec, inputs.data
    targets = target_languages(spec, data)
    found = unknown([spec.source_language, *targets])
    if spec.target_languages == "all":
        found += spec.data.source.warnings(inputs.reference, spec.task, inputs.home)
    for language, split in needed_splits(spec, Targets(spec, data, targets)):
        found += data.facts(language, split).warnings
    return list(dict.fromkeys(found))


def check_source(inputs: Inputs) -> Iterator[Problem]:
    """Problems of a spec's data. Of remote data only the languages: `check_data` runs once they are fetched."""
    spec, source = inputs.spec, inputs.spec.data.source
    if isinstance(source, RemoteSource):
        title = source.title(spec.data.value)
        try:
            location = inputs.reference.location
            allowed = source.languages(location, spec.task)
        except DataError as error:
            yield Problem("data", str(error))
            return
        hint = source.hint(location, spec.task)
        hint = f"; {hint}" if hint else ""
        if not allowed:
            yield Problem("data", f"{title} has no {spec.task}{hint}")
            return
        asked = [] if spec.target_languages == "all" else spec.target_languages
        named = [("source_language", spec.source_language), *(("target_languages", language) for language in asked)]
        others = listed(allowed)
        for field, language in named:
            if language not in allowed:
                yield Problem(field, f"{title} has no {spec.task} for {language!r}; allowed: {others}{hint}")
        return
    try:
        data = inputs.data
    except DataError as error:
        yield Problem("data", str(error))
        return
    yield from check_data(spec, data)
