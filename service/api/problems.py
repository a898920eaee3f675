"""Errors as problem details (RFC 9457), each naming the fields that are wrong."""

import errno
import logging
import secrets
from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import MAX_BODY_SIZE_SCOPE_KEY
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from search_spaces.messages import shortened, unquoted
from search_spaces.problems import MOST_CHARACTERS, MOST_PROBLEMS, Problem, SpecError
from service.store import (
    BadCursorError,
    BrokenRowError,
    DatabaseLostError,
    KeyReusedError,
    OperationalError,
    StoreFullError,
    is_busy,
)
from trainers.artifacts.place import PlaceLostError
from trainers.data.datasets import NameTakenError
from trainers.encoders.examiner import ExaminerStoppedError

log = logging.getLogger(__name__)

# FastAPI's words for a body that its JSON library gives up on.
UNPARSED = "There was an error parsing the body"

# When a client may ask again whose request met a database that others had locked, or a server that stops.
RETRY_SECONDS = 5

# Of an error in plain text its problem has these headers too.
KEPT = (b"content-range",)

FULL = (errno.ENOSPC, errno.EDQUOT)

# Why a status is answered, for the description of the interface, and the headers of such an answer.
WHY = {
    400: "The request is malformed, or, without a token, its `Host` is not this machine",
    401: "The token is missing or wrong",
    403: "A page of another origin asks for a change, or the token is read-only",
    404: "There is none of this name",
    408: "The body comes too slowly",
    409: "The state of what is there does not allow it",
    413: "The body is too large",
    415: "The body is of another media type",
    416: "The file has no such part as `Range` asks for",
    422: "Something is wrong with the parameters or the body; each field is named",
    500: "What is stored cannot be read, or there is a fault of the service, whose log says more",
    503: "Too much is asked at once, or the database is locked or lost",
    507: "The disk is full",
}
HEADERS: dict[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": {"description": "how to authorize", "schema": {"type": "string"}}},
    503: {"Retry-After": {"description": "seconds, where it is worth asking again", "schema": {"type": "integer"}}},
}


class ProblemDetails(BaseModel):
    """What is wrong with a request (RFC 9457)."""

    type: str
    title: Annotated[str, Field(description="words for the status", examples=["Unprocessable Entity"])]
    status: Annotated[int, Field(description="that of the answer", examples=[422])]
    detail: Annotated[str, Field(examples=["1 field is wrong"])]
    errors: Annotated[list[Problem], Field(description="what is wrong, field by field; the first 100")]


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """How a route documents that it may answer a problem."""
    return {status: _documented(status) for status in statuses}


def _documented(status: int) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{ProblemDetails.__name__}"}
    content = {"application/problem+json": {"schema": schema}}
    found = {"description": WHY.get(status, HTTPStatus(status).phrase), "content": content}
    return found | ({"headers": HEADERS[status]} if status in HEADERS else {})


