"""What happens to an experiment, while it happens: server-sent events (HTML standard, section 9.2)."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from service.api.access import may_still_ask
from service.api.documented import OfExperiment, sent_as
from service.api.experiments import state_of
from service.api.problems import refusals
from service.store import Store
from service.store.states import FINAL

# How often it is asked whether something has happened, and for each stream, whether its client may still ask.
POLL_SECONDS, ACCESS_SECONDS = 0.5, 1.5

router = APIRouter(tags=["experiments"])


class News:
    """Tells streams that something has happened: one query for all of them, however many there are.

    Args:
        store: returns the store.
    """

    def __init__(self, store: Callable[[], Store]) -> None:
        self._store = store
        self._awaited: dict[asyncio.Future[None], tuple[str, tuple[str, int]]] = {}
        self._asking: asyncio.Task[None] | None = None

    async def after(self, id_: str, known: tuple[str, int], seconds: float) -> bool:
        """Wait until an experiment's state and last event are others than are known, or the store cannot be asked.

        False if nothing of that has happened within so many seconds.
        """
        happened = asyncio.get_running_loop().create_future()
        self._awaited[happened] = id_, known
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        try:
            return bool((await asyncio.wait({happened}, timeout=seconds))[0])
        finally:
            del self._awaited[happened]

    async def _ask(self) -> None:
        while self._awaited:
            await asyncio.sleep(POLL_SECONDS)
            ids = {id_ for id_, _ in self._awaited.values()}
            try:
                latest = await run_in_threadpool(self._store().events.latest, ids)
            except Exception:  # each stream asks the store itself, and ends by what that raises
                latest = {}
            for happened, (id_, known) in list(self._awaited.items()):
                if latest.get(id_) != known and not happened.done():
                    happened.set_result(None)


class Since(BaseModel):
    """From where on."""

    model_config = ConfigDict(extra="forbid")

    after: Annotated[int, Field(ge=0, lt=2**31)] = Field(0, description="number of the last event that was seen")


def _begin(
    request: Request,
    id_: OfExperiment,
    wanted: Annotated[Since, Query()],
    last_event_id: Annotated[str | None, Header(pattern=r"^\d{1,9}$", description="goes before `after`")] = None,
) -> int:
    """The number of the event after which to begin. HTTPException 204 if there will be no more: do not reconnect."""
    state = state_of(request, id_)
    number = wanted.after if last_event_id is None else int(last_event_id)
    if state in FINAL and not request.app.state.store.events.after(id_, number, 1):
        raise HTTPException(204)
    return number


@router.get(
    "/experiments/{id}/events", response_class=EventSourceResponse,
    responses=sent_as("text/event-stream") | {204: {"description": "There will be no more"}} | refusals(404),
)  # fmt: skip
async def follow_experiment(
    request: Request, id_: OfExperiment, number: Annotated[int, Depends(_begin)]
) -> AsyncIterator[ServerSentEvent]:
    """Events of an experiment and its trials, as they happen.

    All that has happened comes first, and then what does, until the experiment is over. An event is `experiment`, with
    its `state` and `reason`, and with `by`, the name of the token that asked for it, if one did; or `trial`, with
    `trial`, `state`, and `epoch` and dev `scores` or a `reason`. Its id is a number; with the last one that was seen as
    `Last-Event-ID` (or `?after=`) the stream goes on where it ended. 204 once all is over. A stream whose token is
    revoked ends.
    """
    store: Store = request.app.state.store
    news: News = request.app.state.news
    due = time.monotonic() + ACCESS_SECONDS
    while True:
        state = await run_in_threadpool(store.control.state, id_)
        found = await run_in_threadpool(store.events.after, id_, number)
        for event in found:
            number = event.number
            at = datetime.fromtimestamp(event.at, UTC).isoformat()
            yield ServerSentEvent(data={**event.data, "at": at}, event=event.kind, id=str(number))
        happened = bool(found)
        if state is None or (state in FINAL and not happened):
            return
        while not happened or time.monotonic() > due:
            if time.monotonic() > due:
                if not await run_in_threadpool(may_still_ask, request):
                    return
                due = time.monotonic() + ACCESS_SECONDS
            happened = happened or await news.after(id_, (state or "", number), due - time.monotonic())
