"""Charts of reports: functions from frames to Altair's charts, as wide as a column of a paper or as its page."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from service.reports.charts import (
    AXIS,
    BACKGROUND,
    COLUMN,
    EDGE,
    GAP,
    LETTER,
    LETTERS,
    NEITHER,
    PAGE,
    curves,
    encoded,
    facets,
    inline,
    one_below_another,
    panel_width,
    themed,
    tight,
    tooltip,
    whole_numbers,
)
from service.reports.drawing import Drawing
from service.reports.series import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SHAPES,
    SKY,
    SOLID,
    VERMILION,
    Series,
    by_method,
    counted,
    in_panels,
)

# Of values of K, of which there are few.
OF_SHOTS = (
    (ORANGE, "circle"), (BLUE, "square"), (GREEN, "triangle-up"), (PURPLE, "diamond"), (SKY, "triangle-down"),
    (VERMILION, "cross"), (GREY, "triangle-right"),
)  # fmt: skip

# Targets that a title names; of more it has the number.
NAMED = 5

# How many languages are side by side, where there are at most so many.
SIDE_BY_SIDE = {1: 1, 4: 2, 12: 4, 10_000: 8}

# Of more languages, one heat map is as wide as a page.
MANY = 20

# From this ratio of the largest to the smallest on, values of a hyperparameter are on a logarithmic axis; up to so many
# of them are its ticks.
WIDE, TICKS = 20, 8

# What the title of a chart says of its marks.
HOLLOW = "hollow: lacks seeds"


def sweep_figure(table: pd.DataFrame, over: str) -> Drawing:
    """Objective and test score of a search's candidates against a hyperparameter.

    The objective of a candidate that is not complete is hollow: it lacks seeds, or was stopped.

    Args:
        table: as `service.client.Client.sweep` returns it.
        over: the hyperparameter on the horizontal axis.

    Raises:
        ValueError: no candidate differs in it.
    """
    numbers = table[pd.to_numeric(table[over], errors="coerce").notna()] if len(table) else table
    numbers = numbers.assign(
        panel=[
            f"{method}, K = {k}: {', '.join(targets) if len(targets) <= NAMED else f'{len(targets)} targets'}"
            for method, k, targets in zip(numbers["method"], numbers["k"], numbers["target_languages"], strict=True)
        ]
    )
    numbers = numbers[numbers.groupby("panel")[over].transform("nunique") > 1]
    if not len(numbers):
        raise ValueError(f"no two candidates of the experiment differ in {over}")
    values = numbers[over].astype(float)
    shared = {"panel": numbers["panel"], over: values, "n": numbers["seeds"]}
    parts = []
    for column, words, few in (
        ("objective", table.attrs["objective"], ~numbers["complete"].astype(bool)),
        ("test", "test, targets", False),
    ):
        part = pd.DataFrame(shared).assign(mean=numbers[f"{column}_mean"], sd=numbers[f"{column}_sd"], few=few)
        part = part[part["mean"].notna()]
        parts.append(part.assign(series=f"{words} ({counted(part['n'])})"))
    names = [part["series"].iloc[0] for part in parts if len(part)]
    series = Series(names=names, colors=(BLUE, VERMILION), shapes=("circle", "square"), dashes=[SOLID] * 2)
    chosen = numbers[numbers["chosen"].astype(bool)]
    marks = pd.DataFrame({"panel": chosen["panel"], "chosen": chosen[over].astype(float)})
    is_wide = bool((values > 0).all() and values.max() >= WIDE * values.min())
    ticks = sorted(values.unique())
    few_values: dict[str, Any] = {"values": ticks} if len(ticks) <= TICKS else {}
    axis = alt.Axis(format=".2~e", **few_values) if is_wide else alt.Axis()
    x = alt.X(f"{over}:Q", title=over, scale=tight("log" if is_wide else "linear"), axis=axis)
    key = [f"{HOLLOW}, or was stopped"] if any(part["few"].any() for part in parts) else []
    key += ["dotted line: chosen"] if len(marks) else []
    found = pd.concat([*parts, *([marks] if len(marks) else [])], ignore_index=True)
    chart = curves(found, series, x, over, ["score, percent", *key], columns=2)
    said = (f"{words[0].upper()}{words[1:]}." for words in ("; ".join(numbers["panel"].unique()), *key))
    return Drawing(chart, f"Objective and test score by {over}", tuple(said))


def alpha_curve(found: pd.DataFrame) -> Any:
    """The mean over targets against α."""
    rows, series = by_method(found)
    x = alt.X("alpha:Q", title="α", scale=tight())
    return curves(rows, series, x, "alpha", ["mean over targets, percent", *_hollow(rows)])


def conflicts(found: pd.DataFrame) -> Any:
    """Conflicts against epochs, a line for each α; where methods have several, colors are those of α."""
    rows, series = by_method(found, found["method"] + ", α = " + found["alpha"].map("{:g}".format))
    ordered = rows.sort_values(["alpha", "method"]).drop_duplicates("series")
    methods = list(ordered["method"].unique())
    if len(ordered) > len(methods):
        shapes = [SHAPES[methods.index(method) % len(SHAPES)] for method in ordered["method"]]
        series = Series(names=list(ordered["series"]), colors="viridis", shapes=shapes, dashes=[SOLID] * len(shapes))
    words = ["conflicts, percent of operations", *_hollow(rows)]
    return curves(rows, series, _epochs(rows), "epoch", words)


def over_epochs(found: pd.DataFrame, chosen: "pd.Series[float]") -> Any:
    """Test scores against epochs; a dotted line where a method selects, on average."""
    rows, series = by_method(found)
    of = ["task", "k", "method"]
    named = rows.drop_duplicates(of).set_index(of)["series"]
    marks = in_panels(chosen.rename("chosen").reset_index().join(named, on=of), found)
    words = ["test, percent", "dotted line: the epoch that a method selects, on average", *_hollow(rows)]
    return curves(pd.concat([rows, marks], ignore_index=True), series, _epochs(rows), "epoch", words)


def dev_curves(found: pd.DataFrame) -> Any:
    """Dev scores against epochs, of the source and of targets whose dev sets select."""
    names = found["method"] + found["candidate"].where(found["candidate"] == "", ", " + found["candidate"])
    rows, series = by_method(found, names + found["of"].map({"source": "", "targets": ", on targets"}))
    return curves(rows, series, _epochs(rows), "epoch", ["dev, percent", *_hollow(rows)])


def overfitting(found: pd.DataFrame, best: pd.DataFrame) -> Any:
    """Dev curves, a panel for each language: points since the first epoch, so that all are on one scale.

    Args:
        found: means by task, k, language and epoch.
        best: the best epoch of each curve, which is marked.
    """
    return one_below_another([_overfitting(rows, best[best["task"] == task]) for task, rows in found.groupby("task")])


def _overfitting(found: pd.DataFrame, best: pd.DataFrame) -> Any:
    point = ["k", "language", "epoch"]
    found = found.sort_values(point)
    names = {}
    for k, of_k in found.groupby("k"):
        epochs = best["epoch"][best["k"] == k]
        names[k] = f"K = {k}: {(epochs == 1).sum()} of {len(epochs)} best after epoch 1 ({counted(of_k['n'])})"
    rows = found.assign(
        change=found["mean"] - found.groupby(point[:2])["mean"].transform("first"),
        few=found["n"] < found["n"].max(),
        best=pd.MultiIndex.from_frame(found[point]).isin(pd.MultiIndex.from_frame(best[point])),
        series=found["k"].map(names),
    )
    languages = sorted(rows["language"].unique())
    columns = next(columns for most, columns in SIDE_BY_SIDE.items() if len(languages) <= most)
    width = COLUMN if columns <= 2 else PAGE
    colors, shapes = zip(*(OF_SHOTS[place % len(OF_SHOTS)] for place in range(len(names))), strict=True)
    series = Series(names=list(names.values()), colors=colors, shapes=shapes, dashes=[SOLID] * len(names))
    looks = encoded(series, width)
    base = alt.Chart(inline(rows, "language", "series", "epoch", "change", "mean", "n", "few", "best")).encode(
        alt.X("epoch:Q", title="epoch", axis=whole_numbers(rows["epoch"], 3), scale=tight()),
        alt.Y("change:Q", title=None, axis=alt.Axis(tickCount=3)),
        looks["color"],
        tooltip=tooltip("language", "series", "epoch", "mean", "n"),
    )
    hollow = base.mark_point(filled=False, fill=BACKGROUND, size=10, strokeWidth=0.8, opacity=1)
    marked = base.mark_point(filled=True, size=22, opacity=1).encode(looks["shape"])
    layers = alt.layer(
        base.mark_line(strokeWidth=1, aria=False),
        hollow.transform_filter("datum.few"),
        marked.transform_filter("datum.best"),
    ).properties(width=panel_width(width, columns, axes=1), height=60 if columns > 4 else 90)
    title = [f"{found['task'].iloc[0]}: target dev, points since epoch 1", "marked: the best epoch", *_hollow(rows)]
    return facets(layers, "language", languages, columns, title)


def groupings(found: pd.DataFrame) -> Any:
    """The mean over common languages, by how many targets a model is for; methods are side by side."""
    sizes = [f"{size:g}" for size in sorted(found["targets"].unique())]
    rows, series = by_method(found.assign(targets=found["targets"].map("{:g}".format)))
    x = alt.X("targets:N", title="targets of a model", axis=alt.Axis(labelAngle=0, grid=False),
              scale=alt.Scale(domain=sizes, paddingInner=0.3, paddingOuter=0.15))  # fmt: skip
    return curves(rows, series, x, "targets", ["mean, percent", *_hollow(rows)], beside=True)


def dev_sizes(found: pd.DataFrame) -> Any:
    """Bars: examples of each language's dev set, a panel for each task."""
    return one_below_another([_dev_sizes(task, rows) for task, rows in found.groupby("task", sort=False)])


