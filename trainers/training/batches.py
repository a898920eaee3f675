"""Batches of windows of similar length, so that little is padded: shuffled to train on, longest first to predict."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

Batch = dict[str, Tensor]

# Batches in a pool whose windows are sorted by length. Larger pools pad less and shuffle less.
POOLED_BATCHES = 32


def shuffled_batches(lengths: Sequence[int], batch_size: int, generator: torch.Generator) -> list[list[int]]:
    """Random batches of windows of similar length; every window is in one of them.

    A random order is cut into pools of `POOLED_BATCHES` batches; each pool is sorted by length and cut into batches;
    the batches are shuffled. There are as many batches as without any sorting.

    Args:
        lengths: tokens of every window.
        batch_size: windows of a batch.
        generator: of the order.

    Returns:
        Indices of windows, `batch_size` a batch except in the last batch of one pool.
    """
    order = torch.randperm(len(lengths), generator=generator).tolist()
    pool_size = batch_size * POOLED_BATCHES
    pools = (
        sorted(order[first : first + pool_size], key=lengths.__getitem__) for first in range(0, len(order), pool_size)
    )
    batches = [pool[first : first + batch_size] for pool in pools for first in range(0, len(pool), batch_size)]
    return [batches[index] for index in torch.randperm(len(batches), generator=generator).tolist()]


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
