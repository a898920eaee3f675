"""Averages and gains: what the paper's Tables 1, 2 and 8 make of score rows.

Score rows are what `service.client.Client.results` returns: `method`, `k`, `seed`, `language` and `value` are needed;
`task`, `split`, `metric` and `alpha` tell rows apart where they are given; other columns are ignored.
"""

import numpy as np
import pandas as pd

NEEDED = ("method", "k", "seed", "language", "value")
SETTING = ("task", "split", "metric")  # scores are only ever compared within one
CONFIGURATION = (*SETTING, "k", "method", "alpha")  # what seeds repeat: a row of Table 1
RUN = (*CONFIGURATION, "seed")
SCORE = (*RUN, "language")
NAMED_AT_MOST = 10  # runs or rows in an error message


class IncompleteError(ValueError):
    """Some runs lack languages or seeds that others have: the message names them."""


def averages(scores: pd.DataFrame, source: str) -> pd.DataFrame:
    """Mean and sd over seeds of the mean over languages, for each method, K and α (Table 1).

    Table 1 averages over all languages, the source included, although its caption says target languages (checked
    against Tables 4, 6 and 7): it is `mean_with_source` that compares with it.

    Args:
        scores: score rows.
        source: the source language.

    Returns:
        Columns `CONFIGURATION`, `seeds` and `languages` (how many, with the source), and `mean_with_source`,
        `sd_with_source`, `mean_targets`, `sd_targets`. The sd is the sample's (n - 1), NaN with one seed.

    Raises:
        IncompleteError: a run lacks languages that another of its task, split and metric has. `complete_runs` leaves
            such runs out, which `seeds` then shows.
        ValueError: a column is missing, a value is not a number, rows contradict each other, or no score is of the
            source language, or none of a target.
    """
    rows = _checked(scores)
    _require_complete(rows)
    _require_source_and_targets(rows, source)
    rows["target"] = rows["value"].where(rows["language"] != source)  # means skip the source's NaN, the only one
    per_seed = rows.groupby(list(RUN), dropna=False, as_index=False).agg(
        languages=("language", "size"), with_source=("value", "mean"), targets=("target", "mean")
    )
    return per_seed.groupby(list(CONFIGURATION), dropna=False, as_index=False).agg(
        seeds=("seed", "size"),
        languages=("languages", "first"),
        mean_with_source=("with_source", "mean"),
        sd_with_source=("with_source", "std"),
        mean_targets=("targets", "mean"),
        sd_targets=("targets", "std"),
    )


def gains(scores: pd.DataFrame, method: str, over: str, k: int, source: str) -> pd.DataFrame:
    """What each target language gains by one method over another at K: the mean over seeds of paired differences.

    Args:
        scores: score rows of one task, split and metric.
        method: the method that gains.
        over: the method it is compared with; zero-shot, which has no shots, is the same beside every K.
        k: shots per language.
        source: the source language, which Tables 2 and 8 leave out.

    Returns:
        Columns `language`, `gain`, `sd` (the sample's, of the differences, NaN with one seed) and `seeds`, the
        greatest gain first.

    Raises:
        IncompleteError: the methods do not have the same seeds and languages.
        ValueError: as `averages`, or a method has no scores or those of several α, tasks, splits or metrics.
    """
    pairs = differences(scores, method, over, k, source)
    found = pairs.groupby("language", as_index=False).agg(
        gain=("difference", "mean"), sd=("difference", "std"), seeds=("difference", "size")
    )
    return found.sort_values(["gain", "language"], ascending=[False, True], ignore_index=True)


def differences(scores: pd.DataFrame, method: str, over: str, k: int, source: str) -> pd.DataFrame:
    """What each target language gains by one method over another at K and each seed: `language`, `seed`, `difference`.

    Arguments and errors are those of `gains`.
    """
    rows = _checked(scores)
    rows = rows[rows["language"] != source]
    ours, theirs = (_of_one_configuration(rows, name, k) for name in (method, over))
    both = pd.concat([ours, theirs])
    for column in SETTING:
        _require_one(both, column, f"{method} and {over} at K = {k}")
    _require_equal_seeds(method, ours, over, theirs)
    _require_complete(both)
    pairs = ours.merge(theirs, on=["seed", "language"], suffixes=("", "_over"), validate="one_to_one")
    return pairs.assign(difference=pairs["value"] - pairs["value_over"])[["language", "seed", "difference"]]


