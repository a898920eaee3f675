"""The mean of the weights of a training's last epochs."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

Weights = Mapping[str, Tensor]


class EpochAverage:
    """Adds up the weights of the last epochs, one after another, so that an interrupted training goes on to the bit.

    Args:
        epochs: how many.
        of: the epochs of the whole training.

    Attributes:
        sums: the sum of the weights so far, by name; empty before the first of these epochs.
    """

    def __init__(self, epochs: int, of: int) -> None:
        self.epochs, self.of = epochs, of
        self.sums: dict[str, Tensor] = {}

    def is_of(self, epoch: int) -> bool:
        """Whether the mean is of this epoch, counted from 1."""
        return epoch > self.of - self.epochs

    def add(self, weights: Weights) -> None:
        """Add the weights after one of these epochs."""
        if not self.sums:
            self.sums = {name: tensor.clone() for name, tensor in weights.items()}
            return
        for name, tensor in weights.items():
            if tensor.is_floating_point():  # others, such as positions, never change
                self.sums[name] += tensor

    def mean(self) -> dict[str, Tensor]:
        """The mean of the weights that were added."""
        return {
            name: tensor / self.epochs if tensor.is_floating_point() else tensor for name, tensor in self.sums.items()
        }

    def state_dict(self) -> dict[str, Any]:
        """The sums."""
        return {"sums": self.sums}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict()`."""
        self.sums = dict(state["sums"])
