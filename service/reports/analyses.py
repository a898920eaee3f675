"""Reports beyond the paper's tables and figures. Rows are those of `service.reports.rows`."""

from functools import partial

import pandas as pd

from service.reports import figures
from service.reports.cells import cell, need, pivot, rounded, seeds
from service.reports.report import Report
from service.reports.summary import require_alike, summary


def alpha_curve(rows: pd.DataFrame) -> Report:
    """The mean over targets against α, the probability of an operation."""
    ours = rows[rows["alpha"].notna()]
    need(ours, "results of surgery")
    by = ["task", "k", "method", "alpha"]
    require_alike(ours, by)
    found = summary(ours, by)
    found["cell"] = [cell(*row) for row in found[["mean", "sd", "complete"]].to_numpy()]
    display = pivot(found, ["task", "k", "method"], "alpha", "cell").fillna("")
    notes = (f"Mean and sd over {seeds(found['n'])} of the mean over target languages.",)
    return Report("Scores by α", found.drop(columns="cell"), display, notes, draw=partial(figures.alpha_curve, found))


def conflicts(rows: pd.DataFrame) -> Report:
    """How often the oracle's gradient conflicts with the batch's, epoch by epoch."""
    ours = rows[rows["conflict_rate"].notna()]
    need(ours, "trainings with surgery")
    by = ["task", "k", "method", "alpha"]
    require_alike(ours, by)
    found = ours.groupby([*by, "epoch"], as_index=False).agg(
        mean=("conflict_rate", "mean"), sd=("conflict_rate", "std"), n=("trial", "nunique")
    )
    cells = found.assign(cell=found["mean"].map(rounded))
    display = pivot(cells, ["task", "k", "method", "alpha"], "epoch", "cell").fillna("")
    notes = ("Percent of the epoch's operations on which gradients conflict; mean over trainings.",)
    return Report("Conflicts over training", found, display, notes, draw=partial(figures.conflicts, found))
