"""Figures, drawn with matplotlib."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from trainers.methods import METHODS

# Okabe and Ito's colors, which the color-blind tell apart.
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#999999"
COLORS = (BLUE, ORANGE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

# Inches: a column of a paper in two columns, and a panel's height; letters are as large as a caption's.
COLUMN, HEIGHT, POINTS = 3.3, 2.5, 7

# More bars than these have their names turned.
CROWDED = 20


def sweep_figure(table: pd.DataFrame, over: str) -> Any:
    """Objective and test score of a search's candidates against a hyperparameter, as a matplotlib figure.

    The objective of a candidate that is not complete is hollow: it lacks seeds, or was stopped.

    Args:
        table: as `service.client.Client.sweep` returns it.
        over: the hyperparameter on the horizontal axis.

    Raises:
        ValueError: no candidate differs in it.
    """
    import matplotlib.pyplot as plt

    numbers = table[pd.to_numeric(table[over], errors="coerce").notna()] if len(table) else table
    panels = list(numbers.groupby(["method", "k", numbers["target_languages"].map(", ".join)])) if len(numbers) else []
    panels = [(name, rows) for name, rows in panels if rows[over].nunique() > 1]
    if not panels:
        raise ValueError(f"no two candidates of the experiment differ in {over}")
    figure = plt.figure(figsize=(5.0 * len(panels), 3.6), layout="constrained")
    plt.close(figure)  # a notebook shows it as the value of its cell, and not a second time
    for axes, ((method, k, targets), rows) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
    ):
        ordered = rows.sort_values(over)
        for column, words, color, marker in (
            ("objective", table.attrs["objective"], BLUE, "o"),
            ("test", "test, targets", ORANGE, "s"),
        ):
            known = ordered[ordered[f"{column}_mean"].notna()]
            axes.errorbar(
                known[over].astype(float), known[f"{column}_mean"], yerr=known[f"{column}_sd"].fillna(0.0),
                color=color, marker=marker, capsize=3, label=words,
            )  # fmt: skip
        short = ordered[~ordered["complete"].astype(bool) & ordered["objective_mean"].notna()]
        if len(short):
            axes.plot(
                short[over].astype(float), short["objective_mean"], color=BLUE, marker="o", linestyle="none",
                markerfacecolor="white", zorder=3, label="lacks seeds, or was stopped",
            )  # fmt: skip
        for value in ordered[ordered["chosen"]][over]:
            axes.axvline(value, color=GREY, linestyle=":", label="chosen")
        axes.set_xlabel(over)
        axes.set_ylabel("score, percent")
        axes.set_title(f"{method}, K = {k}\n{targets}", fontsize="medium")
        axes.legend(fontsize="small")
    return figure


def alpha_curve(found: pd.DataFrame) -> Any:
    """The mean over targets against α."""
    return _lines(found, "alpha", "α", "mean over targets, percent")[0]


def conflicts(found: pd.DataFrame) -> Any:
    """Conflicts against epochs, a line for each α."""
    named = found.assign(line=found["method"] + ", α = " + found["alpha"].map("{:g}".format))
    return _lines(named, "epoch", "epoch", "conflicts, percent of oracle passes")[0]


def over_epochs(found: pd.DataFrame, chosen: "pd.Series[float]") -> Any:
    """Test scores against epochs; a dotted line where a method selects, on average."""
    figure, panels = _lines(found, "epoch", "epoch", "test, percent")
    for (task, k, method), epoch in chosen.items():
        for (of, shots), panel in panels.items():
            if of == task and k in (0, shots):
                panel.axvline(epoch, color=_color(method), linestyle=":", linewidth=0.8)
    return figure


def overfitting(found: pd.DataFrame, first: pd.DataFrame) -> Any:
    """Dev curves, and how many of them are best after the first epoch."""
    panels = list(found.groupby(["task", "k"]))
    figure, axes = _panels(len(panels))
    for panel, ((task, k), rows) in zip(axes, panels, strict=True):
        for number, (language, curve) in enumerate(rows.groupby("language")):
            color = COLORS[number % len(COLORS)]
            panel.plot(curve["epoch"], curve["mean"], color=color, linewidth=0.8)
            few = curve[curve["n"] < found["n"][found["task"] == task].max()]
            panel.plot(few["epoch"], few["mean"], "o", color=color, markerfacecolor="white", markersize=3)
            end = curve[["epoch", "mean"]].iloc[-1]
            panel.annotate(f" {language}", end, fontsize=POINTS - 1, color=color, va="center")
        [count] = first[(first["task"] == task) & (first["k"] == k)].to_dict("records")
        panel.set_title(
            f"{task}, K = {k}: {count['first']} of {count['languages']} best after epoch 1", fontsize=POINTS
        )
        panel.set_xlabel("epoch")
        panel.set_ylabel("target dev, percent")
        _whole_numbers(panel)
    return figure


def groupings(found: pd.DataFrame) -> Any:
    """Bars: the mean over common languages by how many targets a model is for."""
    panels = list(found.groupby(["task", "k"]))
    figure, axes = _panels(len(panels))
    low = (found["mean"] - found["sd"].fillna(0.0)).min()
    for panel, ((task, k), rows) in zip(axes, panels, strict=True):
        sizes = sorted(rows["targets"].unique())
        for place, size in enumerate(sizes):
            here = rows[rows["targets"] == size]
            width = 0.8 / len(here)
            for number, row in enumerate(here.to_dict("records")):
                at = place + (number - (len(here) - 1) / 2) * width
                spread = 0.0 if pd.isna(row["sd"]) else row["sd"]
                panel.bar(at, row["mean"], width, yerr=spread, color=_color(row["method"]), label=row["method"],
                          error_kw={"linewidth": 0.8})  # fmt: skip
        panel.set_ylim(bottom=max(0.0, low - 5))
        panel.set_xticks(range(len(sizes)), [f"{size:g}" for size in sizes])
        panel.set_xlabel("targets of a model")
        panel.set_ylabel("mean, percent")
        panel.set_title(f"{task}, K = {k}", fontsize=POINTS)
    _legend(figure, axes)
    return figure


def dev_sizes(found: pd.DataFrame) -> Any:
    """Bars: examples of each language's dev set, a panel for each task."""
    panels = list(found.groupby("task"))
    figure, axes = _panels(len(panels), wide=True)
    for panel, (task, rows) in zip(axes, panels, strict=True):
        panel.bar(rows["language"], rows["examples"], color=BLUE)
        panel.set_ylabel("dev examples")
        panel.set_title(task, fontsize=POINTS)
        panel.set_xlim(-0.6, max(len(rows), 8) - 0.4)
        panel.tick_params(axis="x", rotation=90 if len(rows) > CROWDED else 0)
    return figure


