"""Events of experiments, in order: states of the experiment, states and epochs of its trials."""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal, NamedTuple

from sqlalchemy import ColumnElement, Connection, insert, select, update

from search_spaces.sources import DataSpec
from search_spaces.targets import LeftOut
from service.store.broken import FAULTS, require, require_json, require_times
from service.store.database import Database
from service.store.schema import Readable, events, experiments

Kind = Literal["experiment", "trial"]


class Event(NamedTuple):
    """An event. The numbers of an experiment's events count from 1, and become visible in that order."""

    number: int
    at: float
    kind: Kind
    data: dict[str, Any]


class Events:
    """Read access to events.

    Args:
        database: where they are stored.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def after(self, experiment: str, number: int, limit: int = 1000) -> list[Event]:
        """The events of an experiment with numbers above `number`."""
        columns = events.c.number, events.c.at, events.c.kind, events.c.data
        query = select(*columns).where(events.c.experiment == experiment, events.c.number > number)
        with self._database.read() as connection:
            return [_event(*row) for row in connection.execute(query.order_by(events.c.number).limit(limit))]

    def before(self, experiment: str, number: int | None, limit: int) -> list[Event]:
        """The last events of an experiment with numbers below `number`, or of all if it is None, the newest first."""
        columns = events.c.number, events.c.at, events.c.kind, events.c.data
        query = select(*columns).where(events.c.experiment == experiment)
        if number is not None:
            query = query.where(events.c.number < number)
        with self._database.read() as connection:
            return [_event(*row) for row in connection.execute(query.order_by(events.c.number.desc()).limit(limit))]

    def latest(self, ids: Collection[str]) -> dict[str, tuple[str, int]]:
        """State, and number of the last event, of experiments; without those that there are not."""
        query = select(experiments.c.id, experiments.c.state, experiments.c.events).where(experiments.c.id.in_(ids))
        with self._database.read() as connection:
            return {id_: (state, number) for id_, state, number in connection.execute(query)}


def _event(number: int, at: float, kind: Kind, data: dict[str, Any]) -> Event:
    """An event; one whose row is broken says so, and keeps no later one from being told."""
    try:
        require(data, dict)
        require_times(at)
        require_json(data)
    except FAULTS:
        return Event(number, 0.0, kind, {"reason": "what the database has of this event cannot be read"})
    return Event(number, at, kind, data)


def differences(connection: Connection, specs: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """In what the data of experiments differ from those that were published, which is known once they are fetched.

    Args:
        connection: to the database.
        specs: of the experiments, by id.
    """
    found: dict[str, list[str]] = {id_: [] for id_ in specs}
    remote = [id_ for id_, spec in specs.items() if DataSpec.from_json(spec["data"]).is_remote()]
    if not remote:
        return found
    said = Readable(events.c.data)["differs"]
    first = (
        select(said)
        .where(events.c.experiment == experiments.c.id, events.c.kind == "experiment", said.as_string().is_not(None))
        .order_by(events.c.number)
        .limit(1)
        .scalar_subquery()
    )
    for id_, differs in connection.execute(select(experiments.c.id, first).where(experiments.c.id.in_(remote))):
        found[id_] = differs or []
    return found


def record_left_out(connection: Connection, experiment: str, left_out: Sequence[LeftOut]) -> None:
    """Store what an experiment's methods leave out as an event, in a transaction: before any of its trials runs."""
    query = select(experiments.c.state, experiments.c.reason).where(experiments.c.id == experiment)
    row = connection.execute(query).one()
    listed = [asdict(one) for one in left_out]
    record_event(connection, experiment, "experiment", state=row.state, reason=row.reason, left_out=listed)


def left_out(connection: Connection, which: ColumnElement[bool]) -> dict[str, list[dict[str, Any]]]:
    """What the methods of experiments leave out: `method`, `language`, and `lacks`, the splits that there are not.

    Args:
        connection: to the database.
        which: a condition on experiments.
    """
    said = Readable(events.c.data)["left_out"]
    first = (
        select(said)
        .where(
            events.c.experiment == experiments.c.id,
            (events.c.kind == "trial") | said.as_string().is_not(None),  # after the first trial nothing is left out
        )
        .order_by(events.c.number)
        .limit(1)
        .scalar_subquery()
    )
    return {id_: found or [] for id_, found in connection.execute(select(experiments.c.id, first).where(which))}


def record_event(connection: Connection, experiment: str, kind: Kind, by: str | None = None, **data: Any) -> None:
    """Store an event in a transaction, with the name of the token that asked for what happened, if one did.

    Its number comes from the experiment's row, which stays locked until the transaction ends. So whoever has seen a
    number has seen all smaller ones; numbers of a PostgreSQL sequence would become visible out of order.
    """
    counted = update(experiments).where(experiments.c.id == experiment).values(events=experiments.c.events + 1)
    number = connection.execute(counted.returning(experiments.c.events)).scalar()
    if number is not None:
        told = data if by is None else {**data, "by": by}
        row = {"experiment": experiment, "number": number, "at": time.time(), "kind": kind, "data": told}
        connection.execute(insert(events).values(row))
