"""What is refused: one report of results that cannot be compared, or means that are over unlike things.

What is refused, and what a summary names in `mixed`, is what `service.reports.setting` finds different, and what rows
say themselves: test sets, candidates, several trainings of one seed.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from search_spaces.columns import COLUMNS
from service.reports.left_out import union
from service.reports.setting import covered, in_groups, listed, searched, values_in_groups, within

# Columns of rows that a setting does not have: those that a report may have several values of, and those of which each
# of its means has one.
VARIED = tuple(column.name for column in COLUMNS if column.setting == "varied")
ONE_PER_GROUP = tuple(column.name for column in COLUMNS if column.setting == "per group")

# What follows from a group's column that is not a part of a setting: how many targets a model has.
FREES = {"targets": ("target_languages", "alpha")}


@dataclass(frozen=True)
class Difference:
    """What differs where it should not.

    Attributes:
        name: of the setting.
        values: in words.
        where: the group in which it differs, in words.
    """

    name: str
    values: str
    where: str

    def __str__(self) -> str:
        return f"{self.name} ({self.values}; {self.where})"


def require_alike(
    rows: pd.DataFrame, by: Sequence[str] = ("task", "k", "method"), allow: Collection[str] = ()
) -> tuple[str, ...]:
    """Refuse to tell in one report what can't be compared, or would be a mean over unlike things.

    Args:
        rows: what a report is made of.
        by: its groups, of each of which it has a mean.
        allow: names of what may differ nevertheless.

    Returns:
        Sentences for the report: what differs since a search chose over it, or since it is allowed.

    Raises:
        ValueError: anything else differs, in the setting between any two rows of a task or within a mean, in the test
            set of a language, or several trainings are there for the same language and seed; all that differs is named
            with its values, and where.
    """
    of_rows = list(_of_rows(rows, by))
    is_cut = any(one.name == "examples" for one in of_rows)
    found = _each_once([*of_rows, *_of_settings(rows, by, is_cut)])
    found.sort(key=lambda one: one.name == "trial")  # which is what comes of the others
    allowed = covered(allow, rows["setting"].unique())
    chosen = searched(rows["candidate"].unique())
    seen = {one.name for one in found if one.name in allowed}
    refused = [one for one in found if one.name not in allowed and (one.name != "trial" or not seen)]
    names = {one.name for one in refused}
    follows = {"trial", *(chosen if "candidate" in names else ())}  # named no more than what they follow from
    refused = [one for one in refused if one.name not in follows] or refused
    if refused:
        first = {one.name: one for one in reversed(refused)}  # a name is said once, and where it was met first
        words = " and ".join(str(first[name]) for name in dict.fromkeys(one.name for one in refused))
        apart = "a candidate, or the chosen ones by chosen=true" if "candidate" in names else "an experiment"
        enough = [refused[0].name, *sorted(names & follows - {"trial", refused[0].name})]
        raise ValueError(
            f"results that differ in {words} are not for one report: name {apart}, or what else tells them apart, or"
            f" allow it, as allow={','.join(enough)}"
        )
    of_search = [one for one in _pooled(rows) if one.name in chosen and one.name not in allowed]
    said = {"As allowed": [one for one in found if one.name in allowed], "As searched": of_search}
    return tuple(
        f"{reason}, these differ: {', '.join(dict.fromkeys(map(str, ones)))}." for reason, ones in said.items() if ones
    )


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
            where = _words(by, group)
            raise ValueError(
                f"results of several sets of languages ({where}: no {', '.join(lacking)}) are not for one report: name"
                " an experiment, or what else tells them apart"
            )


def mixed(rows: pd.DataFrame, by: Sequence[str]) -> list[list[str]]:
    """The names of what differs within each group, in the order in which pandas groups; what `by` has cannot."""
    by = list(by)
    names = [name for name in (*VARIED, *ONE_PER_GROUP) if name not in by and rows[name].nunique(dropna=False) > 1]
    groups = rows.groupby(by, dropna=False, observed=True)
    counts = groups[names].nunique(dropna=False).to_dict("records") if names else [{}] * groups.ngroups
    alike = list(dict.fromkeys([*by, "language", *(column.name for column in COLUMNS if column.setting)]))
    several = {
        "trial": rows.groupby(list(dict.fromkeys([*alike, "seed"])), dropna=False, observed=True)["trial"].nunique(),
        "examples": rows.groupby(alike, dropna=False, observed=True)["examples"].nunique(),
    }
    most = {name: found.groupby(by, dropna=False).max().tolist() for name, found in several.items()}
    known: dict[Any, list[str]] = {}
    found = []
    for place, (_, settings) in enumerate(in_groups(rows, by)):
        of_rows = [name for name in names if counts[place][name] > 1]
        repeated = [name for name in several if most[name][place] > 1]
        if settings not in known:
            known[settings] = list(within(settings))
        of_settings = [name for name in known[settings] if name != "max_test_examples" or "examples" in repeated]
        found.append(list(dict.fromkeys([*of_rows, *of_settings, *repeated])))
    return found


def _of_settings(rows: pd.DataFrame, by: Sequence[str], is_cut: bool) -> Iterator[Difference]:
    """What differs in the settings of a task's rows, but for what was searched; then what differs within a mean.

    That test sets were cut in several ways counts where they differ.
    """
    free = searched(rows["candidate"].unique()) | {name for column in by for name in FREES.get(column, ())}
    among = [one for one in _pooled(rows) if one.name not in {*free, *by}]
    for one in (*among, *_among(rows, by)):
        if is_cut or one.name != "max_test_examples":
            yield one


def _each_once(found: Sequence[Difference]) -> list[Difference]:
    """What differs, where it was met first: what differs in a task differs in its groups too."""
    first: dict[tuple[str, str], Difference] = {}
    for one in found:
        first.setdefault((one.name, one.values), one)
    return list(first.values())


def _pooled(rows: pd.DataFrame) -> Iterator[Difference]:
    return _among(rows, ["task"])


def _among(rows: pd.DataFrame, by: Sequence[str]) -> Iterator[Difference]:
    """What differs in the settings of each group's rows."""
    for group, settings in values_in_groups(rows, by, "setting"):
        for name, values in within(settings).items():
            yield Difference(name, listed(name, values), _words(by, group))


def _of_rows(rows: pd.DataFrame, by: Sequence[str]) -> Iterator[Difference]:
    """What differs within a mean and is said by the rows themselves."""
    for name in ONE_PER_GROUP:
        if name in rows and name not in by:
            yield from _several(rows, name, by)
    if "language" not in rows:
        return
    tests = rows[rows["split"] == "test"] if "split" in rows else rows
    if "examples" in rows:
        yield from _several(tests, "examples", ["task", "language"])
    targets = rows[rows["language"] != rows["source_language"]]
    yield from _several(targets, "trial", [*by, "seed", "language"])


def _several(rows: pd.DataFrame, name: str, by: Sequence[str]) -> Iterator[Difference]:
    """The groups in which a column has several values."""
    unique = rows[list(dict.fromkeys([*by, name]))].drop_duplicates()
    for group, several in values_in_groups(unique[unique.duplicated(list(by), keep=False)], by, name):
        yield Difference(name, listed(name, several), _words(by, group))


def _words(by: Sequence[str], group: Sequence[Any]) -> str:
    return ", ".join(f"{column} {value}" for column, value in zip(by, group, strict=True))
