"""Scores in percent that several tasks share."""

from collections.abc import Hashable, Iterable, Sequence


def accuracy(gold: Sequence[str], predicted: Sequence[str]) -> float:
    """Share of equal labels."""
    return 100.0 * sum(one == other for one, other in zip(gold, predicted, strict=True)) / len(gold)


def micro_f1(gold: Iterable[Iterable[Hashable]], predicted: Iterable[Iterable[Hashable]]) -> float:
    """F1 over the distinct items of all sentences together; 0 without any match."""
    wanted = {(place, item) for place, items in enumerate(gold) for item in items}
    found = {(place, item) for place, items in enumerate(predicted) for item in items}
    correct = len(wanted & found)
    return 100.0 * 2 * correct / (len(wanted) + len(found)) if correct else 0.0
