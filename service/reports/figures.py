"""Figures, drawn with matplotlib."""

from typing import Any

import pandas as pd

# Okabe and Ito's colours, which the colour-blind tell apart.
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#999999"


def sweep_figure(table: pd.DataFrame, over: str) -> Any:
    """Objective and test score of a search's candidates against a hyperparameter, as a matplotlib figure.

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
        for column, words, colour, marker in (
            ("objective", table.attrs["objective"], BLUE, "o"),
            ("test", "test, targets", ORANGE, "s"),
        ):
            known = ordered[ordered[f"{column}_mean"].notna()]
            axes.errorbar(
                known[over].astype(float), known[f"{column}_mean"], yerr=known[f"{column}_sd"].fillna(0.0),
                color=colour, marker=marker, capsize=3, label=words,
            )  # fmt: skip
        for value in ordered[ordered["chosen"]][over]:
            axes.axvline(value, color=GREY, linestyle=":", label="chosen")
        axes.set_xlabel(over)
        axes.set_ylabel("score, percent")
        axes.set_title(f"{method}, K = {k}\n{targets}", fontsize="medium")
        axes.legend(fontsize="small")
    return figure
