"""What surgery is in the authors' released code: Eq. 1 followed by its misaligned write-back (an ablation)."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from trainers.protocols import UNDECAYED
from trainers.surgery.optimizer import Batch, Operation, StochasticGradientSurgery


class ReleasedCodeSurgery(StochasticGradientSurgery[Batch]):
    """Surgery whose gradient is written back with shifted offsets, as the released code does at every operation.

    Its flat vector has the elements of parameters without a gradient (as zeros), its write-back does not count them:
    every parameter behind them receives the gradient of others. Set `layout` before the first operation.
    """

    layout: Sequence[Tensor | int]

    def operate(self, backward: Callable[[Batch], object]) -> Operation | None:
        """As in `StochasticGradientSurgery`, then shift the gradients."""
        operation = super().operate(backward)
        if operation is not None:
            misalign(self.layout)
        return operation


def layout(model: Any) -> list[Tensor | int]:
    """The flat vector's order: parameters, and in numbers the elements that have no parameter of ours.

    Those are the pooler's that the encoder had when that code was written and that no head used: weight
    [hidden, hidden] and bias [hidden], between the encoder and the head. A model that uses its pooler has none.
    """
    parameters = dict(model.named_parameters())
    hidden = model.config.hidden_size
    has_pooler = any(".pooler." in name for name in parameters)
    order: list[Tensor | int] = []
    for undecayed, pooler in ((False, hidden * hidden), (True, hidden)):
        names = [name for name in parameters if name.endswith(UNDECAYED) == undecayed]
        encoder = [name for name in names if name.startswith(model.base_model_prefix + ".")]
        head = [name for name in names if name not in encoder]
        order += [parameters[name] for name in encoder]
        order += [] if has_pooler else [pooler]
        order += [parameters[name] for name in head]
    return order


@torch.no_grad()
def misalign(order: Sequence[Tensor | int]) -> None:
    """Write the flat gradient back as if the elements without a gradient were not in it."""
    parts = []
    for part in order:
        if isinstance(part, int):
            parts.append(torch.zeros(part))
        else:
            parts.append(torch.zeros(part.numel()) if part.grad is None else part.grad.reshape(-1))
    device = next(part.device for part in order if not isinstance(part, int))
    flat = torch.cat([part.to(device) for part in parts])
    first = 0
    for part in order:
        if not isinstance(part, int) and part.grad is not None:
            part.grad.copy_(flat[first : first + part.numel()].view_as(part))
            first += part.numel()
