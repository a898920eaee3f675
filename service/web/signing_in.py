"""Signing in: a page that asks for a token, and a cookie that carries it from then on.

The cookie is HttpOnly, which no script reads, and SameSite=Strict, so that no page elsewhere has it sent.
"""

from typing import Annotated
from urllib.parse import parse_qs, quote

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from search_spaces.spec import Name
from service.api.access import COOKIE, Access, authorise
from service.web.rendering import Body, Page, page

# How long a browser keeps the cookie.
DAYS = 30

router = APIRouter(route_class=Page, include_in_schema=False)


class Onward(BaseModel):
    """Where to go then."""

    model_config = ConfigDict(extra="forbid")

    next: Name = Field("/", pattern=r"^/([^/\\\s]\S*)?$")  # a path of this service


def require_sign_in(request: Request) -> None:
    """Send whoever has to sign in to the page for that. HTTPException 303; 401 for a part of a page that is there."""
    try:
        authorise(request, None)
    except HTTPException as error:
        if error.status_code != 401:
            raise
        here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        address = f"/sign-in?next={quote(here if request.method == 'GET' else '/')}"
        if "hx-request" in request.headers:
            raise HTTPException(401, "sign in again", {"HX-Redirect": "/sign-in"}) from error
        raise HTTPException(303, "sign in first", {"Location": address}) from error


@router.get("/sign-in")
def ask(request: Request, wanted: Annotated[Onward, Query()]) -> Response:
    """The page that asks for a token."""
    return page(request, "sign_in", onward=wanted.next, problem=None)


@router.post("/sign-in")
def sign_in(request: Request, wanted: Annotated[Onward, Query()], body: Body) -> Response:
    """Take the token, and go on."""
    token = parse_qs(body.decode("ascii", "replace")).get("token", [""])[0].strip()
    access: Access = request.app.state.access
    if not token.isascii() or access.caller(f"Bearer {token}") is None:
        return page(request, "sign_in", 401, onward=wanted.next, problem="This is not a token of the service.")
    answer = RedirectResponse(wanted.next, 303)
    secure = request.url.scheme == "https"
    answer.set_cookie(COOKIE, token, max_age=DAYS * 86_400, httponly=True, samesite="strict", secure=secure)
    return answer


@router.post("/sign-out")
def sign_out() -> Response:
    """Have the browser forget the token."""
    answer = RedirectResponse("/sign-in", 303)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer
