"""Paired comparisons of two methods: gains with intervals, permutation tests, and wins.

A seed is the unit of replication: it draws the shots and the initial weights, and its languages share a model, so that
they do not replicate each other. Languages are the ones that were asked about, not a sample of more.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

CONFIDENCE = 0.95

# Up to this many seeds every resample (and up to twice as many, every choice of signs) is enumerated; for more seeds,
# this many are drawn.
MOST_COUNTED, DRAWN = 6, 50_000

NEEDED = ("method", "k", "seed", "language", "value")

# Scores are only compared within one of these, where they are given.
SETTING = ("task", "split", "metric")

# Scores that an error message names.
NAMED_AT_MOST = 10


@dataclass(frozen=True)
class Comparison:
    """The gains of one method over another at K.

    Attributes:
        overall: of the mean over the target languages: `gain`, `sd` (over seeds, n - 1), `seeds`, `low` and `high` (the
            95 % bootstrap interval; NaN with one seed), `p` (of a two-sided permutation test), `smallest_p` (the
            smallest that this many seeds can give), `wins`, `ties`, `losses` (over pairs of a language and a seed).
        languages: the same for each language, with `p_holm`, corrected for the number of languages; the greatest gain
            first.
    """

    overall: "pd.Series[float]"
    languages: pd.DataFrame


def comparison(scores: pd.DataFrame, method: str, over: str, k: int, source: str) -> Comparison:
    """Compare two methods at K over the same target languages and seeds (Tables 2 and 8 are gains at K = 5).

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
    table = _differences(scores, method, over, k, source)
    languages = pd.DataFrame([_figures(row) for row in table.to_numpy()], index=table.index).reset_index()
    languages["p_holm"] = holm(languages["p"].to_numpy())
    overall = pd.Series(_figures(table.mean().to_numpy()))
    for name in ("wins", "ties", "losses"):
        overall[name] = languages[name].sum()
    return Comparison(overall, languages.sort_values(["gain", "language"], ascending=[False, True], ignore_index=True))


def _differences(scores: pd.DataFrame, method: str, over: str, k: int, source: str) -> pd.DataFrame:
    """What each target language (rows) gains at each seed (columns)."""
    absent = [column for column in NEEDED if column not in scores.columns]
    if absent:
        raise ValueError(f"the scores have no column {', '.join(absent)}")
    # trials that experiments share come once with each
    rows = scores.reindex(columns=[*NEEDED, *SETTING, "alpha"]).astype({"alpha": float, "value": float})
    rows = rows[rows["language"] != source].drop_duplicates()
    ours, theirs = (_of_method(rows, name, k) for name in (method, over))
    for column in SETTING:
        _require_one(pd.concat([ours, theirs]), column, f"{method} and {over} at K = {k}")
    tables = {name: _table(one) for name, one in ((method, ours), (over, theirs))}
    _require_pairs(tables, k)
    return tables[method] - tables[over]


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


def _table(rows: pd.DataFrame) -> pd.DataFrame:
    """The scores of a method by language (rows) and seed (columns)."""
    unusable = rows[~np.isfinite(rows["value"])]
    if len(unusable):  # a mean would skip it, and so be over fewer languages
        raise ValueError(f"not a number: the value of {_named(unusable)}")
    contradicting = rows[rows.duplicated(["language", "seed"])]
    if len(contradicting):
        raise ValueError(
            f"different values for the same score: {_named(contradicting)}; dev scores, of which there is one an epoch,"
            " are not for comparing"
        )
    return rows.pivot(index="language", columns="seed", values="value").sort_index().sort_index(axis=1)


def _require_pairs(tables: dict[str, pd.DataFrame], k: int) -> None:
    """Shots differ between seeds and not between methods, so only scores of the same seed make a pair."""
    seeds = set[int]().union(*(table.columns for table in tables.values()))
    lacking = {name: sorted(seeds - set(table.columns)) for name, table in tables.items()}
    words = [f"{name} lacks seeds {', '.join(map(str, absent))}" for name, absent in lacking.items() if absent]
    if words:
        raise ValueError(f"differences are paired by seed: {'; '.join(words)}")
    languages = sorted(set[str]().union(*(table.index for table in tables.values())))
    for name, table in tables.items():
        for seed, values in table.reindex(languages).items():
            if absent := [language for language in languages if pd.isna(values[language])]:
                words.append(f"{name}, K = {k}, seed {seed} lacks {', '.join(absent)}")
    if words:
        more = [f"and {len(words) - NAMED_AT_MOST} more runs"] if len(words) > NAMED_AT_MOST else []
        raise ValueError(f"runs do not have the same languages: {'; '.join([*words[:NAMED_AT_MOST], *more])}")


def _named(rows: pd.DataFrame) -> str:
    """Scores in words, the first ones if they are many."""
    words = [
        f"{row['method']}, K = {row['k']}, seed {row['seed']}, {row['language']}"
        for row in rows.head(NAMED_AT_MOST).to_dict("records")
    ]
    return "; ".join([*words, *([f"and {len(rows) - len(words)} more"] if len(rows) > len(words) else [])])


def bootstrap_interval(differences: NDArray[np.float64]) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of `[seeds]` differences at CONFIDENCE; NaN with one seed.

    It is too narrow where seeds are few, since resamples of five values stay within the range of the five (Efron and
    Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13).
    """
    n = len(differences)
    if n == 1:
        return float("nan"), float("nan")
    if n <= MOST_COUNTED:
        chosen = np.array(list(itertools.product(range(n), repeat=n)))
    else:
        chosen = np.random.default_rng(0).integers(n, size=(DRAWN, n))
    means = differences[chosen].mean(axis=1)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def permutation_p(differences: NDArray[np.float64]) -> float:
    """p of a two-sided sign-flip permutation test that the mean of `[seeds]` differences is zero.

    Under the null hypothesis the methods are exchangeable at each seed. With n seeds there are 2^n choices of signs, so
    that p is at least 2 / 2^n, 0.0625 with five.
    """
    n = len(differences)
    if n <= 2 * MOST_COUNTED:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=n)))
    else:
        drawn = np.random.default_rng(0).choice((1.0, -1.0), size=(DRAWN, n))
        signs = np.vstack([np.ones(n), drawn])  # the observed signs are one of the choices: p is never zero
    means = np.abs(signs @ differences)
    return float(np.mean(means >= means[0] * (1 - 1e-9)))


def holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """p values `[tests]` corrected for their number (Holm, Scandinavian Journal of Statistics 6, 1979)."""
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(steps, 1.0)
    return corrected


def _figures(found: NDArray[np.float64]) -> dict[str, float]:
    low, high = bootstrap_interval(found)
    n = len(found)
    return {
        "gain": float(found.mean()),
        "sd": float(found.std(ddof=1)) if n > 1 else float("nan"),
        "seeds": n,
        "low": low,
        "high": high,
        "p": permutation_p(found),
        "smallest_p": min(1.0, 2.0 ** (1 - n)),
        "wins": int((found > 0).sum()),
        "ties": int((found == 0).sum()),
        "losses": int((found < 0).sum()),
    }
