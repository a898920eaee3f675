"""Scores of models that predict the same label everywhere: `scores` has a row of its own that says so of the others."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, select

from service.store.schema import ONE_LABEL, scores
from trainers.trial import Score


def rows(found: Sequence[Score]) -> Iterator[dict[str, Any]]:
    """Scores as rows of `scores`, each once, with marks for those whose predictions are all the same."""
    marked: set[tuple[Any, ...]] = set()
    for score in found:
        row = asdict(score)
        of = tuple(row[name] for name in ("step", "language", "split", "data"))
        if row.pop("one_label") and of not in marked:
            marked.add(of)
            yield {**row, "metric": ONE_LABEL, "value": 100.0}
        yield row


def is_marked() -> ColumnElement[bool]:
    """Whether the predictions behind a row of `scores` are all the same."""
    mark = scores.alias("mark")
    same = (mark.c[name] == scores.c[name] for name in ("trial", "step", "language", "split", "data"))
    return select(mark.c.id).where(*same, mark.c.metric == ONE_LABEL).exists()
