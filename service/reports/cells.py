"""How reports show values: cells of a table as text, and how many seeds a mean is over."""

from collections.abc import Sequence

import pandas as pd

from service.reports.left_out import MARK
from trainers.methods import METHODS

# Groups of models that a note names.
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


def cell(mean: float | None, sd: float | None, complete: bool, left_out: Sequence[str] = ()) -> str:
    """A mean with its sd, if known; marked with an asterisk if it lacks scores, and if languages are left out of it."""
    if mean is None or pd.isna(mean):
        return "–*"
    spread = f" ± {sd:.2f}" if sd is not None and not pd.isna(sd) else ""
    return f"{mean:.2f}{spread}{'' if complete else '*'}{MARK if left_out else ''}"


def rounded(value: object) -> str:
    """A value as text, floats with two decimals."""
    if isinstance(value, float):
        return "–" if pd.isna(value) else f"{value:.2f}"
    return str(value)


def one_label(rows: pd.DataFrame) -> tuple[str, ...]:
    """A note on the scores of models that predict the same label everywhere; none if there are none."""
    found = rows[rows["one_label"].astype(bool)]
    if found.empty:
        return ()
    groups = found.groupby(["task", "method", "k"])["language"].unique()
    said = [
        f"{task}, {method}, K = {k} ({', '.join(sorted(languages))})" for (task, method, k), languages in groups.items()
    ]
    more = f" and {len(said) - NOTED} more" if len(said) > NOTED else ""
    return (f"Models that predict the same label everywhere: {'; '.join(said[:NOTED])}{more}.",)


def seeds(numbers: "pd.Series[int]") -> str:
    """The numbers of seeds that means are over, in words: "5 seeds", "3 to 5 seeds"."""
    low, high = int(numbers.min()), int(numbers.max())
    return f"{low if low == high else f'{low} to {high}'} seed{'s' if high != 1 else ''}"
