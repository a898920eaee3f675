"""A model's predictions for many examples of many languages, in length-sorted batches."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from trainers.tasks.task import Task, Window

Batch = dict[str, Tensor]

# Sub-words of a batch, padding included: the same work for a few long windows as for many short ones.
BATCH_TOKENS = 4096


@torch.inference_mode()
def predict(
    model: Any,
    task: Task[Any],
    windows: Sequence[Window],
    collate: Callable[[Sequence[int]], Batch],
    dtype: torch.dtype = torch.float32,
    batch_tokens: int = BATCH_TOKENS,
) -> list[Any]:
    """What the task decodes of every window, in the windows' order.

    Args:
        model: a transformers model with the task's head; its mode is left as it was.
        task: which task.
        windows: of any examples.
        collate: places of windows to a batch without targets.
        dtype: of the forward pass; other than float32 by autocast.
        batch_tokens: sub-words of a batch, padding included.
    """
    was_training = model.training
    model.eval()
    decoded: list[Any] = [None] * len(windows)
    try:
        for places in batches_by_length([len(window.input_ids) for window in windows], batch_tokens):
            with torch.autocast(model.device.type, dtype, enabled=dtype != torch.float32):
                outputs = model(**collate(places))
            for place, one in zip(places, task.decode(outputs, [windows[place] for place in places]), strict=True):
                decoded[place] = one
    finally:
        model.train(was_training)
    return decoded


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
