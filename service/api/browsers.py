"""What browsers may do: pages elsewhere change nothing here and read nothing, and answers are shown, never executed.

Around all of the application, so that errors and unknown paths are covered as well.
"""

import re
from collections.abc import Callable
from urllib.parse import urlsplit

from fastapi.concurrency import run_in_threadpool
from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.problems import problem
from service.security import is_loopback
from service.store import DatabaseLostError

# An answer is no page: it loads nothing, and stands in no frame. A route whose answer is a page sets its own.
CONTENT_SECURITY_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

# RFC 9110, section 9.2.1
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}

# RFC 9110, section 7.2: a name, an IPv4 address or an IPv6 address in brackets; no user
HOST = re.compile(r"(?:\[([^\]]+)\]|([^\[\]:]+))(?::\d{1,5})?", re.ASCII)


class Browsers:
    """An application that only pages of its own may use, and that answers HEAD wherever it answers GET.

    Args:
        app: the application.
        asks: whether the service asks for tokens. Where no token protects it, requests must name this machine as their
            host: a page elsewhere whose name resolves to a loopback address must not read it (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, asks: Callable[[], bool]) -> None:
        self._app, self._asks = app, asks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or hand it on; the answer gets the headers that protect it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if scope["method"] == "HEAD":
            scope, send = {**scope, "method": "GET"}, _without_body(send)
        await (await self._refusal(scope, headers) or self._app)(scope, receive, _with_headers(send))

    async def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        host = headers.get("host", "")
        if not (_is_this_machine(host) or await self._is_protected()):
            detail = f"Host: {host!a} is not this machine alone; allowed: localhost, 127.0.0.1"
            return problem(400, detail)
        if scope["method"] not in SAFE_METHODS and _is_from_elsewhere(headers, host):
            detail = "a page of another origin asks for a change; allowed: pages of this service, and programs"
            return problem(403, detail)
        return None

    async def _is_protected(self) -> bool:
        """Whether a token protects the service; not while the database cannot say so."""
        try:
            return await run_in_threadpool(self._asks)
        except (DatabaseLostError, SQLAlchemyError):
            return False


def _is_this_machine(host: str) -> bool:
    found = HOST.fullmatch(host)
    return found is not None and is_loopback((found[1] or found[2]).lower())


def _is_from_elsewhere(headers: Headers, host: str) -> bool:
    """Whether a browser says that a page of another origin sends a request.

    Browsers send `Sec-Fetch-Site` (Fetch Metadata Request Headers, W3C) to loopback and over TLS, and `Origin`
    (Fetch Standard) with everything that is not GET or HEAD. Programs send neither. A page in a sandbox, or a file, has
    the origin `null`. Schemes are not compared: behind a proxy with TLS the service does not know its own.
    """
    if any(site not in ("same-origin", "none") for site in headers.getlist("sec-fetch-site")):
        return True
    return any(_host_of(origin) != host.lower() or not host for origin in headers.getlist("origin"))


def _host_of(origin: str) -> str | None:
    """The host and port of an origin; None if it has none, or is none."""
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:  # such as http://[
        return None


def _with_headers(send: Send) -> Send:
    async def protected(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return protected


def _without_body(send: Send) -> Send:
    """The head of an answer alone. The answer is complete then: an endless one ends, as if its client had gone."""

    async def only_head(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return only_head
