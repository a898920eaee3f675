"""The model of one trial, and which rows of its word embeddings are installed in it."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from trainers.artifacts.kept_models import Model
from trainers.encoders.vocabulary import Rows, WordEmbeddings
from trainers.tasks.task import Task, Window
from trainers.training.batches import Batch
from trainers.training.fresh_model import fresh_model


class TrialModel:
    """A pretrained encoder with a task's head, and its word embeddings.

    Args:
        task: the task.
        encoder: a Hugging Face folder.
        pad_id: the tokenizer's padding token.
        labels: the labels that the head tells apart.
        device: "cpu" or "cuda".

    Attributes:
        model: the transformers model.
        embeddings: its word embeddings: the full table, and the rows that are installed in the model.
        changed: token ids of the rows that differ from the pretrained ones.  # [rows]
    """

    def __init__(self, task: Task[Any], encoder: Path, pad_id: int, labels: Sequence[str], device: str) -> None:
        self.task, self.labels, self.device = task, labels, device
        self.model = fresh_model(task, encoder, labels).to(device)
        self.embeddings = WordEmbeddings(self.model, pad_id)
        self.changed = torch.zeros(0, dtype=torch.long)

    # Rows of the word embeddings

    def trainable_rows(self, windows: Iterable[Window], weight_decay: float) -> Rows:
        """Install the rows that training on these windows can change: with weight decay all of them."""
        rows = self.embeddings.everything() if weight_decay else self.occurring(windows)
        self._add_changed(rows)
        return self.embeddings.install(rows)

    def rows_to_predict(self, windows: Iterable[Window]) -> Rows:
        """Install the rows that occur in these windows. The full table must be up to date."""
        return self.embeddings.install(self.occurring(windows))

    @contextmanager
    def other_rows(self, trained: Rows) -> Iterator[None]:
        """Update the full table, so that other rows can be installed; afterwards install the trained rows again."""
        self.embeddings.merge(trained.ids, trained.module.weight)
        yield
        self.embeddings.reinstall(trained)

    def all_rows(self) -> None:
        """Install all rows."""
        self.embeddings.install(self.embeddings.everything())

    def occurring(self, windows: Iterable[Window]) -> Tensor:
        """Token ids of the rows that occur in these windows.  # [rows]"""
        return self.embeddings.occurring(window.input_ids for window in windows)

    def _add_changed(self, rows: Tensor) -> None:
        self.changed = torch.unique(torch.cat([self.changed, rows]))

    # Weights

    def load(self, kept: Model) -> None:
        """Load trained weights into the model, and the rows that were trained into the full table."""
        self.embeddings.install(kept.rows)
        self.model.load_state_dict(kept.weights)
        self.embeddings.merge(kept.rows, self.model.get_input_embeddings().weight)
        self._add_changed(kept.rows)

    def weights(self) -> dict[str, Tensor]:
        """A copy of the state dict on the CPU, with the rows that are installed."""
        return {name: tensor.detach().to("cpu", copy=True) for name, tensor in self.model.state_dict().items()}

    def complete(self, chosen: Model) -> Model:
        """Trained weights with every row of the word embeddings that differs from the pretrained one."""
        self.load(chosen)
        self.embeddings.install(self.changed)
        return replace(chosen, weights=self.weights(), rows=self.changed)

    # Batches

    def batch(self, rows: Rows, windows: Sequence[Window], indices: Sequence[int], with_targets: bool = False) -> Batch:
        """A padded batch: input_ids, attention_mask and where there are any token_type_ids, each [batch, length].

        Args:
            rows: the rows that are installed.
            windows: any windows.
            indices: which of them are in the batch.
            with_targets: add the targets that the task's loss takes.
        """
        chosen = [windows[index] for index in indices]
        ids = [torch.tensor(window.input_ids) for window in chosen]
        input_ids = pad_sequence(ids, batch_first=True, padding_value=self.embeddings.pad_id)
        mask = pad_sequence([torch.ones(len(one), dtype=torch.long) for one in ids], batch_first=True)
        batch = {"input_ids": rows.index(input_ids), "attention_mask": mask}
        if chosen[0].token_types:
            types = [torch.tensor(window.token_types) for window in chosen]
            batch["token_type_ids"] = pad_sequence(types, batch_first=True)
        if with_targets:
            targets = self.task.targets(chosen, input_ids.shape[1])
            batch |= {name: torch.tensor(values) for name, values in targets.items()}
        return {name: tensor.to(self.device) for name, tensor in batch.items()}
