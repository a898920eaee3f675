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

    The model keeps its own modules, which may do more than look up rows (MBart and Gemma 3 scale them), and is given
    token ids, which it may read elsewhere (XLM-R computes positions from them, BigBird looks for separators). Only the
    weight of the word embeddings is replaced, and indices into the rows reach it instead of token ids.

    Args:
        model: a transformers model, whose word embeddings only this object may change from now on.
        pad_id: the id that pads; its row is always installed.

    Attributes:
        table: all rows.  # [vocabulary, hidden]; memory-mapped if the loader maps it
        trims: whether `install` installs the rows that it is given; otherwise it installs the table itself.
    """

    def __init__(self, model: Any, pad_id: int) -> None:
        self.model = model
        self.pad_id = pad_id
        self.trims = True
        self._whole: nn.Parameter = model.get_input_embeddings().weight
        self.table = self._whole.detach()
        # encoder and decoder may share them
        self._modules = [module for module in model.modules() if getattr(module, "weight", None) is self._whole]
        self._padding = [getattr(module, "padding_idx", None) for module in self._modules]
        for module in self._modules:
            module.register_forward_pre_hook(self._looked_up)
        self._installed = self._all_rows()

    def occurring(self, sequences: Iterable[Sequence[int]]) -> Tensor:
        """The token ids that occur and that of padding, in order.  # [rows]"""
        return torch.tensor(sorted({self.pad_id}.union(*sequences)))

    def everything(self) -> Tensor:
        """All token ids.  # [vocabulary]"""
        return torch.arange(len(self.table))

    def install(self, ids: Tensor) -> "Rows":
        """Install these rows in the model, as a parameter of their own; all rows if it does not trim."""
        return self.reinstall(self._some_rows(ids) if self.trims else self._all_rows())

    def install_trained(self, ids: Tensor) -> "Rows":
        """Install exactly these rows, whether or not it trims, so that weights of this shape can be loaded."""
        return self.reinstall(self._some_rows(ids))

    def reinstall(self, rows: "Rows") -> "Rows":
        """Install rows again, with the values to which they have been trained."""
        self._installed = rows
        for module, padding in zip(self._modules, self._padding, strict=True):
            module.weight = rows.weight
            module.num_embeddings = len(rows.ids)
            module.padding_idx = None if padding is None else rows.place(padding)
        return rows

    def merge(self, ids: Tensor, weights: Tensor) -> None:
        """Copy trained rows into the full table, unless they are the table.

        Args:
            ids: their token ids.  # [rows]
            weights: their values.  # [rows, hidden]
        """
        if weights.data_ptr() != self.table.data_ptr():
            self.table[ids] = weights.detach().to(self.table.device, self.table.dtype)

    def _some_rows(self, ids: Tensor) -> "Rows":
        return Rows(ids, nn.Parameter(self.table[ids]), len(self.table))

    def _all_rows(self) -> "Rows":
        return Rows(self.everything(), self._whole, len(self.table))

    def _looked_up(self, _: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments of a module, with indices in the place of token ids."""
        if not arguments or self._installed.weight is self._whole:
            return arguments
        token_ids, *others = arguments
        return (self._installed.index(token_ids), *others)


class Rows:
    """Rows of the full table as a parameter, with the map from token ids to indices.

    Args:
        ids: their token ids.  # [rows]
        weight: their values.  # [rows, hidden]
        vocabulary: the number of rows of the full table.
    """

    def __init__(self, ids: Tensor, weight: nn.Parameter, vocabulary: int) -> None:
        self.ids = ids
        self.weight = weight
        self._index = torch.full((vocabulary,), -1)
        self._index[ids] = torch.arange(len(ids))
        # of a token that is not among them the first: an index beyond them would end a CUDA process
        self._index_there = self._index.clamp(min=0).to(weight.device)

    def index(self, token_ids: Tensor) -> Tensor:
        """Indices into the rows, in the shape of `token_ids`, which are where the weight is."""
        return self._index_there[token_ids]

    def place(self, token_id: int) -> int | None:
        """The index of one token; None if it is not among the rows."""
        place = int(self._index[token_id])
        return place if place >= 0 else None

    def require(self, token_ids: Tensor) -> None:
        """Refuse a batch, on the CPU, with a token that is not among the rows. IndexError."""
        if (self._index[token_ids] < 0).any():
            raise IndexError("a token of this batch is not among the installed rows of the word embeddings")
