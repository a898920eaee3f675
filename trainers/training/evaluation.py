"""Predictions of a model for windows of any examples and languages, in batches of similar length."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from trainers.tasks.task import Task, Window
from trainers.training.batches import Batch, batches_by_length

# Tokens of a batch, padding included: the same work for a few long windows as for many short ones. On a GPU more: it
# takes longer to start the kernels of a small batch than to run them (docs/benchmarks.md).
BATCH_TOKENS = {"cpu": 4096, "cuda": 16384}


@torch.inference_mode()
def predict(
    model: Any,
    task: Task[Any],
    windows: Sequence[Window],
    collate: Callable[[Sequence[int]], Batch],
    dtype: torch.dtype = torch.float32,
    batch_tokens: int | None = None,
) -> list[Any]:
    """The task's decoded output for every window, in the order of the windows.

    Args:
        model: a transformers model with the task's head; stays in training or evaluation mode.
        task: decodes the model's output.
        windows: any windows.
        collate: from indices of windows to a batch without targets.
        dtype: of the forward pass; any but float32 by autocast.
        batch_tokens: most tokens of a batch, padding included; those of `BATCH_TOKENS` if not given.
    """
    was_training = model.training
    model.eval()
    decoded: list[Any] = [None] * len(windows)
    most = batch_tokens or BATCH_TOKENS[model.device.type]
    try:
        for indices in batches_by_length([len(window.input_ids) for window in windows], most):
            with torch.autocast(model.device.type, dtype, enabled=dtype != torch.float32):
                outputs = model(**collate(indices))
            of_batch = task.decode(outputs, [windows[index] for index in indices])
            for index, one in zip(indices, of_batch, strict=True):
                decoded[index] = one
    finally:
        model.train(was_training)
    return decoded
