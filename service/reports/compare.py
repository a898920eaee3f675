"""Is it noise? One method over another: paired differences, how sure their mean is, and who wins how often.

A seed is the unit of replication: it draws the shots and the weights' beginnings, and its languages share a model, so
that they are no repetitions of each other. Languages are those that were asked about, not a sample of more.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from service.reports.aggregate import differences

CONFIDENCE = 0.95

# Up to so many seeds every resample and every choice of signs is counted; of more, so many are drawn.
MOST_COUNTED, DRAWN = 6, 50_000


@dataclass(frozen=True)
class Comparison:
    """One method over another at K.

    Attributes:
        overall: of the mean over the target languages: `gain`, `sd` (over seeds, n - 1), `seeds`, `low` and `high` (the
            95 % bootstrap interval; NaN with one seed), `p` (a permutation test's, two-sided), `smallest_p` (the least
            that so many seeds can give), `wins`, `ties`, `losses` (of all pairs of a language and a seed).
        languages: the same of each language, and `p_holm`, corrected for there being several; the greatest gain first.
    """

    overall: "pd.Series[float]"
    languages: pd.DataFrame


def comparison(scores: pd.DataFrame, method: str, over: str, k: int, source: str) -> Comparison:
    """Compare two methods at K over the same languages and seeds; arguments and errors are those of `gains`."""
    pairs = differences(scores, method, over, k, source)
    table = pairs.pivot(index="language", columns="seed", values="difference")
    languages = pd.DataFrame([_figures(row) for row in table.to_numpy()], index=table.index).reset_index()
    languages["p_holm"] = holm(languages["p"].to_numpy())
    overall = pd.Series(_figures(table.mean().to_numpy()))
    for name in ("wins", "ties", "losses"):
        overall[name] = languages[name].sum()
    return Comparison(overall, languages.sort_values(["gain", "language"], ascending=[False, True], ignore_index=True))


def bootstrap_interval(differences: NDArray[np.float64]) -> tuple[float, float]:
    """Percentile interval of the mean, at CONFIDENCE, over resamples of some seeds' differences.

    It is narrow where seeds are few: five that are drawn again have five's range at most (Efron and Tibshirani, An
    Introduction to the Bootstrap, 1993, chapter 13).
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
    """How often the mean of some seeds' differences is as far from zero when each method could have been the other.

    Each seed's sign is turned or not: with n seeds there are 2^n ways, and p is at least 2 / 2^n, 0.0625 with five.
    """
    n = len(differences)
    if n <= 2 * MOST_COUNTED:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=n)))
    else:
        drawn = np.random.default_rng(0).choice((1.0, -1.0), size=(DRAWN, n))
        signs = np.vstack([np.ones(n), drawn])  # what was found is one of the ways: p is never zero
    means = np.abs(signs @ differences)
    return float(np.mean(means >= means[0] * (1 - 1e-9)))


def holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Holm's correction of several tests (Scandinavian Journal of Statistics 6, 1979)."""
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
