"""How the series of a chart are told apart: a method has the same color and shape in all figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from trainers.methods import METHODS

# Okabe and Ito's colors, which the color-blind tell apart, and a grey. Their black and their yellow are left out: on a
# dark page, and on a white one, they are not seen.
GREY, VERMILION, ORANGE, SKY, BLUE, GREEN, PURPLE = (
    "#7F7F7F", "#D55E00", "#E69F00", "#56B4E9", "#0072B2", "#009E73", "#CC79A7",
)  # fmt: skip

# Of trainings, in the order of METHODS; no two of the first 14 have both.
COLORS = (GREY, VERMILION, ORANGE, SKY, BLUE, GREEN, PURPLE)
SHAPES = (
    "cross", "square", "triangle-up", "diamond", "circle", "triangle-down", "triangle-right", "triangle-left",
)  # fmt: skip

# A training's further selections, which a method's name has after a plus, have its color, another dash and shape.
SOLID = [1, 0]
DASHES: Mapping[str, list[int]] = {"": SOLID, "dev": [4, 2], "average": [1, 2], "held-out": [6, 2, 1, 2]}


@dataclass(frozen=True, kw_only=True)
class Series:
    """How the series of a chart are told apart: each by its place in all of these.

    Attributes:
        names: with their N, as the legend has them.
        colors: or the name of a scheme, for series that have an order.
        shapes: of points.
        dashes: of lines.
    """

    names: Sequence[str]
    colors: Sequence[str] | str
    shapes: Sequence[str]
    dashes: Sequence[list[int]]


def by_method(found: pd.DataFrame, named: "pd.Series[str] | None" = None) -> tuple[pd.DataFrame, Series]:
    """Rows in panels, with their series: a method, in the order of METHODS, looks the same in all figures."""
    rows = found.assign(series=with_counts(found["method"] if named is None else named, found["n"]))
    trainings = list(dict.fromkeys(method.partition("+")[0] for method in METHODS))
    places = {method: place for place, method in enumerate(METHODS)}
    methods = rows.drop_duplicates("series").set_index("series")["method"]
    names = sorted(methods.index, key=lambda name: (places.get(methods[name], len(places)), name))
    colors, shapes, dashes = [], [], []
    for name in names:
        training, _, selection = methods[name].partition("+")
        place = trainings.index(training) if training in trainings else len(trainings)
        further = list(DASHES).index(selection) if selection in DASHES else 0
        colors.append(COLORS[place % len(COLORS)])
        shapes.append(SHAPES[(place + 2 * further) % len(SHAPES)])
        dashes.append(DASHES.get(selection, SOLID))
    return in_panels(rows), Series(names=names, colors=colors, shapes=shapes, dashes=dashes)


def in_panels(rows: pd.DataFrame, among: pd.DataFrame | None = None) -> pd.DataFrame:
    """Rows with `panel`, of a task and K, and whether they have `few` seeds. What takes no shots is beside every K.

    Args:
        rows: with `task` and `k`.
        among: those that there are panels of, if not the same.
    """
    found = rows if among is None else among
    shots = found[found["k"] > 0] if (found["k"] > 0).any() else found
    if "n" in rows:
        rows = rows.assign(few=rows["n"] < rows.groupby("task")["n"].transform("max"))
    return pd.concat([
        rows[(rows["task"] == task) & rows["k"].isin([0, k])].assign(panel=f"{task}, K = {k}")
        for task, k in shots.groupby(["task", "k"]).groups
    ], ignore_index=True)  # fmt: skip


def with_counts(names: "pd.Series[str]", numbers: "pd.Series[int]") -> "pd.Series[str]":
    """Names of series with N, the number of seeds that their means are over."""
    counts = {name: counted(of) for name, of in numbers.groupby(names)}
    return names.map(lambda name: f"{name} ({counts[name]})")


def counted(numbers: "pd.Series[int]") -> str:
    """N, the number of seeds that means are over: "N = 5", "N = 3–5"."""
    low, high = int(numbers.min()), int(numbers.max())
    return f"N = {low}" if low == high else f"N = {low}–{high}"
