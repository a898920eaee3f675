"""The application: routes, who may call them, and how errors are answered."""

from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException

from search_spaces.environment import Environment
from search_spaces.problems import Problem, SpecError
from service.api import catalog, comparisons, control, events, experiments, metrics, reports, results, summaries, trials
from service.api.problems import add_handlers
from service.security import is_authorised, is_loopback
from service.store import Store

MAX_BODY_BYTES = 2**20

VERSION_PREFIX = "/v1"


def create_app(store: Store, environment: Callable[[], Environment], token: str | None) -> FastAPI:
    """The REST interface over a store.

    Args:
        store: the database.
        environment: what specs are checked against, as it is at the moment.
        token: what every request under /v1 must carry; None on a loopback address.
    """
    app = FastAPI(
        title="allasprak",
        version=version("allasprak"),
        max_body_size=MAX_BODY_BYTES,
        redirect_slashes=False,
        dependencies=[Depends(_expect_loopback)] if token is None else [],
    )
    app.state.store, app.state.environment, app.state.token = store, environment, token
    v1 = APIRouter(prefix=VERSION_PREFIX, dependencies=[Depends(_authorise), Depends(_know_all)])
    v1.include_router(experiments.router)
    v1.include_router(control.router)
    v1.include_router(catalog.router)
    v1.include_router(events.router)
    v1.include_router(trials.router)
    v1.include_router(results.router)
    v1.include_router(summaries.router)
    v1.include_router(comparisons.router)
    v1.include_router(reports.router)
    app.include_router(v1)
    app.include_router(metrics.router, dependencies=[Depends(_authorise)])
    app.add_api_route("/healthz", _health, methods=["GET"])
    add_handlers(app)
    description = app.openapi()
    description["components"]["schemas"].update(experiments.SCHEMAS)
    app.state.parameters = {
        (method.upper(), path): {one["name"] for one in operation.get("parameters", []) if one["in"] == "query"}
        for path, operations in description["paths"].items()
        for method, operation in operations.items()
    }
    return app


def _expect_loopback(request: Request) -> None:
    """Without a token only the loopback address protects us: a page elsewhere whose name resolves to it must not."""
    host = request.headers.get("host", "")
    try:
        asked = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        asked = ""
    if not is_loopback(asked):
        raise HTTPException(400, f"Host: {host!a} is not this machine alone; allowed: localhost, 127.0.0.1")


def _authorise(request: Request, _: Annotated[object, Depends(HTTPBearer(auto_error=False))]) -> None:
    if not is_authorised(request.headers.get("authorization"), request.app.state.token):
        raise HTTPException(401, "this service asks for a token", {"WWW-Authenticate": "Bearer"})


def _know_all(request: Request) -> None:
    """Refuse a query parameter that a route does not know: DELETE with `?dry_run=true` must not delete."""
    known = request.app.state.parameters[request.method, VERSION_PREFIX + request.scope["route"].path]
    if unknown := [name for name in request.query_params if name not in known]:
        raise SpecError([Problem(ascii(name)[1:-1], "there is no such parameter") for name in unknown])


def _health(request: Request) -> JSONResponse:
    """Alive, and the database answers."""
    request.app.state.store.control.state("")
    return JSONResponse({"status": "ok", "version": version("allasprak")})