def _dev_sizes(task: str, rows: pd.DataFrame) -> Any:
    order = list(rows["language"])
    width = (COLUMN if len(rows) <= 15 else PAGE) - AXIS - EDGE
    is_long = max(map(len, order)) * LETTER > width / len(rows)
    is_crowded = len(str(rows["examples"].max())) * LETTER > width / len(rows)
    base = alt.Chart(inline(rows, "language", "examples")).encode(
        alt.X("language:N", title=None, sort=order,
              axis=alt.Axis(labelAngle=-90 if is_long else 0, grid=False, labelOverlap=False)),
        alt.Y("examples:Q", title=None),
        tooltip=tooltip("language", "examples"),
    )  # fmt: skip
    turned: dict[str, Any] = {"angle": 270, "align": "left", "baseline": "middle", "dx": 3}
    numbers = base.mark_text(fontSize=LETTERS - 1, aria=False, **(turned if is_crowded else {"dy": -5})).encode(
        alt.Text("examples:Q", format=",")
    )
    bars = base.mark_bar(color=BLUE)
    # bars of very few languages are no wider than others
    size: Any = {"step": 40} if len(rows) * 40 < width else width
    return alt.layer(bars, numbers).properties(width=size, height=120, title=f"{task}: dev examples")


def cosines(found: pd.DataFrame, order: Sequence[str], families: Mapping[str, str]) -> Any:
    """A heat map for each task, K and method: languages in a given order, with lines between their families."""
    of_panels = zip(found["task"], found["k"], found["method"], strict=True)
    panel = [f"{task}, K = {k}: {method}" for task, k, method in of_panels]
    blocks: dict[str, list[str]] = {}
    for language in order:
        blocks.setdefault(families[language], []).append(language)
    named = {languages[(len(languages) - 1) // 2]: family for family, languages in blocks.items()}
    begins = {languages[0] for languages in blocks.values()} - {order[0]}
    at_edge = found["other"] == order[0]
    rows = found.assign(
        panel=panel, family=found["language"].map(named).where(at_edge), begins=found["language"].isin(begins) & at_edge
    )
    columns = 1 if len(order) > MANY else 2
    beside = max(map(len, blocks)) * LETTER + GAP
    side = (PAGE - EDGE - AXIS - (columns - 1) * GAP) / columns - beside
    letters = min(LETTERS, side / len(order))
    apart = found["mean"][found["language"] != found["other"]].abs().max()
    most = 0.1 if pd.isna(apart) else min(1.0, math.ceil(10 * max(apart, 0.01)) / 10)
    shade = alt.Scale(domain=[-most, 0, most], range=[VERMILION, NEITHER, BLUE], clamp=True)
    bar = alt.Legend(gradientLength=120, titleOrient="left")
    both = alt.Chart(inline(rows, "panel", "language", "other", "mean", "n", "family", "begins"))

    def axis(angle: int) -> alt.Axis:
        look: dict[str, Any] = {"ticks": False, "domain": False, "grid": False, "labelOverlap": False}
        return alt.Axis(labelFontSize=letters, labelAngle=angle, **look)

    inside = alt.Scale(domain=list(order))
    x, y = alt.X("other:N", title=None, scale=inside), alt.Y("language:N", title=None, scale=inside)
    cells = both.mark_rect(aria=False).encode(
        x.axis(axis(-90)), y.axis(axis(0)), alt.Color("mean:Q", title="cosine", legend=bar, scale=shade),
        tooltip=tooltip("language", "other", "mean", "n"),
    )  # fmt: skip
    edges = both.transform_filter("datum.begins").mark_rule(strokeWidth=0.5, color=GREY, aria=False)
    words = both.transform_filter("isValid(datum.family)").mark_text(align="left", fontSize=letters, aria=False)
    layers = alt.layer(
        cells,
        edges.encode(alt.Y("language:N", bandPosition=0)),
        edges.encode(alt.X("language:N", bandPosition=0)),
        words.encode(y, x=alt.value(side + 4), text="family:N"),
    ).properties(width=side, height=side)
    return themed(facets(layers, "panel", list(dict.fromkeys(panel)), columns).resolve_axis(x="independent"))


def _hollow(rows: pd.DataFrame) -> list[str]:
    return [HOLLOW] if rows["few"].any() else []


def _epochs(rows: pd.DataFrame) -> alt.X:
    return alt.X("epoch:Q", title="epoch", axis=whole_numbers(rows["epoch"]), scale=tight())
