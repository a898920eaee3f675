"""How a page is made: templates, the files that they load, and what a browser may do with them."""

import gzip
import json
import re
from base64 import b64encode
from collections.abc import Callable, Coroutine, Mapping
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.types import Message

from service.api.access import COOKIE, Caller
from service.reports.drawing import svg
from service.web.words import duration, hours, linked, minute, signed, size

# Scripts and styles come from files of ours alone, and Vega's expressions are interpreted. Only what the names of
# modules mean stands in a page; `{import_map}` is its digest.
POLICY = (
    "default-src 'none'; script-src 'self' 'sha256-{import_map}'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

# Without any referrer, a browser says of a form that it comes from nowhere (Fetch Standard, "append a request `Origin`
# header"), and it would be refused as one of another site.
HEADERS = {"Cache-Control": "no-store", "Referrer-Policy": "same-origin"}

# The modules that a chart's scripts import by name.
MODULES = {"vega-interpreter": "vendor/vega-interpreter.js", "vega-util": "vega-util.js"}

TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".LICENSE": "text/plain"}

# The pages that every page leads to.
NAVIGATION = (
    ("/", "Experiments"),
    ("/compare", "Compare"),
    ("/new", "New"),
    ("/data", "Data"),
    ("/reports", "Reports"),
    ("/pool", "Pool"),
)

# Headers of a refusal that its page has as well.
KEPT = ("retry-after", "hx-redirect", "allow")

# What a refusal is called for people, where its status has no words for them.
HEADINGS = {
    405: "Not found",
    409: "Not possible now",
    422: "Something is wrong with the request",
    500: "An error of ours",
}

# A file's address changes with its content.
FOREVER = "public, max-age=31536000, immutable"

files_router = APIRouter(include_in_schema=False)


async def _body(request: Request) -> bytes:
    """The body of a request."""
    return await request.body()


# The body of a request, for routes that are no coroutines: what they make of it is not for the event loop, which has to
# answer others meanwhile.
Body = Annotated[bytes, Depends(_body)]


def answered(response: Response) -> dict[str, Any]:
    """What a REST route has answered, as its clients read it."""
    found: dict[str, Any] = json.loads(bytes(response.body))
    return found


def with_body(request: Request, text: str) -> Request:
    """A request for a REST route that takes JSON, in the place of a page's own.

    Args:
        request: that a browser has sent.
        text: the JSON.
    """
    of_form = (b"content-type", b"content-length")
    kept = [(name, value) for name, value in request.scope["headers"] if name not in of_form]
    content = text.encode(errors="replace")

    async def receive() -> Message:
        return {"type": "http.request", "body": content, "more_body": False}

    return Request({**request.scope, "headers": [*kept, (b"content-type", b"application/json")]}, receive)


def filled(given: dict[str, Any]) -> dict[str, Any]:
    """The parameters that a form was filled in with: what it leaves empty is not asked for."""
    lists = {name: [one for one in value if one != ""] for name, value in given.items() if isinstance(value, list)}
    return {name: value for name, value in {**given, **lists}.items() if value not in ("", [])}


def page(
    request: Request, name: str, status: int = 200, headers: Mapping[str, str] | None = None, **values: Any
) -> HTMLResponse:
    """A page.

    Args:
        request: that asks for it.
        name: of its template.
        status: of the answer.
        headers: of the answer, beside those of each page.
        values: what the template shows.
    """
    content = filled_in(name, request=request, **values)
    return HTMLResponse(content, status, {"Content-Security-Policy": _policy(), **HEADERS, **(headers or {})})


def tidy(request: Request) -> dict[str, str]:
    """Headers of a page that a form has asked for: its address has nothing of the fields that were left empty."""
    if "hx-request" in request.headers and "" in request.query_params.values():
        return {"HX-Replace-Url": _with_query(request)}
    return {}


def filled_in(name: str, **values: Any) -> Markup:
    """A template with its values."""
    return Markup(_templates().get_template(f"{name}.html").render(**values))


def style() -> Markup:
    """The style sheet of all pages, to stand in a file."""
    return Markup(_files()["style.css"][0].decode())


def refused(request: Request, refusal: Response) -> HTMLResponse:
    """The page for what the REST interface refuses."""
    said = answered(refusal)
    kept = {name: refusal.headers[name] for name in KEPT if name in refusal.headers}
    title = HEADINGS.get(said["status"], said["title"].capitalize())
    return page(request, "refusal", said["status"], kept, title=title, detail=said["detail"], problems=said["errors"])


