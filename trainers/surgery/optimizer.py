"""Stochastic gradient surgery: Algorithm 1 and Eq. 1 of Xu and Murray (2022), as a torch optimizer."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.optim import Optimizer

from trainers.surgery.rules import Rule, surgery

Batch = TypeVar("Batch")

# Elements whose products are summed in float32 before they go on in float64: enough to keep the interpreter out of the
# way, little enough to be exact to 1e-7.
BLOCK = 1 << 16

# The same where every block costs kernel launches instead.
ACCELERATOR_BLOCK = 1 << 24


# Coefficients that float32 holds with all their digits.
SMALLEST, LARGEST = 1e-37, 1e37

# Below it a sum of squares in float32 may have lost terms that are too small for it.
SMALLEST_SQUARE = 1e-24


@dataclass(frozen=True)
class Operation:
    """One oracle pass: the language drawn, the threshold variable p, and what was found.

    `cosine` is that of the training and the oracle gradient BEFORE surgery; None if either was not finite or zero.
    `conflict` says that it was negative; only then does Eq. 1 change anything.
    """

    language: str
    p: float
    cosine: float | None
    conflict: bool


@dataclass
class Tally:
    """What surgery met so far, for one language."""

    operations: int = 0
    nonfinite: int = 0
    conflicts: int = 0
    cosines: int = 0
    cosine_sum: float = 0.0

    def count(self, operation: Operation, finite: bool) -> None:
        """Add one oracle pass."""
        self.operations += 1
        self.nonfinite += not finite
        self.conflicts += operation.conflict
        if operation.cosine is not None:
            self.cosines += 1
            self.cosine_sum += operation.cosine

    @staticmethod
    def total(tallies: Iterable["Tally"]) -> "Tally":
        """Sum of several languages' tallies."""
        total = Tally()
        for tally in tallies:
            for name, value in vars(tally).items():
                setattr(total, name, getattr(total, name) + value)
        return total

    def report(self) -> dict[str, Any]:
        """Rates over the finite oracle passes; None where there was none."""
        finite = self.operations - self.nonfinite
        return {
            "operations": self.operations,
            "nonfinite": self.nonfinite,
            "conflict_rate": self.conflicts / finite if finite else None,
            "mean_cosine": self.cosine_sum / self.cosines if self.cosines else None,
        }


