"""Summaries: means over seeds of what experiments found, by any columns, and beside what was published.

As in the paper, a seed's value is the mean over target languages; mean, sd and n are over seeds. What is not there is
never averaged over: a seed that lacks a language does not count, and its group says that it is incomplete. Where a
method left languages out, its means are over fewer; `mean_in_common` is over those that the others have as well.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from search_spaces.columns import COLUMNS
from search_spaces.sources import DataSpec
from service.reports import left_out, published
from service.reports.alike import mixed
from service.reports.papers_setting import from_the_paper
from service.reports.setting import Setting, in_groups, values_in_groups
from trainers.marks import MARK_NAMES
from trainers.tasks import TASKS

# What experiments say of their results.
OF_SPEC = tuple(column.name for column in COLUMNS if column.groupable and column.place in ("experiments", "spec"))

# What a summary may be grouped by.
BY = tuple(column.name for column in COLUMNS if column.groupable)

# Columns of the experimental setting: trainings that differ in one of them are not the same.
SETTING = tuple(column.name for column in COLUMNS if column.setting)

FIGURES = ("mean", "sd", "n", "min", "max", "mean_in_common", "mean_with_source", "sd_with_source")


def described(cells: pd.DataFrame, specs: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Cells with what their experiments' specs say (`OF_SPEC`).

    Args:
        cells: as `service.store` has them; those of the metric that was asked for, or of all.
        specs: by experiment.
    """
    rows = cells.copy(deep=False)
    for name in OF_SPEC:
        rows[name] = rows["experiment"].map({id_: _words(name, spec.get(name)) for id_, spec in specs.items()})
    return rows


def of_main_metric(rows: pd.DataFrame) -> pd.DataFrame:
    """Of each task its own metric; what is not there yet has none, and is of that one.

    Of a task whose package is gone all metrics stay: nothing says which is its own.
    """
    main = rows["task"].map({name: task.metric for name, task in TASKS.items()})
    rows = rows[(rows["metric"] == main) | (rows["metric"] == "") | main.isna()]
    return rows.assign(metric=rows["metric"].where(main[rows.index].isna(), main[rows.index]))


