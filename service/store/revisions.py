"""Moments: whoever knows one knows all that was written up to it, and may ask for what came since."""

from sqlalchemy import Connection, update

from service.store.schema import clock


def next_revision(connection: Connection) -> int:
    """A new moment, of a transaction that writes something that is asked for by `since`.

    The clock stays locked until the transaction ends, so that moments are seen in their order; PostgreSQL's sequences
    do not commit in theirs.
    """
    return int(connection.execute(update(clock).values(now=clock.c.now + 1).returning(clock.c.now)).scalar_one())
