"""The training steps that are compared: the project's own, plain and with surgery, and two usual ways of surgery."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from trainers.encoders.vocabulary import WordEmbeddings
from trainers.surgery.rules import GradientSurgery, Gramian
from trainers.tasks.ner import NER
from trainers.training.batches import Batch
from trainers.training.loop import DTYPES, Loop, Oracle, TrainingSet
from trainers.trial import Precision, Training

LENGTH = 32
ROWS = 32
SHOTS = 5
LANGUAGES = 12
LABELS = 7
PAD = 1
SPECIAL = 4
POOL = 1024  # training windows


@dataclass(frozen=True)
class Shape:
    """A token classifier in XLM-R's shape.

    Attributes:
        name: as tables show it.
        vocabulary: rows of its word embeddings.
        occurring: how many different tokens the training data have.
        trimmed: the model works with those rows alone (`trainers.encoders.vocabulary`).
    """

    name: str
    vocabulary: int
    occurring: int
    trimmed: bool = False
    hidden: int = 256
    layers: int = 6
    heads: int = 4


class Always(GradientSurgery):
    """Eq. 1 as if every operation met a conflict: the dearest case."""

    def weights(self, gramian: Gramian) -> tuple[float, float]:
        return 1.0, -gramian.dot / gramian.oracle_square


class LiteralSurgery(Loop):
    """Algorithm 1 as the paper has it: both gradients as flat vectors, cloned."""

    def _operate(self) -> None:
        assert self.surgery is not None
        parameters = [parameter for parameter in self.model.parameters() if parameter.grad is not None]
        gradient = torch.cat([parameter.grad.flatten().clone() for parameter in parameters])
        language, p = self.surgery.draw()
        self.optimizer.zero_grad()
        self._oracle_backward(self.surgery.oracle[language])
        oracle_gradient = torch.cat([parameter.grad.flatten().clone() for parameter in parameters])
        dot = torch.dot(gradient, oracle_gradient)
        if p < self.surgery.alpha and torch.isfinite(dot):  # where Algorithm 1 asks for dot < 0: see `Always`
            gradient = gradient - dot / oracle_gradient.norm() ** 2 * oracle_gradient
        first = 0
        for parameter in parameters:
            after = first + parameter.numel()
            parameter.grad.copy_(gradient[first:after].view_as(parameter))
            first = after


class TorchjdPCGrad(Loop):
    """PCGrad over the same two losses as torchjd's documentation has it: first the Jacobian, then the gradient."""

    def _update(self, places: Sequence[int]) -> None:
        from torchjd.aggregation import PCGrad
        from torchjd.autojac import backward, jac_to_grad

        assert self.surgery is not None
        language, _ = self.surgery.draw()
        losses = [self._loss(places), self._loss(self.surgery.oracle[language])]
        parameters = list(self.model.parameters())
        backward(losses)
        jac_to_grad(parameters, PCGrad())
        clip_grad_norm_(parameters, self.training.clip_norm)
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad()

    def _loss(self, places: Sequence[int]) -> Tensor:
        dtype = DTYPES[self.training.precision]
        with torch.autocast(self.device, dtype, enabled=dtype != torch.float32):
            batch = self.data.collate(places)
            return self.data.loss(self.model(**batch), batch)


@dataclass(frozen=True)
class Way:
    """A way to take a step: which loop, on how many rows, with which probability of surgery."""

    loop: type[Loop] = Loop
    rows: int = ROWS
    alpha: float | None = None


PLAIN = "plain step"
BOUND = f"plain step on {ROWS + SHOTS} rows"
SURGERY = "surgery"
RARE = "surgery, alpha 0.1"
LITERAL = "Algorithm 1, flat and cloned"
TORCHJD = "torchjd, PCGrad"

WAYS = {
    PLAIN: Way(),
    BOUND: Way(rows=ROWS + SHOTS),
    SURGERY: Way(alpha=1.0),
    RARE: Way(alpha=0.1),
    LITERAL: Way(LiteralSurgery, alpha=1.0),
    TORCHJD: Way(TorchjdPCGrad, alpha=1.0),
}


def stepper(way: str, shape: Shape, device: str) -> tuple[Loop, Callable[[], None]]:
    """A training of a new model, and what takes its next step."""
    chosen = WAYS[way]
    torch.manual_seed(0)
    model = _model(shape).to(device)
    windows = _windows(shape)
    if shape.trimmed:
        embeddings = WordEmbeddings(model, PAD)
        embeddings.install(embeddings.occurring(windows["input_ids"].tolist()))
    collate = partial(_collate, windows, device)
    data = TrainingSet(
        examples=range(POOL), lengths=[LENGTH] * POOL, supervised=[LENGTH // 2] * POOL, collate=collate, loss=NER.loss
    )
    shots = {f"language {place}": range(POOL - SHOTS * (place + 1), POOL - SHOTS * place) for place in range(LANGUAGES)}
    oracle = Oracle(shots=shots, alpha=chosen.alpha, rule=Always) if chosen.alpha is not None else None
    loop = chosen.loop(model, data, _training(chosen.rows, device), 1, oracle)
    model.train()
    batches = _endlessly(chosen.rows)
    return loop, lambda: loop._update(next(batches))


def precision(device: str) -> Precision:
    """bf16 on a GPU."""
    return "bf16" if device == "cuda" else "fp32"


def _training(rows: int, device: str) -> Training:
    return Training(
        epochs=1000, batch_size=rows, learning_rate=1e-4, weight_decay=0.0, adam_epsilon=1e-8, clip_norm=1.0,
        warmup_steps=0, max_length=LENGTH, precision=precision(device),
    )  # fmt: skip


def _model(shape: Shape) -> Any:
    from transformers import XLMRobertaConfig, XLMRobertaForTokenClassification

    config = XLMRobertaConfig(
        vocab_size=shape.vocabulary, hidden_size=shape.hidden, num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads, intermediate_size=4 * shape.hidden, max_position_embeddings=514,
        type_vocab_size=1, pad_token_id=PAD, num_labels=LABELS,
    )  # fmt: skip
    return XLMRobertaForTokenClassification(config)


def _windows(shape: Shape) -> dict[str, Tensor]:
    """Random windows without padding, every other token with a label.  # each [POOL, LENGTH]"""
    tokens = torch.randperm(shape.vocabulary - SPECIAL)[: shape.occurring] + SPECIAL
    ids = tokens[torch.randint(len(tokens), (POOL, LENGTH))]
    ids.view(-1)[: len(tokens)] = tokens[: ids.numel()]  # all occur
    labels = torch.randint(LABELS, ids.shape)
    labels[:, 1::2] = -100
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}


def _collate(windows: dict[str, Tensor], device: str, places: Sequence[int]) -> Batch:
    chosen = torch.tensor(places)
    return {name: values[chosen].to(device) for name, values in windows.items()}


def _endlessly(rows: int) -> Any:
    """Batches of places, one after the other, again and again."""
    first = 0
    while True:
        yield [(first + place) % POOL for place in range(rows)]
        first += rows
