"""Errors as problem details (RFC 9457), each naming the fields that are wrong."""

import errno
import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from search_spaces.problems import Problem, SpecError
from service.store import BadCursorError, DatabaseLostError, KeyReusedError, StoreFullError

log = logging.getLogger(__name__)

# FastAPI's words for a body that its JSON library gives up on.
UNPARSED = "There was an error parsing the body"


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """How a route documents that it may answer a problem."""
    content: dict[str, Any] = {"application/problem+json": {}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def problem(
    status: int, detail: str, problems: Sequence[Problem] = (), headers: dict[str, str] | None = None
) -> JSONResponse:
    """An answer of type application/problem+json with `errors: [{"field", "message"}]`."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "errors": [{"field": one.field, "message": one.message} for one in problems],
    }
    return JSONResponse(body, status, headers, media_type="application/problem+json")


def add_handlers(app: FastAPI) -> None:
    """Answer every error of an app as a problem."""
    app.add_exception_handler(SpecError, _spec_error)
    app.add_exception_handler(RequestValidationError, _request_error)
    app.add_exception_handler(BadCursorError, _bad_cursor)
    app.add_exception_handler(KeyReusedError, _key_reused)
    app.add_exception_handler(DatabaseLostError, _database_lost)
    app.add_exception_handler(OSError, _disk_full)
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
            "there is no such parameter" if detail["type"] == "extra_forbidden" else detail["msg"],
        )
        for detail in error.errors()
    ]
    return problem(422, "a parameter is wrong", problems)


def _bad_cursor(_: Request, error: Any) -> JSONResponse:
    return problem(422, "a parameter is wrong", [Problem("cursor", str(error))])


def _key_reused(_: Request, error: Any) -> JSONResponse:
    return problem(422, "nothing was stored", [Problem("Idempotency-Key", f"{error}; allowed: a new one")])


def _database_lost(_: Request, error: Any) -> JSONResponse:
    return problem(503, str(error))


def _disk_full(request: Request, error: Any) -> JSONResponse:
    if isinstance(error, StoreFullError) or error.errno == errno.ENOSPC:
        return problem(507, f"nothing was stored: {error}")
    return _unforeseen(request, error)


def _http_error(_: Request, error: Any) -> Response:
    if error.status_code == HTTPStatus.NO_CONTENT:  # which has no body, by its definition
        return Response(status_code=error.status_code, headers=error.headers)
    problems = [Problem("body", "allowed: JSON, not nested so deeply")] if error.detail == UNPARSED else []
    return problem(error.status_code, str(error.detail), problems, headers=error.headers)


def _unforeseen(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s", request.method, request.url.path, exc_info=error)
    return problem(500, "an error of the service; its log says more")
