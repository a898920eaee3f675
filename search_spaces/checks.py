"""How a spec goes together with the world: its data, its encoder, its pool. All problems at once."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search_spaces.groups import ungroupable
from search_spaces.spec import MAX_TRIALS, ExperimentSpec, FolderSpec, Problem, SpecError, parse
from trainers.config import DataReference, Split
from trainers.data import XTREME_R, open_data
from trainers.encoders import EncoderError, encoder_digest
from trainers.examples import Data, DataError, Facts
from trainers.languages import languages_of
from trainers.methods import METHODS
from trainers.offline_encoder import NAME as OFFLINE_ENCODER
from trainers.offline_encoder import OfflineEncoderError, package_file
from trainers.protocols import PROTOCOLS
from trainers.tasks import TASKS


@dataclass(frozen=True)
class World:
    """What a spec is checked against.

    `data_root` is the only place where folders are read (None: nowhere); `cpus` and `gpus` are what the pool has,
    None when it may grow; `memory` are the bytes beside its CPUs, None when they are not known.
    """

    home: Path
    data_root: Path | None
    cpus: int | None
    gpus: int | None
    memory: int | None = None


def accepted(body: object, world: World) -> ExperimentSpec:
    """A spec that can be planned.

    Raises:
        SpecError: with every problem.
    """
    spec, problems = parse(body)
    wrong = {problem.field for problem in problems}
    for needed, check in CHECKS:
        if wrong.isdisjoint(needed):
            # of fields that were wrong already the check saw placeholders
            problems += [problem for problem in check(spec, world) if problem.field not in wrong]
    if problems:
        raise SpecError(problems)
    return spec


def data_reference(spec: ExperimentSpec, data_root: Path | None) -> DataReference:
    """Where a spec's data lie.

    Raises:
        DataError: a folder outside the data root, or no data root.
    """
    if not isinstance(spec.data, FolderSpec):
        return DataReference(spec.data)
    if data_root is None:
        raise DataError("folders are read only under the data root, and ALLASPRAK_DATA_ROOT is not set")
    root = data_root.resolve()
    try:
        path = (root / spec.data.folder).resolve()
        is_folder = path.is_dir()
    except (OSError, RuntimeError) as error:  # too long a name, links in a circle
        raise DataError(f"{spec.data.folder} is not a folder: {error}") from error
    if not path.is_relative_to(root):
        raise DataError(f"{spec.data.folder} is not under the data root {data_root}")
    if not is_folder:
        raise DataError(f"{spec.data.folder}: the data root {data_root} has no such folder")
    return DataReference("folder", path)


def target_languages(spec: ExperimentSpec, data: Data) -> tuple[str, ...]:
    """The spec's targets; "all" is those that the data have, but for the source."""
    if spec.target_languages == "all":
        return tuple(language for language in data.languages() if language != spec.source_language)
    return tuple(spec.target_languages)


def needed_splits(spec: ExperimentSpec, targets: Iterable[str]) -> list[tuple[str, Split]]:
    """The (language, split) that the spec's methods train on, select on or are tested on."""
    methods = [METHODS[method] for method in spec.methods]
    of_target: list[Split] = ["test"]
    if any(method.few_shot for method in methods):
        of_target.append(PROTOCOLS[spec.protocol].shots_split[spec.task])
    if any(method.selection == "target-dev" for method in methods):
        of_target.append("dev")
    of_source: list[Split] = ["train", "dev", "test"]
    splits = [(spec.source_language, split) for split in of_source]
    return splits + [(target, split) for target in targets for split in dict.fromkeys(of_target)]


def check_data(spec: ExperimentSpec, data: Data) -> Iterator[Problem]:
    """What is wrong with the data that the spec needs: languages, examples, labels, too few shots."""
    available = data.languages()
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
                yield Problem(field, f"{language!r} has no data for {spec.task}; allowed: {', '.join(available)}")
    yield from _check_splits(spec, data, [target for target in targets if target in available], available)


def _check_splits(
    spec: ExperimentSpec, data: Data, targets: list[str], available: tuple[str, ...]
) -> Iterator[Problem]:
    """What is wrong with the examples of languages that are there."""
    labels = None
    for language, split in needed_splits(spec, targets):
        if language not in available:
            continue
        try:
            facts = data.facts(language, split)
        except DataError as error:
            yield Problem("data", str(error))
            continue
        if labels is None:  # the source's training data come first, and the label set from them
            labels = set(TASKS[spec.task].label_set(facts.labels))
        unknown = sorted(set(facts.labels) - labels)
        if unknown and spec.source_language in available:
            yield Problem(
                "data",
                f"{language}/{split} has labels that the source's training data lack: {', '.join(unknown)};"
                f" allowed: {', '.join(sorted(labels))}",
            )
        if split == PROTOCOLS[spec.protocol].shots_split[spec.task] and language != spec.source_language:
            yield from _check_shots(spec, language, facts)
        if facts.within_train:
            yield from _check_rest(spec, language, facts)


