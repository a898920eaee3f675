"""The facts about a split, from its examples."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from trainers.data.token_counts import guessed, sampled
from trainers.digests import digest
from trainers.examples import Example, Facts
from trainers.tasks.task import Task


def facts_of(task: Task[Any], examples: Sequence[Example]) -> Facts:
    """The facts about a split of a task, given all its examples; every source of data computes them like this."""
    return Facts(
        examples=len(examples),
        digest=digest(list(examples)),
        labels=tuple(sorted({label for example in examples for label in task.labels_of(example)})),
        strata=dict(Counter(map(task.stratum, examples))),
        sub_words=tuple(guessed(task.text(example)) for example in sampled(examples)),
    )
