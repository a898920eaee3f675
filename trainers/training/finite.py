"""Whether a training is finite: one whose weights are lost ends, instead of going on to a score of nothing."""

import math

import torch
from torch import Tensor

# Updates between two checks, each of which waits for the GPU.
CHECK_EVERY = 16


class NotFiniteError(ValueError):
    """The loss or the gradient of an update is not finite: the weights are lost."""


class FiniteCheck:
    """The losses and gradients of the updates since the last check.

    Args:
        scaled: the loss is scaled (fp16), so that an update whose gradient is not finite is skipped and the weights
            stay. Then it is an error if no loss since the last check is finite; otherwise if any loss or gradient is
            not.
    """

    def __init__(self, scaled: bool) -> None:
        self.scaled = scaled
        self._updates: list[Tensor] = []  # [loss, norm of the gradient]

    def add(self, loss: Tensor, norm: Tensor) -> None:
        """Add an update's loss and the norm of its gradient, [] each."""
        self._updates.append(torch.stack([loss, norm]))

    @property
    def is_due(self) -> bool:
        """Whether enough updates were added for a check."""
        return len(self._updates) >= CHECK_EVERY

    def check(self, step: int) -> None:
        """Check the updates, the last of which is that of this step. NotFiniteError names the first that is not."""
        if not self._updates:
            return
        found = torch.stack(self._updates).tolist()
        finite = [math.isfinite(loss) and (self.scaled or math.isfinite(norm)) for loss, norm in found]
        if not (any(finite) if self.scaled else all(finite)):
            first = finite.index(False)
            loss, norm = found[first]
            what = f"the norm of the gradient is {norm}" if math.isfinite(loss) else f"the loss is {loss}"
            at = step - len(finite) + first + 1
            raise NotFiniteError(f"{what} at step {at}: try a lower learning_rate, or another precision")
        self._updates = []
