"""Revisions: a reader who knows one has seen everything up to it, and can ask for what came since."""

from sqlalchemy import Connection, update

from service.store.schema import clock


def next_revision(connection: Connection) -> int:
    """The revision of a transaction that writes rows with an `at`.

    The row of `clock` stays locked until the transaction ends, so that revisions become visible in order; those of a
    PostgreSQL sequence would not.
    """
    return int(connection.execute(update(clock).values(now=clock.c.now + 1).returning(clock.c.now)).scalar_one())
