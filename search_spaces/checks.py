"""Validates a spec against data, encoder and pool: all problems at once, each with its field."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from search_spaces.candidates import Candidate, count
from search_spaces.data_checks import check_source
from search_spaces.environment import Environment
from search_spaces.search_checks import check_epochs, check_search
from search_spaces.spaces import lowest
from search_spaces.spec import (
    MAX_LARGE_TRIALS,
    MAX_TRIALS,
    ExperimentSpec,
    Problem,
    SpecError,
    parse,
)
from trainers.encoders.by_name import EncoderError, encoder_digest
from trainers.encoders.offline import NAME as OFFLINE_ENCODER
from trainers.encoders.offline import OfflineEncoderError, package_file
from trainers.methods import METHODS


def accepted(body: object, environment: Environment) -> ExperimentSpec:
    """A spec that can be planned.

    Raises:
        SpecError: with every problem.
    """
    spec, problems = parse(body)
    wrong = {problem.field for problem in problems}
    for needed, check in CHECKS:
        if wrong.isdisjoint(needed):
            # of fields that were wrong already the check saw placeholders
            problems += [problem for problem in check(spec, environment) if problem.field not in wrong]
    if problems:
        raise SpecError(problems)
    return spec


def _languages(spec: ExperimentSpec, environment: Environment) -> Iterator[Problem]:
    if spec.target_languages == "all":
        return
    if spec.source_language in spec.target_languages:
        yield Problem("target_languages", f"{spec.source_language!r} is the source language; name only targets")
    twice = sorted({target for target in spec.target_languages if spec.target_languages.count(target) > 1})
    if twice:
        yield Problem("target_languages", f"given twice: {', '.join(twice)}")


def _encoder(spec: ExperimentSpec, environment: Environment) -> Iterator[Problem]:
    try:
        if spec.encoder == OFFLINE_ENCODER:
            package_file()
        encoder_digest(spec.encoder, environment.home)
    except (EncoderError, OfflineEncoderError) as error:
        yield Problem("encoder", str(error))


def _resources(spec: ExperimentSpec, environment: Environment) -> Iterator[Problem]:
    asked: list[tuple[str, Any, float | None]] = [
        ("cpus_per_trial", spec.resources.cpus_per_trial, environment.cpus),
        ("gpus_per_trial", spec.resources.gpus_per_trial, environment.gpus),
        ("memory_per_trial", spec.resources.memory_per_trial, environment.memory and environment.memory / 2**30),
    ]
    gpus = spec.resources.gpus_per_trial
    for name, wanted, there in asked:
        if there is not None and wanted > there:
            yield Problem(f"resources.{name}", f"{wanted:g} is more than the pool has; allowed: up to {there:.4g}")
            gpus = min(gpus, 1)
    if gpus > 1 and gpus != int(gpus):
        yield Problem("resources.gpus_per_trial", f"{gpus:g} is neither a fraction of one GPU nor a whole number")


def _accumulation(spec: ExperimentSpec, environment: Environment) -> Iterator[Problem]:
    protocol = Candidate().training(spec)
    smallest = lowest(spec.training.batch_size or protocol.batch_size)
    if protocol.accumulation > smallest:
        yield Problem(
            "training.accumulation",
            f"{protocol.accumulation} parts of {smallest:g} windows; allowed: up to the batch size",
        )


def _size(spec: ExperimentSpec, environment: Environment) -> Iterator[Problem]:
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
CHECKS: tuple[tuple[tuple[str, ...], Callable[[ExperimentSpec, Environment], Iterable[Problem]]], ...] = (
    ((), _languages),
    (("encoder",), _encoder),
    (("task", "data"), check_source),
    (("task", "protocol", "training", "training.batch_size"), _accumulation),
    (("task", "protocol", *_SEARCHED_FIELDS), check_epochs),
    (("methods", *_SEARCHED_FIELDS), check_search),
    ((), _resources),
    (_SEARCHED_FIELDS, _size),
)
