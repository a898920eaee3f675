"""Vocabulary trimming: training only the rows of the word embeddings that occur, with the same result.

A row whose token does not occur in the training data never receives a gradient, and without weight decay never changes.
So only the rows that occur are trained. The full table keeps the others, and the trained rows are merged into it before
the model is evaluated, adapted or exported.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class WordEmbeddings:
    """All rows of a model's word embeddings, and those that are installed in the model.

    Args:
        model: a transformers model, whose word embeddings only this object may replace from now on.
        pad_id: the padding token. Rows up to its id are always kept, so that the id stays the same: XLM-R computes
            positions from it.
    """

    def __init__(self, model: Any, pad_id: int) -> None:
        self.model = model
        self.pad_id = pad_id
        # [vocabulary, hidden]; memory-mapped if the loader maps it
        self.table: Tensor = model.get_input_embeddings().weight.detach()

    def occurring(self, sequences: Iterable[Sequence[int]]) -> Tensor:
        """The token ids that occur and those that are always kept, in order.  # [rows]"""
        ids = set(range(self.pad_id + 1)).union(*sequences)
        return torch.tensor(sorted(ids))

    def everything(self) -> Tensor:
        """All token ids.  # [vocabulary]"""
        return torch.arange(len(self.table))

    def install(self, ids: Tensor) -> "Rows":
        """Install these rows in the model as an embedding of their own."""
        rows = self.table[ids]
        module = nn.Embedding(len(rows), rows.shape[1], self.pad_id, _weight=rows, _freeze=False)
        return self.reinstall(Rows(ids, module.to(self.model.device), len(self.table)))

    def reinstall(self, rows: "Rows") -> "Rows":
        """Install rows again, with the values to which they have been trained."""
        self.model.set_input_embeddings(rows.module)
        return rows

    def merge(self, ids: Tensor, weights: Tensor) -> None:
        """Copy trained rows into the full table.

        Args:
            ids: their token ids.  # [rows]
            weights: their values.  # [rows, hidden]
        """
        self.table[ids] = weights.detach().to(self.table.device, self.table.dtype)


class Rows:
    """Rows of the full table as an embedding module, with the map from token ids to its indices."""

    def __init__(self, ids: Tensor, module: nn.Embedding, vocabulary: int) -> None:
        self.ids = ids
        self.module = module
        self._index = torch.full((vocabulary,), -1)
        self._index[ids] = torch.arange(len(ids))

    def index(self, token_ids: Tensor) -> Tensor:
        """Indices into the rows, in the shape of `token_ids`. IndexError for a token that is not among them."""
        indices = self._index[token_ids]
        if (indices < 0).any():
            raise IndexError("a token of this batch is not among the installed rows of the word embeddings")
        return indices
