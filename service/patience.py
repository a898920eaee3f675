"""Patience: how a client waits for a service that is gone for a while, and says that it waits."""

import logging
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

# Seconds for which a service may be gone: a restart, or an upgrade behind a proxy.
PATIENCE = 600.0

# Seconds before each further try, the last for all others.
PAUSES = (1.0, 1.0, 2.0, 5.0)

Tell = Callable[[str], object]


class Patience:
    """Waits for a service that is gone for a while.

    Args:
        seconds: for which it may be gone; each answer starts them anew.
        tell: is told that it waits, and when the service answers again; by default a warning in the log.
        deadline: by `time.monotonic`, after which it waits no longer, whatever patience is left; None for none.
    """

    def __init__(self, seconds: float = PATIENCE, tell: Tell = log.warning, deadline: float | None = None) -> None:
        self._seconds, self._tell, self.deadline = seconds, tell, deadline
        self._since: float | None = None
        self._tries = 0

    def wait(self, error: Exception) -> None:
        """Pause before the next try.

        Raises `error` once the service has been gone for too long, and TimeoutError after the deadline.
        """
        now = time.monotonic()
        if self._since is None:
            self._since, self._tries = now, 0
            if self._seconds > 0:
                self._tell(f"{error}: waiting for it, up to {self._seconds:g} seconds")
        left = self._since + self._seconds - now
        if left <= 0:
            raise error
        if self.deadline is not None:
            if now > self.deadline:
                raise TimeoutError(f"the time to wait is over, and {error}") from error
            left = min(left, self.deadline - now)
        time.sleep(min(left, PAUSES[min(self._tries, len(PAUSES) - 1)]))
        self._tries += 1

    def answered(self) -> None:
        """The service answers: from now on it may be gone again."""
        if self._since is not None:
            self._tell(f"the service answers again, after {time.monotonic() - self._since:.0f} seconds")
            self._since = None
