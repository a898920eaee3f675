"""Requests to a service: tokens, retries, pages, frames, event streams, and refusals as errors.

More than 300 lines: whatever may come in the place of an answer is told apart in one file.
"""

import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from http import HTTPStatus
from math import inf
from typing import IO, Any, NoReturn, TypeVar

import httpx2
import pandas as pd
import pyarrow as pa

from search_spaces.messages import shortened
from service.patience import PATIENCE, Patience
from service.security import is_loopback, require_sendable
from service.settings import require_url, token_of
from trainers.proxies import NO_PROXY_URL, SOCKS, is_socks

NO_CONTENT = 204

# Pause before an event stream that ended without any event is opened again.
RECONNECT_SECONDS = 1.0

# What a proxy answers for a service that is gone, or a service that cannot answer at the moment.
GONE = (HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT)

# Those after which a request is sent again at once; one that took too long for a proxy would do so again.
AGAIN = (HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE)

# Seconds in which a service answers.
TIMEOUT = 60.0

# For what may have to be computed first. A service that says nothing for longer is taken for one that is gone.
PATIENT = httpx2.Timeout(TIMEOUT, read=PATIENCE)

# A request has this long for its answer also where a deadline comes sooner, or is over.
LEAST_SECONDS = 1.0

# Pauses before a request is sent again after its connection was lost, where sending it twice changes nothing.
RETRIES = (0.2, 1.0, 3.0)

# Of an answer that is no problem of the service's own, this much is shown.
SHOWN_CHARACTERS = 200

# Of an address, with what is asked for; a service reads no longer one.
MOST_CHARACTERS = 60_000

# How an Arrow stream ends (Arrow columnar format, "IPC Streaming Format"); one that broke off between batches does not.
END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"

# What an id, a part of it, must not be: empty, a way to another path, or the beginning of a query.
PATH = re.compile(r"(/(?!\.{1,2}(/|$))[^/?#\\\s\x00-\x1f]+)+")

T = TypeVar("T")

_DEADLINE: ContextVar[float] = ContextVar("deadline", default=inf)


class ServiceError(RuntimeError):
    """The service refused a request, or what has answered is no service.

    Attributes:
        status: the HTTP status.
        errors: what is wrong, a `field` and a `message` each.
    """

    def __init__(self, status: int, detail: str, errors: list[dict[str, str]]) -> None:
        super().__init__("\n".join([detail, *(f"  {error['field']}: {error['message']}" for error in errors)]))
        self.status, self.errors = status, errors


