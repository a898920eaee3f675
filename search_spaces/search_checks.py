"""Checks a spec's search: its spaces, its searcher and its scheduler, and the epochs in which they count."""

from collections.abc import Iterator

from search_spaces.method_space import MethodSpace, epoch_range, searched_spaces, spaces_of
from search_spaces.problems import Problem
from search_spaces.schedulers import SearchFacts
from search_spaces.spaces import FIELDS, Range, Scheduled, is_search
from search_spaces.spec import ExperimentSpec
from trainers.methods import METHODS


def check_epochs(spec: ExperimentSpec) -> Iterator[Problem]:
    """Schedules that change a value, and schedulers that stop or change a trial, only after its last epoch."""
    fewest, most = epoch_range(spec)
    spaces = {FIELDS[name]: space for name, space in spaces_of(spec).items()}
    for field, space in spaces.items():
        if isinstance(space, Scheduled) and space.steps()[-1][0] >= fewest:
            last = space.steps()[-1][0]
            yield Problem(field, f"epoch {last} is not reached; allowed: from 0 to {fewest - 1}, the last epoch")
    if spec.search.scheduler is not None:
        of_methods = {method: MethodSpace(spec, method) for method in spec.methods}
        yield from spec.search.scheduler.problems(
            SearchFacts(
                fewest_epochs=fewest,
                most_epochs=most,
                spaces=spaces,
                candidates={method: space.count for method, space in of_methods.items() if space.searched},
                searcher=spec.search.searcher,
            )
        )


def check_search(spec: ExperimentSpec) -> Iterator[Problem]:
    """Ranges and searchers that do not go together, and searches of nothing."""
    searcher = spec.search.searcher
    for name, space in spaces_of(spec).items():
        if not isinstance(space, Range):
            continue
        if not searcher.draws_samples and space.samples is None:
            yield Problem(FIELDS[name], 'a range needs "samples", how many values are drawn of it; allowed: from 1')
        if searcher.draws_samples and space.samples is not None:
            yield Problem(FIELDS[name], 'the searcher says how many samples are drawn; allowed: no "samples" here')
    if searched_spaces(spec):
        if spec.test_at == "every":
            yield Problem(
                "test_at", "a search must not see test scores; allowed: selected, or nothing that is searched"
            )
        return
    if spec.alpha is not None and is_search(spec.alpha):
        surgery = ", ".join(name for name, method in METHODS.items() if method.surgery)
        yield Problem("alpha", f"no method of the experiment has surgery; allowed: with {surgery}")
    for field, is_given in (("searcher", searcher.draws_samples), ("scheduler", spec.search.scheduler is not None)):
        if is_given:
            yield Problem(
                f"search.{field}",
                "nothing is searched; allowed: with a grid or range of alpha, training.learning_rate,"
                " training.batch_size or training.epochs",
            )
