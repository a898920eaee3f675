"""What happened to an experiment, in order: its own states, and its trials' states and epochs."""

import time
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, insert, select, update

from service.store.database import Database
from service.store.schema import events, experiments

Kind = Literal["experiment", "trial"]


class Event(NamedTuple):
    """Something that happened. Numbers of one experiment's events count up from 1, and are seen in that order."""

    number: int
    at: float
    kind: Kind
    data: dict[str, Any]


class Events:
    """What happened. Nothing is changed.

    Args:
        database: where it is kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def after(self, experiment: str, number: int, limit: int = 1000) -> list[Event]:
        """The next events of an experiment after one."""
        columns = events.c.number, events.c.at, events.c.kind, events.c.data
        query = select(*columns).where(events.c.experiment == experiment, events.c.number > number)
        with self._database.read() as connection:
            return [Event(*row) for row in connection.execute(query.order_by(events.c.number).limit(limit))]


def record_event(connection: Connection, experiment: str, kind: Kind, **data: Any) -> None:
    """Write down what happens in a transaction.

    The number is issued by the experiment's own row, which stays locked until the transaction ends: who has seen a
    number has seen all before it, on PostgreSQL as well, whose sequences do not commit in their order.
    """
    counted = update(experiments).where(experiments.c.id == experiment).values(events=experiments.c.events + 1)
    number = connection.execute(counted.returning(experiments.c.events)).scalar()
    if number is not None:
        row = {"experiment": experiment, "number": number, "at": time.time(), "kind": kind, "data": data}
        connection.execute(insert(events).values(row))
