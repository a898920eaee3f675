"""What a browser sees at an address that no page has: a page that leads back, where programs get a problem document."""

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from service.api.app import VERSION_PREFIX
from service.api.problems import problem
from service.web.rendering import refused

# Of the router: there is none of this address, or none that can be looked at.
STATUSES = (404, 405)

JSON = ("application/json", "application/problem+json")

Handler = Callable[[Request, Any], Response | Awaitable[Response]]


def add_unknown(app: FastAPI) -> None:
    """Answer a browser with a page where an application has none."""
    for status in STATUSES:
        known: Any = app.exception_handlers
        app.add_exception_handler(status, _or_page(status, known.get(status, known[HTTPException])))


def _or_page(status: int, otherwise: Handler) -> Callable[[Request, Any], Awaitable[Response]]:
    async def answer(request: Request, error: Any) -> Response:
        if request.method in ("GET", "HEAD") and _is_of_pages(request.url.path) and _is_browser(request):
            headers = dict(error.headers or {})
            return refused(request, problem(status, "no page has this address", headers=headers))
        answer = otherwise(request, error)
        return await answer if isawaitable(answer) else answer

    return answer


def _is_of_pages(path: str) -> bool:
    return path != VERSION_PREFIX and not path.startswith(f"{VERSION_PREFIX}/")


def _is_browser(request: Request) -> bool:
    """Whether what asks would rather have a page than JSON (RFC 9110, section 12.5.1)."""
    wanted: dict[str, float] = {}
    for one in request.headers.get("accept", "").lower().split(","):
        kind, *parameters = (part.strip() for part in one.split(";"))
        quality = next((part[2:] for part in parameters if part.startswith("q=")), "1")
        wanted[kind] = float(quality) if quality.replace(".", "", 1).isdecimal() and quality.isascii() else 0
    return wanted.get("text/html", 0) > max(wanted.get(kind, 0) for kind in JSON)
