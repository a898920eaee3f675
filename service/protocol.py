"""HTTP connections that cannot be held for nothing: uvicorn's, with an end to every wait for a client.

uvicorn itself waits without end for the rest of a request's head, and for a client to read its answer.
"""

import asyncio
import json
import time
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from service.api.browsers import HEADERS

# A request's head is there by then, counted from the moment at which the service began to wait for it.
HEAD_SECONDS = 10.0

# Of its answer a client reads at least uvicorn's buffer of 64 KiB in this time.
READ_SECONDS = 30.0

# One more takes the place of the one that has been waited for longest, and is refused if each is at work.
MOST_CONNECTIONS = 512


# As much is taken at a time. A body may come in chunks of one byte each, of which the 256 KiB that asyncio reads at a
# time hold 43,000: in the second that they take nothing else is answered.
PIECE_BYTES = 2**13


class Connection(H11Protocol):
    """A connection of a client. What is beyond the limits is answered 408, or ended without an answer."""

    _since = 0.0
    _head: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a first request, if there is room."""
        super().connection_made(transport)
        with suppress(AttributeError):  # of another loop than asyncio's own
            transport.max_size = PIECE_BYTES  # type: ignore[attr-defined]
        self._wait()
        if len(self.connections) > MOST_CONNECTIONS:
            waiting = [one for one in self.connections if isinstance(one, Connection) and not one._is_at_work()]
            min(waiting, key=lambda one: one._since).transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take what a client sends. It may send as slowly as it likes only while a request is at work."""
        super().data_received(data)
        if self._is_at_work():
            self._cancel(self._head)
            self._head = None
        elif self._head is None:
            self._wait()

    def handle_events(self) -> None:
        """Take requests, the next one once the client has read what was answered before: else it would hold a turn."""
        if self.flow.write_paused and not self._is_at_work():
            self.flow.pause_reading()
        else:
            super().handle_events()

    def on_response_complete(self) -> None:
        """Wait for another request, for as long as uvicorn keeps an idle connection."""
        self._since = time.monotonic()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """End all waiting."""
        self._cancel(self._head)
        self._cancel(self._stalled)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Wait for a client to read."""
        super().pause_writing()
        self._stalled = self.loop.call_later(READ_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has read."""
        super().resume_writing()
        self._cancel(self._stalled)
        if not (self._is_at_work() or self.transport.is_closing()):
            self.flow.resume_reading()
            self.handle_events()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP."""
        self._refuse(HTTPStatus.BAD_REQUEST, msg)

    def _is_at_work(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait(self) -> None:
        self._since = time.monotonic()
        self._head = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _give_up(self) -> None:
        if self.conn.trailing_data[0]:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, f"the head of a request takes longer than {HEAD_SECONDS:g} s")
        else:
            self.transport.abort()

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        """A problem as the application answers it, if there can be an answer; then the connection ends."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        body: dict[str, Any] = {"type": "about:blank", "title": status.phrase, "status": status, "detail": detail}
        content = json.dumps({**body, "errors": []}).encode()
        headers = {**HEADERS, "Content-Type": "application/problem+json", "Content-Length": str(len(content))}
        answer = h11.Response(
            status_code=status, headers=[*headers.items(), ("Connection", "close")], reason=status.phrase.encode()
        )
        for event in (answer, h11.Data(data=content), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    @staticmethod
    def _cancel(timer: asyncio.TimerHandle | None) -> None:
        if timer is not None:
            timer.cancel()
