"""A model's predictions for many examples of many languages, in length-sorted batches."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

Batch = dict[str, Tensor]

# Sub-words of a batch, padding included: the same work for a few long windows as for many short ones.
BATCH_TOKENS = 4096


@torch.inference_mode()
def predict(
    model: Any, lengths: Sequence[int], collate: Callable[[Sequence[int]], Batch], batch_tokens: int = BATCH_TOKENS
) -> list[list[int]]:
    """The most probable label at every position of every window, in the windows' order.

    Args:
        model: a transformers token classifier; its mode is left as it was.
        lengths: sub-words of each window.
        collate: places of windows to a batch.
        batch_tokens: sub-words of a batch, padding included.
    """
    was_training = model.training
    model.eval()
    outputs: list[list[int]] = [[] for _ in lengths]
    try:
        for places in batches_by_length(lengths, batch_tokens):
            batch = collate(places)
            batch.pop("labels")
            predicted = model(**batch).logits.argmax(-1)  # [batch, length]
            for place, row in zip(places, predicted.tolist(), strict=True):
                outputs[place] = row[: lengths[place]]
    finally:
        model.train(was_training)
    return outputs


def batches_by_length(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Places of windows, longest first, in batches of at most `batch_tokens` padded positions (or one window)."""
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        if batch and (len(batch) + 1) * lengths[batch[0]] > batch_tokens:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch
