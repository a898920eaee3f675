"""The training loop: batches of similar length, clipping, linear schedule, surgery. It never sees a dev set."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from transformers import get_linear_schedule_with_warmup

from trainers.config import Training
from trainers.surgery import StochasticGradientSurgery

Batch = dict[str, Tensor]

# Batches that are drawn together and then sorted by length among themselves. More would pad less and mix less.
POOLED_BATCHES = 32


@dataclass(frozen=True)
class Oracle:
    """What surgery needs: per target language the places of its shots, and the probability alpha."""

    shots: Mapping[str, Sequence[int]]
    alpha: float


@dataclass(frozen=True)
class Epoch:
    """What an epoch came to. `epoch` and `step` count from 1; `measures` as in `Report`."""

    epoch: int
    step: int
    measures: dict[str, Any]


def train(
    model: Any,
    lengths: Sequence[int],
    collate: Callable[[Sequence[int]], Batch],
    training: Training,
    batch_size: int,
    seed: int,
    after_epoch: Callable[[Epoch], None],
    oracle: Oracle | None = None,
) -> None:
    """Train a model in place.

    Args:
        model: a transformers model whose output has a `loss`.
        lengths: sub-words of each training window.
        collate: places of windows to a batch.
        training: hyperparameters; `batch_size` and `seed` are given apart.
        batch_size: windows in a batch.
        seed: of the order of the data, of dropout and of surgery, each with a stream of its own.
        after_epoch: called after each epoch.
        oracle: makes it training with surgery.
    """
    torch.manual_seed(seed)
    order = torch.Generator().manual_seed(seed)
    optimizer: torch.optim.Optimizer = torch.optim.AdamW(
        model.parameters(), lr=training.learning_rate, eps=training.adam_epsilon, weight_decay=training.weight_decay
    )
    surgery = None
    if oracle is not None:
        batches = {language: collate(places) for language, places in oracle.shots.items()}
        optimizer = surgery = StochasticGradientSurgery(optimizer, batches, oracle.alpha, seed)
    steps_per_epoch = -(-len(lengths) // batch_size)
    schedule = get_linear_schedule_with_warmup(optimizer, training.warmup_steps, steps_per_epoch * training.epochs)
    model.train()
    for epoch in range(1, training.epochs + 1):
        begin = time.monotonic()
        losses = []
        for places in shuffled_batches(lengths, batch_size, order):
            loss = model(**collate(places)).loss
            loss.backward()
            if surgery is not None:
                surgery.operate(lambda batch: model(**batch).loss.backward())
            clip_grad_norm_(model.parameters(), training.clip_norm)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(loss.detach())
        measures: dict[str, Any] = {
            "loss": torch.stack(losses).mean().item(),
            "examples_per_second": len(lengths) / (time.monotonic() - begin),
        }
        if surgery is not None:
            measures["surgery"] = surgery.metrics()
        after_epoch(Epoch(epoch, epoch * steps_per_epoch, measures))


def shuffled_batches(lengths: Sequence[int], batch_size: int, generator: torch.Generator) -> list[list[int]]:
    """All windows once, in random batches of similar length.

    A random order is cut into pools of `POOLED_BATCHES` batches; each pool is sorted by length and cut into batches;
    the batches are shuffled. There are as many batches as without any sorting.

    Returns:
        Places of windows, `batch_size` each but for the last of one pool.
    """
    order = torch.randperm(len(lengths), generator=generator).tolist()
    pool_size = batch_size * POOLED_BATCHES
    pools = (
        sorted(order[first : first + pool_size], key=lengths.__getitem__) for first in range(0, len(order), pool_size)
    )
    batches = [pool[first : first + batch_size] for pool in pools for first in range(0, len(pool), batch_size)]
    return [batches[place] for place in torch.randperm(len(batches), generator=generator).tolist()]
