"""Trainings of a tiny token classifier on random windows, for the loop."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainers.surgery.rules import GradientSurgery, Rule
from trainers.training.loop import Oracle, TrainingSet
from trainers.trial import Training


class Corpus:
    """Random windows for a token classifier, without dropout anywhere, so that only arithmetic differs.

    Attributes:
        device: of models and batches, as `--device` says.
    """

    device = "cpu"

    def __init__(self, tiny_encoder: Path, number: int = 24) -> None:
        self.encoder = tiny_encoder
        generator = torch.Generator().manual_seed(number)
        lengths = torch.randint(4, 30, (number,), generator=generator).tolist()
        self.ids = [torch.randint(4, 1000, (length,), generator=generator) for length in lengths]
        self.labels = [torch.randint(0, 5, (length,), generator=generator) for length in lengths]
        for place, labels in enumerate(self.labels):
            labels[: place % 4] = -100

    def model(self) -> Any:
        from transformers import AutoModelForTokenClassification

        torch.manual_seed(3)
        return AutoModelForTokenClassification.from_pretrained(
            self.encoder, num_labels=5, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
        ).to(self.device)

    def training_set(self) -> TrainingSet:
        supervised = [int((labels != -100).sum()) for labels in self.labels]
        return TrainingSet(
            examples=range(len(self.ids)),
            lengths=[len(ids) for ids in self.ids],
            supervised=supervised,
            collate=self._collate,
            loss=lambda outputs, _: outputs.loss,
        )

    def _collate(self, places: Sequence[int]) -> dict[str, Tensor]:
        pad = torch.nn.utils.rnn.pad_sequence
        ids = [self.ids[place] for place in places]
        batch = {
            "input_ids": pad(ids, batch_first=True, padding_value=1),
            "attention_mask": pad([torch.ones_like(one) for one in ids], batch_first=True),
            "labels": pad([self.labels[place] for place in places], batch_first=True, padding_value=-100),
        }
        return {name: part.to(self.device) for name, part in batch.items()}


def training(**changed: Any) -> Training:
    values: dict[str, Any] = {
        "epochs": 1, "batch_size": 12, "learning_rate": 1e-3, "weight_decay": 0.0, "adam_epsilon": 1e-8,
        "clip_norm": 1e9, "warmup_steps": 0, "max_length": 64,
    }  # fmt: skip
    return Training(**{**values, **changed})


def oracle(alpha: float = 1.0, rule: type[Rule] = GradientSurgery, **changed: Any) -> Oracle:
    return Oracle(shots={"de": range(5), "hi": range(5, 10)}, alpha=alpha, rule=rule, **changed)
