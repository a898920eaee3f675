"""How the series of a chart are told apart: a method has the same color and shape in all figures.

Several series of one method, such as the candidates of a search, have shades of its color and different shapes.
"""

import re
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


# The lightness (CIE 1976 L*) of a color's darkest shade and of its lightest: both are seen on white and on a dark page.
DARKEST, LIGHTEST = 38.0, 74.0

# A number in the name of a series, such as that of an α.
NUMBER = re.compile(r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?)")


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
    """Rows in panels, with their series: a method, in the order of METHODS, looks the same in all figures.

    Args:
        found: with `method`, `task`, `k` and `n`.
        named: the name of each row's series without N, if a method has several; their numbers order them.
    """
    rows = found.assign(series=with_counts(found["method"] if named is None else named, found["n"]))
    trainings = list(dict.fromkeys(method.partition("+")[0] for method in METHODS))
    places = {method: place for place, method in enumerate(METHODS)}
    methods = rows.drop_duplicates("series").set_index("series")["method"]
    names = sorted(methods.index, key=lambda name: (places.get(methods[name], len(places)), _by_numbers(name)))
    colors, shapes, dashes = [], [], []
    for name in names:
        training, _, selection = methods[name].partition("+")
        place = trainings.index(training) if training in trainings else len(trainings)
        further = list(DASHES).index(selection) if selection in DASHES else 0
        of_method = [other for other in names if methods[other] == methods[name]]
        nth = of_method.index(name)
        colors.append(_shades(COLORS[place % len(COLORS)], len(of_method))[nth])
        shapes.append(SHAPES[(place + 2 * further + nth) % len(SHAPES)])
        dashes.append(DASHES.get(selection, SOLID))
    return in_panels(rows), Series(names=names, colors=colors, shapes=shapes, dashes=dashes)


def _by_numbers(name: str) -> list[str | float]:
    """What orders names by the numbers in them: "alpha 0.5" is before "alpha 1", and "1e-05" before "0.0001"."""
    return [float(part) if place % 2 else part for place, part in enumerate(NUMBER.split(name))]


def _shades(color: str, count: int) -> list[str]:
    """So many shades of a color, from dark to light; the color itself if it is one."""
    if count == 1:
        return [color]
    parts = [_linear(int(color[place : place + 2], 16) / 255) for place in (1, 3, 5)]
    luminance = sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True))
    found = []
    for nth in range(count):
        wanted = ((DARKEST + (LIGHTEST - DARKEST) * nth / (count - 1) + 16) / 116) ** 3
        if wanted <= luminance:
            mixed = [part * wanted / luminance for part in parts]
        else:
            white = (wanted - luminance) / (1 - luminance)
            mixed = [part + (1 - part) * white for part in parts]
        found.append("#" + "".join(f"{round(255 * _encoded(part)):02X}" for part in mixed))
    return found


def _linear(part: float) -> float:
    """A part of an sRGB color as light (IEC 61966-2-1)."""
    return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)


def _encoded(light: float) -> float:
    """Light as a part of an sRGB color."""
    return 12.92 * light if light <= 0.0031308 else float(1.055 * light ** (1 / 2.4) - 0.055)


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
