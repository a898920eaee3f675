"""Reports beyond the paper's tables and figures. Rows are those of `service.reports.rows`."""

from collections.abc import Collection
from functools import partial
from typing import Literal

import pandas as pd

from service.reports import figures, left_out
from service.reports.alike import require_alike, require_same_languages
from service.reports.cells import absent, cells, counted, hollow, lacks, marked, need, pivot, rounded, seeds
from service.reports.compare import comparison
from service.reports.paper import SURGERY
from service.reports.report import Report
from service.reports.summary import summary
from trainers.languages import LANGUAGES

# What surgery is added to: the same training without it.
NAIVE = "naive-mix-train"


def alpha_curve(rows: pd.DataFrame, allow: Collection[str] = ()) -> Report:
    """The mean over targets against α, the probability of an operation."""
    ours = rows[rows["alpha"].notna()]
    need(ours, "results of surgery")
    by = ["task", "k", "method", "alpha"]
    unlike = require_alike(ours, by, allow)
    require_same_languages(ours, by)
    found = summary(ours, by)
    found["cell"] = cells(found, "mean", "sd")
    display = pivot(found, ["task", "k", "method"], "alpha", "cell").fillna("")
    means = f"Mean and sd over {seeds(found['n'])} of the mean over target languages."
    notes = (means, *lacks(found), *hollow(found), *left_out.notes(ours), *marked(ours), *unlike)
    return Report("Scores by α", found.drop(columns="cell"), display, notes, draw=partial(figures.alpha_curve, found))


def conflicts(rows: pd.DataFrame, allow: Collection[str] = ()) -> Report:
    """How often the oracle's gradient conflicts with the batch's, epoch by epoch."""
    ours = rows[rows["conflict_rate"].notna()]
    need(ours, "trainings with surgery")
    by = ["task", "k", "method", "alpha"]
    unlike = require_alike(ours, by, allow)
    found = ours.groupby([*by, "epoch"], as_index=False).agg(
        mean=("conflict_rate", "mean"), sd=("conflict_rate", "std"), n=("trial", "nunique"),
        operations=("operations", "sum"),
    )  # fmt: skip
    short = found["n"] < found.groupby("task")["n"].transform("max")
    columns = zip(found["mean"].map(rounded), found["operations"], found["n"], short, strict=True)
    words = [
        f"{mean} % of {operations}{f'* (n = {n})' if is_short else ''}" for mean, operations, n, is_short in columns
    ]
    display = pivot(found.assign(cell=words), ["task", "k", "method", "alpha"], "epoch", "cell").fillna("")
    rates = (
        "On how many of the epoch's operations gradients conflict: mean over trainings, and the number of operations."
        " Those lost to overflow do not count."
    )
    lacking = ["* lacks trainings: it is over n of them."] if short.any() else []
    notes = (rates, *lacking, *hollow(found), *left_out.notes(ours), *marked(ours), *unlike)
    return Report("Conflicts over training", found, display, notes, draw=partial(figures.conflicts, found))


def conflicts_by_language(rows: pd.DataFrame, allow: Collection[str] = ()) -> Report:
    """How often each language's oracle gradient conflicts with the batch's, and their cosine, over a whole training."""
    need(rows, "trainings with surgery that are done")
    by = ["task", "k", "method", "alpha"]
    unlike = require_alike(rows, by, allow)
    found = rows.groupby([*by, "language"], as_index=False).agg(
        mean=("conflict_rate", "mean"), sd=("conflict_rate", "std"), n=("trial", "nunique"),
        operations=("operations", "sum"), mean_cosine=("mean_cosine", "mean"),
    )  # fmt: skip
    words = [
        f"{mean:.1f}{'' if pd.isna(sd) else f' ± {sd:.1f}'}"
        for mean, sd in zip(found["mean"], found["sd"], strict=True)
    ]
    display = pivot(found.assign(cell=words), by, "language", "cell").fillna("")
    rates = (
        f"On how many percent of a language's operations gradients conflict: mean and sd over"
        f" {seeds(found['n'])}. Those lost to overflow do not count."
    )
    return Report("Conflicts by language", found, display, (rates, *left_out.notes(rows), *marked(rows), *unlike))


def dev_curves(rows: pd.DataFrame, allow: Collection[str] = ()) -> Report:
    """Dev scores over epochs: of the source language, or of the targets where their dev sets select."""
    need(rows, "dev scores")
    rows = rows.assign(of=(rows["language"] == rows["source_language"]).map({True: "source", False: "targets"}))
    by = ["task", "of", "k", "method", "candidate"]
    unlike = require_alike(rows, by, allow)
    per_seed = rows.groupby([*by, "epoch", "seed"], as_index=False).agg(value=("value", "mean"))
    found = per_seed.groupby([*by, "epoch"], as_index=False).agg(
        mean=("value", "mean"), sd=("value", "std"), n=("seed", "nunique")
    )
    display = pivot(found.assign(cell=found["mean"].map(rounded)), by, "epoch", "cell").fillna("")
    means = f"Mean over dev sets; mean and sd over {seeds(found['n'])}."
    notes = (means, *hollow(found), *left_out.notes(rows), *marked(rows), *unlike)
    return Report("Dev scores over epochs", found, display, notes, draw=partial(figures.dev_curves, found))


def gain_by(rows: pd.DataFrame, allow: Collection[str] = (), *, trait: Literal["family", "script"]) -> Report:
    """What surgery adds to mixed training for the languages of each family, or script, at each K."""
    ours = rows[rows["method"].isin([SURGERY, NAIVE]) & (rows["language"] != rows["source_language"])]
    known = {code: getattr(language, trait) for code, language in LANGUAGES.items()}
    asked = left_out.in_common(ours)
    asked = asked.assign(trait=asked["language"].map(known).fillna("unknown"))
    planned = asked.groupby(["task", "k", "trait"])[["seed", "language"]].nunique()
    without, ours = left_out.notes(ours), asked.dropna(subset="value")
    need(ours, f"scores of {SURGERY} and {NAIVE} on targets")
    unlike = require_alike(ours, allow=allow)
    found = []
    for (task, k), scores in ours.groupby(["task", "k"]):
        for name, group in scores.groupby("trait"):
            gained = comparison(group, SURGERY, NAIVE, int(k), group["source_language"].iloc[0])
            row = {"task": task, "k": k, trait: name, "languages": len(gained.languages)}
            found.append({**row, **gained.overall[["gain", "sd", "seeds", "wins", "ties", "losses"]]})
    counts = dict.fromkeys(["seeds", "wins", "ties", "losses"], int)
    data = pd.DataFrame(found).astype(counts).sort_values(["task", "k", "gain"], ascending=[True, True, False])
    of_rows = planned.loc[pd.MultiIndex.from_frame(data[["task", "k", trait]])]
    shown = data.assign(
        seeds=counted(data["seeds"], of_rows["seed"]), languages=counted(data["languages"], of_rows["language"])
    )
    columns = ["languages", "gain", "sd", "seeds", "wins", "losses"]
    display = shown.set_index(["task", "k", trait])[columns].map(rounded)
    notes = (
        f"{SURGERY} minus {NAIVE}, paired by seed: mean and sd over {seeds(data['seeds'])} of the mean over languages.",
        "Wins and losses: pairs of a language and a seed.",
        *absent(asked),
        *without,
        *marked(ours),
        *unlike,
    )
    return Report(f"What surgery adds, by {trait}", data.reset_index(drop=True), display, notes)
