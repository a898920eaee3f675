"""An experiment's test scores as one table: methods down, languages across, and what each mean lacks."""

from collections.abc import Sequence

import pandas as pd

from trainers.marks import MARK_NAMES


def score_table(cells: pd.DataFrame, methods: Sequence[str], source: str, seeds: int) -> pd.DataFrame:
    """Means over seeds.

    Args:
        cells: a summary by method, K, candidate, language and seed, with a row also for what is not there yet.
        methods: in the order of the table's rows.
        source: the source language, which comes first and is not part of `mean`.
        seeds: how many the experiment has.

    Returns:
        A row for each method, K and, if there are any, candidate; a column for each language; `mean`, over the seeds
        that have all of the row's targets, of the mean over the targets that all rows have; and, where any row lacks a
        seed, `n`, the number of seeds that its `mean` is over. `attrs` has the number of `seeds`, and `lacking`, the
        means over languages that lack some: the values of the index, `language`, and `n`.
    """
    if cells.empty:  # it is not planned yet
        table = pd.DataFrame(columns=["mean"])
        table.attrs |= {"seeds": seeds, "lacking": []}
        return table
    rows = ["method", "k", *(["candidate"] if cells["candidate"].any() else [])]
    cells = cells.rename(columns={"mean": "value"})[[*rows, "language", "seed", "value"]]
    found = cells.groupby([*rows, "language"])["value"].agg(["mean", "count"])
    table, n = found["mean"].unstack("language"), found["count"].unstack("language")
    targets = [language for language in table.columns if language != source]
    table = table[[language for language in (source, *targets) if language in table.columns]]
    of_targets = cells[cells["language"] != source]
    is_whole = of_targets["value"].notna().groupby([of_targets[name] for name in (*rows, "seed")]).all()
    common = of_targets[of_targets["language"].isin([language for language in targets if n[language].notna().all()])]
    per_seed = common.groupby([*rows, "seed"])["value"].mean()[is_whole]
    of_rows = per_seed.groupby(rows).agg(["mean", "count"]).reindex(table.index)
    table["mean"] = of_rows["mean"]
    short = found[found["count"] < seeds]["count"].rename("n").reset_index()
    if len(short):
        table["n"] = of_rows["count"].fillna(0).astype(int)
    table = table.sort_index(key=lambda index: index.map(methods.index) if index.name == "method" else index)
    table.attrs |= {"seeds": seeds, "lacking": short.to_dict("records")}
    return table


def printed(table: pd.DataFrame) -> str:
    """A table for a terminal: one decimal, an asterisk at each mean that lacks seeds, a dash where there is none."""
    lacking = {(*(one[name] for name in table.index.names), one["language"]) for one in table.attrs["lacking"]}
    words = table.astype(object)
    for key, row in table.iterrows():
        for column, value in row.items():
            is_short = (*key, column) in lacking or (column == "mean" and row.get("n", 0) < table.attrs["seeds"])
            known = f"{value:.0f}" if column in ("n", *MARK_NAMES) else "–" if pd.isna(value) else f"{value:.1f}"
            words.at[key, column] = f"{known}{'*' if is_short and 'n' in row and column != 'n' else ''}"
    return str(words.to_string())