class Connection:
    """A connection to a service.

    Every method raises ServiceError for a refusal, ConnectionError without an answer, and ValueError for an id that is
    none: `cancel("a/../b")` cancels nothing.

    Args:
        base_url: address of the service.
        token: None for `ALLASPRAK_TOKEN`, or the content of the file `ALLASPRAK_TOKEN_FILE`. Space around is left out.

    Raises:
        ValueError: the token cannot be sent, or the address is none.
        ConnectionError: a proxy of the environment is none that is supported, or its file of certificates is none.
    """

    def __init__(self, base_url: str, token: str | None) -> None:
        token = require_sendable(token.strip(), "token") if token else token_of()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            host = httpx2.URL(require_url(base_url)).host
        except httpx2.InvalidURL as error:
            raise ValueError(f"{base_url!r} is no address of a service: {error}") from error
        is_elsewhere = not is_loopback(host)  # proxies of the environment are for other machines
        try:
            self._http = httpx2.Client(base_url=base_url, headers=headers, timeout=TIMEOUT, trust_env=is_elsewhere)
        except (ImportError, ValueError, httpx2.InvalidURL) as error:
            raise ConnectionError(SOCKS if is_socks(error) else NO_PROXY_URL) from error
        except OSError as error:
            file = os.environ.get("SSL_CERT_FILE")
            raise ConnectionError(f"certificates cannot be read, SSL_CERT_FILE is {file!r}: {error}") from error

    def answer(self, method: str, path: str, **arguments: Any) -> httpx2.Response:
        """The answer to a request; `arguments` are those of `httpx2.Client.request`.

        TimeoutError where there is none at the deadline of `until`.
        """
        _require_path(path, arguments.get("params"))
        is_repeatable = method == "GET" or "Idempotency-Key" in arguments.get("headers", {})
        for seconds in (*(RETRIES if is_repeatable else ()), None):
            try:
                return _succeeded(self._http.request(method, path, **_in_time(arguments)))
            except httpx2.RequestError as error:
                if _left() <= 0:
                    raise TimeoutError(f"the time to wait is over, and {self._no_answer(error)}") from error
                is_too_long = method == "GET" and isinstance(error, httpx2.ReadTimeout)  # and would be so again
                if seconds is None or is_too_long:
                    raise self._no_answer(error) from error
            except ServiceError as error:
                if seconds is None or error.status not in AGAIN or _left() <= 0:
                    raise
            time.sleep(max(0, min(seconds, _left())))
        raise AssertionError("the last try answers or raises")

    def json(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        """The JSON object of an answer. A name that it lacks is a ServiceError: it may be another program's."""
        answer = self.answer(method, path, **arguments)
        with _of_service(answer):
            return _Object(answer.json(), _of(answer))

    def frame(self, method: str, path: str, **arguments: Any) -> tuple[pd.DataFrame, Mapping[str, str]]:
        """The frame of an answer that is an Arrow stream, and the headers of the answer.

        The frame's `attrs` have `left_out`, if the schema's metadata have it.
        """
        answer = self.answer(method, path, **arguments)
        with _of_service(answer), pa.ipc.open_stream(answer.content) as stream:
            frame, metadata = stream.read_pandas(), stream.schema.metadata or {}
        if not answer.content.endswith(END_OF_STREAM):
            raise ConnectionError(f"the answer of {answer.url} broke off after {len(answer.content):,} bytes")
        if b"left_out" in metadata:
            frame.attrs["left_out"] = json.loads(metadata[b"left_out"])
        return frame, _Object(answer.headers, _of(answer))  # names in lower case

    def pages(self, path: str, params: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """All pages of an answer."""
        cursor: dict[str, str] = {}
        while True:
            page = self.json("GET", path, params={**params, **cursor})
            yield page
            if page["next"] is None:
                return
            cursor = {"cursor": page["next"]}

    def download(self, path: str, params: Mapping[str, Any], file: IO[bytes]) -> None:
        """Write the body of an answer to a file, piece by piece."""
        _require_path(path)
        try:
            with self._http.stream("GET", path, params=params) as answer:
                if not answer.is_success:
                    answer.read()
                for chunk in _succeeded(answer).iter_bytes():
                    file.write(chunk)
        except httpx2.RequestError as error:
            raise self._no_answer(error) from error

    def events(self, path: str, after: int, patience: Patience) -> Iterator[dict[str, Any]]:
        """Server-sent events with a larger number than `after`, until there will be no more.

        A lost connection is opened again after the last event, as long as there is patience.
        """
        _require_path(path)
        while True:
            before = after
            try:
                with self._http.stream("GET", path, params={"after": after}) as answer:
                    if not answer.is_success:
                        answer.read()
                    is_over = _succeeded(answer).status_code == NO_CONTENT
                    patience.answered()
                    if is_over:
                        return
                    if not answer.headers.get("Content-Type", "").startswith("text/event-stream"):
                        answer.read()
                        raise ServiceError(answer.status_code, f"no answer of allasprak, {_said(answer)}", [])
                    for event in _events(answer.iter_lines()):
                        after = event["number"]
                        yield event
            except httpx2.RequestError as error:
                patience.wait(self._no_answer(error))
            except ServiceError as error:
                if error.status not in GONE:
                    raise
                patience.wait(error)
            else:
                if after == before:
                    time.sleep(RECONNECT_SECONDS)

    def is_up(self) -> bool:
        """Whether the service answers."""
        try:
            return self._http.get("/healthz").is_success
        except httpx2.RequestError:
            return False

    def _no_answer(self, error: httpx2.RequestError) -> ConnectionError:
        return ConnectionError(f"no service answers at {self._http.base_url} ({error})")


@contextmanager
def until(deadline: float | None) -> Iterator[None]:
    """Requests in this context have no answer after a deadline, by `time.monotonic`; None for no further one.

    A service that takes a request and never answers it is waited for no longer than one that is gone.
    """
    before = _DEADLINE.set(_DEADLINE.get() if deadline is None else min(deadline, _DEADLINE.get()))
    try:
        yield
    finally:
        _DEADLINE.reset(before)


def _left() -> float:
    """Seconds to the deadline; infinite without one."""
    return _DEADLINE.get() - time.monotonic()


def _in_time(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments of a request that does not wait beyond the deadline."""
    if (left := _left()) == inf:
        return arguments
    left = max(left, LEAST_SECONDS)
    given = httpx2.Timeout(arguments.get("timeout", TIMEOUT)).as_dict()
    bounded = {name: left if seconds is None else min(seconds, left) for name, seconds in given.items()}
    return {**arguments, "timeout": httpx2.Timeout(**bounded)}


def patiently(ask: Callable[[], T], patience: Patience) -> T:
    """What a request answers, which is sent again while the service is gone, as long as there is patience."""
    while True:
        try:
            with until(patience.deadline):
                found = ask()
        except ConnectionError as error:
            patience.wait(error)
        except ServiceError as error:
            if error.status not in GONE:
                raise
            patience.wait(error)
        else:
            patience.answered()
            return found


class _Object(dict[str, Any]):
    """The object of an answer. A name that it lacks is a ServiceError that says who has answered."""

    def __init__(self, values: Mapping[str, Any], said: str) -> None:
        super().__init__(values)
        self._said = said

    def __missing__(self, name: str) -> NoReturn:
        raise ServiceError(HTTPStatus.OK, f"the answer has no {name!r}: {self._said}", [])


def _require_path(path: str, params: Any = None) -> None:
    """ValueError unless a service can be asked for this."""
    if not PATH.fullmatch(path):
        wrong = shortened(ascii(path), SHOWN_CHARACTERS)
        raise ValueError(f"{wrong} has an id or a name that is none; allowed: text without blanks, '/', '?' and '#'")
    if (length := len(path) + len(str(httpx2.QueryParams(params)))) > MOST_CHARACTERS:
        allowed = f"{MOST_CHARACTERS:,}, and `results(where=...)` with more"
        raise ValueError(f"too much is asked for at once: an address of {length:,} characters; allowed: {allowed}")


def _succeeded(answer: httpx2.Response) -> httpx2.Response:
    """The answer, unless it is a refusal."""
    if answer.is_success:
        return answer
    try:
        problem = answer.json()
        refusal = ServiceError(answer.status_code, problem["detail"], problem["errors"])
    except (ValueError, KeyError, TypeError):  # of a proxy, say
        refusal = ServiceError(answer.status_code, _said(answer), [])
    raise refusal


@contextmanager
def _of_service(answer: httpx2.Response) -> Iterator[None]:
    """ServiceError where an answer cannot be read in this context: another program's, or a proxy's."""
    try:
        yield
    except (OSError, TypeError, ValueError) as error:  # Arrow's are of these
        raise ServiceError(answer.status_code, f"no answer of allasprak, {_said(answer)}", []) from error


def _said(answer: httpx2.Response) -> str:
    """What has answered that is no service of ours, and the beginning of it."""
    words = " ".join(answer.text.split())[:SHOWN_CHARACTERS]
    return f"{_of(answer)}{f': {words}' if words else ''}"


def _of(answer: httpx2.Response) -> str:
    return f"status {answer.status_code} from {answer.url}"


def _events(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The events in lines of an event stream: a field a line, an empty line after each event."""
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if name:
            fields[name] = value
        elif "id" in fields:
            yield {"number": int(fields["id"]), "event": fields["event"], **json.loads(fields["data"])}
            fields = {}
