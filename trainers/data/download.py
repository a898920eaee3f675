"""Downloads over HTTP: interruptions that may pass are waited out, and a file goes on where it broke off."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path
from typing import Any

from trainers.artifacts.atomic import need_room
from trainers.examples import DataError
from trainers.proxies import SOCKS, is_socks

# Called with what is being done, in words.
Tell = Callable[[str], None]

# Attempts in a row that bring nothing before one gives up; the pauses after them are 2, 4, 8, ... seconds.
ATTEMPTS = 7

# Seconds. A server that asks for a longer pause is not waited for.
LONGEST_PAUSE = 600.0

# Seconds without an answer, or without a further piece of it.
TIMEOUT = 30.0

# Seconds between two reports of how much of a file is there.
REPORT_SECONDS = 5.0


class Patience:
    """Waits after a failed attempt, longer each time, and at last gives up.

    Args:
        what: is fetched.
        tell: is told why one waits.
    """

    def __init__(self, what: str, tell: Tell) -> None:
        self._what, self._tell = what, tell
        self._failures = 0

    def renew(self) -> None:
        """An attempt has brought something: the next failure is the first again."""
        self._failures = 0

    def wait(self, error: Exception) -> None:
        """Wait before the next attempt.

        Args:
            error: ended the last one.

        Raises:
            DataError: it will not pass, or too many attempts in a row have failed, or the server asks for too long a
                pause.
        """
        reason, asked = _interruption(error)
        if reason is None:
            raise DataError(f"{self._what}: {words_of(error)}") from error
        self._failures += 1
        pause = asked if asked is not None else 2.0**self._failures
        if self._failures >= ATTEMPTS or pause > LONGEST_PAUSE:
            asks = f", and the server asks to wait {pause:g} s" if asked is not None else ""
            raise DataError(
                f"{self._what} could not be fetched ({reason}{asks}); what is there stays, and the next attempt goes on"
            ) from error
        self._tell(f"{self._what}: {reason}; the next attempt is in {pause:g} s")
        time.sleep(pause)


def will_pass(error: Exception) -> bool:
    """Whether what ended an attempt is an interruption that may pass."""
    return _interruption(error)[0] is not None


def download(url: str, path: Path, tell: Tell) -> None:
    """Fetch a file. What is at `path` is taken for its beginning, as an earlier call left it.

    Args:
        url: where it is.
        path: where to write it.
        tell: is told how much is there, now and then.

    Raises:
        DataError: it could not be fetched; what has been received stays at `path`.
        OSError: the disk has no room for it.
    """
    import httpx2

    name, reported = url.rpartition("/")[2], time.monotonic()
    patience = Patience(url, tell)
    while True:
        try:
            for there, size in _received(url, path):
                patience.renew()
                if time.monotonic() - reported > REPORT_SECONDS:
                    reported = time.monotonic()
                    tell(f"{name}, {there / 2**20:.0f} of {size / 2**20:.0f} MiB")
            return
        except (httpx2.HTTPError, httpx2.InvalidURL, ImportError, ValueError) as error:
            patience.wait(error)


def _received(url: str, path: Path) -> Iterator[tuple[int, int]]:
    """(bytes that are there, bytes of the whole file) after each piece of the rest of a file."""
    import httpx2

    begun = path.stat().st_size if path.is_file() else 0
    # Compressed, a file has other bytes to go on from.
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={begun}-"} if begun else {})}
    with httpx2.stream("GET", url, headers=headers, follow_redirects=True, timeout=TIMEOUT) as response:
        if begun and response.status_code == httpx2.codes.RANGE_NOT_SATISFIABLE:  # there is no rest
            path.unlink()
            yield from _received(url, path)
            return
        response.raise_for_status()
        is_rest = response.status_code == httpx2.codes.PARTIAL_CONTENT
        there = begun if is_rest else 0
        size = there + int(response.headers.get("Content-Length", 0))
        need_room(path.parent, size - there)
        with path.open("ab" if is_rest else "wb") as file:
            for piece in response.iter_bytes():
                file.write(piece)
                there += len(piece)
                yield there, max(size, there)


def _interruption(error: Exception) -> tuple[str | None, float | None]:
    """What has interrupted an attempt, None if it will not pass; and how many seconds the server asks to wait."""
    import httpx2
    from huggingface_hub.errors import OfflineModeIsEnabled

    causes = list(_causes(error))
    for cause in causes:
        response = getattr(cause, "response", None)
        if isinstance(response, httpx2.Response):
            status = response.status_code
            passes = status >= 500 or status in (408, 425, 429)
            return (f"HTTP {status}", _asked(response)) if passes else (None, None)
        if isinstance(cause, OfflineModeIsEnabled) or OfflineModeIsEnabled.__name__ in str(cause):
            return None, None  # `datasets` names it in the text of an error of its own
        if isinstance(cause, httpx2.TransportError):
            return words_of(cause), None
    lost = next((cause for cause in causes if isinstance(cause, ConnectionError | TimeoutError)), None)  # as of hf_xet
    return (words_of(lost), None) if lost is not None else (None, None)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and those that led to it: libraries raise their own in the place of the network's."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def words_of(error: BaseException) -> str:
    """An error in one line."""
    if any(map(is_socks, _causes(error))):
        return SOCKS
    response: Any = getattr(error, "response", None)
    if response is not None:
        return f"HTTP {response.status_code}"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _asked(response: Any) -> float | None:
    """Seconds of the hub's header RateLimit, or of Retry-After: a number or a date (RFC 9110, section 10.2.3),
    which is of the server's clock.

    None without either.
    """
    from huggingface_hub.utils import parse_ratelimit_headers

    limit = parse_ratelimit_headers(response.headers)
    if limit is not None and limit.remaining == 0:
        return float(limit.reset_in_seconds) + 1
    given = response.headers.get("Retry-After", "")
    if given.isdecimal():
        return float(given)
    try:
        now = parsedate_to_datetime(response.headers.get("Date") or format_datetime(datetime.now(UTC)))
        return max(0.0, (parsedate_to_datetime(given) - now).total_seconds())
    except (TypeError, ValueError):  # none, or one that nobody can read
        return None