def extremes(gained: pd.DataFrame, n: int = 5) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The n languages that gain most, greatest first (Table 2), and the n that gain least, smallest first (Table 8)."""
    return gained.head(n), gained.iloc[::-1].head(n).reset_index(drop=True)


def missing_languages(scores: pd.DataFrame) -> pd.DataFrame:
    """The scores that runs lack and another run of the same task, split and metric has, as rows of `SCORE`."""
    return _missing(_checked(scores))


def complete_runs(scores: pd.DataFrame) -> pd.DataFrame:
    """The rows of those runs that lack no language, as `SCORE` and `value`: what an unfinished experiment allows."""
    rows = _checked(scores)
    return _without(rows, _missing(rows)[list(RUN)].drop_duplicates())


def _checked(scores: pd.DataFrame) -> pd.DataFrame:
    """One row per score with the columns of SCORE and `value`, in an order that does not depend on that of the rows."""
    absent = [column for column in NEEDED if column not in scores.columns]
    if absent:
        raise ValueError(f"the scores have no column {', '.join(absent)}")
    rows = scores.reindex(columns=[*SCORE, "value"]).astype({"alpha": float, "value": float})
    unusable = rows[~np.isfinite(rows["value"])]
    if len(unusable):  # a mean would skip it, and so be over fewer languages
        raise ValueError(f"not a number: the value of {_named(unusable)}")
    rows = rows.drop_duplicates()  # trials that experiments share come once with each
    contradicting = rows[rows.duplicated(list(SCORE), keep="first")]
    if len(contradicting):
        raise ValueError(
            f"different values for the same score: {_named(contradicting)}; "
            "dev scores, of which there is one an epoch, are not for averaging"
        )
    return rows.sort_values(list(SCORE), ignore_index=True)


def _missing(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of SCORE that are not there: every run of a setting is expected to have every language of the setting."""
    runs = rows[list(RUN)].drop_duplicates()
    languages = rows[[*SETTING, "language"]].drop_duplicates()
    return _without(runs.merge(languages, on=list(SETTING)), rows[list(SCORE)])


def _without(rows: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """Rows that match no row of `others` in its columns; NaN matches NaN."""
    marked = rows.merge(others, on=list(others.columns), how="left", indicator=True)
    return marked[marked["_merge"] == "left_only"].drop(columns="_merge").reset_index(drop=True)


def _of_one_configuration(rows: pd.DataFrame, method: str, k: int) -> pd.DataFrame:
    """A method's rows at K, or at 0 if it takes no shots; of one α, or there would be several differences a seed."""
    found = rows[(rows["method"] == method) & rows["k"].isin([0, k])]
    if found.empty:
        raise ValueError(f"no scores of {method} at K = {k} on target languages")
    _require_one(found, "alpha", f"{method} at K = {k}")
    return found


def _require_one(rows: pd.DataFrame, column: str, of: str) -> None:
    values = rows[column].drop_duplicates()
    if len(values) > 1:
        raise ValueError(f"{of}: scores of several values of {column} ({', '.join(map(str, values))}); choose one")


def _require_equal_seeds(method: str, ours: pd.DataFrame, over: str, theirs: pd.DataFrame) -> None:
    """Shots differ between seeds and not between methods, so only scores of the same seed make a pair."""
    mine, other = set(ours["seed"]), set(theirs["seed"])
    lacking = [
        f"{name} lacks seeds {', '.join(map(str, sorted(seeds)))}"
        for name, seeds in ((method, other - mine), (over, mine - other))
        if seeds
    ]
    if lacking:
        raise IncompleteError(f"differences are paired by seed: {'; '.join(lacking)}")


def _require_complete(rows: pd.DataFrame) -> None:
    missing = _missing(rows)
    if missing.empty:
        return
    languages = missing.groupby(list(RUN), dropna=False, as_index=False)["language"].agg(", ".join)
    lacking = [f"{_run(run)} lacks {run['language']}" for run in languages.head(NAMED_AT_MOST).to_dict("records")]
    more = f"; and {len(languages) - len(lacking)} more runs" if len(languages) > len(lacking) else ""
    raise IncompleteError(f"runs do not have the same languages: {'; '.join(lacking)}{more}")


def _require_source_and_targets(rows: pd.DataFrame, source: str) -> None:
    """Of complete runs one with the source language means that all have it."""
    for setting, group in rows.groupby(list(SETTING), dropna=False):
        languages = set(group["language"])
        if source not in languages or len(languages) == 1:
            words = [str(value) for value in setting if pd.notna(value)]
            kind = "target languages" if source in languages else f"the source language {source}"
            raise ValueError(" ".join(["no", *words, "scores of", kind]))


def _named(rows: pd.DataFrame) -> str:
    """Rows as words; the first ones if they are many."""
    words = [f"{_run(row)}, {row['language']}" for row in rows.head(NAMED_AT_MOST).to_dict("records")]
    return "; ".join([*words, *([f"and {len(rows) - len(words)} more"] if len(rows) > len(words) else [])])


def _run(row: dict[str, object]) -> str:
    setting = [str(row[column]) for column in SETTING if pd.notna(row[column])]
    alpha = [] if pd.isna(row["alpha"]) else [f"α = {row['alpha']}"]
    return ", ".join([" ".join([*setting, str(row["method"])]), f"K = {row['k']}", *alpha, f"seed {row['seed']}"])