def problem(
    status: int, detail: str, problems: Sequence[Problem] = (), headers: dict[str, str] | None = None
) -> JSONResponse:
    """An answer of type application/problem+json with `errors: [{"field", "message"}]`."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": shortened(detail, MOST_CHARACTERS),
        "errors": [{"field": one.field, "message": one.message} for one in problems[:MOST_PROBLEMS]],
    }
    return JSONResponse(body, status, headers, media_type="application/problem+json")


def stopping() -> JSONResponse:
    """What a request is answered that a server cannot end any more, since it stops."""
    return problem(503, "the service stops: ask again", headers={"Retry-After": str(RETRY_SECONDS)})


def add_handlers(app: FastAPI) -> None:
    """Answer every error of an app as a problem."""
    app.add_exception_handler(SpecError, _spec_error)
    app.add_exception_handler(RequestValidationError, _request_error)
    app.add_exception_handler(BadCursorError, _bad_cursor)
    app.add_exception_handler(KeyReusedError, _key_reused)
    app.add_exception_handler(NameTakenError, _name_taken)
    app.add_exception_handler(BrokenRowError, _broken_row)
    app.add_exception_handler(DatabaseLostError, _database_lost)
    app.add_exception_handler(PlaceLostError, _place_lost)
    app.add_exception_handler(OSError, _disk_full)
    app.add_exception_handler(OperationalError, _database_error)
    app.add_exception_handler(ClientDisconnect, lambda _, __: problem(400, "the client has gone"))
    app.add_exception_handler(ExaminerStoppedError, lambda _, __: stopping())
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unforeseen)


def _spec_error(_: Request, error: Any) -> JSONResponse:
    more = f"; the first {len(error.problems)} are listed" if error.count > len(error.problems) else ""
    return problem(422, f"{error.count} field{'s are' if error.count > 1 else ' is'} wrong{more}", error.problems)


def _request_error(_: Request, error: Any) -> JSONResponse:
    problems = [
        # ascii: a lone surrogate in a query string can't be printed otherwise
        Problem(
            ascii(".".join(part for part in detail["loc"][1:] if isinstance(part, str)) or "body")[1:-1],
            "there is no such parameter" if detail["type"] == "extra_forbidden" else detail["msg"] + unquoted(detail),
        )
        for detail in error.errors()
    ]
    return problem(422, "a parameter is wrong", problems)


def _bad_cursor(_: Request, error: Any) -> JSONResponse:
    return problem(422, "a parameter is wrong", [Problem("cursor", str(error))])


def _key_reused(_: Request, error: Any) -> JSONResponse:
    return problem(422, "nothing was stored", [Problem("Idempotency-Key", f"{error}; allowed: a new one")])


def _name_taken(_: Request, error: Any) -> JSONResponse:
    return problem(409, "nothing was stored", [Problem("name", str(error))])


def _broken_row(_: Request, error: Any) -> JSONResponse:
    return problem(500, str(error))


def _database_lost(_: Request, error: Any) -> JSONResponse:
    return problem(503, str(error))


def _place_lost(request: Request, error: Any) -> JSONResponse:
    log.warning("%s %s: %s", request.method, request.url.path, error)
    lost = "the place of checkpoints, models and predictions does not answer: ask again"
    return problem(503, lost, headers={"Retry-After": str(RETRY_SECONDS)})


def _disk_full(request: Request, error: Any) -> JSONResponse:
    if isinstance(error, StoreFullError) or error.errno in FULL:
        log.error("%s %s: %s", request.method, request.url.path, error)
        return problem(507, "nothing was stored: the disk or the database of the service is full")
    return _unforeseen(request, error)


def _database_error(request: Request, error: Any) -> JSONResponse:
    if not is_busy(error):
        return _unforeseen(request, error)
    log.warning("%s %s: %s", request.method, request.url.path, error.orig)
    return problem(503, "the database is busy: ask again", headers={"Retry-After": str(RETRY_SECONDS)})


def _http_error(_: Request, error: Any) -> Response:
    if error.status_code == HTTPStatus.NO_CONTENT:  # which has no body, by its definition
        return Response(status_code=error.status_code, headers=error.headers)
    problems = [Problem("body", "allowed: JSON, not nested so deeply")] if error.detail == UNPARSED else []
    return problem(error.status_code, str(error.detail), problems, headers=error.headers)


def _unforeseen(request: Request, error: Exception) -> JSONResponse:
    id_ = secrets.token_hex(4)
    log.error("error %s: %s %s", id_, request.method, request.url.path, exc_info=error)
    return problem(500, f"an error of the service; its log says more of error {id_}")


class PlainErrors:
    """An application whose errors in plain text, which the framework itself sends, are problems as well.

    Args:
        app: the application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As the application, but for its errors."""
        replaced = False

        async def send_problem(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and _is_plain_error(message):
                replaced = True
                kept = {name.decode(): value.decode() for name, value in message["headers"] if name in KEPT}
                answer = problem(message["status"], _detail(message["status"], scope), headers=kept)
                await answer(scope, receive, send)
            elif not replaced:
                await send(message)

        await self._app(scope, receive, send_problem)


def _is_plain_error(message: Message) -> bool:
    types = [value for name, value in message["headers"] if name.lower() == b"content-type"]
    return message["status"] >= 400 and any(value.startswith(b"text/plain") for value in types)


def _detail(status: int, scope: Scope) -> str:
    limit = scope.get(MAX_BODY_SIZE_SCOPE_KEY)
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and limit is not None:
        return f"the body is larger than allowed: {limit / 2**20:,.4g} MiB"
    return HTTPStatus(status).phrase
