"""Who asks: everybody, whoever has the token of the settings, or a token by name, which may be for reading alone."""

import logging
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from starlette.datastructures import State
from starlette.exceptions import HTTPException

from service.api.browsers import SAFE_METHODS
from service.security import bearer, is_token
from service.store import Store

log = logging.getLogger(__name__)

BEARER = HTTPBearer(auto_error=False, description="where the service has tokens")

# What a browser carries the token in, once its user has signed in on the page for that.
COOKIE = "allasprak_token"

# The operations that change nothing, though they have a body: a new route is closed to read-only tokens unless it is
# named here.
READING = {"plan_experiment", "query_results"}


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who asks.

    Attributes:
        name: of the token; None for the one of the settings, and where none is asked for.
        read_only: whether nothing may be changed.
    """

    name: str | None = None
    read_only: bool = False


class Access:
    """Who may ask a service.

    Args:
        state: that of the application, with `store`.
        token: of the settings; None if there is none.
        always: ask for a token whatever the store says, as where others than this machine can ask.
    """

    def __init__(self, state: State, token: str | None, always: bool) -> None:
        self._state, self._token = state, token
        self._asks = always or token is not None

    def asks(self) -> bool:
        """Whether requests need a token, which they do for good since the first one by name was there."""
        if not self._asks:
            store: Store = self._state.store
            self._asks = bool(store.tokens.all())
        return self._asks

    def caller(self, authorization: str | None) -> Caller | None:
        """Who asks with an Authorization header; None for whoever may not.

        The store is asked each time, so that a token that was revoked is none at once, also if another process did it.
        """
        given = bearer(authorization)
        if self._token is not None and is_token(given, self._token):
            return Caller()
        store: Store = self._state.store
        look = store.tokens.look(given)
        self._asks = self._asks or look.asks
        if look.token is not None:
            return Caller(name=look.token.name, read_only=look.token.read_only)
        return None if self._asks else Caller()


def authorise(request: Request, _: Annotated[object, Depends(BEARER)]) -> None:
    """Refuse whoever may not ask for this: HTTPException 401 without a token, 403 with one that is for reading."""
    caller = _caller(request)
    if caller is None:
        raise HTTPException(401, "this service asks for a token", {"WWW-Authenticate": "Bearer"})
    request.state.caller = caller
    if request.method in SAFE_METHODS or request.scope["route"].name in READING:
        return
    if caller.read_only:
        raise HTTPException(403, f"the token {caller.name!r} is read-only, and this changes something")
    if caller.name is not None:
        log.info("%s %s by %s", request.method, request.url.path, caller.name)


def may_still_ask(request: Request) -> bool:
    """Whether who asked may do so at this moment, for an answer that takes long."""
    return _caller(request) is not None


def _caller(request: Request) -> Caller | None:
    access: Access = request.app.state.access
    authorization = request.headers.get("authorization")
    if authorization is None and (carried := request.cookies.get(COOKIE)) is not None:
        authorization = f"Bearer {carried}"
    return access.caller(authorization)


def name_of(request: Request) -> str | None:
    """The name of the token that a request came with; None for one without a name."""
    caller: Caller = request.state.caller
    return caller.name
