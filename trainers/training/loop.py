"""The training loop: batches of similar length, precision, surgery, clipping, schedule. It never sees a dev set."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim.lr_scheduler import LambdaLR

from trainers.protocols import UNDECAYED
from trainers.surgery import released_code
from trainers.surgery.optimizer import StochasticGradientSurgery
from trainers.surgery.released_code import ReleasedCodeSurgery
from trainers.surgery.rules import Rule
from trainers.trial import Schedule, Training, at_epoch

Batch = dict[str, Tensor]

# Batches that are drawn together and then sorted by length among themselves. More would pad less and mix less.
POOLED_BATCHES = 32

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class TrainingSet:
    """Windows by their places.

    Attributes:
        examples: the places that are trained on.
        lengths: sub-words of every window.
        supervised: terms that the loss averages over in every window.
        collate: places to a batch.
        loss: the mean loss over the supervised terms, from a model's output and its batch.
    """

    examples: Sequence[int]
    lengths: Sequence[int]
    supervised: Sequence[int]
    collate: Callable[[Sequence[int]], Batch]
    loss: Callable[[Any, Batch], Tensor]


@dataclass(frozen=True)
class Oracle:
    """What surgery needs.

    Attributes:
        shots: per language the places of its shots.
        alpha: the probability of surgery at a step, or how it changes over the epochs.
        rule: the conflict rule, of which each language has an instance.
        released_code: operate as the authors' code does: after each part of an update, on the running sum, written
            back misaligned.
        sample: windows drawn at random for one oracle pass; None for all shots.
    """

    shots: Mapping[str, Sequence[int]]
    alpha: float | Schedule
    rule: type[Rule]
    released_code: bool = False
    sample: int | None = None


@dataclass(frozen=True)
class Progress:
    """How far a training is. `epoch` and `step` count from 1; `measures` as in `Report`, since the last one."""

    epoch: int
    step: int
    measures: dict[str, Any]


class Loop:
    """One training of a model, in place, which can stop after any update and go on elsewhere to the bit.

    `sub_words` counts those that went through the model since this object was made, the oracle's included.

    Args:
        model: a transformers model with a head.
        data: the training windows.
        training: hyperparameters; `batch_size` and `seed` are given apart.
        batch_size: windows of an update.
        seed: of the order of the data, of dropout and of surgery, each with a stream of its own.
        oracle: makes it training with surgery.
    """

    def __init__(
        self,
        model: Any,
        data: TrainingSet,
        training: Training,
        batch_size: int,
        seed: int,
        oracle: Oracle | None = None,
    ) -> None:
        self.model, self.data, self.training, self.batch_size = model, data, training, batch_size
        self.device = model.device.type
        torch.manual_seed(seed)
        self.order = torch.Generator().manual_seed(seed)
        self.optimizer: torch.optim.Optimizer = torch.optim.AdamW(
            parameter_groups(model, training.weight_decay),
            lr=at_epoch(training.learning_rate, 0),
            eps=training.adam_epsilon,
            fused=True,
        )
        self.oracle = oracle
        self.surgery: StochasticGradientSurgery[Sequence[int]] | None = None
        if oracle is not None:
            self.optimizer = self.surgery = self._with_surgery(oracle, seed)
        self.steps_per_epoch = -(-len(data.examples) // batch_size)
        self.schedule = LambdaLR(self.optimizer, learning_rate_factor(training, self.steps_per_epoch))
        self.scaler = torch.amp.GradScaler(self.device, enabled=training.precision == "fp16")
        self.epoch, self.position, self.step = 1, 0, 0
        self.losses: list[Tensor] = []
        self.windows = 0
        self.sub_words = 0
        self.since = time.monotonic()

    def run(self, report: Callable[[Progress], None], after_update: Callable[[], None] = lambda: None) -> None:
        """Train to the end.

        Args:
            report: called after each epoch, or as often as the training's `evaluate_every` says.
            after_update: called after each update and its report; `state_dict` is then that of this moment.
        """
        self.model.train()
        self.since = time.monotonic()
        while self.epoch <= self.training.epochs:
            self.order_at_epoch = self.order.get_state()
            if self.surgery is not None and self.oracle is not None:
                self.surgery.alpha = at_epoch(self.oracle.alpha, self.epoch - 1)
            batches = self._batches()
            while self.position < len(batches):
                self._update(batches[self.position])
                self.position += 1
                self.step += 1
                if self._is_due():
                    report(self._progress())
                if self.position < len(batches):
                    after_update()
            self.epoch, self.position = self.epoch + 1, 0
            self.order_at_epoch = self.order.get_state()
            after_update()

    def state_dict(self) -> dict[str, Any]:
        """All that the rest of the training depends on: tensors and plain values."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.last_epoch,
            "scaler": self.scaler.state_dict(),
            "order": self.order_at_epoch,
            "random": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if self.device == "cuda" else [],
            "epoch": self.epoch,
            "position": self.position,
            "step": self.step,
            "losses": torch.stack(self.losses).cpu() if self.losses else torch.zeros(0),
            "windows": self.windows,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict()`."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.last_epoch = state["schedule"]
        factor = self.schedule.lr_lambdas[0](self.schedule.last_epoch)
        self.schedule._last_lr = [base * factor for base in self.schedule.base_lrs]
        for group, rate in zip(self.optimizer.param_groups, self.schedule._last_lr, strict=True):
            group["lr"] = rate
        self.scaler.load_state_dict(state["scaler"])
        self.order.set_state(state["order"])
        torch.set_rng_state(state["random"])
        if self.device == "cuda":
            torch.cuda.set_rng_state_all(state["cuda"])
        self.epoch, self.position, self.step = state["epoch"], state["position"], state["step"]
        self.losses = list(state["losses"].to(self.model.device))
        self.windows = state["windows"]

    # One update

    def _batches(self) -> list[list[int]]:
        lengths = [self.data.lengths[place] for place in self.data.examples]
        batches = shuffled_batches(lengths, self.batch_size, self.order)
        return [[self.data.examples[index] for index in batch] for batch in batches]

    def _update(self, places: Sequence[int]) -> None:
        part_size = -(-self.batch_size // self.training.accumulation)
        parts = [places[first : first + part_size] for first in range(0, len(places), part_size)]
        per_part = self.oracle is not None and self.oracle.released_code
        losses = []
        for part in parts:
            losses.append(self._backward(part, 1 / len(parts) if per_part else self._share(part, places)))
            if per_part:
                self._operate()
        if self.surgery is not None and not per_part:
            self._operate()
        self.scaler.unscale_(self.optimizer)
        clip_grad_norm_(self.model.parameters(), self.training.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()
        self.optimizer.zero_grad()
        self.losses.append(torch.stack(losses).sum())
        self.windows += len(places)

    def _backward(self, places: Sequence[int], share: float) -> Tensor:
        """Add the gradient of `share` times the mean loss of these windows; returns that product."""
        dtype = DTYPES[self.training.precision]
        with torch.autocast(self.device, dtype, enabled=dtype != torch.float32):
            batch = self.data.collate(places)
            loss = self.data.loss(self.model(**batch), batch)
        self.sub_words += sum(self.data.lengths[place] for place in places)
        loss = loss * share
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _share(self, part: Sequence[int], whole: Sequence[int]) -> float:
        """What a part's mean loss counts in that of the whole, so that dividing an update changes nothing."""
        return sum(self.data.supervised[place] for place in part) / sum(self.data.supervised[place] for place in whole)

    def _operate(self) -> None:
        assert self.surgery is not None
        self.surgery.operate(self._oracle_backward)

    def _oracle_backward(self, places: Sequence[int]) -> None:
        """The gradient of one language's shots, in parts no larger than a training batch's."""
        assert self.oracle is not None
        if self.oracle.sample is not None:
            places = [places[place] for place in torch.randperm(len(places))[: self.oracle.sample].tolist()]
        part_size = -(-self.batch_size // self.training.accumulation)
        for first in range(0, len(places), part_size):
            part = places[first : first + part_size]
            self._backward(part, self._share(part, places))

    def _with_surgery(self, oracle: Oracle, seed: int) -> StochasticGradientSurgery[Sequence[int]]:
        alpha = at_epoch(oracle.alpha, 0)
        if not oracle.released_code:
            return StochasticGradientSurgery(self.optimizer, oracle.shots, alpha, seed, oracle.rule)
        surgery = ReleasedCodeSurgery(self.optimizer, oracle.shots, alpha, seed, oracle.rule)
        surgery.layout = released_code.layout(self.model)
        return surgery

    # What is told

    def _is_due(self) -> bool:
        every = self.training.evaluate_every
        if every is None:
            return self.position == self.steps_per_epoch
        return self.step % every == 0 or self.step == self.steps_per_epoch * self.training.epochs

    def _progress(self) -> Progress:
        measures: dict[str, Any] = {
            "loss": torch.stack(self.losses).mean().item(),
            "examples_per_second": self.windows / (time.monotonic() - self.since),
            "steps_per_second": len(self.losses) / (time.monotonic() - self.since),
        }
        if self.surgery is not None:
            measures["surgery"] = self.surgery.metrics()
        if self.training.precision == "fp16":
            measures["loss_scale"] = self.scaler.get_scale()
        self.losses, self.windows, self.since = [], 0, time.monotonic()
        return Progress(self.epoch, self.step, measures)


def parameter_groups(model: Any, weight_decay: float) -> list[dict[str, Any]]:
    """The parameters with weight decay and those without: biases and the weights of LayerNorm."""
    named = list(model.named_parameters())
    return [
        {
            "params": [parameter for name, parameter in named if name.endswith(UNDECAYED) == undecayed],
            "weight_decay": 0.0 if undecayed else weight_decay,
        }
        for undecayed in (False, True)
    ]


def learning_rate_factor(training: Training, steps_per_epoch: int) -> Callable[[int], float]:
    """The learning rate at a step, from 0, as a factor of its value in the first epoch."""
    decay = linear_decay(training, steps_per_epoch * training.epochs)
    first = at_epoch(training.learning_rate, 0)

    def factor(step: int) -> float:
        return decay(step) * (at_epoch(training.learning_rate, step // steps_per_epoch) / first)

    return factor


def linear_decay(training: Training, steps: int) -> Callable[[int], float]:
    """The learning rate's factor at a step, from 0: up to 1 over the warm-up, then linearly down to 0 at `steps`."""
    warmup = training.warmup_steps

    def factor(step: int) -> float:
        step += training.schedule_first
        if step < warmup:
            return step / warmup
        return max(0.0, (steps - step) / max(1, steps - warmup))

    return factor


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
