"""Paired comparisons over seeds: gains with intervals, tests, and wins.

A seed is the unit of replication: it draws the shots and the initial weights, and its languages share a model, so that
they do not replicate each other. Languages are the ones that were asked about, not a sample of more. What is said so is
said of methods, on these test sets; `service.reports.compare_items` has the test examples as a unit.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from service.reports.intervals import bootstrap_interval, holm, permutation_p, smallest_p, t_interval, t_test_p
from trainers.languages import LANGUAGES

Interval = Literal["t", "bootstrap"]

# What languages of a group share.
Trait = Literal["script", "family"]

NEEDED = ("method", "k", "seed", "language", "value")

# Scores are only compared within one of these, where they are given.
SETTING = ("task", "split", "metric")

# Scores that an error message names.
NAMED_AT_MOST = 10


@dataclass(frozen=True)
class Comparison:
    """The gains of one side over the other.

    Attributes:
        overall: of the mean over the target languages: `gain`, `sd` (over seeds, n - 1), `seeds`, `low` and `high` (a
            95 % interval), `p` (of the paired t test), `p_permutation` (of a sign-flip test), `smallest_p` (the
            smallest that it can give with this many seeds), `wins`, `ties`, `losses` (over pairs of a language and a
            seed). Interval and p are NaN with one seed, and where all seeds gain the same.
        languages: the same for each language, with `p_holm`, corrected for the number of languages; the greatest gain
            first.
    """

    overall: "pd.Series[float]"
    languages: pd.DataFrame


def comparison(scores: pd.DataFrame, method: str, over: str, k: int, source: str) -> Comparison:
    """Compare two methods of the same results at K (Tables 2 and 8 are gains at K = 5).

    Args:
        scores: a row a score: `method`, `k`, `seed`, `language`, `value`; if given, `task`, `split`, `metric` and
            `alpha` must each have one value. Other columns are ignored.
        method: the method that gains.
        over: the method that it is compared with; zero-shot, which has no shots, is the same at every K.
        k: shots per language.
        source: the source language, which is left out.

    Raises:
        ValueError: a column is missing, a value is not a number, scores contradict each other, a method has no scores
            or several settings, or the methods do not have the same seeds and languages.
    """
    absent = [column for column in NEEDED if column not in scores.columns]
    if absent:
        raise ValueError(f"the scores have no column {', '.join(absent)}")
    # trials that experiments share come once with each
    rows = scores.reindex(columns=[*NEEDED, *SETTING, "alpha"]).astype({"alpha": float, "value": float})
    rows = rows[rows["language"] != source].drop_duplicates()
    ours, theirs = (_of_method(rows, name, k) for name in (method, over))
    for column in SETTING:
        _require_one(pd.concat([ours, theirs]), column, f"{method} and {over} at K = {k}")
    return paired(ours, theirs, (f"{method} at K = {k}", f"{over} at K = {k}"))


def paired(better: pd.DataFrame, over: pd.DataFrame, names: tuple[str, str], interval: Interval = "t") -> Comparison:
    """Compare two sides over the same target languages and seeds.

    Args:
        better: the side that gains: a row a score, with `language`, `seed` and `value`.
        over: the side that it is compared with.
        names: what errors call both.
        interval: "t", Student's, or "bootstrap", which is too narrow where seeds are few; p is the t test's with both.

    Raises:
        ValueError: a value is not a number, scores contradict each other, or the sides do not have the same seeds and
            languages.
    """
    table = differences(better, over, names)
    languages = pd.DataFrame([_figures(row, interval) for row in table.to_numpy()], index=table.index).reset_index()
    languages["p_holm"] = holm(languages["p"].to_numpy())
    overall = pd.Series(_figures(table.mean().to_numpy(), interval))
    for name in ("wins", "ties", "losses"):
        overall[name] = languages[name].sum()
    return Comparison(overall, by_gain(languages))


def paired_groups(
    better: pd.DataFrame, over: pd.DataFrame, names: tuple[str, str], trait: Trait, interval: Interval = "t"
) -> pd.DataFrame:
    """The gain of the mean over the languages of each script, or family.

    Arguments and errors are those of `paired`, beside the trait that the languages of a group share.

    Returns:
        A row a group: `group`, the script or family, `languages`, their number, and what `paired` has of a language;
        `p_holm` is corrected for the number of groups.
    """
    table = differences(better, over, names)
    values = [getattr(LANGUAGES.get(code), trait, "unknown") for code in table.index]
    rows = []
    for value, gains in table.groupby(pd.Index(values)):  # a list of one value would be taken for a list of keys
        figures = _figures(gains.mean().to_numpy(), interval)
        pairs = {"wins": (gains > 0), "ties": (gains == 0), "losses": (gains < 0)}
        counts = {name: int(found.to_numpy().sum()) for name, found in pairs.items()}
        rows.append({"group": value, "languages": len(gains), **figures, **counts})
    found = pd.DataFrame(rows)
    found["p_holm"] = holm(found["p"].to_numpy())
    return by_gain(found, "group")


def differences(better: pd.DataFrame, over: pd.DataFrame, names: tuple[str, str]) -> pd.DataFrame:
    """What each target language (rows) gains at each seed (columns). ValueError as of `paired`."""
    tables = {name: _table(rows, name) for name, rows in zip(names, (better, over), strict=True)}
    _require_pairs(tables)
    ours, theirs = tables.values()
    return ours - theirs


def by_gain(found: pd.DataFrame, name: str = "language") -> pd.DataFrame:
    """Rows of languages, or of what else has a name, the greatest gain first."""
    return found.sort_values(["gain", name], ascending=[False, True], ignore_index=True)


def _of_method(rows: pd.DataFrame, method: str, k: int) -> pd.DataFrame:
    """A method's scores at K, or at 0 if it takes no shots; of one α, or a seed would have several differences."""
    found = rows[(rows["method"] == method) & rows["k"].isin([0, k])]
    if found.empty:
        raise ValueError(f"no scores of {method} at K = {k} on target languages")
    _require_one(found, "alpha", f"{method} at K = {k}")
    return found


