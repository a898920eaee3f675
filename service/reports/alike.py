"""What is refused: one report of results that cannot be compared, or means that are over unlike languages."""

from collections.abc import Sequence

import pandas as pd

from search_spaces.columns import COLUMNS
from service.reports.left_out import union

# What a report has one value of: in each task, and in each of its own groups.
ONE_PER_TASK = tuple(column.name for column in COLUMNS if column.setting == "per task")
ONE_PER_GROUP = tuple(column.name for column in COLUMNS if column.setting == "per group")


def require_alike(rows: pd.DataFrame, by: Sequence[str] = ("task", "k", "method")) -> None:
    """Refuse to tell in one report what can't be compared, or would be a mean over unlike things.

    Args:
        rows: what a report is made of.
        by: its groups.

    Raises:
        ValueError: they are of several encoders, of several α in one group, of test sets that were cut in several ways,
            of several trainings for the same language and seed, ...; what differs is named, and where.
    """
    for names, within in ((ONE_PER_TASK, ["task"]), (ONE_PER_GROUP, list(by))):
        for name in names:
            if name in rows and name not in within:
                require_one(rows, name, within)
    if "language" not in rows:
        return
    tests = rows[rows["split"] == "test"] if "split" in rows else rows
    if "examples" in rows:
        require_one(tests, "examples", ["task", "language"])
    targets = rows[rows["language"] != rows["source_language"]]
    if "alpha" not in by:  # groups of targets of several sizes have their own
        require_one(targets, "alpha", [*by, "language"])
    require_one(targets, "trial", [*by, "seed", "language"])


def require_same_languages(rows: pd.DataFrame, by: Sequence[str] = ("task", "k", "method")) -> None:
    """Refuse to set means side by side that are over unlike target languages, but for those that methods left out.

    Args:
        rows: what a report is made of; also those that have no value yet.
        by: its groups, the task among them.

    Raises:
        ValueError: a group lacks a language of its task; both are named.
    """
    targets = rows[rows["language"] != rows["source_language"]]
    all_of = targets.groupby("task")["language"].agg(set)
    task = list(by).index("task")
    for group, found in targets.groupby(list(by), dropna=False, observed=True):
        explained = {language for language, _ in union(found["left_out"])}
        if lacking := sorted(all_of[group[task]] - set(found["language"]) - explained):
            where = ", ".join(f"{column} {value}" for column, value in zip(by, group, strict=True))
            raise ValueError(
                f"results of several sets of languages ({where}: no {', '.join(lacking)}) are not for one report: name"
                " an experiment, or what else tells them apart"
            )


def require_one(rows: pd.DataFrame, name: str, within: list[str]) -> None:
    """Refuse rows with several values of a column within a group. ValueError that names both."""
    values = rows.drop_duplicates([*within, name]).groupby(within, dropna=False, observed=True)[name].agg(list)
    several = values[values.map(len) > 1]
    if several.empty:
        return
    of = several.index[0] if isinstance(several.index[0], tuple) else (several.index[0],)
    where = ", ".join(f"{column} {value}" for column, value in zip(within, of, strict=True))
    found = ", ".join(sorted(map(str, several.iloc[0])))
    raise ValueError(
        f"results of several {name} ({found}; {where}) are not for one report: name an experiment, or what else tells"
        " them apart"
    )
