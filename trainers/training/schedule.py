"""What the optimizer applies to each parameter at each step: weight decay and learning rate."""

from collections.abc import Callable
from typing import Any

from trainers.protocols import UNDECAYED
from trainers.trial import Training, at_epoch


def parameter_groups(model: Any, weight_decay: float) -> list[dict[str, Any]]:
    """Two parameter groups: with weight decay, and without it (biases and the weights of LayerNorm)."""
    named = list(model.named_parameters())
    return [
        {
            "params": [parameter for name, parameter in named if name.endswith(UNDECAYED) == undecayed],
            "weight_decay": 0.0 if undecayed else weight_decay,
        }
        for undecayed in (False, True)
    ]


def learning_rate_factor(training: Training, steps_per_epoch: int) -> Callable[[int], float]:
    """The learning rate at a step, counted from 0, as a multiple of its value in the first epoch."""
    decay = linear_decay(training, steps_per_epoch * training.epochs)
    first = at_epoch(training.learning_rate, 0)

    def factor(step: int) -> float:
        return decay(step) * (at_epoch(training.learning_rate, step // steps_per_epoch) / first)

    return factor


def linear_decay(training: Training, steps: int) -> Callable[[int], float]:
    """The learning rate's factor at a step, counted from 0: linear warm-up to 1, then linear decay to 0 at `steps`."""
    warmup = training.warmup_steps

    def factor(step: int) -> float:
        step += training.schedule_first
        if step < warmup:
            return step / warmup
        return max(0.0, (steps - step) / max(1, steps - warmup))

    return factor
