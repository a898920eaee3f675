"""The database behind a URL: transactions, upserts, cursors, in SQLite's dialect and in PostgreSQL's."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from sqlalchemy import Connection, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError

from service.store.upgrade import upgrade


class StoreFullError(OSError):
    """The disk or the database is full: nothing was changed."""


class BadCursorError(ValueError):
    """A cursor that no page ended with."""


Observe = Callable[[Literal["read", "write"], float], None]


def nobody(_what: str, _seconds: float) -> None:
    """Where nobody wants to know."""


class Database:
    """The database behind a URL; its tables are made, or brought up to date.

    Args:
        url: as SQLAlchemy writes it.
        observe: is told of each connection to read or write how many seconds it was used for.
    """

    def __init__(self, url: str, observe: Observe = nobody) -> None:
        self._observe = observe
        self._reading = create_engine(url)
        self._writing = create_engine(url)
        if self._reading.dialect.name == "sqlite":
            for engine in (self._reading, self._writing):
                event.listen(engine, "connect", _configure_sqlite)
            event.listen(self._writing, "begin", _lock_for_writing)
        with self.write() as connection:
            upgrade(connection)

    def close(self) -> None:
        """Give the connections back."""
        self._reading.dispose()
        self._writing.dispose()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection to ask."""
        with self._timed("read"), self._reading.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction, all or nothing. StoreFullError if there is no room for it."""
        try:
            with self._timed("write"), self._writing.begin() as connection:
                yield connection
        except OperationalError as error:
            if any(words in str(error.orig) for words in ("disk is full", "disk full", "No space left")):
                raise StoreFullError(f"the database could not be written: {error.orig}") from error
            raise

    @contextmanager
    def _timed(self, what: Literal["read", "write"]) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        self._observe(what, time.perf_counter() - begin)

    def lock(self, connection: Connection, table: Table) -> None:
        """Let nobody else write to a table until the transaction ends. In SQLite nobody can as it is."""
        if self._writing.dialect.name == "postgresql":
            connection.exec_driver_sql(f'LOCK TABLE "{table.name}" IN SHARE ROW EXCLUSIVE MODE')

    def insert(self, table: Table) -> Any:
        """An INSERT that knows ON CONFLICT."""
        return (sqlite if self._writing.dialect.name == "sqlite" else postgresql).insert(table)


def _configure_sqlite(connection: Any, _record: Any) -> None:
    # Python's driver would open transactions by rules of its own; SQLAlchemy's documentation of pysqlite says so.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _lock_for_writing(connection: Connection) -> None:
    # A transaction that reads before it writes would otherwise fail at once when another has written meanwhile.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def encode(*values: Any) -> str:
    """A cursor: the values that a page ended with, safe in a URL."""
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def decode(cursor: str, *types: type) -> list[Any]:
    """The values that a page ended with. BadCursorError if no page ended so."""
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError as error:
        raise BadCursorError("not a cursor of this service") from error
    fits = isinstance(values, list) and len(values) == len(types)
    if not fits or not all(_is_sane(value, type_) for value, type_ in zip(values, types, strict=True)):
        raise BadCursorError("not a cursor of this service")
    return list(values)


def _is_sane(value: Any, type_: type) -> bool:
    """Whether a value of a cursor is what a page may have ended with: a row's number, an id, or a time."""
    if isinstance(value, bool):
        return False
    if type_ is int:
        return isinstance(value, int) and 0 <= value < 2**63
    if type_ is float:
        return isinstance(value, int | float) and 0 <= value < 2**40
    return isinstance(value, str) and value.isascii() and value.isalnum()