def summary(rows: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """A row for each group of cells.

    Args:
        rows: of `described`.
        by: of BY; with "language" a seed's value is that language's.

    Returns:
        The columns of `by`; FIGURES, NaN where there are none; `languages` and `seeds`, how many there are;
        `missing`, how many values are not there; for each mark, such as `one_label`, how many values have it;
        `complete`; `mixed`, the names of what differs within the group; `left_out`, the targets that its methods left
        out; `best`, whether its `mean_in_common` is the greatest among those that differ in their methods alone, where
        none of them lacks a score or a seed; and `numerics`, that of its trials, null where they are of several.
    """
    by, asked = list(by), rows
    if "experiment" not in by:  # a trial that several experiments asked for counts once
        one = ["trial", "selection", "examples", "language", "seed", "metric", *dict.fromkeys([*SETTING, *by])]
        rows = rows.drop_duplicates(list(dict.fromkeys(one)))
    is_source = (rows["language"] == rows["source_language"]) & ("language" not in by)
    rows = rows.assign(target=rows["value"].mask(is_source), absent=rows["value"].isna(), cells=1)
    rows = rows.astype(dict.fromkeys(MARK_NAMES, int))
    marks = {name: (name, "sum") for name in MARK_NAMES}
    of_cell = list(dict.fromkeys([*by, "seed", "language"]))
    each = rows
    if rows.duplicated(of_cell).any():  # such as the source, of which each model for some of the targets has a score
        each = rows.groupby(of_cell, dropna=False, as_index=False, observed=True).agg(
            target=("target", "mean"),
            value=("value", "mean"),
            absent=("absent", "sum"),
            cells=("cells", "sum"),
            **marks,
        )
    each = each.assign(common=each["target"].where(_in_common(each, by)))
    per_seed = each.groupby([*dict.fromkeys([*by, "seed"])], dropna=False, as_index=False, observed=True).agg(
        target=("target", "mean"),
        common=("common", "mean"),
        whole=("value", "mean"),
        absent=("absent", "sum"),
        languages=("language", "size"),
        cells=("cells", "sum"),
        **marks,
    )
    groups = per_seed.groupby(by, dropna=False, observed=True) if by else per_seed.groupby(lambda _: 0)
    full = (per_seed["absent"] == 0) & (per_seed["cells"] == groups["cells"].transform("max"))
    means = {name: per_seed[name].where(full) for name in ("target", "common", "whole")}
    counted = per_seed.assign(**means, full=full, short=~full)
    again = counted.groupby(by, dropna=False, as_index=False, observed=True) if by else counted.groupby(lambda _: 0)
    found = again.agg(
        mean=("target", "mean"), sd=("target", "std"), n=("full", "sum"), min=("target", "min"), max=("target", "max"),
        mean_in_common=("common", "mean"), mean_with_source=("whole", "mean"), sd_with_source=("whole", "std"),
        languages=("languages", "max"), seeds=("full", "size"), missing=("absent", "sum"),
        short=("short", "sum"), **marks,
    )  # fmt: skip
    found["complete"] = found.pop("short") == 0
    found["mixed"] = pd.Series(mixed(rows, by), found.index, dtype=object)
    found["left_out"] = pd.Series(_left_out(asked, by), found.index, dtype=object)
    found["best"] = _is_best(found, [name for name in by if name != "method"])
    if "numerics" not in by:
        of_group = rows.groupby(by or (lambda _: 0), dropna=False, observed=True)["numerics"].agg(["min", "max"])
        found["numerics"] = of_group["min"].astype("Int64").where(of_group["min"] == of_group["max"]).array
    return found.reset_index(drop=True)


def _is_best(found: pd.DataFrame, others: list[str]) -> "pd.Series[bool]":
    """Which means are the greatest of their group of `others`, all of one number of seeds."""
    keys = [found[name] for name in others] or [pd.Series(0, index=found.index)]
    groups = found.groupby(keys, dropna=False, observed=True)
    is_whole = groups["complete"].transform("all") & (groups["n"].transform("nunique") == 1)
    return is_whole & (found["mean_in_common"] == groups["mean_in_common"].transform("max"))


def beside_published(found: pd.DataFrame, rows: pd.DataFrame, by: Sequence[str], split: str = "test") -> pd.DataFrame:
    """A summary with `published`, Table 1's mean or a language's own of Tables 4 to 7, and `difference` from it.

    A published figure stands beside our score on the test set, by the same metric, alone.

    `differs` says what is not as it was in the paper, with both values (`service.reports.papers_setting`). Null
    where the paper has no such value, such as of another metric, or it can't be read.

    Args:
        found: a summary by method and k at least.
        rows: what it is of, all of one task in each group.
        by: what it is by.
        split: that was scored.

    Raises:
        ValueError: it is not by method and k, or has groups of several tasks.
    """
    for name in ("method", "k"):
        if name not in by:
            raise ValueError(f"published figures are by method and k: name {name} in by")
    groups = rows.groupby(list(by), dropna=False, observed=True)
    of_group = found[list(by)].copy()
    for name in ("task", "metric"):
        of_group[name] = [", ".join(sorted(found)) for _, found in values_in_groups(rows, by, name)]
    if (groups["task"].nunique() > 1).any():
        raise ValueError("published figures are of one task: name task in by, or ask for one")
    of_group["split"] = split
    table, key, ours = published.table1(), ["task", "split", "metric", "method", "k"], "mean_with_source"
    table = table.rename(columns={"mean_with_source": "published"})
    if "language" in by:
        table, key, ours = published.per_language(), [*key, "language"], "mean"
        table = table[table["row_mean_matches_published_average"] != "no"].rename(columns={"value": "published"})
    known = table.set_index(key)["published"]
    wanted = pd.MultiIndex.from_frame(of_group[key])
    values = known.reindex(wanted).to_numpy()
    differs = _differs(found, [of for _, of in in_groups(rows, by)], of_group, "language" in by)
    said = pd.Series(differs, found.index, dtype=object)
    return found.assign(published=values, difference=found[ours].to_numpy() - values, differs=said)


def _differs(
    found: pd.DataFrame, settings: list[frozenset[Setting]], of_group: pd.DataFrame, one_language: bool
) -> list[list[str]]:
    """What is not as in the paper in each group of a summary, given its settings, and its task and metric."""
    known: dict[Any, list[str]] = {}
    differs = []
    columns = of_group[["task", "split", "metric", "method", "k"]].itertuples(index=False, name=None)
    counted = zip(settings, columns, found["n"], found["languages"], strict=True)
    for of, (task, split, metric, method, k), seeds, languages in counted:
        asked = of, task, metric, int(seeds), None if one_language else int(languages), split, method, int(k)
        if asked not in known:
            known[asked] = from_the_paper(*asked)
        differs.append(known[asked])
    return differs


def _in_common(each: pd.DataFrame, by: list[str]) -> "pd.Series[bool]":
    """For each cell, whether all groups that differ from its own in their method alone have its language."""
    pairs = each[[*dict.fromkeys([*by, "language"])]].drop_duplicates()
    others = [name for name in by if name != "method"]
    if len(others) == len(by) or "language" in by:
        return pd.Series(True, index=each.index)
    methods = pairs.groupby(others, dropna=False, observed=True)["method"] if others else pairs["method"]
    there = methods.transform("nunique") if others else methods.nunique()
    having = pairs.groupby([*others, "language"], dropna=False, observed=True)["method"].transform("nunique")
    if (having == there).all():
        return pd.Series(True, index=each.index)
    known = each.merge(pairs.assign(shared=having == there), how="left", on=[*by, "language"])["shared"]
    return known.set_axis(each.index)


def _left_out(rows: pd.DataFrame, by: list[str]) -> list[list[str]]:
    """In words, what the methods of each group left out; nothing of a group of one language."""
    if not by:
        return [left_out.words(rows["left_out"])]
    if "language" in by:
        return [[] for _ in range(rows.groupby(by, dropna=False, observed=True).ngroups)]
    return [left_out.words(found) for _, found in values_in_groups(rows, by, "left_out")]


def _words(name: str, value: Any) -> str:
    return DataSpec.from_json(value).words() if name == "data" else str(value)
