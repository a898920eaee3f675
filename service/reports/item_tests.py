"""Tests over test examples: what two models scored, resampled example by example.

A metric is the quotient of two sums over examples (`Task.fractions`). The parts of both models are arrays
`[examples, models, 2]`, numerators and denominators, where several models of one side, one per seed, have the same
examples; all scores here are in percent. Resampling is then a product of matrices: how often each example is drawn,
or whether both models' parts are swapped, times the parts.

More examples than UNITS are first put into as many random blocks of about equal size, which are drawn and swapped as a
whole. Swapping blocks keeps the test exact; drawing them widens or narrows an interval by about 1 / sqrt(2 UNITS),
1.6 %, as much as other 10,000 resamples would (1.4 %).
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Parts = NDArray[np.float64]

RESAMPLES = 10_000
UNITS = 2_000

# Resamples that are computed together: a matrix of up to 16 MB.
AT_ONCE = 1_000


def scores(sums: Parts) -> NDArray[np.float64]:
    """Scores `[..., models]` of sums over examples `[..., models, 2]`; 0 where the denominator is 0."""
    above, below = sums[..., 0], sums[..., 1]
    return np.divide(100 * above, below, out=np.zeros_like(above), where=below != 0)


def gains(better: Parts, over: Parts) -> NDArray[np.float64]:
    """What each model of a side gains over its counterpart: `[models]`."""
    return scores(better.sum(axis=0)) - scores(over.sum(axis=0))


def bootstrap(better: Parts, over: Parts) -> NDArray[np.float64]:
    """Gains of resamples of the examples, the same for all models: `[RESAMPLES, models]`.

    The paired bootstrap of Efron and Tibshirani (1993), as Koehn (EMNLP 2004) uses it for systems on a test set.
    """
    both = _in_units(np.concatenate([better, over], axis=1))
    found = [scores(_weighted(counts, both)) for counts in _chunks(_draws(len(both)))]
    ours, theirs = np.split(np.concatenate(found), 2, axis=1)
    return ours - theirs


def randomized(better: Parts, over: Parts) -> NDArray[np.float64]:
    """Gains where both models' predictions for each example are swapped or not at random: `[RESAMPLES, models]`.

    Approximate randomization (Noreen 1989; Yeh, COLING 2000).
    """
    better, over = _in_units(better), _in_units(over)
    total = better.sum(axis=0), over.sum(axis=0)
    found = []
    for swaps in _chunks(_swaps(len(better))):
        change = _weighted(swaps, over - better)
        found.append(scores(total[0] + change) - scores(total[1] - change))
    return np.concatenate(found)


def randomization_p(gain: NDArray[np.float64], resampled: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two-sided p `[models]` that gains `[models]` are zero, given `randomized` ones; at least 1 / (RESAMPLES + 1)."""
    as_far = (np.abs(resampled) >= np.abs(gain) - 1e-9).sum(axis=0)
    return np.asarray((as_far + 1) / (len(resampled) + 1))


def shared_variance(better: Parts, over: Parts) -> float:
    """The variance of a mean gain over models that its examples have in common, however many models there are.

    An example that is easier for one side is so for all of its models, which their mean does not level out: it is
    the mean covariance of the gains of two models, to first order in the deviations of the sums (the delta method). A
    negative estimate counts as none. NaN with one model.
    """
    influence = _influence(better) - _influence(over)
    models = influence.shape[1]
    if models == 1:
        return float("nan")
    own, total = influence.var(axis=0, ddof=1).sum(), influence.sum(axis=1).var(ddof=1)
    return max(0.0, float((total - own) / (models * (models - 1) * len(influence))))


def _influence(parts: Parts) -> NDArray[np.float64]:
    """By how much each example moves the score of each model, times the number of examples: `[examples, models]`."""
    above, below = parts[..., 0], parts[..., 1]
    mean = below.mean(axis=0)
    deviation = 100 * above - scores(parts.sum(axis=0)) * below
    found: NDArray[np.float64] = np.divide(deviation, mean, out=np.zeros_like(deviation), where=mean != 0)
    return found


def _in_units(parts: Parts) -> Parts:
    """Examples, or the sums of random blocks of them, the same blocks for every side: `[units, models, 2]`."""
    if len(parts) <= UNITS:
        return parts
    shuffled = parts[np.random.default_rng(0).permutation(len(parts))]
    return np.add.reduceat(shuffled, np.linspace(0, len(parts), UNITS, endpoint=False).astype(int), axis=0)


@lru_cache(maxsize=4)  # of 20 MB at most
def _draws(units: int) -> NDArray[np.uint8]:
    """How often each resample has each unit: `[RESAMPLES, units]`."""
    random = np.random.default_rng(1)
    found = np.empty((RESAMPLES, units), dtype=np.uint8)
    for rows in _chunks(found):
        places = random.integers(units, size=rows.shape) + units * np.arange(len(rows))[:, None]
        rows[:] = np.bincount(places.ravel(), minlength=rows.size).reshape(rows.shape)
    return found


def _swaps(units: int) -> NDArray[np.uint8]:
    """Which units each resample swaps: `[RESAMPLES, units]` of 0 and 1."""
    return np.random.default_rng(2).integers(2, size=(RESAMPLES, units), dtype=np.uint8)


def _chunks(of: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    return (of[first : first + AT_ONCE] for first in range(0, len(of), AT_ONCE))


def _weighted(weights: NDArray[np.uint8], parts: Parts) -> Parts:
    """Sums of parts, each times its weight: `[weights, models, 2]`."""
    units, models, _ = parts.shape
    return (weights.astype(np.float64) @ parts.reshape(units, 2 * models)).reshape(-1, models, 2)
