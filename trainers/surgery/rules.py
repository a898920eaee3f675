"""Conflict rules: from the inner products of a training and an oracle gradient to the weights of their combination.

A rule is a class. One of another package is found by an entry point of the group `allasprak.rules` that names the
class. The method `<name>-mix-train` trains with it (`trainers.methods`). Importing this module loads no torch.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from trainers.registry import Registry


@dataclass(frozen=True, kw_only=True)
class Gramian:
    """The inner products of the training gradient g and the oracle gradient g_o.

    Attributes:
        dot: g·g_o.
        square: |g|².
        oracle_square: |g_o|².
    """

    dot: float
    square: float
    oracle_square: float

    @property
    def cosine(self) -> float:
        """The cosine of the angle between g and g_o, neither of which is zero."""
        cosine: float = self.dot / (self.square**0.5 * self.oracle_square**0.5)
        return cosine


@dataclass(frozen=True)
class Scale:
    """How long a rule's combination is compared with g, and hence what alpha < 1 does under the rule."""

    name: str
    below_one: str


TRAINING = Scale(
    "training gradient",
    "a step without surgery takes g with its conflicts; the scale of the gradient is the same at every step",
)
SUM = Scale(
    "sum",
    "a step without surgery takes g alone, a step with surgery about g + g_o: the gradient is longer, by up to twice"
    " for gradients of equal length, in the share alpha of the steps",
)
MEAN = Scale(
    "mean",
    "a step without surgery takes g alone, a step with surgery about (g + g_o) / 2: the scale of the gradient is the"
    " same at every step, the weight of g is not",
)


class Rule(ABC):
    """A conflict rule. The optimizer makes one instance for each language, so that state is per language.

    A subclass has the docstring that users read: its paper, the equation or algorithm, and what it does to g and g_o.

    Attributes:
        name: the method `<name>-mix-train` trains with the rule.
        scale: whether the combination is a sum or a mean of the gradients, and what alpha < 1 does.
    """

    name: ClassVar[str]
    scale: ClassVar[Scale]

    def __init_subclass__(cls) -> None:
        missing = [name for name in ("name", "scale") if not hasattr(cls, name)]
        if missing:
            raise TypeError(f"the conflict rule {cls.__name__} has no {' and no '.join(missing)}")

    @abstractmethod
    def weights(self, gramian: Gramian) -> tuple[float, float]:
        """The weights of g and g_o in the gradient that the optimizer takes, both finite.

        Called once for each oracle pass over the instance's language in which both gradients are finite and not zero.
        Random numbers are to come from torch's global generator: they repeat, and the training's stay as they are.
        """

    def state_dict(self) -> dict[str, Any]:
        """All that later weights depend on, as plain values (JSON); empty for a rule without state."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict()`, to the bit.

        Raises:
            ValueError: the state is not that of this rule.
        """
        if state:
            raise ValueError(f"the rule {self.name!r} has no state, but was given one with {', '.join(sorted(state))}")


class GradientSurgery(Rule):
    """Xu and Murray (2022), Eq. 1: g loses its component along a conflicting g_o; nothing of g_o is added."""

    name = "gradient"
    scale = TRAINING

    def weights(self, gramian: Gramian) -> tuple[float, float]:
        """(1, -g·g_o / |g_o|²) in a conflict, else (1, 0)."""
        return (1.0, -gramian.dot / gramian.oracle_square) if gramian.dot < 0.0 else (1.0, 0.0)


class PCGrad(Rule):
    """Yu et al. (2020), Algorithm 1, over g and g_o: each loses its component along the other, then they are added."""

    name = "pcgrad"
    scale = SUM

    def weights(self, gramian: Gramian) -> tuple[float, float]:
        """Those of torchjd's `PCGradWeighting`: (1 - g·g_o / |g|², 1 - g·g_o / |g_o|²) in a conflict, else (1, 1)."""
        import torch
        from torchjd.aggregation import PCGradWeighting

        rows = [[gramian.square, gramian.dot], [gramian.dot, gramian.oracle_square]]
        weight, oracle_weight = PCGradWeighting()(torch.tensor(rows, dtype=torch.float64)).tolist()
        return weight, oracle_weight


