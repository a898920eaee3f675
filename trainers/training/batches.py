"""Which windows share a batch, and how a batch is computed with little padding."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

Batch = dict[str, Tensor]

# Batches in a pool whose windows are sorted by length. Larger pools pad less and shuffle less.
POOLED_BATCHES = 32

# What a part of a batch costs besides its tokens, in tokens of training, measured (docs/benchmarks.md): on a CPU that
# of adding to all gradients once more; on a GPU so much for the kernels that there are as few parts as can be.
PART_COST = {"cpu": 24, "cuda": None}

# On a GPU batches are padded to multiples of this: a few shapes, each of which is recorded once.
LENGTH_STEP = 16


def shuffled_batches(windows: int, batch_size: int, generator: torch.Generator) -> list[list[int]]:
    """A random order of all windows, by index, cut into batches; the last may be smaller.

    Args:
        windows: how many there are.
        batch_size: windows of a batch.
        generator: of the order.
    """
    order = torch.randperm(windows, generator=generator).tolist()
    return [order[first : first + batch_size] for first in range(0, windows, batch_size)]


def bucketed_batches(lengths: Sequence[int], batch_size: int, generator: torch.Generator) -> list[list[int]]:
    """Random batches of windows of similar length; every window is in one of them.

    A random order is cut into pools of `POOLED_BATCHES` batches; each pool is sorted by length and cut into batches;
    the batches are shuffled. There are as many batches as without any sorting. A mean over a batch's words then weighs
    a word in a short sentence more than one in a long sentence.

    Args:
        lengths: tokens of every window.
        batch_size: windows of a batch.
        generator: of the order.

    Returns:
        Indices of windows, `batch_size` a batch except in the last batch of one pool.
    """
    pools = shuffled_batches(len(lengths), batch_size * POOLED_BATCHES, generator)
    batches = [
        pool[first : first + batch_size]
        for pool in (sorted(one, key=lengths.__getitem__) for one in pools)
        for first in range(0, len(pool), batch_size)
    ]
    return [batches[index] for index in torch.randperm(len(batches), generator=generator).tolist()]


def padded_lengths(max_length: int, device: str) -> Sequence[int]:
    """The lengths to which batches of windows of at most `max_length` tokens are padded; none for their own."""
    return [*range(LENGTH_STEP, max_length, LENGTH_STEP), max_length] if device == "cuda" else ()


def parts_of_similar_length(lengths: Sequence[int], most: int, part_cost: int | None) -> list[list[int]]:
    """The parts of a batch, longest windows first, that cost least.

    A part costs its tokens, padding included, and `part_cost`. Parts are consecutive in the order of length, so that
    dynamic programming finds the best in O(windows * most).

    Args:
        lengths: tokens of each of the batch's windows.
        most: windows of a part.
        part_cost: the cost of a part besides its tokens, in tokens; None for more than any tokens.

    Returns:
        Indices of windows.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    if part_cost is None:
        return [order[first : first + most] for first in range(0, len(order), most)]
    best = [(0, 0)]  # of the first windows alone: the cost, and where the last part begins
    for after in range(1, len(order) + 1):
        firsts = range(max(0, after - most), after)
        costs = (best[first][0] + part_cost + (after - first) * lengths[order[first]] for first in firsts)
        best.append(min(zip(costs, firsts, strict=True)))
    parts = []
    after = len(order)
    while after:
        first = best[after][1]
        parts.append(order[first:after])
        after = first
    return parts[::-1]


def batches_by_length(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Indices of windows, longest first, in batches of at most `batch_tokens` tokens with padding (or one window)."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        if batch and (len(batch) + 1) * lengths[batch[0]] > batch_tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
