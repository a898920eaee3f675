"""Oracle gradients of embeddings by rows: of a table that may have 250,002, the shots look up a few hundred."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


@contextmanager
def sparse_embeddings(model: Any) -> Iterator[None]:
    """Meanwhile a model's embeddings have sparse gradients: neither filled with zeros, nor multiplied, nor added.

    On a CPU: on a GPU their size depends on the data, which a recorded pass cannot have.
    """
    tables = [
        module
        for module in model.modules()
        if isinstance(module, nn.Embedding)
        and module.weight.is_cpu
        and not (module.sparse or module.scale_grad_by_freq)
    ]
    for table in tables:
        table.sparse = True
    try:
        yield
    finally:
        for table in tables:
            table.sparse = False


def coalesce(gradient: Tensor | None) -> Tensor | None:
    """A gradient; if it is sparse, with each row once."""
    return gradient.coalesce() if gradient is not None and gradient.is_sparse else gradient
