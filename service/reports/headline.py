"""What an experiment says in a line: its best method, and what that adds to zero-shot."""

import math
from typing import Any

import pandas as pd

from service.reports.chosen import chosen
from service.reports.summary import described, of_main_metric
from service.store import Store
from service.store.query import equal
from trainers.methods import METHODS

# What is one line of a results table.
GROUP = ["method", "k", "candidate"]


def headline(store: Store, experiment: str) -> dict[str, Any] | None:
    """The best method of an experiment, by its mean over the targets that all of its methods are scored on.

    Of a search the chosen candidates count: the best one by test scores would be chosen by these.

    Args:
        store: where it is stored.
        experiment: its id.

    Returns:
        `method`, `k` and `candidate`; `mean` and `sd` over `n` seeds, in percent; `gain` over zero-shot, None if that
        is not known; `languages`, over which; `complete`, whether no score is missing. None while there is no mean.
    """
    cells = store.results.cells(equal({"experiment": [experiment]}), "test", None).to_pandas()
    rows = of_main_metric(described(cells, store.results.specs([experiment])))
    rows = rows[rows["language"] != rows["source_language"]]
    if rows.empty:
        return None
    if (rows.groupby(["method", "k"])["candidate"].nunique() > 1).any():
        try:
            rows = chosen(store, rows)
        except ValueError:  # the search goes on
            return None
    lines = rows.drop_duplicates([*GROUP, "language"])
    of_language = lines["language"].value_counts()
    rows = rows[rows["language"].isin(of_language.index[of_language == len(lines.drop_duplicates(GROUP))])]
    found = _over_seeds(rows)
    known = found.dropna(subset="mean")
    if known.empty:
        return None
    best = known.loc[_simplest_first(known)["mean"].round(9).idxmax()]
    before = known.loc[known["method"] == "zero-shot", "mean"]
    is_known = best["method"] != "zero-shot" and len(before) == 1
    return {
        "method": str(best["method"]),
        "k": int(best["k"]),
        "candidate": str(best["candidate"]),
        "mean": float(best["mean"]),
        "sd": None if math.isnan(best["sd"]) else float(best["sd"]),
        "n": int(best["n"]),
        "gain": float(best["mean"] - before.iloc[0]) if is_known else None,
        "languages": int(rows["language"].nunique()),
        "complete": bool(rows["value"].notna().all()),
    }


def _simplest_first(rows: pd.DataFrame) -> pd.DataFrame:
    """In the order of METHODS: of those with equal means the one that does less is the best."""
    order = {name: place for place, name in enumerate(METHODS)}
    return rows.sort_values("method", key=lambda names: names.map(order).fillna(len(order)), kind="stable")


def _over_seeds(rows: pd.DataFrame) -> pd.DataFrame:
    """The mean of each line over the seeds that have all of its scores."""
    seeds = rows.groupby([*GROUP, "seed"], as_index=False).agg(
        mean=("value", "mean"), known=("value", "count"), cells=("value", "size")
    )
    seeds["mean"] = seeds["mean"].where(seeds["known"] == seeds["cells"])
    return seeds.groupby(GROUP, as_index=False).agg(mean=("mean", "mean"), sd=("mean", "std"), n=("mean", "count"))
