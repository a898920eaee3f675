"""How many requests are at work at once: the others wait for their turn, and those that wait in vain are answered 503.

A request that never ends, such as a plan over an encoder whose disk hangs, thus stops those of its kind alone.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from anyio.lowlevel import RunVar
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.problems import problem, stopping

# A body is there after so many seconds, and one more for each so many bytes: a slow line may take hours.
BODY_SECONDS, BYTES_A_SECOND = 30.0, 4096

RETRY_SECONDS = 10

# Of a body but a dataset's. As much is held of it before its request has a turn; a larger one is refused.
MAX_BODY_BYTES = 2**20


@dataclass(frozen=True, kw_only=True)
class Lane:
    """Requests that are bounded together.

    Attributes:
        asks: which, as a regular expression over method and path.
        most: how many are at work at once.
        patience: seconds that further ones wait for their turn.
        streams: their bodies are too large to be held, and are read by all of their handlers.
    """

    asks: str
    most: int
    patience: float = 30.0
    streams: bool = False


# A request belongs to the first lane that it matches. All but streams work in threads, of which anyio has 40: the lanes
# together take fewer, so that none waits for another one's.
LANES = (
    Lane(asks=r"GET /v1/trials/[^/]+/model", most=2, patience=0.0),  # a process each, with torch and a model
    Lane(asks=r"GET /v1/experiments/[^/]+/events", most=256, patience=0.0),
    Lane(asks=r"POST /v1/(plans|experiments|experiments/[^/]+/resubmit)|POST /new(/plan)?", most=3),
    Lane(asks=r"POST /(v1/datasets|data)", most=2, streams=True),
    Lane(
        asks=r"GET (/v1/(reports/.+|results.*|experiments/[^/]+/page)|/compare|/reports"
        r"|/experiments/[^/]+/(table|curves|search|surgery|cosines))|POST /v1/results/query",
        most=3,
    ),
    Lane(asks=r"GET /docs/.+", most=4),  # files that are sent piece by piece to whoever asks, without a token
    Lane(  # each reads a split as a whole
        asks=r"GET ((/v1)?/trials/[^/]+/(examples|predictions)|/v1/datasets/[^/]+/examples|/data/[^/]+"
        r"|/v1/experiments/[^/]+/shots/examples|/experiments/[^/]+/shots)",
        most=3,
    ),
    Lane(asks=r".*", most=12),
)

# Of each lane.
MOST_WAITING = 64

# What answers at once, whatever the others do: see `service.api.health`.
EXEMPT = "/healthz"


@dataclass
class _Queue:
    """The requests of a lane."""

    free: asyncio.Semaphore
    waiting: int = 0


# Semaphores belong to an event loop.
_QUEUES: RunVar[dict[Lane, _Queue]] = RunVar("queues")


class Turns:
    """An application whose requests have their turns, and whose clients send their bodies at some speed.

    A request has its turn once its body is there: who sends slowly keeps nobody waiting. A turn ends with the answer.

    Args:
        app: the application, which answers HTTPException.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request in its turn: 503 with Retry-After where it does not come, 408 where its body does not."""
        if scope["type"] != "http" or scope["path"] == EXEMPT:
            await self._app(scope, receive, send)
            return
        begun = False

        async def sent(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._in_turn(scope, receive, sent)
        except asyncio.CancelledError:  # a server that stops leaves a second to requests
            if begun:
                raise
            await stopping()(scope, receive, send)

    async def _in_turn(self, scope: Scope, receive: Receive, send: Send) -> None:
        lane = next(lane for lane in LANES if re.fullmatch(lane.asks, f"{scope['method']} {scope['path']}", re.DOTALL))
        headers = Headers(scope=scope)
        async with AsyncExitStack() as stack:

            async def begin() -> None:
                await stack.enter_async_context(_turn(lane))

            try:
                if not _has_body(headers):
                    await begin()
                elif lane.streams:
                    receive = _timely(receive, begin)
                elif int(headers.get("content-length", "0")) > MAX_BODY_BYTES:  # refused before it is sent
                    await begin()
                else:  # a handler that does not ask for the body would begin without a turn
                    receive = await _after_body(_timely(receive))
                    await begin()
            except HTTPException as error:
                await problem(error.status_code, error.detail, headers=dict(error.headers or {}))(scope, receive, send)
                return
            await self._app(scope, receive, send)


@asynccontextmanager
async def _turn(lane: Lane) -> AsyncIterator[None]:
    """A turn in a lane. HTTPException 503 if there is none in time."""
    queues = _QUEUES.get(None)
    if queues is None:
        queues = {}
        _QUEUES.set(queues)
    queue = queues.setdefault(lane, _Queue(asyncio.Semaphore(lane.most)))
    if queue.free.locked():
        await _wait(lane, queue)
    else:
        await queue.free.acquire()
    try:
        yield
    finally:
        queue.free.release()


async def _wait(lane: Lane, queue: _Queue) -> None:
    busy = HTTPException(
        503,
        f"{lane.most} such requests are at work, which is all that may be at once; ask again",
        {"Retry-After": str(RETRY_SECONDS)},
    )
    if queue.waiting >= MOST_WAITING or not lane.patience:
        raise busy
    queue.waiting += 1
    try:
        async with asyncio.timeout(lane.patience):
            await queue.free.acquire()
    except TimeoutError:
        raise busy from None
    finally:
        queue.waiting -= 1


def _has_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


async def _after_body(receive: Receive) -> Receive:
    """The messages of a request, once its body is there, or more of it than any handler takes."""
    held: list[Message] = []
    size = 0
    while size <= MAX_BODY_BYTES:
        message = await receive()
        held.append(message)
        size += len(message.get("body", b""))
        if not message.get("more_body", False):
            break
    held.reverse()

    async def again() -> Message:
        return held.pop() if held else await receive()

    return again


async def _nothing() -> None:
    """The default of `_timely`."""


def _timely(receive: Receive, whole: Callable[[], Awaitable[None]] = _nothing) -> Receive:
    """The messages of a request, with `whole` called when its body is there. HTTPException 408 if it takes too long."""
    waited, size, over = 0.0, 0, False

    async def timed() -> Message:
        nonlocal waited, size, over
        if over:  # what may follow is that the client has gone
            return await receive()
        begin = time.monotonic()
        try:
            async with asyncio.timeout(BODY_SECONDS + size / BYTES_A_SECOND - waited):
                message = await receive()
        except TimeoutError:
            over = True
            detail = f"the body comes too slowly; allowed: {BYTES_A_SECOND // 1024} KiB a second"
            raise HTTPException(408, detail, {"Connection": "close"}) from None
        waited += time.monotonic() - begin
        size += len(message.get("body", b""))
        if not message.get("more_body", False):
            over = True
            if message["type"] == "http.request":
                await whole()
        return message

    return timed
