"""Whether the service is well: `GET /healthz`, and a condition of everything that changes something.

Another thread than those of the other requests looks at the database, and nobody waits for it for long.
"""

import asyncio
import threading
import time
from concurrent.futures import Future
from importlib.metadata import version
from math import inf

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import State
from starlette.exceptions import HTTPException

from service.api.answers.catalog import Health as Well
from service.api.browsers import SAFE_METHODS
from service.api.problems import problem
from service.store import DatabaseLostError

# A look at the database counts for so long; then there is another one, for which an answer waits so long. While that
# looks for longer, what the one before has found stands, until it is taken for a sick database.
FRESH_SECONDS, LOOK_SECONDS, SICK_SECONDS = 1.0, 0.05, 10.0

VERSION = version("allasprak")

router = APIRouter(tags=["service"])


class Health:
    """Looks at the home and the database: one look for all who ask meanwhile.

    Args:
        state: that of the application, with `store` and `environment`.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._look: Future[str] | None = None
        self._begun, self._last = -inf, ""

    async def ailment(self) -> str:
        """What is wrong; empty if nothing is."""
        if ailment := removed(self._state):
            return ailment
        if self._look is None or (self._look.done() and time.monotonic() - self._begun > FRESH_SECONDS):
            self._look, self._begun = Future(), time.monotonic()
            # daemon: a database that does not answer keeps no server from ending
            threading.Thread(target=self._find, args=(self._look,), name="health", daemon=True).start()
        if self._look.done():
            return self._look.result()
        try:
            return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(self._look)), LOOK_SECONDS)
        except TimeoutError:
            took = time.monotonic() - self._begun
            return self._last if took < SICK_SECONDS else f"the database has not answered for {took:.0f} s"

    def _find(self, look: "Future[str]") -> None:
        try:
            self._last = broken(self._state)
            look.set_result(self._last)
        except Exception as error:
            look.set_exception(error)


def removed(state: State) -> str:
    """That the home or the file of the database is gone; empty if they are there, which is known at once."""
    if not state.environment().home.is_dir():
        return "the home of the service was removed"
    try:
        state.store.health.check_file()
    except DatabaseLostError as error:
        return str(error)
    return ""


def broken(state: State) -> str:
    """What is wrong with the database; empty if nothing is."""
    try:
        state.store.health.check()
    except DatabaseLostError as error:
        return str(error)
    except SQLAlchemyError as error:
        return f"the database does not answer ({type(error).__name__})"
    return ""


def require(request: Request) -> None:
    """HTTPException 503 if a request would change something in a home or a database that is lost."""
    if request.method in SAFE_METHODS:
        return
    if ailment := removed(request.app.state) or broken(request.app.state):
        raise HTTPException(503, f"nothing was stored: {ailment}")


@router.get("/healthz", response_model=Well, openapi_extra={"security": []})
async def get_health(request: Request) -> JSONResponse:
    """Whether the service is well.

    It is alive, its home is there, and its database is whole and answers; else 503, with what is wrong.
    """
    ailment: str = await request.app.state.health.ailment()
    return problem(503, ailment) if ailment else JSONResponse({"status": "ok", "version": VERSION})
