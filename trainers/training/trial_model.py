"""The model of one trial, and which rows of its word embeddings are installed in it."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence

from trainers.artifacts.kept_models import Model
from trainers.encoders.vocabulary import Rows, WordEmbeddings
from trainers.tasks.task import Task, Window
from trainers.training.batches import Batch, batches_by_length
from trainers.training.fresh_model import fresh_model

log = logging.getLogger(__name__)

# Tokens of the batch on which trimming is proven: as much work as half a step of the paper's training.
PROOF_TOKENS = 1024

# The trimmed and the whole model compute the same from the same numbers, but not always in the same order (kernels
# depend on where a tensor lies). Their logits may differ by this share of the largest one, a thousand times float32's
# precision; a wrong row or a lost scale moves them by about as much as they are.
TOLERANCE = 1e-4


class TrialModel:
    """A pretrained encoder with a task's head, and its word embeddings.

    Args:
        task: the task.
        encoder: a Hugging Face folder.
        tokenizer: the encoder's.
        labels: the labels that the head tells apart.
        device: "cpu" or "cuda".

    Attributes:
        model: the transformers model.
        embeddings: its word embeddings: the full table, and the rows that are installed in the model.
        changed: token ids of the rows that differ from the pretrained ones.  # [rows]
        untrimmed: why all rows are always installed; None if only those that occur are.
    """

    def __init__(self, task: Task[Any], encoder: Path, tokenizer: Any, labels: Sequence[str], device: str) -> None:
        self.task, self.labels, self.device = task, labels, device
        self.model = fresh_model(task, encoder, labels).to(device)
        self.embeddings = WordEmbeddings(self.model, _padding(self.model, tokenizer))
        self.has_segments = _has_segments(self.model)
        self.changed = torch.zeros(0, dtype=torch.long)
        self.untrimmed: str | None = None
        self._is_proven = False

    # Rows of the word embeddings

    def trainable_rows(self, windows: Sequence[Window], weight_decay: float) -> Rows:
        """Install the rows that training on these windows can change: with weight decay all of them."""
        self._prove(windows)
        rows = self.embeddings.install(self.embeddings.everything() if weight_decay else self.occurring(windows))
        self._add_changed(rows.ids)
        return rows

    def rows_to_predict(self, windows: Sequence[Window]) -> Rows:
        """Install the rows that occur in these windows. The full table must be up to date."""
        self._prove(windows)
        return self.embeddings.install(self.occurring(windows))

    @contextmanager
    def other_rows(self, trained: Rows) -> Iterator[None]:
        """Update the full table, so that other rows can be installed; afterwards install the trained rows again."""
        self.embeddings.merge(trained.ids, trained.weight)
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

    def _prove(self, windows: Sequence[Window]) -> None:
        """Compare the trimmed with the whole model on the first batch of windows; unless they are equal, trim no more.

        Models may do more with token ids and word embeddings than trimming knows of.
        """
        if self._is_proven or not windows:
            return
        self._is_proven = True
        batch = next(batches_by_length([len(window.input_ids) for window in windows], PROOF_TOKENS))
        chosen = [windows[index] for index in batch]
        self.embeddings.trims = False
        whole = self._outputs(self.embeddings.install(self.embeddings.everything()), chosen)
        self.embeddings.trims = True
        try:
            trimmed = self._outputs(self.embeddings.install(self.occurring(chosen)), chosen)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            self.untrimmed = f"with the rows that occur alone, the model fails: {type(error).__name__}: {error}"
        else:
            self.untrimmed = _difference(whole, trimmed)
        if self.untrimmed is not None:
            log.warning("the vocabulary is not trimmed: %s", self.untrimmed)
            self.embeddings.trims = False

    @torch.no_grad()
    def _outputs(self, rows: Rows, windows: Sequence[Window]) -> list[Tensor]:
        """The tensors that the model computes for a batch of windows, without dropout."""
        was_training = self.model.training
        self.model.eval()
        try:
            outputs = self.model(**self.batch(rows, windows, range(len(windows))))
        finally:
            self.model.train(was_training)
        return [value for value in outputs.values() if isinstance(value, Tensor)]

    # Weights

    def load(self, kept: Model) -> None:
        """Load trained weights into the model, and the rows that were trained into the full table."""
        self.embeddings.install_trained(kept.rows)
        self.model.load_state_dict(kept.weights)
        self.embeddings.merge(kept.rows, self.model.get_input_embeddings().weight)
        self._add_changed(kept.rows)

    def weights(self) -> dict[str, Tensor]:
        """A copy of the state dict on the CPU, with the rows that are installed."""
        return {name: tensor.detach().to("cpu", copy=True) for name, tensor in self.model.state_dict().items()}

    def complete(self, chosen: Model) -> Model:
        """Trained weights with every row of the word embeddings that differs from the pretrained one."""
        self.load(chosen)
        self.embeddings.install_trained(self.changed)
        return replace(chosen, weights=self.weights(), rows=self.changed)

    # Batches

    def batch(
        self,
        rows: Rows,
        windows: Sequence[Window],
        indices: Sequence[int],
        with_targets: bool = False,
        lengths: Sequence[int] = (),
    ) -> Batch:
        """A padded batch: input_ids, attention_mask and where the model has segments token_type_ids, [batch, length].

        Args:
            rows: the rows that are installed.
            windows: any windows.
            indices: which of them are in the batch.
            with_targets: add the targets that the task's loss takes.
            lengths: pad to the first of these that is long enough; without them to the longest window.
        """
        chosen = [windows[index] for index in indices]
        ids = [torch.tensor(window.input_ids) for window in chosen]
        longest = max(map(len, ids))
        more = (0, next((length for length in lengths if length >= longest), longest) - longest)
        padding = self.embeddings.pad_id
        input_ids = pad(pad_sequence(ids, batch_first=True, padding_value=padding), more, value=padding)
        mask = pad(pad_sequence([torch.ones(len(one), dtype=torch.long) for one in ids], batch_first=True), more)
        rows.require(input_ids)
        batch = {"input_ids": input_ids, "attention_mask": mask}
        if self.has_segments and chosen[0].token_types:
            types = [torch.tensor(window.token_types) for window in chosen]
            batch["token_type_ids"] = pad(pad_sequence(types, batch_first=True), more)
        if with_targets:
            targets = self.task.targets(chosen, input_ids.shape[1])
            batch |= {name: torch.tensor(values) for name, values in targets.items()}
        return {name: tensor.to(self.device) for name, tensor in batch.items()}


def _padding(model: Any, tokenizer: Any) -> int:
    """The id that pads: any is right under the mask.

    Models that look for padding compare with their config's, which is set if it is missing.
    """
    config, vocabulary = model.config.get_text_config(), len(model.get_input_embeddings().weight)
    candidates = (config.pad_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
    config.pad_token_id = next(one for one in candidates if one is not None and 0 <= one < vocabulary)
    return int(config.pad_token_id)


def _has_segments(model: Any) -> bool:
    """Whether a model takes segment ids and tells segments apart. GPT-2 and its like look them up as words."""
    takes_them = "token_type_ids" in signature(model.forward).parameters
    return takes_them and getattr(model.config, "type_vocab_size", 0) > 1


def _difference(whole: Sequence[Tensor], trimmed: Sequence[Tensor]) -> str | None:
    """What differs between the outputs of the whole and of the trimmed model, in words; None if nothing does."""
    for one, other in zip(whole, trimmed, strict=True):
        if one.shape != other.shape:
            return f"with the rows that occur alone, an output has the shape {[*other.shape]}, not {[*one.shape]}"
        largest = _largest(one)
        if not torch.allclose(one, other, rtol=0, atol=TOLERANCE * largest, equal_nan=True):
            by = _largest(one - other)
            return f"with the rows that occur alone, outputs of up to {largest:.3g} differ by up to {by:.3g}"
    return None


def _largest(values: Tensor) -> float:
    """The largest finite absolute value; 0 if there is none."""
    return float(values[values.isfinite()].abs().max()) if values.isfinite().any() else 0.0