def cosines(found: pd.DataFrame, order: Sequence[str], families: Mapping[str, str]) -> Any:
    """A heatmap for each task, K and method; lines between families."""
    groups = list(found.groupby(["task", "k", "method"]))
    figure, axes = _panels(len(groups))
    figure.set_figheight(COLUMN)
    shown = None
    for panel, ((task, k, method), rows) in zip(axes, groups, strict=True):
        matrix = rows.pivot_table("mean", "language", "other").reindex(index=order, columns=order)
        shown = panel.imshow(matrix.where(matrix >= 0), cmap="Blues", vmin=0, vmax=1)
        ticks = {"labelsize": max(3, min(POINTS, 200 // len(order)))}
        panel.set_xticks(range(len(order)), order, rotation=90)
        panel.set_yticks(range(len(order)), order)
        panel.tick_params(length=0, **ticks)
        panel.spines[["top", "right"]].set_visible(True)
        for place in range(1, len(order)):
            if families[order[place]] != families[order[place - 1]]:
                for line in (panel.axhline, panel.axvline):
                    line(place - 0.5, color=GREY, linewidth=0.4)
        panel.set_title(f"{task}, K = {k}: {method}", fontsize=POINTS)
    bar = figure.colorbar(shown, ax=axes, shrink=0.8)
    bar.set_label("cosine", fontsize=POINTS)
    bar.ax.tick_params(labelsize=POINTS - 1)
    return figure


def _lines(found: pd.DataFrame, over: str, words: str, values: str) -> tuple[Any, dict[tuple[str, int], Any]]:
    """A panel for each task and K, a line with its sd for each `line`, or method; also the panels.

    What takes no shots is beside every K.
    """
    shots = found[found["k"] > 0] if (found["k"] > 0).any() else found
    keys = list(shots.groupby(["task", "k"]).groups)
    figure, axes = _panels(len(keys))
    for panel, (task, k) in zip(axes, keys, strict=True):
        rows = found[(found["task"] == task) & found["k"].isin([0, k])].sort_values(over)
        rows = rows if "line" in rows else rows.assign(line=rows["method"])
        for number, (name, line) in enumerate(rows.groupby("line")):
            method = line["method"].iloc[0]
            color = _color(method) if name == method else COLORS[number % len(COLORS)]
            style = {"color": color, "marker": MARKERS[number % len(MARKERS)], "markersize": 3, "linewidth": 1}
            panel.errorbar(line[over], line["mean"], yerr=line["sd"].fillna(0.0), label=name, capsize=2, **style)
            few = line[line["n"] < found["n"][found["task"] == task].max()]  # hollow
            panel.plot(few[over], few["mean"], **{**style, "linestyle": "none", "markerfacecolor": "white"}, zorder=3)
        panel.set_xlabel(words)
        panel.set_ylabel(values)
        panel.set_title(f"{task}, K = {k}", fontsize=POINTS)
        if over == "epoch":
            _whole_numbers(panel)
    _legend(figure, axes)
    return figure, dict(zip(keys, axes, strict=True))


def _color(method: str) -> str:
    """A method has one color in all figures."""
    return COLORS[list(METHODS).index(method) % len(COLORS)] if method in METHODS else GREY


def _panels(count: int, wide: bool = False) -> tuple[Any, list[Any]]:
    """A figure with this many panels: side by side, or stacked where they are wide."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    rows, columns = (count, 1) if wide else (1, count)
    size = (2 * COLUMN, HEIGHT * count) if wide else (COLUMN * count, HEIGHT)
    with mpl.rc_context({"font.size": POINTS, "axes.titlesize": POINTS, "legend.fontsize": POINTS - 1}):
        figure = Figure(figsize=size, layout="constrained")
        axes = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for panel in axes:
        panel.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _legend(figure: Any, axes: list[Any]) -> None:
    """One for all panels, under them."""
    named = {words: handle for panel in axes for handle, words in zip(*panel.get_legend_handles_labels(), strict=True)}
    columns = min(len(named), 3 * len(axes))
    place = {"loc": "outside lower center", "ncols": columns, "frameon": False, "fontsize": POINTS - 1}
    figure.legend(list(named.values()), list(named), **place)


def _whole_numbers(panel: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
