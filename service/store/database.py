"""Access to SQLite and PostgreSQL: connections, transactions, upserts and cursors."""

import base64
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import sqlalchemy.exc
from sqlalchemy import URL, ColumnElement, Connection, Engine, Table, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from service.store.query import BadCursorError
from service.store.upgrade import upgrade, waits_for_lease


class StoreFullError(OSError):
    """The disk or the database is full. The transaction was rolled back."""


class DatabaseLostError(RuntimeError):
    """The file of an SQLite database was removed, replaced or overwritten: what is stored in it would be lost."""


class DatabaseError(RuntimeError):
    """The database cannot be reached, or its URL is invalid."""


class Unreadable(dict[str, Any]):
    """What is stored as JSON, and is none: somebody or something has changed the row."""


def read_json(text: str) -> Any:
    """The value of a JSON column. One that cannot be read is `Unreadable`, so that the other rows of a query can."""
    try:
        return json.loads(text)
    except ValueError:
        return Unreadable()


CHECKSUM_BYTES = 8

# Parameters of libpq: a server whose machine is gone is noticed within a minute, not hours.
POSTGRESQL = {"connect_timeout": 10, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}

RETRY_SECONDS = 0.5

# How long SQLite waits for the transactions of others; in pieces, between which a process notices a signal.
BUSY_SECONDS, PIECE_SECONDS = 30.0, 1.0

Observe = Callable[[Literal["read", "write"], float], None]


def nobody(_what: str, _seconds: float) -> None:
    """The default observer: ignores its arguments."""


