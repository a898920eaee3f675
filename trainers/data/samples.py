"""Samples of a split, where `max_source_examples` or `max_test_examples` is less than it has.

Files are often sorted, by class or by topic, so that their first lines are no picture of the whole.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from trainers.data.shots import hashed_order


def sample(data_digest: str, strata: Sequence[str], size: int) -> tuple[int, ...]:
    """The places of a sample of examples, in ascending order.

    It depends on the examples and its size alone, so that it is the same for every seed, method and experiment, and a
    smaller sample is part of a larger one. With labels as strata, the number of each is its share of the sample but for
    less than one.

    Args:
        data_digest: of the examples.
        strata: of each of the examples; all the same for tasks without strata.
        size: the number of examples drawn, at most as many as there are.
    """
    left = shares(Counter(strata), size)
    places = []
    # `draw` hashes lists of another form, so that samples and shots are independent
    for place in hashed_order((data_digest, "sample"), len(strata)):
        if left[strata[place]]:
            left[strata[place]] -= 1
            places.append(place)
    return tuple(sorted(places))


def shares(sizes: Mapping[str, int], size: int) -> dict[str, int]:
    """How many of a sample are of each stratum, by the quota method of Balinski and Young (1975).

    Each number is the stratum's share rounded down or up, and grows with the size of the sample, so that samples can be
    nested: rounding the shares of each size by itself does not give that.

    Args:
        sizes: the number of examples of each stratum.
        size: of the sample, at most as many as there are.
    """
    names, whole, taken = sorted(sizes), sum(sizes.values()), dict.fromkeys(sizes, 0)
    for drawn in range(1, size + 1):
        due = (name for name in names if taken[name] * whole < drawn * sizes[name])
        taken[max(due, key=lambda name: sizes[name] / (taken[name] + 1))] += 1
    return taken
