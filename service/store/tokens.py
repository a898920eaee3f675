"""Tokens by name: who may ask, and whether for reading alone.

A token is shown once, when it is made, and stored as its SHA-256. It has 256 random bits, so nobody finds it by trying,
as one would a password: a slow, salted hash would add nothing but its time to every request.
"""

import re
import secrets
import time
from hashlib import sha256
from typing import NamedTuple

from sqlalchemy import inspect, select, update

from service.store.database import Database
from service.store.schema import access_tokens

# What a name may be. It stands in answers, events and logs, and is the owner of experiments.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")

# What every token begins with: people, and programs that look for secrets, know it by that.
PREFIX = "allasprak_"


class TokenNameError(ValueError):
    """A name that no token can have, that another one has, or that none has."""


def require_name(text: str) -> str:
    """A name that a token can have. TokenNameError if it is none."""
    if not NAME.fullmatch(text):
        allowed = "up to 64 ASCII letters, digits and . _ @ -, the first a letter or digit"
        raise TokenNameError(f"{text[:100]!a} is no name of a token; allowed: {allowed}")
    return text


class Token(NamedTuple):
    """What is known of a token. Times are seconds since 1970 (UTC); `revoked` is None as long as it is valid."""

    name: str
    read_only: bool
    created: float
    revoked: float | None


KNOWN = [access_tokens.c[name] for name in Token._fields]


class Tokens:
    """Tokens by name. One that was revoked stays listed: from the first token on, a service asks for one.

    Args:
        database: where they are stored.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, name: str, read_only: bool) -> str:
        """Make a token; returns it, and nobody ever can again. A name whose token was revoked may have another one.

        Raises:
            TokenNameError: the name is none, or there is a valid token of that name.
        """
        require_name(name)
        token = PREFIX + secrets.token_urlsafe(32)
        row = {"digest": _digest(token), "read_only": read_only, "created": time.time(), "revoked": None}
        added = self._database.insert(access_tokens).values(name=name, **row)
        instead = added.on_conflict_do_update(
            index_elements=["name"], set_=row, where=access_tokens.c.revoked.is_not(None)
        )
        with self._database.write() as connection:
            if connection.execute(instead.returning(access_tokens.c.name)).scalar() is None:
                raise TokenNameError(f"there is a token {name!r} already; allowed: another name, or to revoke it first")
        return token

    def revoke(self, name: str) -> None:
        """Let a token be none any more, from the next request on. TokenNameError if no valid one has this name."""
        change = update(access_tokens).where(access_tokens.c.name == name, access_tokens.c.revoked.is_(None))
        if NAME.fullmatch(name):  # others may be what no database takes
            with self._database.write() as connection:
                if connection.execute(change.values(revoked=time.time())).rowcount:
                    return
        valid = ", ".join(one.name for one in self.all() if one.revoked is None) or "none"
        raise TokenNameError(f"there is no token {name[:100]!a} to revoke; there are: {valid}")

    def all(self) -> list[Token]:
        """All that there are and were, the oldest first. None in a database that a server has yet to upgrade."""
        with self._database.read() as connection:
            if not inspect(connection).has_table(access_tokens.name):
                return []
            return [Token(*row) for row in connection.execute(select(*KNOWN).order_by(access_tokens.c.created))]

    def look(self, given: str) -> "Look":
        """What a request that comes with a text finds."""
        with self._database.read() as connection:
            rows = connection.execute(select(access_tokens.c.digest, *KNOWN)).all()
        digest = _digest(given)
        # all are compared, also after one was found: how long it takes tells nothing
        found = [Token(*known) for theirs, *known in rows if secrets.compare_digest(theirs, digest)]
        return Look(asks=bool(rows), token=next((one for one in found if one.revoked is None), None))


class Look(NamedTuple):
    """Whether tokens are asked for, since there is or was one, and the valid one that was given; None if it is none."""

    asks: bool
    token: Token | None


def _digest(token: str) -> str:
    return sha256(token.encode()).hexdigest()
