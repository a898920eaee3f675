"""What runs on the pool now, and who shares it, for people to see."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, func, select

from service.store.clocks import moment
from service.store.database import Database
from service.store.schema import Readable, attempts, experiments, planned_trials, shares, slots, trials
from service.store.slots import LEASE_SECONDS, Resources, room_of, turn

# States of experiments that use the pool, will, or could.
UNFINISHED = ("queued", "running", "paused")


@dataclass(frozen=True, kw_only=True)
class RunningTrial:
    """A trial that has a slot, and the experiment that it runs for.

    `config` has its method, K, seed and target languages, each None where its row is broken; `seconds` are since it got
    the slot, `expected` what it was planned to take, None where that was not known; `epoch` is the last of `epochs`
    that it has reported, and `node` the machine that it did so from, None before.
    """

    trial: str
    experiment: str
    name: str
    config: Mapping[str, Any]
    seconds: float
    expected: float | None
    epoch: int
    epochs: int
    node: str | None
    room: Resources


@dataclass(frozen=True, kw_only=True)
class Sharing:
    """An experiment that is not over.

    `running` and `queued` count its trials. `room` is what each takes, None as long as no driver of it has asked for
    slots; `waiting` are the seconds for which it has waited for its next slot, None if it does not; `used` is what it
    has had, in seconds of the whole pool.
    """

    experiment: str
    name: str
    owner: str
    priority: int
    state: str
    reason: str
    running: int
    queued: int
    room: Resources | None
    waiting: float | None
    used: float


class Occupancy:
    """What runs on the pool, and who shares it.

    Args:
        database: where it is.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def seen(self) -> tuple[list[RunningTrial], list[Sharing]]:
        """What runs, the longest first; and the experiments that are not over, those first that wait, by turn."""
        now = moment()
        with self._database.read() as connection:
            running = [_running(row, now) for row in connection.execute(_SLOTS).mappings()]
            return running, _sharing(connection, now)


def _running(row: Mapping[Any, Any], now: float) -> RunningTrial:
    return RunningTrial(
        trial=row["trial"],
        experiment=row["experiment"],
        name=row["name"],
        config={name: row[name] for name in ("method", "k", "seed", "target_languages")},
        seconds=max(0.0, now - row["since"]),
        expected=row["estimated"],
        epoch=row["epoch"] or 0,
        epochs=row["epochs"],
        node=row["node"],
        room=room_of(row),
    )


def _sharing(connection: Connection, now: float) -> list[Sharing]:
    held: dict[str, list[Mapping[Any, Any]]] = {}
    for slot in connection.execute(select(slots)).mappings():
        held.setdefault(slot["experiment"], []).append(slot)
    found = []
    for row in connection.execute(_SHARES).mappings():
        mine = held.get(row["id"], [])
        is_alive = row["beat"] is not None and abs(now - row["beat"]) < LEASE_SECONDS
        is_waiting = is_alive and row["waiting"] is not None
        charge = sum(slot["share"] * max(0.0, now - slot["since"]) for slot in mine)
        one = Sharing(
            experiment=row["id"],
            name=row["name"],
            owner=row["owner"],
            priority=row["priority"],
            state=row["state"],
            reason=row["reason"],
            running=len(mine),
            queued=row["open"] or 0,
            room=room_of(row) if is_alive else None,
            waiting=max(0.0, now - row["waiting"]) if is_waiting else None,
            used=(row["used"] or 0.0) + charge,
        )
        place = turn(row, one.used) if is_waiting else (-row["priority"], row["created"], row["id"])
        found.append(((not is_waiting, *place), one))
    return [one for _, one in sorted(found, key=lambda pair: pair[0])]


_CONFIG = Readable(trials.c.config)

_SLOTS = (
    select(
        slots,
        experiments.c.name,
        _CONFIG["method"].as_string().label("method"),
        _CONFIG["k"].as_integer().label("k"),
        _CONFIG["seed"].as_integer().label("seed"),
        _CONFIG["target_languages"].as_json().label("target_languages"),
        trials.c.epochs,
        planned_trials.c.estimated,
        attempts.c.epoch,
        attempts.c.node,
    )
    .join(experiments, experiments.c.id == slots.c.experiment)
    .join(trials, trials.c.digest == slots.c.trial)
    .outerjoin(
        planned_trials,
        and_(planned_trials.c.trial == slots.c.trial, planned_trials.c.experiment == slots.c.experiment),
    )
    .outerjoin(attempts, and_(attempts.c.trial == slots.c.trial, attempts.c.number == trials.c.attempt))
    .order_by(slots.c.since, slots.c.trial)
)

_OPEN = (
    select(planned_trials.c.experiment, func.count().label("open"))
    .join(experiments, experiments.c.id == planned_trials.c.experiment)
    .where(experiments.c.state.in_(UNFINISHED), planned_trials.c.state == "queued")
    .group_by(planned_trials.c.experiment)
    .subquery()
)

_SHARES = (
    select(
        experiments.c.id, experiments.c.name, experiments.c.owner, experiments.c.priority, experiments.c.state,
        experiments.c.reason, experiments.c.created, shares, _OPEN.c.open,
    )
    .outerjoin(shares, shares.c.experiment == experiments.c.id)
    .outerjoin(_OPEN, _OPEN.c.experiment == experiments.c.id)
    .where(experiments.c.state.in_(UNFINISHED))
)  # fmt: skip