class StochasticGradientSurgery(Optimizer, Generic[Batch]):
    """An optimizer that may remove from its gradient what conflicts with one random language's (Algorithm 1).

    Wraps any torch optimizer and delegates parameters and state to it, so that schedulers, `GradScaler` and
    checkpoints see one optimizer. After the training loss's `backward()` and before clipping, call `operate`.

    Args:
        optimizer: the optimizer that takes the steps.
        oracle: the oracle set: per target language one batch of its K shots, in any form that the loss closure takes.
        alpha: the probability of surgery at a step, in [0, 1].
        seed: of the draws of language and p and of the oracle pass's dropout.
        rule: what becomes of the two gradients; Eq. 1 if not given.

    Raises:
        ValueError: alpha outside [0, 1] or an empty oracle set.
    """

    def __init__(
        self, optimizer: Optimizer, oracle: Mapping[str, Batch], alpha: float, seed: int, rule: Rule = surgery
    ) -> None:
        # Optimizer.__init__ is not called: it would make parameter groups of our own, which go stale as soon as the
        # wrapped optimizer loads a state. Everything it would set is delegated below.
        if not 0.0 <= alpha <= 1.0:
            raise ValueError(f"alpha is a probability in [0, 1], not {alpha}")
        if not oracle:
            raise ValueError("the oracle set is empty: surgery needs the shots of at least one target language")
        self.optimizer = optimizer
        self.oracle = dict(oracle)
        self.alpha = float(alpha)
        self.rule = rule
        self._languages = sorted(self.oracle)
        self._tallies = {language: Tally() for language in self._languages}
        self._skipped = 0
        self._generator = torch.Generator().manual_seed(seed)

    # Surgery

    def draw(self) -> tuple[str, float]:
        """A target language, uniformly, and p ~ U[0, 1) (Algorithm 1).

        Both are drawn at every call, so runs with different alpha meet the same languages at the same steps.
        """
        p = torch.rand((), generator=self._generator, dtype=torch.float64).item()
        index = int(torch.randint(len(self._languages), (), generator=self._generator).item())
        return self._languages[index], p

    def operate(self, backward: Callable[[Batch], object]) -> Operation | None:
        """Draw, and when p < alpha compute the oracle gradient and apply the rule (Algorithm 1 and Eq. 1).

        The gradient that the optimizer will use lies in the parameters' `.grad`; the training gradient's tensors stay
        the same objects. The oracle pass has a random stream of its own, the global one goes on as if it had not
        happened. The training gradient is in place whatever happens inside `backward`.

        Args:
            backward: computes the loss of one oracle batch and calls its `backward()`.

        Returns:
            What was found, or None when p >= alpha (no oracle pass then: g_o is used only if p < alpha).
        """
        language, p = self.draw()
        dropout_seed = int(torch.randint(2**62, (), generator=self._generator).item())
        if p >= self.alpha:
            self._skipped += 1
            return None
        devices = sorted({parameter.device.index for parameter in self._parameters() if parameter.is_cuda})
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(dropout_seed)
            oracle_gradients = self._oracle_gradients(lambda: backward(self.oracle[language]))
            cosine, conflict, finite = self._project(oracle_gradients)
        operation = Operation(language, p, cosine, conflict)
        self._tallies[language].count(operation, finite)
        return operation

    def project(self, oracle_gradients: Sequence[Tensor | None]) -> bool:
        """Apply the rule in place; returns whether g·g_o < 0.

        With Eq. 1 that is: if g·g_o < 0 then g <- g - (g·g_o / |g_o|²) g_o.

        Args:
            oracle_gradients: one gradient per parameter, in the order of the parameter groups; None for none.

        All parameters are ONE vector. Those without a training or without an oracle gradient have no part in it. A
        gradient that is not finite, or an oracle gradient of zero, leaves everything as it was.

        Raises:
            ValueError: as many gradients as parameters are needed.
        """
        _, conflict, _ = self._project(oracle_gradients)
        return conflict

    def _project(self, oracle_gradients: Sequence[Tensor | None]) -> tuple[float | None, bool, bool]:
        """`project`, returning (cosine before surgery, conflict, all finite)."""
        gradients = [parameter.grad for parameter in self._parameters()]
        if len(gradients) != len(oracle_gradients):
            raise ValueError(f"{len(oracle_gradients)} oracle gradients for {len(gradients)} parameters")
        pairs = [(g, o) for g, o in zip(gradients, oracle_gradients, strict=True) if g is not None and o is not None]
        if not pairs:
            return None, False, True
        dot, square, oracle_square = inner_products(pairs)
        if not all(map(math.isfinite, (dot, square, oracle_square))):
            return None, False, False
        if square == 0.0 or oracle_square == 0.0:
            return None, False, True
        _combine(pairs, *self.rule(dot, square, oracle_square))
        return dot / (square**0.5 * oracle_square**0.5), dot < 0.0, True

    def _oracle_gradients(self, backward: Callable[[], object]) -> list[Tensor | None]:
        """The oracle pass's gradients; the training gradients are set aside meanwhile, not copied."""
        parameters = self._parameters()
        training_gradients = [parameter.grad for parameter in parameters]
        try:
            for parameter in parameters:
                parameter.grad = None
            backward()
            return [parameter.grad for parameter in parameters]
        finally:
            for parameter, gradient in zip(parameters, training_gradients, strict=True):
                parameter.grad = gradient

    def _parameters(self) -> list[Tensor]:
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]

    def metrics(self) -> dict[str, Any]:
        """What surgery met since the start.

        `operations` (oracle passes), `skipped` (p >= alpha), `nonfinite` (oracle passes without surgery because a
        gradient was not finite), `conflict_rate` and `mean_cosine` over the finite passes (None without any), and
        under `per_language` the same for each language.
        """
        return {
            **Tally.total(self._tallies.values()).report(),
            "skipped": self._skipped,
            "per_language": {language: tally.report() for language, tally in self._tallies.items()},
        }

    # The optimizer that is wrapped

    @property
    def param_groups(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The wrapped optimizer's parameter groups, the very objects."""
        return self.optimizer.param_groups

    @property
    def state(self) -> Any:  # type: ignore[override]
        """The wrapped optimizer's state."""
        return self.optimizer.state

    @property
    def defaults(self) -> dict[str, Any]:  # type: ignore[override]
        """The wrapped optimizer's defaults."""
        return self.optimizer.defaults

    def step(self, closure: Any = None) -> Any:
        """One step of the wrapped optimizer."""
        return self.optimizer.step(closure)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        self.optimizer.zero_grad(set_to_none)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Hand further parameters to the wrapped optimizer."""
        self.optimizer.add_param_group(param_group)

    def register_step_pre_hook(self, hook: Any) -> Any:
        """Register with the wrapped optimizer."""
        return self.optimizer.register_step_pre_hook(hook)

    def register_step_post_hook(self, hook: Any) -> Any:
        """Register with the wrapped optimizer."""
        return self.optimizer.register_step_post_hook(hook)

    def state_dict(self) -> dict[str, Any]:
        """The wrapped optimizer's state, and under `surgery` the random state and the counts (plain values)."""
        surgery = {
            "languages": {language: dict(vars(tally)) for language, tally in self._tallies.items()},
            "skipped": self._skipped,
            "random_state": self._generator.get_state(),
        }
        return {**self.optimizer.state_dict(), "surgery": surgery}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from `state_dict()`.

        Raises:
            ValueError: the state is that of another set of languages, or not that of surgery at all.
        """
        surgery = state_dict.get("surgery")
        if surgery is None:
            raise ValueError("the state has no part 'surgery': it was saved by a plain optimizer")
        if sorted(surgery["languages"]) != self._languages:
            raise ValueError(f"the state is of languages {sorted(surgery['languages'])}, not {self._languages}")
        self.optimizer.load_state_dict({name: value for name, value in state_dict.items() if name != "surgery"})
        self._tallies = {language: Tally(**counts) for language, counts in surgery["languages"].items()}
        self._skipped = surgery["skipped"]
        self._generator.set_state(surgery["random_state"].cpu())

    def __repr__(self) -> str:
        return f"{type(self).__name__}(alpha={self.alpha}, languages={self._languages}, optimizer={self.optimizer})"

    def __getstate__(self) -> dict[str, Any]:
        # Not `step` as a scheduler wraps it: it would go on stepping the original.
        return {name: value for name, value in self.__dict__.items() if name != "step"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def _combine(pairs: Sequence[tuple[Tensor, Tensor]], weight: float, oracle_weight: float) -> None:
    """g <- weight g + oracle_weight g_o, in place."""
    if weight != 1.0:
        torch._foreach_mul_([g for g, _ in pairs], weight)
    if oracle_weight == 0.0:
        return
    if SMALLEST < abs(oracle_weight) < LARGEST:
        torch._foreach_add_([g for g, _ in pairs], [o for _, o in pairs], alpha=oracle_weight)
        return
    for gradient, oracle_gradient in pairs:  # the product is in range though the weight is not
        gradient += (oracle_gradient.double() * oracle_weight).to(gradient.dtype)


def inner_products(pairs: Sequence[tuple[Tensor, Tensor]]) -> tuple[float, float, float]:
    """g·g_o, |g|² and |g_o|² over all pairs as one vector, to about 1e-7 of |g| |g_o|.

    Block by block in float32 and over the blocks in float64: one float32 reduction over 2e8 elements is off by
    percents on a CPU. Where squares leave float32's range, everything is in float64.
    """
    found = _sums(pairs, torch.float32)
    if all(map(math.isfinite, found)) and min(found[1:]) > SMALLEST_SQUARE:
        return found
    return _sums(pairs, torch.float64)


def _sums(pairs: Sequence[tuple[Tensor, Tensor]], dtype: torch.dtype) -> tuple[float, float, float]:
    """The three products, each block's in `dtype` or the tensors' own where that is finer."""
    on_cpu = [0.0, 0.0, 0.0]
    elsewhere: dict[torch.device, list[Tensor]] = {}
    for gradient, oracle_gradient in pairs:
        is_cpu = gradient.device.type == "cpu"
        block = BLOCK if is_cpu else ACCELERATOR_BLOCK
        flat, oracle_flat = gradient.detach().reshape(-1), oracle_gradient.detach().reshape(-1)
        finer = torch.promote_types(gradient.dtype, dtype)
        for g, o in zip(torch.split(flat, block), torch.split(oracle_flat, block), strict=True):
            g, o = g.to(finer), o.to(finer)
            products = (g.dot(o), g.dot(g), o.dot(o))
            if is_cpu:
                on_cpu = [total + product.item() for total, product in zip(on_cpu, products, strict=True)]
            else:  # one at a time would wait for the device each time
                elsewhere.setdefault(gradient.device, []).extend(products)
    totals = [torch.stack(parts).double().view(-1, 3).sum(0).tolist() for parts in elsewhere.values()]
    dot, square, oracle_square = (sum(parts) for parts in zip(on_cpu, *totals, strict=True))
    return dot, square, oracle_square