class Database:
    """A database, with its tables created or migrated.

    Args:
        url: in SQLAlchemy's form.
        observe: is called after each use of a connection, with its kind and its seconds.
        patience: seconds to wait for a database server that does not answer, since it may be restarting.
        leased: the caller takes the lease before anything else, and then calls `upgrade`: until then a database of an
            earlier version that has a lease stays as it is.

    Attributes:
        file: that of an SQLite database; None for a database server.

    Raises:
        DatabaseError: the database cannot be reached.
        SchemaVersionError: its schema is that of another version of allasprak.
    """

    def __init__(self, url: str, observe: Observe = nobody, patience: float = 0.0, leased: bool = False) -> None:
        self.url, self._observe, self._patience = url, observe, patience
        try:
            self._open(url, leased)
        except (SQLAlchemyError, ImportError) as error:
            raise DatabaseError(f"ALLASPRAK_DATABASE_URL: {str(error).splitlines()[0]}") from error

    def _open(self, url: str, leased: bool) -> None:
        parsed = make_url(url)
        self.file = sqlite_file(parsed)
        # pre_ping: a connection that the server closed meanwhile (it was restarted) is opened again
        options = POSTGRESQL if parsed.drivername.startswith("postgresql") else {}
        self._reading = create_engine(url, pool_pre_ping=True, connect_args=options, json_deserializer=read_json)
        self._writing = create_engine(url, pool_pre_ping=True, connect_args=options, json_deserializer=read_json)
        if self._reading.dialect.name == "sqlite":
            for engine in (self._reading, self._writing):
                event.listen(engine, "connect", _configure_sqlite)
            event.listen(self._writing, "connect", _wait_in_pieces)
            event.listen(self._writing, "begin", _lock_for_writing)
        self._identity: tuple[int, int] | None = None
        with self.write() as connection:
            if not (leased and waits_for_lease(connection)):
                upgrade(connection)
        self._identity = self._identify()

    def upgrade(self, token: str) -> None:
        """Migrate the tables, if they are of an earlier version, for whoever has the lease of this token."""
        with self.write() as connection:
            upgrade(connection, token)

    def _identify(self) -> tuple[int, int] | None:
        """Device and inode of the file; None if there is none."""
        try:
            found = self.file.stat() if self.file is not None else None
        except OSError:
            return None
        return (found.st_dev, found.st_ino) if found is not None else None

    def check_file(self) -> None:
        """DatabaseLostError if the file is no more the one that was opened, though connections still write to that."""
        if self._identity is not None and self._identify() != self._identity:
            raise DatabaseLostError("the file of the database was removed or replaced")

    def close(self) -> None:
        """Close all connections."""
        self._reading.dispose()
        self._writing.dispose()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for queries. DatabaseLostError if its file is lost."""
        self.check_file()
        with _as_lost(), self._timed("read"), self._connected(self._reading) as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A connection in one transaction. StoreFullError if the disk is full, DatabaseLostError without its file."""
        self.check_file()
        try:
            with _as_lost(), self._timed("write"), self._connected(self._writing) as connection, connection.begin():
                yield connection
            self.check_file()  # or it went to a file that nobody will open again
        except OperationalError as error:
            if any(words in str(error.orig) for words in ("disk is full", "disk full", "No space left")):
                raise StoreFullError(f"the database could not be written: {error.orig}") from error
            raise

    def _connected(self, engine: Engine) -> Connection:
        deadline = time.monotonic() + self._patience
        while True:
            try:
                return engine.connect()
            except OperationalError:
                if engine.dialect.name == "sqlite" or time.monotonic() > deadline:
                    raise
                time.sleep(RETRY_SECONDS)

    @contextmanager
    def _timed(self, what: Literal["read", "write"]) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        self._observe(what, time.perf_counter() - begin)

    @property
    def is_postgresql(self) -> bool:
        """Whether it is a PostgreSQL server, else SQLite."""
        return self._writing.dialect.name == "postgresql"

    def lock(self, connection: Connection, table: Table) -> None:
        """Block other writers of a table until the transaction ends. In SQLite a transaction blocks them anyway."""
        if self._writing.dialect.name == "postgresql":
            connection.exec_driver_sql(f'LOCK TABLE "{table.name}" IN SHARE ROW EXCLUSIVE MODE')

    def ordered(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """The column with its text compared by code points, as in SQLite and Python."""
        is_text = column.type.python_type is str
        return column.collate("C") if is_text and self._reading.dialect.name == "postgresql" else column

    def insert(self, table: Table) -> Any:
        """An INSERT that supports ON CONFLICT."""
        return (sqlite if self._writing.dialect.name == "sqlite" else postgresql).insert(table)


def sqlite_file(url: URL) -> Path | None:
    """The file of an SQLite database; None if a URL is that of a database server.

    Raises:
        DatabaseError: it is an SQLite URL of anything but a plain file. A URI (https://sqlite.org/uri.html) and the
            parameters of the driver may name memory, and a file without locks.
    """
    if url.get_backend_name() != "sqlite":
        return None
    name = url.database or ""
    if name in ("", ":memory:") or name.startswith("file:") or url.query:
        raise DatabaseError(
            "ALLASPRAK_DATABASE_URL: an SQLite database is a file without parameters, such as"
            " sqlite:////var/lib/allasprak.sqlite; one in memory, which is lost with its process, and a file: URI are"
            " not allowed"
        )
    return Path(name)


@contextmanager
def _as_lost() -> Iterator[None]:
    """Garbage in the file, and a table that is gone, as DatabaseLostError."""
    try:
        yield
    except sqlalchemy.exc.DatabaseError as error:
        if any(words in str(error.orig) for words in ("malformed", "not a database", "no such table")):
            raise DatabaseLostError(f"the database is broken: {error.orig}") from error
        raise


def is_busy(error: OperationalError) -> bool:
    """Whether the database was locked by others, or did not answer, for longer than is waited: it may later."""
    words = str(error.orig)
    return (
        "is locked" in words
        if isinstance(error.orig, sqlite3.Error)
        else error.connection_invalidated
        or any(words_ in words for words_ in ("connection", "lock timeout", "deadlock", "starting up", "shutting down"))
    )


def _configure_sqlite(connection: Any, _record: Any) -> None:
    # otherwise Python's driver begins transactions itself (SQLAlchemy's documentation of pysqlite)
    connection.isolation_level = None
    _log_ahead(connection)
    # half a megabyte of cache: every connection has its own, and the operating system caches the file anyway
    pragmas = (
        "synchronous=FULL",
        f"busy_timeout={BUSY_SECONDS * 1000:.0f}",
        "foreign_keys=ON",
        "cache_size=-512",
    )
    for pragma in pragmas:
        connection.execute(f"PRAGMA {pragma}")


def _log_ahead(connection: sqlite3.Connection) -> None:
    # SQLite does not wait for others that do the same to a new file: each holds what the other needs
    deadline = time.monotonic() + BUSY_SECONDS
    _wait_in_pieces(connection, None)
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "is locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.001)


def _wait_in_pieces(connection: Any, _record: Any) -> None:
    connection.execute(f"PRAGMA busy_timeout={min(PIECE_SECONDS, BUSY_SECONDS) * 1000:.0f}")


def _lock_for_writing(connection: Connection) -> None:
    # otherwise a transaction that reads before it writes fails if another one has written in between
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            return
        except OperationalError as error:
            if not is_busy(error) or time.monotonic() > deadline:
                raise


def encode(*values: Any) -> str:
    """A cursor, safe in URLs: the values that a page ended with, and a checksum against made-up ones."""
    text = json.dumps(values).encode()
    return base64.urlsafe_b64encode(_checksum(text) + text).decode().rstrip("=")


def decode(cursor: str) -> list[Any]:
    """The values in a cursor, of JSON's types. BadCursorError if no page returned it, as far as its checksum tells."""
    try:
        found = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        checksum, text = found[:CHECKSUM_BYTES], found[CHECKSUM_BYTES:]
        if checksum == _checksum(text):
            return list(json.loads(text))
    except (TypeError, ValueError, RecursionError) as error:
        raise BadCursorError("not a cursor of this service") from error
    raise BadCursorError("not a cursor of this service")


def _checksum(text: bytes) -> bytes:
    return sha256(b"allasprak cursor " + text).digest()[:CHECKSUM_BYTES]
