"""Vocabulary trimming: work with the rows of the word embeddings that occur, train the very same model.

A row whose token occurs nowhere in the training data never receives a gradient, and without weight decay never
changes. So only the rows that occur are trained; the full table keeps the others and takes the trained ones back
before anything else is computed from it: evaluation, adapting, export.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class WordEmbeddings:
    """All rows of a model's word embeddings, and those of them that the model works with at the moment.

    Args:
        model: a transformers model; from now on its word embeddings are this object's to exchange.
        pad_id: the padding token. Ids up to it are always kept, so that its id stays the same: XLM-R computes
            positions from it.
    """

    def __init__(self, model: Any, pad_id: int) -> None:
        self.model = model
        self.pad_id = pad_id
        # [vocabulary, hidden]; as loaded, so memory-mapped where the loader does that
        self.table: Tensor = model.get_input_embeddings().weight.detach()

    def occurring(self, sequences: Iterable[Sequence[int]]) -> Tensor:
        """The ids that occur, in order, with those that are always kept.  # [rows]"""
        ids = set(range(self.pad_id + 1)).union(*sequences)
        return torch.tensor(sorted(ids))

    def everything(self) -> Tensor:
        """All ids.  # [vocabulary]"""
        return torch.arange(len(self.table))

    def install(self, ids: Tensor) -> "Rows":
        """Give the model these rows to work with."""
        rows = self.table[ids]
        module = nn.Embedding(len(rows), rows.shape[1], self.pad_id, _weight=rows, _freeze=False)
        return self.reinstall(Rows(ids, module.to(self.model.device), len(self.table)))

    def reinstall(self, rows: "Rows") -> "Rows":
        """Give the model rows that were installed before, trained as they are."""
        self.model.set_input_embeddings(rows.module)
        return rows

    def merge(self, ids: Tensor, weights: Tensor) -> None:
        """Take trained rows back into the full table.

        Args:
            ids: which rows.  # [rows]
            weights: their values.  # [rows, hidden]
        """
        self.table[ids] = weights.detach().to(self.table.device, self.table.dtype)


class Rows:
    """Rows of the full table as an embedding module, and the way from token ids to its indices."""

    def __init__(self, ids: Tensor, module: nn.Embedding, vocabulary: int) -> None:
        self.ids = ids
        self.module = module
        self._index = torch.full((vocabulary,), -1)
        self._index[ids] = torch.arange(len(ids))

    def index(self, token_ids: Tensor) -> Tensor:
        """Indices into the rows of token ids, in any shape. IndexError for a token that is not among them."""
        indices = self._index[token_ids]
        if (indices < 0).any():
            raise IndexError("a token of this batch is not among the rows that the model works with")
        return indices
