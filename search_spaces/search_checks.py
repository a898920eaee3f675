"""Whether a search can do what its spec asks for: spaces, searcher, scheduler, and the epochs that they count in."""

from collections.abc import Iterator
from math import log

from search_spaces.candidates import SEARCHABLE, count, searched
from search_spaces.environment import Environment
from search_spaces.search import AshaScheduler, GridSearcher, TpeSearcher
from search_spaces.spaces import Range, Scheduled, highest, is_search, lowest
from search_spaces.spec import (
    ExperimentSpec,
    Problem,
)
from trainers.methods import METHODS
from trainers.tasks import TASKS

# A population in which one can take over from another.
SMALLEST_POPULATION = 2


def check_epochs(spec: ExperimentSpec, environment: Environment) -> Iterator[Problem]:
    """Whether what is to happen in an epoch happens in any."""
    epochs = spec.training.epochs or TASKS[spec.task].under(spec.protocol).training.epochs
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


def check_search(spec: ExperimentSpec, environment: Environment) -> Iterator[Problem]:
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
