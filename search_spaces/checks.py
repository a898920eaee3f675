"""Validates a spec against its data, its encoder and the pool: all problems at once, each with its field."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from search_spaces.data_checks import check_source
from search_spaces.environment import Environment
from search_spaces.groups import ungroupable
from search_spaces.inputs import Inputs
from search_spaces.messages import listed
from search_spaces.method_space import Candidate, epoch_range
from search_spaces.plan_size import check_size
from search_spaces.problems import Problem, SpecError
from search_spaces.search_checks import check_epochs, check_search
from search_spaces.spaces import lowest
from search_spaces.spec import ExperimentSpec, parse
from trainers.encoders.encoder import EncoderError, Need
from trainers.examples import DataError
from trainers.methods import METHODS
from trainers.tasks import TASKS

_SEARCHED_FIELDS = (
    "alpha", "training", "training.learning_rate", "training.batch_size", "training.epochs", "search",
    "search.searcher", "search.scheduler",
)  # fmt: skip


def accepted(body: object, environment: Environment) -> Inputs:
    """A spec that can be planned, with its data and encoder.

    Args:
        body: the JSON value that was submitted.
        environment: what the spec is validated against.

    Raises:
        SpecError: the spec is refused, with every problem.
    """
    spec, problems = parse(body)
    inputs = Inputs(spec=spec, home=environment.home, data_root=environment.data_root)
    wrong = {problem.field for problem in problems}
    for needed, found in _checks(inputs, environment, is_task_known=wrong.isdisjoint(("task", "protocol"))):
        if wrong.isdisjoint(needed):
            problems += [problem for problem in found if problem.field not in wrong]
    if problems:
        raise SpecError(problems)
    return inputs


def _checks(
    inputs: Inputs, environment: Environment, *, is_task_known: bool
) -> Iterator[tuple[Sequence[str], Iterator[Problem]]]:
    """Each check as a generator, with the fields whose placeholders it must not see."""
    spec = inputs.spec
    yield (), _languages(spec)
    yield ("encoder", "encoder_revision"), _encoder(inputs, is_task_known)
    yield ("task", "data"), check_source(inputs)
    yield ("task", "protocol", "training", "training.batch_size"), _accumulation(spec)
    yield ("protocol", "training"), _batching(spec)
    yield ("methods",), _sampling(spec)
    yield ("task", "protocol", "methods", *_SEARCHED_FIELDS), _average(spec)
    yield ("methods", "k"), _held_out(spec)
    yield ("task", "protocol", *_SEARCHED_FIELDS), check_epochs(spec)
    yield ("methods", *_SEARCHED_FIELDS), check_search(spec)
    yield (), _resources(spec, environment)
    yield ("task", "data", "methods", "target_languages", "grouping", *_SEARCHED_FIELDS), _size(inputs)


def _languages(spec: ExperimentSpec) -> Iterator[Problem]:
    if spec.target_languages == "all":
        return
    if spec.source_language in spec.target_languages:
        yield Problem("target_languages", f"{spec.source_language!r} is the source language; name only targets")
    if twice := sorted(target for target, times in Counter(spec.target_languages).items() if times > 1):
        yield Problem("target_languages", f"given twice: {listed(twice)}")


def _encoder(inputs: Inputs, is_task_known: bool) -> Iterator[Problem]:
    """Whether there is such an encoder, and the task can train it."""
    spec = inputs.spec
    heads = {name: task.model_class for name, task in TASKS.items()}
    need = Need(task=spec.task, heads=heads, max_length=Candidate().training(spec).max_length)
    try:
        if is_task_known:
            inputs.encoder.examine(need)
        _ = inputs.encoder_digest
    except EncoderError as error:
        yield Problem("encoder", str(error))
        return
    if spec.encoder_revision is not None and inputs.encoder.revision is None:
        yield Problem("encoder_revision", "is for encoders on the hub; allowed: null")


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
    if gpus > 1:  # specs that were accepted when more were reserved, and one was used, stay readable
        yield Problem(
            "resources.gpus_per_trial",
            f"a trial trains on one GPU, which holds XLM-R large, and would leave {gpus - 1:g} of {gpus:g} idle;"
            " allowed: up to 1, so that trials run side by side",
        )


def _accumulation(spec: ExperimentSpec) -> Iterator[Problem]:
    protocol = Candidate().training(spec)
    smallest = lowest(spec.training.batch_size or protocol.batch_size)
    if protocol.accumulation > smallest:
        yield Problem(
            "training.accumulation",
            f"{protocol.accumulation} parts of {smallest:g} windows; allowed: up to the batch size",
        )


def _batching(spec: ExperimentSpec) -> Iterator[Problem]:
    """The authors' code operates on micro-batches, and nothing else does."""
    own = TASKS[spec.task].under(spec.protocol).training.batching
    asked = spec.training.batching
    if asked is not None and asked != own and "micro-batches" in (asked, own):
        allowed = "micro-batches" if own == "micro-batches" else "shuffled, bucketed"
        yield Problem("training.batching", f"{asked} under the protocol {spec.protocol}; allowed: {allowed}")


def _sampling(spec: ExperimentSpec) -> Iterator[Problem]:
    if spec.sampling is not None and not any(METHODS[method].mixes for method in spec.methods):
        mixing = ", ".join(name for name, method in METHODS.items() if method.mixes)
        yield Problem("sampling", f"no method of the experiment mixes source data and shots; allowed: with {mixing}")


def _average(spec: ExperimentSpec) -> Iterator[Problem]:
    fewest, _ = epoch_range(spec)
    if spec.average > fewest and any(METHODS[method].selection == "average" for method in spec.methods):
        yield Problem("average", f"{spec.average} of {fewest} epochs; allowed: from 1 to {fewest}")


def _held_out(spec: ExperimentSpec) -> Iterator[Problem]:
    holding = [method for method in spec.methods if spec.held_out_of(method)]
    if holding and spec.held_out >= min(spec.k):
        yield Problem(
            "held_out",
            f"{spec.held_out} of {min(spec.k)} shots leave {holding[0]} none to train on; allowed: fewer than each K,"
            " which is 2 at least",
        )


def _size(inputs: Inputs) -> Iterator[Problem]:
    """The size of the plan; nothing where its targets are unknown, which has been said by then."""
    spec = inputs.spec
    try:
        targets = inputs.targets
    except DataError:
        return
    if targets and ungroupable(spec, targets) is None:
        yield from check_size(spec, targets)
