"""The facts about a split, from its examples."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from trainers.data.token_counts import guessed, sampled
from trainers.digests import digest_of_all
from trainers.examples import Example, Facts
from trainers.tasks.task import Task


def facts_of(task: Task[Any], examples: Sequence[Example]) -> Facts:
    """The facts about a split of a task, given all its examples; every source of data computes them like this."""
    return Facts(
        examples=len(examples),
        digest=digest_of_all(examples),
        labels=tuple(sorted({label for example in examples for label in task.labels_of(example)})),
        strata=dict(Counter(map(task.stratum, examples))),
        sub_words=tuple(guessed(task.text(example)) for example in sampled(examples)),
    )


def oddities(task: Task[Any], examples: Iterable[tuple[str, Example]]) -> Iterator[str]:
    """In words, what is odd about the examples of a split (`Task.oddity`), given with their places: each thing once."""
    first: dict[str, str] = {}
    count = Counter[str]()
    for place, example in examples:
        if (oddity := task.oddity(example)) is not None:
            first.setdefault(oddity, place)
            count[oddity] += 1
    for oddity, place in first.items():
        others = f", and {count[oddity] - 1} more" if count[oddity] > 1 else ""
        yield f"{place}{others}: {oddity}"
