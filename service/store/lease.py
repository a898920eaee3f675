"""The lease of a database: one server at a time starts and stops the drivers of its experiments.

A row names the holder and counts its heartbeats. Whoever would have the lease and cannot know that the holder is dead
watches this counter: no two clocks are compared. That the holder's process is there says nothing: it may be suspended,
or be that of the home which this database was copied from. In PostgreSQL a newcomer also needs an advisory lock that
the holder's session has: a holder that is slow, but not gone, keeps its lease.
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, create_engine, delete, insert, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from service.owner import Owner
from service.store.database import POSTGRESQL, Database, DatabaseLostError
from service.store.schema import lease

log = logging.getLogger(__name__)

BEAT_SECONDS = 2.0

# A holder without a heartbeat for this long has lost its lease to whoever asks.
LEASE_SECONDS = 15.0

LOOK_SECONDS = 0.2

# Advisory locks belong to a database; two schemas in it are two stores.
TRY_LOCK = "SELECT pg_try_advisory_lock(1634494817, hashtext(current_schema()))"

# The server of PostgreSQL ends a session whose machine is gone within `LEASE_SECONDS` (its documentation, 20.3.2).
KEEPALIVES = ("SET tcp_keepalives_idle = 5", "SET tcp_keepalives_interval = 3", "SET tcp_keepalives_count = 3")


class LeaseHeldError(RuntimeError):
    """Another server has the database."""


class LeaseLostError(RuntimeError):
    """Another server has taken the database over."""


@dataclass(frozen=True, kw_only=True)
class Holder:
    """A server. `token` is its own, "" when it has given the lease back; `created` is as in `ProcessId`."""

    token: str
    owner: Owner
    pid: int
    created: float

    def __str__(self) -> str:
        return f"process {self.pid} on {self.owner.host} with the home {self.owner.home}"


class Lease:
    """A server's lease of a database.

    Args:
        database: where the row is.
        owner: the server's home.
        process: its pid and when it was started.
        is_running: whether such a process runs on this machine.
    """

    def __init__(
        self, database: Database, owner: Owner, process: tuple[int, float], is_running: Callable[[int, float], bool]
    ) -> None:
        pid, created = process
        self._me = Holder(token=secrets.token_hex(8), owner=owner, pid=pid, created=created)
        self._database, self._is_running = database, is_running
        self._session = _Session(database.url) if database.is_postgresql else None
        self._over = threading.Event()
        self._beating = threading.Thread(target=self._beat, name="lease", daemon=True)

    def take(self, say: Callable[[str], None]) -> bool:
        """Take the lease, and keep it until `release`.

        At once if nobody has it, or if its holder was of the same home on this machine and is dead. Any other holder
        is waited for: until a heartbeat of it, or until its lease has expired.

        Args:
            say: is told what is waited for.

        Returns:
            Whether the holder before was of the same home on this machine, or there was none: its drivers are ours.

        Raises:
            LeaseHeldError: the holder gives signs of life; the message names it.
        """
        watched, silent, is_expired = -1, 0.0, False
        while True:
            is_taken, last, beats = self._try(watched if is_expired else None)
            if is_taken:
                self._beating.start()
                return last is None or last.owner.is_same_as(self._me.owner)
            if watched not in (-1, beats):
                raise LeaseHeldError(
                    f"another server uses the database: {last}; stop it, or set ALLASPRAK_DATABASE_URL to another one"
                )
            if is_expired:
                raise LeaseHeldError(f"another server locks the database, and does not go on: {last}")
            if watched == -1:
                watched = beats
                say(f"the last server on the database was {last}: waiting up to {LEASE_SECONDS:.0f} s for a sign of it")
            time.sleep(LOOK_SECONDS)
            silent += LOOK_SECONDS  # and not for how long it was looked: the holder may wait for the same transaction
            is_expired = silent > LEASE_SECONDS

    @property
    def token(self) -> str:
        """What the row has while the lease is ours."""
        return self._me.token

    def check(self) -> None:
        """See that the lease is still ours.

        Raises:
            LeaseLostError: another server has it, after this one was suspended or could not reach the database.
        """
        with self._database.read() as connection:
            last, _ = _row(connection)
        if last is not None and last.token not in ("", self._me.token):
            raise LeaseLostError(f"another server has taken the database over, so this one ends: {last}")

    def release(self) -> None:
        """Give the lease back, if it is still ours."""
        self._over.set()
        if self._beating.is_alive():
            self._beating.join()
        with self._database.write() as connection:
            connection.execute(update(lease).where(lease.c.token == self._me.token).values(token=""))
        if self._session is not None:
            self._session.close()

    def _try(self, expired: int | None) -> tuple[bool, Holder | None, int]:
        """Take the lease if that is allowed. Whether it was, who had it before, and the number of heartbeats.

        Args:
            expired: the number of heartbeats with which a lease has expired; None if none has.
        """
        is_locked = self._session is None or self._session.lock()
        with self._database.write() as connection:
            self._database.lock(connection, lease)
            last, beats = _row(connection)
            is_ours = is_locked and (last is None or beats == expired or self._is_free(last))
            if is_ours:
                self._write(connection, beats + 1)
        if is_locked and not is_ours and self._session is not None:
            self._session.close()  # the holder may have to lock it again, after PostgreSQL was started anew
        return is_ours, last, beats

    def _is_free(self, last: Holder) -> bool:
        same = last.owner.is_same_as(self._me.owner)
        return not last.token or (same and not self._is_running(last.pid, last.created))

    def _beat(self) -> None:
        while not self._over.wait(BEAT_SECONDS):
            try:
                if self._session is not None and not self._session.lock():
                    log.warning("another session has the lock of the database")
                self._count()
            except (SQLAlchemyError, OSError, DatabaseLostError) as error:  # a full disk, a lost file: until it is over
                log.warning("a heartbeat was missed: %s", error)

    def _count(self) -> None:
        with self._database.write() as connection:
            self._database.lock(connection, lease)
            last, beats = _row(connection)
            if last is None or last.token in ("", self._me.token):
                self._write(connection, beats + 1)

    def _write(self, connection: Connection, beats: int) -> None:
        me = {"token": self._me.token, "pid": self._me.pid, "created": self._me.created, **vars(self._me.owner)}
        connection.execute(delete(lease))
        connection.execute(insert(lease).values(number=1, beats=beats, **me))


class _Session:
    """A session of PostgreSQL that has, or would have, the advisory lock. The server frees it when the session ends."""

    def __init__(self, url: str) -> None:
        self._engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=POSTGRESQL)
        self._connection: Connection | None = None

    def lock(self) -> bool:
        """Take the lock, or see that it is still ours; False if another session has it."""
        if self._connection is not None:
            try:
                self._connection.exec_driver_sql("SELECT 1")
                return True
            except SQLAlchemyError:
                self.close()
        connection = self._engine.connect()
        for setting in KEEPALIVES:
            connection.exec_driver_sql(setting)
        if connection.exec_driver_sql(TRY_LOCK).scalar():
            self._connection = connection
            return True
        connection.close()
        return False

    def close(self) -> None:
        """Give the lock back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _row(connection: Connection) -> tuple[Holder | None, int]:
    """Who has the lease, or had it last, and the number of heartbeats of all holders."""
    row = connection.execute(select(lease)).mappings().first()
    if row is None:
        return None, 0
    owner = Owner(home=row["home"], folder=row["folder"], host=row["host"], place=row["place"])
    return Holder(token=row["token"], owner=owner, pid=row["pid"], created=row["created"]), row["beats"]
