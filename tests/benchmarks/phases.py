"""The CPU seconds of a process by phase, each phase being calls of certain functions."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any
from unittest.mock import patch


class Phases:
    """CPU seconds of this process by phase; the clock of one stops while another runs within it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._running, self._last = ["other"], time.process_time()

    @contextmanager
    def within(self, phase: str) -> Iterator[None]:
        """Charge a phase with what the block takes."""
        self._charge()
        self._running.append(phase)
        try:
            yield
        finally:
            self._charge()
            self._running.pop()

    def take(self) -> dict[str, float]:
        """The seconds since the last call."""
        self._charge()
        taken, self.seconds = self.seconds, defaultdict(float)
        return taken

    def timed(self, owner: Any, name: str, phase: str) -> Any:
        """A patch under which an attribute's calls are charged to a phase."""
        function = getattr(owner, name)

        @wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            with self.within(phase):
                return function(*arguments, **named)

        return patch.object(owner, name, call)

    def _charge(self) -> None:
        now = time.process_time()
        self.seconds[self._running[-1]] += now - self._last
        self._last = now
