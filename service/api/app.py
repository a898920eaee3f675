"""The application: routes, who may call them, and how errors are answered."""

from collections.abc import Callable
from functools import cached_property
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from starlette.routing import Match
from starlette.types import ASGIApp

from search_spaces.environment import Environment
from search_spaces.problems import Problem, SpecError
from service.api import (
    catalog,
    comparisons,
    control,
    datasets,
    events,
    examples,
    experiments,
    health,
    metrics,
    pages,
    pool,
    progress,
    reports,
    results,
    shots,
    summaries,
    trials,
)
from service.api.access import Access, authorise
from service.api.browsers import Browsers
from service.api.description import ABOUT, TAGS, describe
from service.api.disk import DiskUse
from service.api.problems import PlainErrors, add_handlers, problem, refusals
from service.api.turns import MAX_BODY_BYTES, Turns
from service.examples import Examples
from service.store import Store

VERSION_PREFIX = "/v1"

# Those that a route may have; HEAD is answered as GET is.
METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")

# What has routes under /v1, in the order of the description.
ROUTES = (
    experiments, control, catalog, datasets, events, progress, shots, trials, examples, results, summaries, comparisons,
    reports, pool,
)  # fmt: skip


class _Service(FastAPI):
    """An application, with what holds for every request around all of it."""

    def openapi(self) -> dict[str, Any]:
        """The description, made when it is first asked for."""
        if self.openapi_schema is None:
            self.openapi_schema = describe(super().openapi())
        return self.openapi_schema

    @cached_property
    def parameters(self) -> dict[tuple[str, str], dict[str, bool]]:
        """The names of query parameters, and whether they may be given several times, by method and path."""
        return {
            (method.upper(), path): {
                one["name"]: one["schema"].get("type") == "array"
                for one in operation.get("parameters", [])
                if one["in"] == "query"
            }
            for path, operations in self.openapi()["paths"].items()
            for method, operation in operations.items()
        }

    def build_middleware_stack(self) -> ASGIApp:
        inner = PlainErrors(super().build_middleware_stack())
        return Browsers(Turns(inner), self.state.access.asks)


def create_app(
    store: Store, environment: Callable[[], Environment], token: str | None, *, always_asks: bool = False
) -> FastAPI:
    """The REST interface over a store.

    Args:
        store: the database.
        environment: what specs are checked against, as it is at the moment.
        token: what every request under /v1 must carry, or else a token by name of the store. None: only where the store
            has, or had, tokens.
        always_asks: never answer without a token.
    """
    app = _Service(
        title="allasprak",
        version=version("allasprak"),
        description=ABOUT,
        openapi_tags=[{"name": name, "description": says} for name, says in TAGS.items()],
        license_info={"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        servers=[{"url": "/"}],
        generate_unique_id_function=lambda route: route.name,
        max_body_size=MAX_BODY_BYTES,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
    )
    app.state.store, app.state.environment = store, environment
    app.state.access = Access(app.state, token, always_asks)
    app.state.disk, app.state.examples = DiskUse(), Examples()
    app.state.news, app.state.health = events.News(lambda: app.state.store), health.Health(app.state)
    for one in ROUTES:
        add_to_v1(app, one.router)
    app.include_router(metrics.router, dependencies=[Depends(authorise)], responses=refusals(401))
    app.include_router(health.router)
    app.include_router(pages.router)
    add_handlers(app)
    app.add_exception_handler(405, _wrong_method)
    return app


def add_to_v1(app: FastAPI, router: APIRouter) -> None:
    """Add routes under /v1: for whoever may ask, while the service is healthy."""
    # health first: who may ask stands in the database, and one that is broken is waited for in vain
    allowed = [Depends(health.require), Depends(authorise), Depends(_know_all)]
    app.include_router(router, prefix=VERSION_PREFIX, dependencies=allowed, responses=refusals(401, 422))


async def _wrong_method(request: Request, _: Exception) -> Response:
    """Name all methods of a path (RFC 9110, section 15.5.6): the router knows those of one route."""
    scope = {"type": "http", "path": request.scope["path"], "root_path": request.scope.get("root_path", "")}
    named = {
        method
        for method in METHODS
        if any(one.matches({**scope, "method": method, "headers": []})[0] == Match.FULL for one in request.app.routes)
    }
    allowed = ", ".join(sorted(named | ({"HEAD"} if "GET" in named else set())))
    return problem(405, f"{request.method} is not for this path; allowed: {allowed}", headers={"Allow": allowed})


async def _know_all(request: Request) -> None:
    """Refuse a query parameter that a route does not know, or would take the last of.

    DELETE with `?dry_run=true` must not delete, nor `?state=failed&state=running` show the running ones alone.
    """
    if not request.query_params:
        return
    known = request.app.parameters[request.method, VERSION_PREFIX + request.scope["route"].path]
    if unknown := [name for name in request.query_params if name not in known]:
        raise SpecError([Problem(ascii(name)[1:-1], "there is no such parameter") for name in unknown])
    several = [name for name, takes in known.items() if not takes and len(request.query_params.getlist(name)) > 1]
    if several:
        raise SpecError([Problem(name, "is given several times; allowed: one value") for name in several])
