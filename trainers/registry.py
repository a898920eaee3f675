"""Objects by name: the built-in ones, and those that installed packages bring by entry points.

An entry point of the group names the object itself; what it is called is its attribute `name`, whatever the entry point
is called (https://packaging.python.org/en/latest/specifications/entry-points/).
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol, TypeVar

log = logging.getLogger(__name__)


class Named(Protocol):
    """What a registry holds."""

    @property
    def name(self) -> str:
        """What it is called in specs, configurations and answers."""


T = TypeVar("T", bound=Named)


class Registry(Mapping[str, T]):
    """Objects by name, the built-in ones first, then those of other packages in alphabetical order.

    Entry points are loaded at the first look-up of anything that is not built in, or when all are listed. One that
    cannot be loaded, is of another kind, or has a name that is taken, is left out with a warning: a broken package must
    not stop the service.

    Args:
        group: of the entry points, such as "allasprak.tasks".
        builtin: the objects of this package.
        kind: what each object must be an instance of.
    """

    def __init__(self, group: str, builtin: Iterable[T], kind: type[Any] = object) -> None:
        self.group, self._kind = group, kind
        self._builtin: dict[str, T] = {one.name: one for one in builtin}

    def __getitem__(self, name: str) -> T:
        if name in self._builtin:
            return self._builtin[name]
        return self._contributed[name][0]

    def __iter__(self) -> Iterator[str]:
        yield from self._builtin
        yield from self._contributed

    def __len__(self) -> int:
        return len(self._builtin) + len(self._contributed)

    def distribution(self, name: str) -> tuple[str, str] | None:
        """Name and version of the distribution that brings an object; None for a built-in one. KeyError if unknown."""
        return None if name in self._builtin else self._contributed[name][1]

    @cached_property
    def _contributed(self) -> dict[str, tuple[T, tuple[str, str]]]:
        """By name the objects of other packages, each with name and version of its distribution."""
        found: dict[str, tuple[T, tuple[str, str]]] = {}
        for point in entry_points(group=self.group):
            try:
                one: T = self._loaded(point)
                name, distribution = one.name, _distribution(point)
            except Exception:
                log.warning("the entry point %s of %s is left out", point.value, self.group, exc_info=True)
                continue
            if name in self._builtin or name in found:
                log.warning("the entry point %s of %s is left out: %r is taken", point.value, self.group, name)
                continue
            found[name] = one, distribution
        return dict(sorted(found.items()))

    def _loaded(self, point: EntryPoint) -> T:
        one: T = point.load()
        if not isinstance(one, self._kind) or not isinstance(one.name, str):
            raise TypeError(f"{one!r} is no {self._kind.__name__} with a name")
        return one


def _distribution(point: EntryPoint) -> tuple[str, str]:
    if point.dist is None:
        raise ValueError("it belongs to no distribution")
    return point.dist.name, point.dist.version
