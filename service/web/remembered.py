"""What takes long to compute and stays the same: of each key the last value, with the moment that it is of."""

from collections.abc import Callable, Mapping
from functools import wraps
from threading import Lock
from typing import Any, Concatenate, NamedTuple, ParamSpec

from fastapi import Request

from service.api.experiments import show_experiment

P = ParamSpec("P")

# What a template shows, by name.
Values = dict[str, Any]

# How many sections of experiments are remembered.
SECTIONS = 64


class Known(NamedTuple):
    """A value, and the moment that it is of."""

    moment: str
    value: Any


class Remembered:
    """Values by key, the latest ones.

    Args:
        most: so many are remembered.
    """

    def __init__(self, most: int) -> None:
        self._most, self._lock = most, Lock()
        self._known: dict[Any, Known] = {}

    def get(self, key: Any) -> Known | None:
        """What is remembered, of whatever moment."""
        with self._lock:
            return self._known.get(key)

    def keep(self, key: Any, moment: str, value: Any) -> None:
        """Remember a value; the one that was kept first is forgotten where there are too many."""
        with self._lock:
            self._known.pop(key, None)
            self._known[key] = Known(moment, value)
            while len(self._known) > self._most:
                del self._known[next(iter(self._known))]


Make = Callable[Concatenate[Request, str, P], Values]


def since(one: Mapping[str, Any]) -> str | None:
    """Since when nothing that an experiment has found changes; None as long as it may.

    Trials that one that failed or was cancelled still lacks may be trained for another.
    """
    return one["finished"] if one["state"] == "succeeded" else None


def of_what_is_over(make: Make[P]) -> Make[P]:
    """Remember what a section of an experiment shows, once nothing of it changes any more."""

    @wraps(make)
    def made(request: Request, id_: str, /, *args: P.args, **kwargs: P.kwargs) -> Values:
        moment = since(show_experiment(request, id_))
        if moment is None:
            return make(request, id_, *args, **kwargs)
        remembered: Remembered = request.app.state.sections
        key = (make.__name__, id_, repr((args, kwargs)))
        known = remembered.get(key)
        if known is None or known.moment != moment:
            known = Known(moment, make(request, id_, *args, **kwargs))
            remembered.keep(key, *known)
        values: Values = known.value
        return values

    return made
