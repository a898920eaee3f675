"""Stochastic gradient surgery: Algorithm 1 and Eq. 1 of Xu and Murray (2022), as a torch optimizer."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.optim import Optimizer

from trainers.surgery.products import combine, inner_products
from trainers.surgery.rules import GradientSurgery, Rule
from trainers.surgery.sparse import coalesce

Batch = TypeVar("Batch")


@dataclass(frozen=True)
class Operation:
    """One oracle pass: the language drawn, the threshold variable p, and what was found.

    `cosine` is that of the training and the oracle gradient BEFORE surgery; None if either was not finite or zero.
    `conflict` says that it was negative; only then does Eq. 1 change anything. Where a gradient was not `finite`,
    nothing was changed.
    """

    language: str
    p: float
    cosine: float | None
    conflict: bool
    finite: bool


@dataclass
class Tally:
    """What surgery met so far, for one language."""

    operations: int = 0
    nonfinite: int = 0
    conflicts: int = 0
    cosines: int = 0
    cosine_sum: float = 0.0

    def count(self, operation: Operation) -> None:
        """Add one oracle pass."""
        self.operations += 1
        self.nonfinite += not operation.finite
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
        """Counts of oracle passes, and rates over those that are finite; None where there was none."""
        finite = self.operations - self.nonfinite
        return {
            "operations": self.operations,
            "nonfinite": self.nonfinite,
            "finite": finite,
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
        rule: makes the conflict rule of a language, one instance each; Eq. 1 if not given.

    Raises:
        ValueError: alpha outside [0, 1] or an empty oracle set.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        oracle: Mapping[str, Batch],
        alpha: float,
        seed: int,
        rule: Callable[[], Rule] = GradientSurgery,
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
        self._rules = {language: rule() for language in self._languages}
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
            cosine, conflict, finite = self._project(oracle_gradients, language)
        operation = Operation(language, p, cosine, conflict, finite)
        self._tallies[language].count(operation)
        return operation

    def project(self, oracle_gradients: Sequence[Tensor | None], language: str) -> bool:
        """Apply a language's rule in place; returns whether g·g_o < 0.

        With Eq. 1 that is: if g·g_o < 0 then g <- g - (g·g_o / |g_o|²) g_o.

        Args:
            oracle_gradients: one gradient per parameter, in the order of the parameter groups; None for none. On a CPU
                those of tables may be sparse and coalesced.
            language: that of the oracle gradients, one of the oracle set.

        All parameters are ONE vector. Those without a training or without an oracle gradient have no part in it. A
        gradient that is not finite or is zero leaves everything as it was, the rule's state included.

        Raises:
            ValueError: as many gradients as parameters are needed, and a language of the oracle set.
        """
        if language not in self.oracle:
            raise ValueError(f"{language!r} has no oracle set; allowed: {', '.join(self._languages)}")
        _, conflict, _ = self._project(oracle_gradients, language)
        return conflict

    def _project(self, oracle_gradients: Sequence[Tensor | None], language: str) -> tuple[float | None, bool, bool]:
        """`project`, returning (cosine before surgery, conflict, all finite)."""
        gradients = [parameter.grad for parameter in self._parameters()]
        if len(gradients) != len(oracle_gradients):
            raise ValueError(f"{len(oracle_gradients)} oracle gradients for {len(gradients)} parameters")
        pairs = [(g, o) for g, o in zip(gradients, oracle_gradients, strict=True) if g is not None and o is not None]
        if not pairs:
            return None, False, True
        gramian = inner_products(pairs)
        if not all(map(math.isfinite, (gramian.dot, gramian.square, gramian.oracle_square))):
            return None, False, False
        if gramian.square == 0.0 or gramian.oracle_square == 0.0:
            return None, False, True
        combine(pairs, *self._rules[language].weights(gramian))
        return gramian.cosine, gramian.dot < 0.0, True

    def _oracle_gradients(self, backward: Callable[[], object]) -> list[Tensor | None]:
        """The oracle pass's gradients; the training gradients are set aside meanwhile, not copied."""
        parameters = self._parameters()
        training_gradients = [parameter.grad for parameter in parameters]
        try:
            for parameter in parameters:
                parameter.grad = None
            backward()
            return [coalesce(parameter.grad) for parameter in parameters]
        finally:
            for parameter, gradient in zip(parameters, training_gradients, strict=True):
                parameter.grad = gradient

    def _parameters(self) -> list[Tensor]:
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]

    def metrics(self) -> dict[str, Any]:
        """What surgery met since the start.

        `operations` (oracle passes), `skipped` (p >= alpha), `nonfinite` (oracle passes without surgery because a
        gradient was not finite), `conflict_rate` and `mean_cosine` over the `finite` ones (None without any), and under
        `per_language` the same for each language.
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
        """The wrapped optimizer's state, and under `surgery` random state, counts and the state that rules have."""
        surgery: dict[str, Any] = {
            "languages": {language: dict(vars(tally)) for language, tally in self._tallies.items()},
            "skipped": self._skipped,
            "random_state": self._generator.get_state(),
        }
        states = {language: rule.state_dict() for language, rule in self._rules.items()}
        if any(states.values()):
            surgery["rules"] = states
        return {**self.optimizer.state_dict(), "surgery": surgery}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from `state_dict()`.

        Raises:
            ValueError: the state is that of another set of languages or of another rule, or not that of surgery at all.
        """
        surgery = state_dict.get("surgery")
        if surgery is None:
            raise ValueError("the state has no part 'surgery': it was saved by a plain optimizer")
        if sorted(surgery["languages"]) != self._languages:
            raise ValueError(f"the state is of languages {sorted(surgery['languages'])}, not {self._languages}")
        rules = {language: self.rule() for language in self._languages}
        for language, state in surgery.get("rules", {}).items():
            rules[language].load_state_dict(state)
        self.optimizer.load_state_dict({name: value for name, value in state_dict.items() if name != "surgery"})
        self._rules = rules
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
