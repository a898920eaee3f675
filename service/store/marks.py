"""Marks of scores (`trainers.marks`): each is a row of its own in `scores`, with the mark's name as its metric."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, select

from service.store.schema import scores
from trainers.marks import MARK_NAMES
from trainers.trial import Score

# What a mark is of: all scores of a model on the same examples.
OF = ("step", "language", "split", "data")


def rows(found: Sequence[Score]) -> Iterator[dict[str, Any]]:
    """Scores as rows of `scores`, each followed by those of its marks that are new."""
    there: set[tuple[Any, ...]] = set()
    for score in found:
        row = asdict(score)
        flags = {name: row.pop(name) for name in MARK_NAMES}
        yield row
        for name in MARK_NAMES:
            mark = (name, *(row[one] for one in OF))
            if flags[name] and mark not in there:
                there.add(mark)
                yield {**row, "metric": name, "value": 100.0}


def is_marked(name: str) -> ColumnElement[bool]:
    """Whether the score in a row of `scores` has a mark."""
    mark = scores.alias(name)
    same = (mark.c[one] == scores.c[one] for one in ("trial", *OF))
    return select(mark.c.id).where(*same, mark.c.metric == name).exists()


def is_score() -> ColumnElement[bool]:
    """Whether a row of `scores` is a score, not a mark."""
    return scores.c.metric.notin_(MARK_NAMES)
