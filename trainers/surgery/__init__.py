"""Gradient surgery: the optimizer wrapper of Algorithm 1, and the conflict rules that it can apply.

`StochasticGradientSurgery` loads torch when it is first asked for; importing this package does not.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainers.surgery.optimizer import StochasticGradientSurgery

__all__ = ["StochasticGradientSurgery"]


def __getattr__(name: str) -> Any:
    if name == "StochasticGradientSurgery":
        from trainers.surgery.optimizer import StochasticGradientSurgery

        return StochasticGradientSurgery
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
