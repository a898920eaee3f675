"""Targets that methods left out, since the data lack a split that these need: what reports say and compare then.

The rows of reports have `left_out`: the targets that the row's method left out in its experiment, each as a pair of the
language and the splits that it lacks.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

Pairs = tuple[tuple[str, tuple[str, ...]], ...]

# Marks a mean that is over fewer languages than others.
MARK = "†"


def with_left_out(rows: pd.DataFrame, left_out: Mapping[str, Sequence[Mapping[str, Any]]]) -> pd.DataFrame:
    """Rows with their `left_out`.

    Args:
        rows: with `experiment` and `method`.
        left_out: by experiment, as `service.store` has it.
    """
    pairs: dict[tuple[str, str], Pairs] = {}
    for experiment, listed in left_out.items():
        for one in listed:
            key = experiment, one["method"]
            pairs[key] = (*pairs.get(key, ()), (one["language"], tuple(one["lacks"])))
    if not pairs:
        return rows.assign(left_out=[()] * len(rows))
    of_rows = zip(rows["experiment"], rows["method"], strict=True)
    return rows.assign(left_out=[pairs.get(key, ()) for key in of_rows])


def left_out(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """What the methods of some rows left out: `method`, `language` and `lacks`."""
    return [
        {"method": method, "language": language, "lacks": list(lacks)}
        for method, pairs in rows.groupby("method")["left_out"]
        for language, lacks in union(pairs)
    ]


def union(pairs: Iterable[Pairs]) -> Pairs:
    """All pairs, in alphabetical order."""
    return tuple(sorted({pair for one in set(pairs) for pair in one}))


def words(pairs: Iterable[Pairs]) -> list[str]:
    """All pairs in words: "kk (no dev split)"."""
    return [f"{language} (no {' and no '.join(lacks)} split)" for language, lacks in union(pairs)]


def notes(rows: pd.DataFrame) -> tuple[str, ...]:
    """Sentences for a report of these rows: what each method left out, and why; none if nothing was."""
    by_method = {method: words(pairs) for method, pairs in rows.groupby("method")["left_out"]}
    return tuple(f"{method} leaves out {', '.join(found)}." for method, found in by_method.items() if found)


def in_common(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of languages that no method left out in their task, for means that are over the same languages."""
    by_task = rows.groupby("task")["left_out"]
    lacking = {(task, language) for task, pairs in by_task for language, _ in union(pairs)}
    if not lacking:
        return rows
    of_rows = zip(rows["task"], rows["language"], strict=True)
    return rows[np.array([one not in lacking for one in of_rows], bool)]  # an empty list would be one of columns