class GradVac(Rule):
    """Wang et al. (2021), "Gradient Vaccine", Algorithm 1, over g and g_o as whole vectors.

    Where their cosine is below its target, each is turned towards the other until it meets the target (Eq. 2); then
    they are added. The target is the moving average of the language's cosines (Eq. 3), 0 at first: a pair of gradients
    that usually agrees is altered without a conflict, one that usually conflicts keeps the conflict that is usual.
    """

    name = "gradvac"
    scale = SUM

    beta = 1e-2  # the weight of the newest cosine in the average, as in the paper's experiments

    def __init__(self) -> None:
        self.target = 0.0

    def weights(self, gramian: Gramian) -> tuple[float, float]:
        """(1 + turn |g_o| / |g|, 1 + turn |g| / |g_o|), where `turn` is 0 at the target and above."""
        cosine, target = max(-1.0, min(1.0, gramian.cosine)), self.target
        self.target = (1 - self.beta) * target + self.beta * cosine
        if cosine >= target:
            return 1.0, 1.0
        turn = (target * _sine(cosine) - cosine * _sine(target)) / _sine(target)  # an average is inside of (-1, 1)
        ratio = (gramian.square / gramian.oracle_square) ** 0.5
        return 1.0 + turn / ratio, 1.0 + turn * ratio

    def state_dict(self) -> dict[str, Any]:
        """The target."""
        return {"target": self.target}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with its target."""
        self.target = state["target"]


def _sine(cosine: float) -> float:
    return math.sqrt((1.0 - cosine) * (1.0 + cosine))


class CAGrad(Rule):
    """Liu et al. (2021), "Conflict-Averse Gradient Descent", Algorithm 1, over g and g_o.

    Of all vectors within c |g_0| of the mean g_0 = (g + g_o) / 2, with c = 0.5, the one whose smaller inner product
    with g and g_o is the largest: it does most for the gradient that it does least for. A conflict may remain.
    """

    name = "cagrad"
    scale = MEAN

    c = 0.5  # below 1, so that training converges to where g_0 is zero (section 3 of the paper)

    def weights(self, gramian: Gramian) -> tuple[float, float]:
        """Half of each, and c |g_0| along g_w = w g + (1 - w) g_o, whose w solves the dual problem."""
        largest = max(gramian.square, gramian.oracle_square)
        square, dot, oracle_square = gramian.square / largest, gramian.dot / largest, gramian.oracle_square / largest
        radius = self.c * _root(square + 2 * dot + oracle_square) / 2
        w, nearest = _dual(square, dot, oracle_square, radius)
        length = max(nearest, _root(w * w * square + 2 * w * (1 - w) * dot + (1 - w) * (1 - w) * oracle_square))
        if length == 0.0:  # g and g_o are opposite and, but for rounding, g_0 is zero
            return 0.5, 0.5
        return 0.5 + radius / length * w, 0.5 + radius / length * (1 - w)


def _dual(square: float, dot: float, oracle_square: float, radius: float) -> tuple[float, float]:
    """The w in [0, 1] that minimizes g_w·g_0 + radius |g_w|, and the distance from zero to the line through g and g_o.

    In w, g_w·g_0 has the slope (|g|² - |g_o|²) / 2. From the point of the line that is nearest to zero, g_w lies at a
    distance t along the line, so that |g_w|² = nearest² + t². The derivative is zero where t / |g_w| = r.
    """
    between = _root(square - 2 * dot + oracle_square)  # |g - g_o|
    if between == 0.0 or radius == 0.0:
        return 0.5, 0.0
    nearest = _root(square * oracle_square - dot * dot) / between
    r = (oracle_square - square) / (2 * radius * between)
    t = math.copysign(math.inf, r) if abs(r) >= 1.0 else nearest * r / _root((1.0 - r) * (1.0 + r))
    return min(1.0, max(0.0, ((oracle_square - dot) / between + t) / between)), nearest


def _root(square: float) -> float:
    """The square root of what rounding may have made negative."""
    return math.sqrt(max(0.0, square))


class UPGrad(Rule):
    """Quinton and Rey (2024), "Jacobian Descent for Multi-Objective Optimization", over g and g_o.

    Each is projected onto the dual cone, the vectors that conflict with neither (Eq. 3); the result is the mean of the
    projections. With two gradients that is half of what PCGrad makes of them.
    """

    name = "upgrad"
    scale = MEAN

    def weights(self, gramian: Gramian) -> tuple[float, float]:
        """(1 - g·g_o / |g|², 1 - g·g_o / |g_o|²) / 2 in a conflict, else (1/2, 1/2).

        That solves the quadratic program of the projections (Proposition 1) for two gradients: g without its component
        along g_o conflicts with neither, so that projecting onto one half-space is projecting onto the cone.
        """
        conflict = min(0.0, gramian.dot)
        return (1.0 - conflict / gramian.square) / 2, (1.0 - conflict / gramian.oracle_square) / 2


RULES: Registry[type[Rule]] = Registry("allasprak.rules", (GradientSurgery, PCGrad, GradVac, CAGrad, UPGrad))