class Page(APIRoute):
    """A route whose refusals are pages, in the words of the REST interface."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler of the route, with a page for each refusal."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except Exception as raised:
                error = _as_of_request(raised)
                known = request.app.exception_handlers
                refuse = next((known[kind] for kind in type(error).__mro__ if kind in known), None)
                if refuse is None:
                    raise
                refusal: Response = refuse(request, error)
            return refusal if refusal.status_code < 400 else refused(request, refusal)

        return answer


def _as_of_request(error: Exception) -> Exception:
    """What is wrong with the parameters that a page has handed on to a REST route, as that route would say it."""
    if not isinstance(error, ValidationError):
        return error
    return RequestValidationError([{**one, "loc": ("query", *one["loc"])} for one in error.errors()])


@files_router.get("/static/{path:path}")
def static_file(request: Request, path: str) -> Response:
    """A file that pages load."""
    found = _files().get(path)
    if found is None:
        raise HTTPException(404)
    content, packed, kind = found
    headers = {"Cache-Control": FOREVER, "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(packed, headers={**headers, "Content-Encoding": "gzip"}, media_type=kind)
    return Response(content, headers=headers, media_type=kind)


@cache
def _files() -> dict[str, tuple[bytes, bytes, str]]:
    """The files that pages load, by name: each as it is, packed, and its media type."""
    found = {}
    root = files("service.web") / "static"
    for folder, before in ((root, ""), (root / "vendor", "vendor/")):
        for file in folder.iterdir():
            kind = next((kind for ending, kind in TYPES.items() if file.name.endswith(ending)), None)
            if kind is not None:
                content = file.read_bytes()
                found[before + file.name] = content, gzip.compress(content, mtime=0), kind
    return found


def _static(path: str) -> str:
    """The address of a file."""
    return f"/static/{path}?{sha256(_files()[path][0]).hexdigest()[:12]}"


@cache
def _import_map() -> Markup:
    """What the names of modules mean, as a page has it."""
    return Markup(json.dumps({"imports": {name: _static(path) for name, path in MODULES.items()}}))


@cache
def _policy() -> str:
    return POLICY.format(import_map=b64encode(sha256(_import_map().encode()).digest()).decode())


@cache
def _templates() -> Environment:
    found = Environment(
        loader=PackageLoader("service.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals |= {"import_map": _import_map, "static": _static, "with_query": _with_query}
    found.globals |= {"navigation": NAVIGATION, "session": _session, "is_file": False}
    found.filters |= {"duration": duration, "size": size, "minute": minute, "signed": signed}
    found.filters |= {"json": _json, "hours": hours, "image": _image, "linked": linked, "sentence": _sentence}
    return found


def _session(request: Request) -> Caller | None:
    """Who has signed in; None for whoever need not, or has not yet."""
    return getattr(request.state, "caller", None) if COOKIE in request.cookies else None


def _with_query(request: Request, **changed: str | None) -> str:
    """The address of a page with some parameters changed, without the cursor and those that are None or empty."""
    changed = {"cursor": None, **changed}
    kept = [(name, value) for name, value in request.query_params.multi_items() if value and name not in changed]
    given = urlencode([*kept, *((name, value) for name, value in changed.items() if value)])
    return f"{request.url.path}?{given}" if given else request.url.path


def _sentence(text: str) -> str:
    """Words of the REST interface as a sentence; a name that they begin with stays as it is."""
    first = text.partition(" ")[0]
    begun = text[:1].upper() + text[1:] if first.isalpha() else text
    return begun if begun.endswith((".", "?")) else f"{begun}."


def _json(value: Any, indent: int | None = None) -> str:
    """A value as JSON to read; lists of plain values are on one line."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return re.sub(r"\[\n\s+([^\[\]{}]*?)\n\s+\]", lambda found: "[" + re.sub(r",\n\s+", ", ", found[1]) + "]", text)


def _image(drawn: Mapping[str, Any]) -> str:
    """A chart as the address of a picture that is the address itself (RFC 2397)."""
    return (
        "data:image/svg+xml;base64," + b64encode(svg(drawn["chart"], drawn["title"], drawn["notes"]).encode()).decode()
    )
