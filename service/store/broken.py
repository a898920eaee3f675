"""Rows that cannot be read, since something else has changed them: whoever asks for one is told which."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from service.store.database import Unreadable

log = logging.getLogger(__name__)

# What reading a value raises that is not of its form.
FAULTS = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, OSError)


class BrokenRowError(RuntimeError):
    """What is stored of an experiment or a trial cannot be read; the message names it."""

    def __init__(self, what: str) -> None:
        super().__init__(f"what the database has of {what} cannot be read; the service's log says more")


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Read something such as "trial 0123"; what it is not of the form of is logged, and raised as BrokenRowError."""
    try:
        yield
    except FAULTS as error:
        log.error("%s cannot be read", what, exc_info=error)
        raise BrokenRowError(what) from error


def require(value: Any, form: type) -> None:
    """TypeError if the value of a JSON column is not of a form, or no JSON."""
    if isinstance(value, Unreadable) or not isinstance(value, form):
        raise TypeError(f"{type(value).__name__} where {form.__name__} is stored")


def require_times(*values: Any) -> None:
    """An error of FAULTS if a value is neither a time in seconds nor None."""
    for value in values:
        _ = value is None or datetime.fromtimestamp(value, UTC)


def require_json(value: Any) -> None:
    """An error of FAULTS if a value cannot be answered: it has NaN, or halves of letters."""
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
