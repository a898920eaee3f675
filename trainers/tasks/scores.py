"""Scores as quotients of two sums over examples."""

from collections.abc import Hashable, Iterable, Sequence
from math import fsum

# What an example adds to the numerator and to the denominator of a score.
Fraction = tuple[float, float]


def percent(fractions: Iterable[Fraction]) -> float:
    """A score in percent, given what each example adds to it; 0 where the denominators sum to 0."""
    above, below = map(fsum, zip((0.0, 0.0), *fractions, strict=True))
    return 100.0 * above / below if below else 0.0


def equal(gold: Sequence[str], predicted: Sequence[str]) -> Fraction:
    """Accuracy: how many labels are equal, of how many."""
    return sum(one == other for one, other in zip(gold, predicted, strict=True)), len(gold)


def overlap(gold: Iterable[Hashable], predicted: Iterable[Hashable]) -> Fraction:
    """Micro-averaged F1 over the distinct items of a sentence: twice those that both have, of all of both."""
    wanted, found = set(gold), set(predicted)
    return 2 * len(wanted & found), len(wanted) + len(found)
