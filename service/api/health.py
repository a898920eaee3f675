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

from service.api.browsers import SAFE_METHODS
from service.api.problems import problem
from service.store import DatabaseLostError

# An answer waits so long for a look at the database; where that takes longer, an earlier look counts for a while.
LOOK_SECONDS, STALE_SECONDS = 0.05, 10.0

VERSION = version("allasprak")

router = APIRouter(tags=["service"])


class Health:
    """What was found at the last look at the home and the database: one look for all who ask meanwhile.

    Args:
        state: that of the application, with `store` and `environment`.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._look: Future[str] | None = None
        self._at, self._last = -inf, ""

    async def ailment(self) -> str:
        """What is wrong; empty if nothing is."""
        if self._look is None or self._look.done():
            self._look = Future()
            # daemon: a database that does not answer keeps no server from ending
            threading.Thread(target=self._find, args=(self._look,), name="health", daemon=True).start()
        try:
            return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(self._look)), LOOK_SECONDS)
        except TimeoutError:
            if time.monotonic() - self._at < STALE_SECONDS:
                return self._last
            return f"the database has not answered for {STALE_SECONDS:g} s"

    def _find(self, look: "Future[str]") -> None:
        try:
            self._last = found(self._state)
        except Exception as error:
            look.set_exception(error)
        else:
            self._at = time.monotonic()
            look.set_result(self._last)


def found(state: State) -> str:
    """What is wrong with the home or the database, as the look of the moment finds it; empty if nothing is."""
    home = state.environment().home
    if not home.is_dir():
        return f"the home {home} was removed"
    try:
        state.store.health.check()
    except DatabaseLostError as error:
        return str(error)
    except SQLAlchemyError as error:
        return f"the database does not answer ({type(error).__name__})"
    return ""


def require(request: Request) -> None:
    """HTTPException 503 if a request would change something in a home or a database that is lost."""
    if request.method not in SAFE_METHODS and (ailment := found(request.app.state)):
        raise HTTPException(503, f"nothing was stored: {ailment}")


@router.get("/healthz")
async def health(request: Request) -> JSONResponse:
    """Alive, the home is there, and the database is whole and answers; else 503, with what is wrong."""
    ailment: str = await request.app.state.health.ailment()
    return problem(503, ailment) if ailment else JSONResponse({"status": "ok", "version": VERSION})
