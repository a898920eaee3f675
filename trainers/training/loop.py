"""The training loop: updates in parts and in several precisions, surgery, clipping. It never sees a dev set.

More than 300 lines: what an update does stands in one file, in the order in which it happens.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim.lr_scheduler import LambdaLR

from trainers.surgery import released_code
from trainers.surgery.optimizer import StochasticGradientSurgery
from trainers.surgery.released_code import ReleasedCodeSurgery
from trainers.surgery.rules import Rule
from trainers.surgery.sparse import sparse_embeddings
from trainers.training.batches import (
    PART_COST,
    Batch,
    bucketed_batches,
    parts_of_similar_length,
    shuffled_batches,
)
from trainers.training.finite import FiniteCheck, NotFiniteError
from trainers.training.recorded import LEAST_UPDATES, Of, RecordedPasses
from trainers.training.schedule import learning_rate_factor, parameter_groups
from trainers.trial import Schedule, Training, at_epoch

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

# With a smaller loss scale fp16 has few gradients that are not 0. fairseq ends a training there, too.
LEAST_SCALE = 1e-4


@dataclass(frozen=True, kw_only=True)
class TrainingSet:
    """The windows of a training, and how they become batches.

    Attributes:
        examples: indices of the windows that are trained on, as many as an epoch has.
        lengths: tokens of every window.
        supervised: terms that the loss averages over in every window.
        collate: from indices of windows to a batch with targets.
        loss: the mean loss over the supervised terms, from a model's output and its batch.
        draw: draws the windows of an epoch; None for each of `examples` once.
    """

    examples: Sequence[int]
    lengths: Sequence[int]
    supervised: Sequence[int]
    collate: Callable[[Sequence[int]], Batch]
    loss: Callable[[Any, Batch], Tensor]
    draw: Callable[[torch.Generator], Sequence[int]] | None = None


@dataclass(frozen=True, kw_only=True)
class Oracle:
    """The oracle set, and what surgery does with its gradients.

    Attributes:
        shots: per language the indices of its shots.
        alpha: the probability of surgery at a step, or how it changes over the epochs.
        rule: the conflict rule, of which each language has an instance.
        released_code: operate as the authors' code does: after each gradient-accumulation step, on the running sum,
            written back misaligned.
        sample: number of windows drawn at random for one oracle pass; None for all shots.
    """

    shots: Mapping[str, Sequence[int]]
    alpha: float | Schedule
    rule: type[Rule]
    released_code: bool = False
    sample: int | None = None


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The progress of a training, as in `Report`; `measures` are those since the report before."""

    epoch: int
    step: int
    measures: dict[str, Any]