def _check_shots(spec: ExperimentSpec, language: str, facts: Facts) -> Iterator[Problem]:
    """Whether there are K examples, of each stratum where there are several."""
    for stratum in [""] if "" in facts.strata else TASKS[spec.task].label_set(()):
        there = facts.strata.get(stratum, 0)
        if max(spec.k) > there:
            what = "training" if PROTOCOLS[spec.protocol].shots_split[spec.task] == "train" else "dev"
            labelled = f" labelled {stratum!r}" if stratum else ""
            yield Problem("k", f"{max(spec.k)} is more than the {there} {what} examples of {language}{labelled}")


def _check_rest(spec: ExperimentSpec, language: str, facts: Facts) -> Iterator[Problem]:
    """Whether a training split that has to be the dev set as well leaves something for both."""
    if language == spec.source_language:
        if facts.examples == 1:
            yield Problem("data", f"{language} has one training example and no third split; allowed: from 2 examples")
    elif max(spec.k) == facts.examples:
        yield Problem("k", f"{max(spec.k)} leaves no training example of {language} for the dev set of ord-FS+dev")


def _languages(spec: ExperimentSpec, world: World) -> Iterator[Problem]:
    if spec.target_languages == "all":
        return
    if spec.source_language in spec.target_languages:
        yield Problem("target_languages", f"{spec.source_language!r} is the source language; name only targets")
    twice = sorted({target for target in spec.target_languages if spec.target_languages.count(target) > 1})
    if twice:
        yield Problem("target_languages", f"given twice: {', '.join(twice)}")


def _encoder(spec: ExperimentSpec, world: World) -> Iterator[Problem]:
    try:
        if spec.encoder == OFFLINE_ENCODER:
            package_file()
        encoder_digest(spec.encoder, world.home)
    except (EncoderError, OfflineEncoderError) as error:
        yield Problem("encoder", str(error))


def _data(spec: ExperimentSpec, world: World) -> Iterator[Problem]:
    """Hub data are fetched later, and checked by `check_data` then; here only what the registry knows."""
    if spec.data == XTREME_R:
        allowed = languages_of(spec.task)
        asked = [] if spec.target_languages == "all" else spec.target_languages
        named = [("source_language", spec.source_language), *(("target_languages", language) for language in asked)]
        for field, language in named:
            if language not in allowed:
                yield Problem(field, f"XTREME-R has no {spec.task} for {language!r}; allowed: {', '.join(allowed)}")
        return
    try:
        reference = data_reference(spec, world.data_root)
    except DataError as error:
        yield Problem("data", str(error))
        return
    yield from check_data(spec, open_data(reference, spec.task, world.home))


def _resources(spec: ExperimentSpec, world: World) -> Iterator[Problem]:
    asked: list[tuple[str, Any, int | None]] = [
        ("cpus_per_trial", spec.resources.cpus_per_trial, world.cpus),
        ("gpus_per_trial", spec.resources.gpus_per_trial, world.gpus),
    ]
    gpus = spec.resources.gpus_per_trial
    for name, wanted, there in asked:
        if there is not None and wanted > there:
            yield Problem(f"resources.{name}", f"{wanted:g} is more than the pool has; allowed: up to {there}")
            gpus = 0
    if gpus > 1 and gpus != int(gpus):
        yield Problem("resources.gpus_per_trial", f"{gpus:g} is neither a fraction of one GPU nor a whole number")


def _training(spec: ExperimentSpec, world: World) -> Iterator[Problem]:
    training = spec.hyperparameters()
    if training.accumulation > training.batch_size:
        yield Problem(
            "training.accumulation",
            f"{training.accumulation} parts of {training.batch_size} windows; allowed: up to the batch size",
        )


def _size(spec: ExperimentSpec, world: World) -> Iterator[Problem]:
    targets = 50 if spec.target_languages == "all" else len(spec.target_languages)
    models = targets if spec.grouping != "all" else 1  # at most
    per_seed = sum(
        (targets if METHODS[method].model_per_target else models) * (len(spec.k) if METHODS[method].few_shot else 1)
        for method in spec.methods
    )
    trials = per_seed * len(spec.seeds)
    if trials > MAX_TRIALS:
        yield Problem("seeds", f"methods x K x seeds x targets is about {trials} trials; allowed: up to {MAX_TRIALS}")


# Which fields a check can't do without.
CHECKS: tuple[tuple[tuple[str, ...], Callable[[ExperimentSpec, World], Iterable[Problem]]], ...] = (
    ((), _languages),
    (("encoder",), _encoder),
    (("task", "data", "data.folder"), _data),
    (("task", "protocol", "training", "training.batch_size"), _training),
    ((), _resources),
    ((), _size),
)
