"""Searchers: how the candidates of a method are chosen from its spaces."""

from abc import abstractmethod
from collections.abc import Mapping
from itertools import product
from math import prod
from typing import ClassVar, Literal

from search_spaces.spaces import SEARCHABLE, Part, Seed, Space, Value, Whole, draw, size, values


class Searcher(Part):
    """Chooses the candidates of a method: combinations of one value from each of its spaces.

    Attributes:
        draws_samples: the searcher sets the number of candidates (`samples`), not the spaces.
        is_adaptive: candidates are proposed while others run, in the light of their results.
    """

    draws_samples: ClassVar[bool] = True
    is_adaptive: ClassVar[bool] = False

    @abstractmethod
    def count(self, spaces: Mapping[str, Space]) -> int:
        """The number of candidates, repeated draws included."""

    @abstractmethod
    def combinations(self, spaces: Mapping[str, Space]) -> list[tuple[Value, ...]]:
        """Values in the order of the spaces, for every candidate that is known before anything is trained."""

    def drawn(self) -> "Searcher":
        """A searcher with as many candidates, all of them known before anything is trained."""
        return self


class GridSearcher(Searcher):
    """Every combination of the spaces' values; a range contributes as many draws as its `samples` says."""

    draws_samples: ClassVar[bool] = False

    name: Literal["grid"] = "grid"
    seed: Seed = 0

    def count(self, spaces: Mapping[str, Space]) -> int:
        """The product of the sizes of the spaces."""
        return prod(size(space) for space in spaces.values())

    def combinations(self, spaces: Mapping[str, Space]) -> list[tuple[Value, ...]]:
        """The Cartesian product of the spaces' values."""
        axes = (values(space, SEARCHABLE[name], name, self.seed) for name, space in spaces.items())
        return list(product(*axes))


class RandomSearcher(Searcher):
    """`samples` independent draws from all spaces together."""

    name: Literal["random"]
    samples: Whole
    seed: Seed = 0

    def count(self, spaces: Mapping[str, Space]) -> int:
        """The number of samples."""
        return self.samples

    def combinations(self, spaces: Mapping[str, Space]) -> list[tuple[Value, ...]]:
        """The draws, each combination once."""
        drawn = (
            tuple(draw(space, SEARCHABLE[name], name, self.seed, place) for name, space in spaces.items())
            for place in range(self.samples)
        )
        return list(dict.fromkeys(drawn))


class TpeSearcher(Searcher):
    """Optuna's tree-structured Parzen estimator: each candidate is proposed in the light of those before.

    The first `startup` candidates are drawn at random (`optuna.samplers.TPESampler`, whose `n_startup_trials` is 10 by
    default).
    """

    is_adaptive: ClassVar[bool] = True

    name: Literal["tpe"]
    samples: Whole
    startup: Whole = 10
    seed: Seed = 0

    def count(self, spaces: Mapping[str, Space]) -> int:
        """The number of samples."""
        return self.samples

    def combinations(self, spaces: Mapping[str, Space]) -> list[tuple[Value, ...]]:
        """None: every candidate is proposed while the search runs."""
        return []

    def drawn(self) -> RandomSearcher:
        """As many random draws, which cost what the proposals do."""
        return RandomSearcher(name="random", samples=self.samples, seed=self.seed)


AnySearcher = GridSearcher | RandomSearcher | TpeSearcher