def _require_one(rows: pd.DataFrame, column: str, of: str) -> None:
    values = rows[column].drop_duplicates()
    if len(values) > 1:
        raise ValueError(f"{of}: scores of several values of {column} ({', '.join(map(str, values))}); choose one")


def _table(rows: pd.DataFrame, side: str) -> pd.DataFrame:
    """The scores of a side by language (rows) and seed (columns)."""
    rows = rows[["language", "seed", "value"]].drop_duplicates()
    unusable = rows[~np.isfinite(rows["value"])]
    if len(unusable):  # a mean would skip it, and so be over fewer languages
        raise ValueError(f"not a number: the value of {_named(unusable, side)}")
    contradicting = rows[rows.duplicated(["language", "seed"])]
    if len(contradicting):
        raise ValueError(
            f"different values for the same score: {_named(contradicting, side)}; dev scores, of which there is one an"
            " epoch, are not for comparing"
        )
    return rows.pivot(index="language", columns="seed", values="value").sort_index().sort_index(axis=1)


def _require_pairs(tables: dict[str, pd.DataFrame]) -> None:
    """Shots differ between seeds and not between sides, so only scores of the same seed make a pair."""
    seeds = set[int]().union(*(table.columns for table in tables.values()))
    lacking = {name: sorted(seeds - set(table.columns)) for name, table in tables.items()}
    words = [f"{name} lacks seeds {', '.join(map(str, absent))}" for name, absent in lacking.items() if absent]
    if words:
        raise ValueError(f"differences are paired by seed: {'; '.join(words)}")
    languages = sorted(set[str]().union(*(table.index for table in tables.values())))
    for name, table in tables.items():
        for seed, values in table.reindex(languages).items():
            if absent := [language for language in languages if pd.isna(values[language])]:
                words.append(f"{name}, seed {seed} lacks {', '.join(absent)}")
    if words:
        more = [f"and {len(words) - NAMED_AT_MOST} more runs"] if len(words) > NAMED_AT_MOST else []
        raise ValueError(f"runs do not have the same languages: {'; '.join([*words[:NAMED_AT_MOST], *more])}")


def _named(rows: pd.DataFrame, side: str) -> str:
    """Scores in words, the first ones if they are many."""
    words = [f"{side}, seed {row['seed']}, {row['language']}" for row in rows.head(NAMED_AT_MOST).to_dict("records")]
    return "; ".join([*words, *([f"and {len(rows) - len(words)} more"] if len(rows) > len(words) else [])])


def _figures(found: NDArray[np.float64], interval: Interval) -> dict[str, float]:
    low, high = t_interval(found) if interval == "t" else bootstrap_interval(found)
    n = len(found)
    return {
        "gain": float(found.mean()),
        "sd": float(found.std(ddof=1)) if n > 1 else float("nan"),
        "seeds": n,
        "low": low,
        "high": high,
        "p": t_test_p(found),
        "p_permutation": permutation_p(found),
        "smallest_p": smallest_p(n),
        "wins": int((found > 0).sum()),
        "ties": int((found == 0).sum()),
        "losses": int((found < 0).sum()),
    }
