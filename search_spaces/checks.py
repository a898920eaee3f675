"""How a spec goes together with the world: its data, its encoder, its pool. All problems at once."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Any, Literal

from search_spaces.candidates import SEARCHABLE, Candidate, count, searched
from search_spaces.groups import ungroupable
from search_spaces.search import AshaScheduler, GridSearcher, TpeSearcher
from search_spaces.spaces import Range, Scheduled, highest, is_search, lowest
from search_spaces.spec import (
    MAX_LARGE_TRIALS,
    MAX_TRIALS,
    DatasetSpec,
    ExperimentSpec,
    FolderSpec,
    Problem,
    SpecError,
    parse,
)
from trainers.data import XTREME_R, open_data
from trainers.data.datasets import dataset
from trainers.encoders.by_name import EncoderError, encoder_digest
from trainers.encoders.offline import NAME as OFFLINE_ENCODER
from trainers.encoders.offline import OfflineEncoderError, package_file
from trainers.examples import Data, DataError, Facts
from trainers.languages import languages_of
from trainers.methods import METHODS
from trainers.protocols import PROTOCOLS
from trainers.tasks import TASKS
from trainers.trial import DataReference, Split

# A population in which one can take over from another.
SMALLEST_POPULATION = 2


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


def data_reference(
    data: Literal["sample", "xtreme-r"] | FolderSpec | DatasetSpec, home: Path, data_root: Path | None
) -> DataReference:
    """Where the data of a spec lie.

    Raises:
        DataError: no such dataset, a folder outside the data root, or no data root.
    """
    if isinstance(data, DatasetSpec):
        return DataReference("folder", Path(dataset(home, data.dataset).root))
    if not isinstance(data, FolderSpec):
        return DataReference(data)
    if data_root is None:
        raise DataError("folders are read only under the data root, and ALLASPRAK_DATA_ROOT is not set")
    root = data_root.resolve()
    try:
        path = (root / data.folder).resolve()
        is_folder = path.is_dir()
    except (OSError, RuntimeError) as error:  # too long a name, links in a circle
        raise DataError(f"{data.folder} is not a folder: {error}") from error
    if not path.is_relative_to(root):
        raise DataError(f"{data.folder} is not under the data root {data_root}")
    if not is_folder:
        raise DataError(f"{data.folder}: the data root {data_root} has no such folder")
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
    judged_on_targets = spec.search.objective == "target-dev" and any(searched(spec, name) for name in spec.methods)
    if judged_on_targets or any(method.selection == "target-dev" for method in methods):
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
                yield Problem(field, f"{language!r} has no test split for {spec.task}; allowed: {', '.join(available)}")
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
        reference = data_reference(spec.data, world.home, world.data_root)
    except DataError as error:
        yield Problem("data", str(error))
        return
    yield from check_data(spec, open_data(reference, spec.task, world.home))


def _resources(spec: ExperimentSpec, world: World) -> Iterator[Problem]:
    asked: list[tuple[str, Any, float | None]] = [
        ("cpus_per_trial", spec.resources.cpus_per_trial, world.cpus),
        ("gpus_per_trial", spec.resources.gpus_per_trial, world.gpus),
        ("memory_per_trial", spec.resources.memory_per_trial, world.memory and world.memory / 2**30),
    ]
    gpus = spec.resources.gpus_per_trial
    for name, wanted, there in asked:
        if there is not None and wanted > there:
            yield Problem(f"resources.{name}", f"{wanted:g} is more than the pool has; allowed: up to {there:.4g}")
            gpus = min(gpus, 1)
    if gpus > 1 and gpus != int(gpus):
        yield Problem("resources.gpus_per_trial", f"{gpus:g} is neither a fraction of one GPU nor a whole number")


def _accumulation(spec: ExperimentSpec, world: World) -> Iterator[Problem]:
    protocol = Candidate().training(spec)
    smallest = lowest(spec.training.batch_size or protocol.batch_size)
    if protocol.accumulation > smallest:
        yield Problem(
            "training.accumulation",
            f"{protocol.accumulation} parts of {smallest:g} windows; allowed: up to the batch size",
        )


def _epochs(spec: ExperimentSpec, world: World) -> Iterator[Problem]:
    """Whether what is to happen in an epoch happens in any."""
    epochs = spec.training.epochs or PROTOCOLS[spec.protocol].training[spec.task].epochs
    fewest, most = int(lowest(epochs)), int(highest(epochs))
    for field, space in (("alpha", spec.alpha), ("training.learning_rate", spec.training.learning_rate)):
        if isinstance(space, Scheduled) and space.steps()[-1][0] >= fewest:
            last = space.steps()[-1][0]
            yield Problem(field, f"epoch {last} is not reached; allowed: from 0 to {fewest - 1}, the last epoch")
    yield from _scheduler(spec, fewest, most)


def _scheduler(spec: ExperimentSpec, fewest: int, most: int) -> Iterator[Problem]:
    """Whether a scheduler has something to do in trainings of `fewest` to `most` epochs."""
    scheduler = spec.search.scheduler
    if scheduler is None:
        return
    if isinstance(scheduler, AshaScheduler):
        yield from _asha(scheduler, most)
        return
    if scheduler.perturbation_interval >= fewest:
        yield Problem(
            "search.scheduler.perturbation_interval",
            f"in {fewest} epochs nothing is perturbed every {scheduler.perturbation_interval}; allowed: fewer epochs"
            " between perturbations than a training has",
        )
    for field in ("batch_size", "epochs"):
        if not isinstance(getattr(spec.training, field), int | None):
            yield Problem(f"training.{field}", "PBT changes alpha and learning_rate alone; allowed: a whole number")
    if isinstance(spec.search.searcher, TpeSearcher):
        yield Problem("search.searcher", "PBT starts from a population; allowed: grid, random")
    for method in spec.methods:
        if searched(spec, method) and count(spec, method) < SMALLEST_POPULATION:
            yield Problem("search.scheduler", f"{method} has a population of {count(spec, method)} candidates; allowed:"
                                              f" from {SMALLEST_POPULATION}")  # fmt: skip


def _asha(scheduler: AshaScheduler, most: int) -> Iterator[Problem]:
    if most == 1:
        yield Problem("search.scheduler", "a training of one epoch can't be stopped early; allowed: null")
        return
    if scheduler.grace_period >= most:
        allowed = f"allowed: from 1 to {most - 1}"
        yield Problem("search.scheduler.grace_period", f"a training has {most} epochs; {allowed}")
        return
    rungs = 1 + int(log(most / scheduler.grace_period, scheduler.reduction_factor) + 1e-9)
    if scheduler.brackets > rungs:
        yield Problem("search.scheduler.brackets", f"there are {rungs} rungs; allowed: from 1 to {rungs}")


def _search(spec: ExperimentSpec, world: World) -> Iterator[Problem]:
    """Whether what is searched, and how, go together."""
    is_grid = isinstance(spec.search.searcher, GridSearcher)
    fields = {"alpha": "alpha", **{name: f"training.{name}" for name in SEARCHABLE if name != "alpha"}}
    for name, field in fields.items():
        space = spec.alpha if name == "alpha" else getattr(spec.training, name)
        if isinstance(space, Range) and is_grid and space.samples is None:
            yield Problem(field, 'a range needs "samples", how many values are drawn of it; allowed: from 1')
        if isinstance(space, Range) and not is_grid and space.samples is not None:
            yield Problem(field, 'the searcher says how many samples are drawn; allowed: no "samples" here')
    is_searched = any(searched(spec, method) for method in spec.methods)
    if is_searched and spec.test_at == "every":
        yield Problem("test_at", "a search must not see test scores; allowed: selected, or nothing that is searched")
    if not is_searched:
        if spec.alpha is not None and is_search(spec.alpha):
            surgery = ", ".join(name for name, method in METHODS.items() if method.surgery)
            yield Problem("alpha", f"no method of the experiment has surgery; allowed: with {surgery}")
        for field, is_there in (("searcher", not is_grid), ("scheduler", spec.search.scheduler is not None)):
            if is_there:
                yield Problem(
                    f"search.{field}",
                    "nothing is searched; allowed: with a grid or range of alpha, training.learning_rate,"
                    " training.batch_size or training.epochs",
                )


def _size(spec: ExperimentSpec, world: World) -> Iterator[Problem]:
    targets = 50 if spec.target_languages == "all" else len(spec.target_languages)
    models = targets if spec.grouping != "all" else 1  # at most
    per_seed = sum(
        (targets if METHODS[method].model_per_target else models)
        * (len(spec.k) if METHODS[method].few_shot else 1)
        * count(spec, method)
        for method in spec.methods
    )
    trials = per_seed * len(spec.seeds)
    allowed = MAX_LARGE_TRIALS if spec.allow_large else MAX_TRIALS
    if trials > allowed:
        more = "" if spec.allow_large else f', or {MAX_LARGE_TRIALS} with "allow_large": true'
        yield Problem(
            "allow_large", f"candidates x K x seeds x targets is about {trials} trials; allowed: up to {allowed}{more}"
        )


_SEARCHED_FIELDS = (
    "alpha", "training", "training.learning_rate", "training.batch_size", "training.epochs", "search",
    "search.searcher", "search.scheduler",
)  # fmt: skip

# Which fields a check can't do without.
CHECKS: tuple[tuple[tuple[str, ...], Callable[[ExperimentSpec, World], Iterable[Problem]]], ...] = (
    ((), _languages),
    (("encoder",), _encoder),
    (("task", "data", "data.folder", "data.dataset"), _data),
    (("task", "protocol", "training", "training.batch_size"), _accumulation),
    (("task", "protocol", *_SEARCHED_FIELDS), _epochs),
    (("methods", *_SEARCHED_FIELDS), _search),
    ((), _resources),
    (_SEARCHED_FIELDS, _size),
)
