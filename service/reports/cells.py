"""How reports show values: cells of a table as text, and how many seeds a mean is over."""

from collections.abc import Sequence

import pandas as pd

from service.reports.left_out import MARK
from trainers.marks import MARKS, Mark
from trainers.methods import METHODS

# Groups of models, or languages, that a note names.
NOTED = 8


def need(rows: pd.DataFrame, what: str) -> None:
    """Refuse to make a report of nothing. ValueError that names `what` is missing."""
    if rows.empty:
        raise ValueError(f"there are no {what} among these results")


def pivot(rows: pd.DataFrame, index: list[str], columns: str, values: str) -> pd.DataFrame:
    """A wide table of one column's values, with methods in the order of the paper."""
    table = rows.pivot_table(values, index, columns, aggfunc="first", dropna=True)
    order = {method: place for place, method in enumerate(METHODS)}  # those of a package that is gone come last

    def place(method: str) -> int:
        return order.get(method, len(order))

    return table.sort_index(key=lambda level: level.map(place) if level.name == "method" else level)


def lacking(found: pd.DataFrame) -> "pd.Series[bool]":
    """Which rows of a summary lack scores that were planned, or seeds that others of their task have."""
    most = found.groupby("task")["seeds"].transform("max") if "task" in found else found["seeds"].max()
    return ~found["complete"] | (found["n"] < most)


def cells(found: pd.DataFrame, mean: str = "mean", sd: str | None = None) -> list[str]:
    """The means of a summary's rows as text, each with its sd if one is named.

    One that lacks scores or seeds has an asterisk and the number of seeds that it is over; one over fewer languages
    than others the mark of those.
    """
    spreads = found[sd] if sd is not None else [None] * len(found)
    columns = zip(found[mean], spreads, found["n"], lacking(found), found["left_out"], strict=True)
    return [_cell(*row) for row in columns]


def _cell(mean: float, sd: float | None, n: int, is_lacking: bool, left_out: Sequence[str]) -> str:
    known = "–" if pd.isna(mean) else f"{mean:.2f}"
    spread = f" ± {sd:.2f}" if sd is not None and not pd.isna(sd) else ""
    return f"{known}{spread}{f'* (n = {n})' if is_lacking else ''}{MARK if left_out else ''}"


def lacks(found: pd.DataFrame) -> tuple[str, ...]:
    """The note of a table whose cells have asterisks; none if no cell has one."""
    marked = "* lacks seeds or scores: it is over n seeds, and a seed that lacks a language does not count."
    return (marked,) if lacking(found).any() else ()


def hollow(found: pd.DataFrame) -> tuple[str, ...]:
    """The note of curves some of whose points are over fewer seeds than others, which are drawn hollow."""
    short = found["n"] < found.groupby("task")["n"].transform("max")
    return ("Hollow points lack seeds: n says over how many they are.",) if short.any() else ()


def counted(numbers: "pd.Series[int]", planned: "pd.Series[int]") -> list[str]:
    """Numbers, such as those of seeds, as text, with an asterisk where they are fewer than were planned."""
    return [f"{n}{'*' if n < most else ''}" for n, most in zip(numbers, planned, strict=True)]


def absent(rows: pd.DataFrame) -> tuple[str, ...]:
    """The note of gains that are over what is there: which languages and seeds have no score; none if all have.

    Args:
        rows: of the methods that are compared, also those that have no value yet.
    """
    found = rows[rows["value"].isna()].groupby("language")["seed"].unique()
    said = [f"{language} (seed {', '.join(map(str, sorted(of)))})" for language, of in found.items()]
    more = f" and {len(said) - NOTED} more" if len(said) > NOTED else ""
    return (f"* lacks seeds or languages; not there: {'; '.join(said[:NOTED])}{more}.",) if said else ()


def rounded(value: object) -> str:
    """A value as text, floats with two decimals."""
    if isinstance(value, float):
        return "–" if pd.isna(value) else f"{value:.2f}"
    return str(value)


def marked(rows: pd.DataFrame) -> tuple[str, ...]:
    """A note for each mark that any of the rows has."""
    return tuple(note for mark in MARKS if (note := _marked(rows, mark)) is not None)


def _marked(rows: pd.DataFrame, mark: Mark) -> str | None:
    found = rows[rows[mark.name].astype(bool)]
    if found.empty:
        return None
    groups = found.groupby(["task", "method", "k"])[mark.of].unique()
    word = f"{mark.of} " if mark.of == "seed" else ""
    said = [f"{task}, {method}, K = {k} ({word}{', '.join(map(str, sorted(of)))})"
            for (task, method, k), of in groups.items()]  # fmt: skip
    more = f" and {len(said) - NOTED} more" if len(said) > NOTED else ""
    return f"{mark.models.capitalize()}: {'; '.join(said[:NOTED])}{more}."


def seeds(numbers: "pd.Series[int]") -> str:
    """The numbers of seeds that means are over, in words: "5 seeds", "3 to 5 seeds"."""
    low, high = int(numbers.min()), int(numbers.max())
    return f"{low if low == high else f'{low} to {high}'} seed{'s' if high != 1 else ''}"
