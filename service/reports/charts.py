"""What the charts of reports have in common: sizes, letters, colors, legends, panels side by side, and inline data."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import altair as alt
import pandas as pd

from service.reports.drawing import INCH
from service.reports.series import GREY, Series

# The lighter half of a scale of colors between losses and gains, whose middle is not quite a white page's.
NEITHER = "#F7F7F7"

# The fill of a hollow point: a page that is dark has another background.
BACKGROUND: Any = alt.ExprRef("background")

# A column of a paper in two columns, and both with what is between them.
COLUMN, PAGE = 3.3 * INCH, 6.8 * INCH

# What a vertical axis takes, what is between panels, and what is around all of them.
AXIS, GAP, EDGE = 28, 12, 10

# Letters are as large as a caption's, nearly 7 points; how wide one of them is on average. None are bold: vl-convert
# writes a PDF's fonts in another order each time, where there are several.
LETTERS, LETTER = 9, 4.5

# Where all values are the same, there is one tick, at a value of many decimals.
PERCENT = alt.Axis(format=".2~f")

THEME: dict[str, Any] = {
    "font": "sans-serif",
    "axis": {
        "labelFontSize": LETTERS, "titleFontSize": LETTERS, "titleFontWeight": "normal", "titlePadding": 4,
        "gridOpacity": 0.5, "tickSize": 3, "labelPadding": 2,
    },
    # one is as wide as another, and its labels do not stand out above: panels and their titles are in line
    "axisY": {"minExtent": AXIS, "maxExtent": AXIS, "labelFlush": 5},
    "header": {"labelFontSize": LETTERS + 1, "labelAnchor": "start", "labelPadding": 3, "labelLimit": 0, "title": None},
    "legend": {"labelFontSize": LETTERS, "titleFontSize": LETTERS, "titleFontWeight": "normal", "labelLimit": 0,
               "symbolLimit": 0, "symbolSize": 40, "rowPadding": 3, "offset": 8, "orient": "bottom"},
    "title": {"anchor": "start", "fontSize": LETTERS, "fontWeight": "normal", "subtitleFontSize": LETTERS, "offset": 6},
    "view": {"stroke": None},
}  # fmt: skip


def curves(
    rows: pd.DataFrame,
    series: Series,
    x: alt.X,
    over: str,
    title: Sequence[str],
    columns: int = 3,
    beside: bool = False,
) -> Any:
    """A panel for each `panel` of the rows: each `series` with a band of its sd, hollow where it has `few` seeds.

    Args:
        rows: with `panel`, `series`, `mean`, `sd`, `n`, `few`, and the column `over`. Those with `chosen` are vertical
            lines there, and have no mean.
        series: all that there are.
        x: the horizontal axis.
        over: its column.
        title: what the vertical axis shows, and further lines below.
        columns: at most so many panels are side by side.
        beside: series stand side by side, each with a bar in the place of lines and bands.
    """
    panels = list(dict.fromkeys(rows["panel"]))
    columns = min(len(panels), columns)
    width = COLUMN if columns == 1 else PAGE
    looks = encoded(series, width)
    spread = rows["sd"].fillna(0.0)
    rows = rows.assign(low=rows["mean"] - spread, high=rows["mean"] + spread)
    chosen = ["chosen"] if "chosen" in rows else []
    data = inline(rows, "panel", "series", over, "mean", "sd", "low", "high", "n", "few", *chosen)
    base = alt.Chart()  # the data are given once, to the whole: each layer would copy them
    offset = alt.XOffset("series:N", scale=alt.Scale(domain=list(series.names)))
    apart: dict[str, Any] = {"xOffset": offset} if beside else {}
    known = base.transform_filter("isValid(datum.mean)").encode(
        x, alt.Y("mean:Q", title=None, scale=alt.Scale(zero=False), axis=PERCENT), looks["color"], **apart
    )
    shown = known.encode(looks["shape"], tooltip=tooltip("series", over, "mean", "sd", "n"))
    within = {"y": alt.Y("low:Q", title=None, scale=alt.Scale(zero=False), axis=PERCENT), "y2": alt.Y2("high:Q")}
    layers = [known.mark_rule(aria=False).encode(**within)]
    if not beside:
        band = known.mark_area(opacity=0.15, aria=False).encode(**within)
        layers = [band, known.mark_line(strokeWidth=1.2, aria=False).encode(looks["strokeDash"])]
    if chosen:
        marks = base.transform_filter("isValid(datum.chosen)").mark_rule(strokeDash=[1, 2], aria=False)
        colored = rows["series"][rows["chosen"].notna()].notna().all()
        layers.append(marks.encode(alt.X("chosen:Q"), color=looks["color"] if colored else alt.value(GREY)))
    layers += [
        shown.mark_point(filled=True, size=28, opacity=1),
        shown.mark_point(filled=False, fill=BACKGROUND, size=28, strokeWidth=1.2, opacity=1).transform_filter(
            "datum.few"
        ),
    ]
    panel = alt.layer(*layers).properties(width=panel_width(width, columns), height=150)
    chart = facets(panel, "panel", panels, columns, title, data)
    return themed(chart.resolve_scale(y="independent").resolve_axis(x="independent"))


def encoded(series: Series, width: float) -> dict[str, Any]:
    """`color`, `shape` and `strokeDash`, with one legend, in as many columns as the width has room for."""
    names = list(series.names)
    columns = int((width - AXIS) // (max(map(len, names)) * LETTER + 22))
    legend = alt.Legend(columns=max(1, min(columns, len(names))), symbolOpacity=1)  # that of bands otherwise
    colors: dict[str, Any] = {"range": series.colors}
    if isinstance(series.colors, str):  # without its ends: dark ones are not seen on a dark page, light ones on white
        colors = {"scheme": {"name": series.colors, "extent": [0.2, 0.85]}}
    shapes, dashes = (alt.Scale(domain=names, range=list(looks)) for looks in (series.shapes, series.dashes))
    return {
        "color": alt.Color("series:N", title=None, legend=legend, scale=alt.Scale(domain=names, **colors)),
        "shape": alt.Shape("series:N", title=None, scale=shapes),
        "strokeDash": alt.StrokeDash("series:N", title=None, scale=dashes),
    }


def facets(
    panel: Any, by: str, order: Sequence[str], columns: int, title: Sequence[str] = (), data: Any = alt.Undefined
) -> Any:
    """A panel for each value of a column, side by side; the first line of the title is above, the others below it.

    Data are given if the panel has none.
    """
    chart = panel.facet(alt.Facet(f"{by}:N", sort=list(order), title=None), data=data, columns=columns, spacing=GAP)
    if title:
        further: dict[str, Any] = {"subtitle": "; ".join(title[1:])} if len(title) > 1 else {}
        chart = chart.properties(title=alt.TitleParams(title[0], **further))
    return chart


def one_below_another(charts: Sequence[Any]) -> Any:
    """One chart, or several, whose scales and legends are their own."""
    one = (
        charts[0] if len(charts) == 1 else alt.vconcat(*charts).resolve_scale(color="independent", shape="independent")
    )
    return themed(one)


def themed(chart: Any) -> Any:
    """A whole chart in our letters: parts of one cannot have them."""
    return chart.properties(config=THEME)


def panel_width(width: float, columns: int, axes: int | None = None) -> float:
    """How wide a panel is where so many are side by side; all have a vertical axis, if not so many have."""
    return (width - EDGE - (columns if axes is None else axes) * AXIS - (columns - 1) * GAP) / columns


def inline(rows: pd.DataFrame, *columns: str) -> alt.InlineData:
    """Some columns as data of a chart, as many rows as there are; what is no number is null."""
    chosen = rows[list(columns)]
    return alt.InlineData(values=[
        {name: _plain(value) for name, value in zip(columns, row, strict=True)}
        for row in chosen.itertuples(index=False, name=None)
    ])  # fmt: skip


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def tooltip(*columns: str) -> list[alt.Tooltip]:
    """What a page tells of where the pointer is; means have two decimals."""
    numbers: dict[str, dict[str, Any]] = {name: {"format": ".2f"} for name in ("mean", "sd")}
    types: Mapping[str, Literal["nominal"]] = dict.fromkeys(("series", "language", "other", "targets"), "nominal")
    return [
        alt.Tooltip(name, type=types.get(name, "quantitative"), title=name.upper() if name == "n" else name,
                    **numbers.get(name, {}))
        for name in columns
    ]  # fmt: skip


def whole_numbers(values: Iterable[int], most: int = 6) -> alt.Axis:
    """An axis of epochs, given those that there are: so many ticks at most, all at whole numbers.

    The ticks are given, since drawings that are made here do not keep to a least step (`tickMinStep`).
    """
    first, last = min(known := {int(value) for value in values}), max(known)
    for step in (factor * 10**power for power in itertools.count() for factor in (1, 2, 5)):
        ticks = list(range(-(-first // step) * step, last + 1, step))
        if len(ticks) <= most:
            break
    return alt.Axis(format="d", values=ticks or [first])


def tight(type_: Literal["linear", "log"] = "linear") -> alt.Scale:
    """From the first value to the last one, with room for their points."""
    zero: dict[str, Any] = {"zero": False} if type_ == "linear" else {}
    return alt.Scale(type=type_, nice=False, padding=6, **zero)
