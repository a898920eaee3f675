"""The sides of a comparison: which scores each has, and what may differ between them.

A side is one model per seed and group of targets. What its own filter names may differ from the other side, and so may
what a search chose over, what follows from the method (there is α with surgery only, and K is 0 without shots), and
what is allowed by name. All else that differs refuses the comparison.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from service.reports.alike import ONE_PER_GROUP, VARIED, require_alike
from service.reports.left_out import union
from service.reports.setting import between, covered, listed, plain, searched

# A side has one of each; candidates may be those of several groups of targets.
ONE_PER_SIDE = ("task", "method", "k")

# Columns of rows that a setting does not have.
OF_ROWS = (*VARIED, *ONE_PER_GROUP)

# What a search is told by, besides what it chooses over.
SEARCHED = ("candidate", "judged_on")

# Values that a column has where a method takes no such thing.
WITHOUT = {"alpha": None, "k": 0}


@dataclass(frozen=True, kw_only=True)
class Side:
    """A side of a comparison.

    Attributes:
        name: "better" or "over".
        rows: its scores of target languages, of `service.reports.rows.selected`.
        named: the columns that its own filter names.
        missing: those that are planned and not there.
    """

    name: str
    rows: pd.DataFrame
    named: frozenset[str]
    missing: pd.DataFrame


def targets(rows: pd.DataFrame) -> pd.DataFrame:
    """The scores of target languages, null for those that are not there yet."""
    return rows[rows["language"] != rows["source_language"]]


def side(name: str, rows: pd.DataFrame, named: Collection[str], allow: Collection[str] = ()) -> Side:
    """A side of the `targets` that a filter left.

    Raises:
        ValueError: there are no scores; they are of several methods, K or candidates; or they are of several settings,
            but for what is allowed. The field to name is named.
    """
    missing, rows = rows[rows["value"].isna()], rows.dropna(subset="value")
    if rows.empty:
        raise ValueError("no scores on target languages")
    several = [column for column in ONE_PER_SIDE if rows[column].nunique() > 1]
    if has_several_candidates(rows):
        several.append("candidate")
    if several:
        words = [f"{column} ({listed(column, _values(rows, column))})" for column in several]
        fields = [f"{name}.{column}" for column in several]
        raise ValueError(f"several values of {', '.join(words)}: choose one by {', '.join(fields)}")
    require_alike(rows, ("task", "k", "method", "language"), allow)
    return Side(name=name, rows=rows, named=frozenset(named), missing=missing)


def on_common_languages(better: Side, over: Side) -> tuple[Side, Side]:
    """Both sides without the languages that the method of one left out.

    Raises:
        ValueError: none remains.
    """
    gone = {language for one in (better, over) for language, _ in union(one.rows["left_out"])}

    def kept(rows: pd.DataFrame) -> pd.DataFrame:
        return rows[~rows["language"].isin(gone)]

    ours, theirs = (replace(one, rows=kept(one.rows), missing=kept(one.missing)) for one in (better, over))
    if ours.rows.empty or theirs.rows.empty:
        raise ValueError("there is no target language that both have")
    return ours, theirs


def missing(*sides: Side) -> int:
    """How many scores are planned and not there, those that experiments share once."""
    return sum(len(one.missing.drop_duplicates(["trial", "selection", "language", "seed"])) for one in sides)


def has_several_candidates(rows: pd.DataFrame) -> bool:
    """Whether several candidates of a search were tested on the same language."""
    return bool((rows.groupby("language")["candidate"].nunique() > 1).any())


def differing(better: Side, over: Side) -> dict[str, tuple[list[Any], list[Any]]]:
    """In what two sides differ, by name, with the values of both.

    `examples` is the digest of a test set where both have a language with another one.
    """
    found = {name: (_values(better.rows, name), _values(over.rows, name)) for name in OF_ROWS if name in better.rows}
    sets = [one.rows.drop_duplicates(["language", "examples"]) for one in (better, over)]
    both = sets[0].merge(sets[1], on="language", suffixes=("", "_over"))
    unlike = both[both["examples"] != both["examples_over"]]
    found["examples"] = _values(unlike, "examples"), _values(unlike, "examples_over")
    found = {name: pair for name, pair in found.items() if pair[0] != pair[1]}
    found |= between(better.rows["setting"].unique(), over.rows["setting"].unique())
    return {name: pair for name, pair in found.items() if name != "max_test_examples" or "examples" in found}


def require_comparable(better: Side, over: Side, allow: Collection[str]) -> dict[str, dict[str, list[Any]]]:
    """Refuse sides that differ in what may not differ.

    Args:
        better: the side that gains.
        over: the side that it is compared with.
        allow: names of settings that may differ.

    Returns:
        All that differs, by name: `{"better": [values], "over": [values]}`.

    Raises:
        ValueError: they differ in anything else, which is named with the values of both.
    """
    found = differing(better, over)
    both = pd.concat([better.rows[["setting", "candidate"]], over.rows[["setting", "candidate"]]])
    named = covered({*better.named, *over.named, *allow}, both["setting"].unique())
    free = {*named, *SEARCHED, *searched(both["candidate"])}
    refused = {
        name: (ours, theirs)
        for name, (ours, theirs) in found.items()
        if name not in free and not (name in WITHOUT and [WITHOUT[name]] in (ours, theirs))
    }
    if refused:
        words = [
            f"{name} ({listed(name, ours)} and {listed(name, theirs)})" for name, (ours, theirs) in refused.items()
        ]
        raise ValueError(
            f"the sides also differ in {', '.join(words)}: name what is to be compared in a side, or allow it,"
            f" as allow={next(iter(refused))}"
        )
    return {
        name: {better.name: [plain(name, one) for one in ours], over.name: [plain(name, one) for one in theirs]}
        for name, (ours, theirs) in found.items()
    }


def _values(rows: pd.DataFrame, column: str) -> list[Any]:
    """The distinct values of a column, in order; None for null, last."""
    there = sorted(rows[column].dropna().unique().tolist())
    return [*there, *([None] if rows[column].isna().any() else [])]
