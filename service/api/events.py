"""What happens to an experiment, while it happens: server-sent events (HTML standard, section 9.2)."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from service.api.experiments import state_of
from service.api.problems import refusals
from service.store import Store
from service.store.states import FINAL

# How often it is asked whether something has happened.
POLL_SECONDS = 0.5

router = APIRouter(tags=["experiments"])


class Since(BaseModel):
    """From where on."""

    model_config = ConfigDict(extra="forbid")

    after: Annotated[int, Field(ge=0, lt=2**31)] = 0


def _begin(
    request: Request,
    id_: str,
    wanted: Annotated[Since, Query()],
    last_event_id: Annotated[str | None, Header(pattern=r"^\d{1,9}$")] = None,
) -> int:
    """The number of the event after which to begin. HTTPException 204 if there will be no more: do not reconnect."""
    state = state_of(request, id_)
    number = wanted.after if last_event_id is None else int(last_event_id)
    if state in FINAL and not request.app.state.store.events.after(id_, number, 1):
        raise HTTPException(204)
    return number


@router.get("/experiments/{id_}/events", response_class=EventSourceResponse, responses=refusals(404, 422))
async def events(request: Request, id_: str, number: Annotated[int, Depends(_begin)]) -> AsyncIterator[ServerSentEvent]:
    """All that has happened to an experiment and its trials, and then what does, until it is over.

    An event is `experiment`, with its `state` and `reason`, or `trial`, with `trial`, `state`, and `epoch` and dev
    `scores` or a `reason`. Its id is a number; with the last one that was seen as `Last-Event-ID` (or `?after=`) the
    stream goes on where it ended, and once all is over it is 204.
    """
    store: Store = request.app.state.store
    while True:
        state = await run_in_threadpool(store.control.state, id_)
        found = await run_in_threadpool(store.events.after, id_, number)
        for event in found:
            number = event.number
            at = datetime.fromtimestamp(event.at, UTC).isoformat()
            yield ServerSentEvent(data={**event.data, "at": at}, event=event.kind, id=str(number))
        if not found:
            if state in (None, *FINAL):
                return
            await asyncio.sleep(POLL_SECONDS)