class Loop:
    """Trains a model in place; a training that stops after any update resumes elsewhere to the bit.

    Args:
        model: a transformers model with a head.
        data: the training windows.
        training: the hyperparameters.
        seed: of the order of the data, of dropout and of surgery, each with its own random stream.
        oracle: the oracle set of a training with surgery; None for a training without.

    Attributes:
        epoch: the current epoch, from 1.
        step: updates so far.
        tokens: tokens that have passed through the model since this object was made, those of oracle passes included.
    """

    def __init__(
        self,
        model: Any,
        data: TrainingSet,
        training: Training,
        seed: int,
        oracle: Oracle | None = None,
    ) -> None:
        self.model, self.data, self.training = model, data, training
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
        self.steps_per_epoch = -(-len(data.examples) // training.batch_size)
        self.schedule = LambdaLR(self.optimizer, learning_rate_factor(training, self.steps_per_epoch))
        self.scaler = torch.amp.GradScaler(self.device, enabled=training.precision == "fp16")
        self.finite = FiniteCheck(self.scaler.is_enabled())
        is_long = self.steps_per_epoch * training.epochs >= LEAST_UPDATES
        self.recorded = RecordedPasses(self._pass, model.parameters()) if self.device == "cuda" and is_long else None
        self.epoch, self.position, self.step = 1, 0, 0
        self.losses: list[Tensor] = []
        self.windows = 0
        self.tokens = 0
        self.since = time.monotonic()

    def run(self, report: Callable[[Progress], None], after_update: Callable[[], None] = lambda: None) -> None:
        """Train to the end.

        Args:
            report: called after each epoch, or after every `evaluate_every` updates.
            after_update: called after each update and its report; `state_dict()` is then a state to resume from.

        Raises:
            NotFiniteError: the loss or the gradient of an update is not finite, or under fp16 those of so many that the
                loss scale is next to nothing; the message names the step.
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
                if self._is_due() or self.finite.is_due:
                    self.finite.check(self.step)
                    self._check_scale()
                if self._is_due():
                    report(self._progress())
                if self.position < len(batches):
                    after_update()
            self.epoch, self.position = self.epoch + 1, 0
            self.order_at_epoch = self.order.get_state()
            after_update()

    def state_dict(self) -> dict[str, Any]:
        """Everything that the rest of the training depends on: tensors and plain values.

        Raises:
            NotFiniteError: as `run`; there is no such state.
        """
        if not self.finite.scaled:
            self.finite.check(self.step)
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
        """Resume from `state_dict()`."""
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
        data, size = self.data, self.training.batch_size
        examples = data.examples if data.draw is None else data.draw(self.order)
        if self.training.batching == "bucketed":
            batches = bucketed_batches([data.lengths[index] for index in examples], size, self.order)
        else:
            batches = shuffled_batches(len(examples), size, self.order)
        return [[examples[index] for index in batch] for batch in batches]

    def _update(self, indices: Sequence[int]) -> None:
        per_part = self.oracle is not None and self.oracle.released_code
        losses, finite = [], True
        divide = self._micro_batches if self.training.batching == "micro-batches" else self._parts
        for part, share in divide(indices):
            losses.append(self._backward(part, share, "training"))
            if per_part:
                finite &= self._operate()
        if self.surgery is not None and not per_part:
            finite = self._operate()
        if self.scaler.is_enabled() and not finite:
            self._overflow()
        self.scaler.unscale_(self.optimizer)
        norm = clip_grad_norm_(self.model.parameters(), self.training.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()
        self.optimizer.zero_grad()
        self.losses.append(torch.stack(losses).sum())
        self.finite.add(self.losses[-1], norm)
        self.windows += len(indices)

    def _micro_batches(self, indices: Sequence[int]) -> list[tuple[Sequence[int], float]]:
        """The parts of a batch that count equally, whatever they hold, each with its share."""
        size = self._most()
        parts = [indices[first : first + size] for first in range(0, len(indices), size)]
        return [(part, 1 / len(parts)) for part in parts]

    def _parts(self, indices: Sequence[int]) -> list[tuple[Sequence[int], float]]:
        """The parts in which a batch is computed, each with the share of its mean loss in that of the batch.

        By its share a part's loss is a sum over its terms, divided by those of the batch: how a batch is divided does
        not change its gradient. Windows without terms are left out, as a mean over theirs alone would be none.
        """
        indices = [index for index in indices if self.data.supervised[index]] or indices
        lengths = [self.data.lengths[index] for index in indices]
        terms = [self.data.supervised[index] for index in indices]
        places = parts_of_similar_length(lengths, self._most(), PART_COST[self.device])
        whole = sum(terms) or 1  # a batch without any has no loss, which `FiniteCheck` says
        return [([indices[place] for place in part], sum(terms[place] for place in part) / whole) for part in places]

    def _most(self) -> int:
        """The most windows that pass through the model at once."""
        return -(-self.training.batch_size // self.training.accumulation)

    def _backward(self, indices: Sequence[int], share: float, of: Of) -> Tensor:
        """Accumulate the gradient of `share` times the mean loss of these windows; returns that product."""
        batch = self.data.collate(indices)
        self.tokens += sum(self.data.lengths[index] for index in indices)
        return self._pass(batch, share) if self.recorded is None else self.recorded(batch, share, of)

    def _pass(self, batch: Batch, share: float | Tensor) -> Tensor:
        dtype = DTYPES[self.training.precision]
        with torch.autocast(self.device, dtype, enabled=dtype != torch.float32):
            loss = self.data.loss(self.model(**batch), batch) * share
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _operate(self) -> bool:
        """One operation of surgery; whether its gradients were finite, if there was one."""
        assert self.surgery is not None
        with sparse_embeddings(self.model):
            operation = self.surgery.operate(self._oracle_backward)
        return operation is None or operation.finite

    def _overflow(self) -> None:
        """Count an overflow of the oracle pass as one of the training pass: skip the update, and lower the scale."""
        gradients = (parameter.grad for parameter in self.model.parameters() if parameter.grad is not None)
        next(gradients).fill_(torch.inf)

    def _check_scale(self) -> None:
        """NotFiniteError once the loss scale is so small that gradients vanish, and nothing more is learned."""
        scale = self.scaler.get_scale()
        if scale < LEAST_SCALE:
            raise NotFiniteError(
                f"the loss scale has fallen to {scale:.1g} at step {self.step}, because gradients overflow in fp16"
                " whatever it is: try precision bf16 or fp32, or a lower learning_rate"
            )

    def _oracle_backward(self, indices: Sequence[int]) -> None:
        """Accumulate the gradient of one language's shots: of the mean loss over all of them."""
        assert self.oracle is not None
        if self.oracle.sample is not None:
            indices = [indices[index] for index in torch.randperm(len(indices))[: self.oracle.sample].tolist()]
        for part, share in self._parts(indices):
            self._backward(part, share, "oracle")

    def _with_surgery(self, oracle: Oracle, seed: int) -> StochasticGradientSurgery[Sequence[int]]:
        alpha = at_epoch(oracle.alpha, 0)
        if not oracle.released_code:
            return StochasticGradientSurgery(self.optimizer, oracle.shots, alpha, seed, oracle.rule)
        surgery = ReleasedCodeSurgery(self.optimizer, oracle.shots, alpha, seed, oracle.rule)
        surgery.layout = released_code.layout(self.model)
        return surgery

    # Reports

    def _is_due(self) -> bool:
        every = self.training.evaluate_every
        if every is None:
            return self.position == self.steps_per_epoch
        return self.step % every == 0 or self.step == self.steps_per_epoch * self.training.epochs

    def _progress(self) -> Progress:
        losses = torch.stack(self.losses)
        measures: dict[str, Any] = {
            "loss": losses[losses.isfinite()].mean().item(),
            "examples_per_second": self.windows / (time.monotonic() - self.since),
            "steps_per_second": len(self.losses) / (time.monotonic() - self.since),
        }
        if self.surgery is not None:
            measures["surgery"] = self.surgery.metrics()
        if self.training.precision == "fp16":
            measures["loss_scale"] = self.scaler.get_scale()
        self.losses, self.windows, self.since = [], 0, time.monotonic()
        return Progress(epoch=self.epoch, step=self.step, measures=measures)
