"""Slots of the pool: which trial runs where, and whose turn it is. A driver asks here before it lets a trial go."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, delete, func, insert, select, update

from service.store.clocks import moment
from service.store.database import Database
from service.store.schema import experiments, shares, slots
from service.store.trials import end

# A driver without a heartbeat for this long is dead; its slots are freed.
LEASE_SECONDS = 30.0

# An experiment keeps a slot, and the warm worker in it, until it has had this many more slot-seconds than the others
# that wait.
TURN_SECONDS = 30.0

# A trial that is larger than the free room lets smaller ones pass for this long; then room is kept for it.
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Resources:
    """What a trial takes, or what a pool has: CPUs, GPUs, and bytes of memory; as text, those that are not zero."""

    cpus: float
    gpus: float
    memory: float

    def __str__(self) -> str:
        counts = (("CPU", self.cpus), ("GPU", self.gpus))
        words = [f"{count:g} {name}{'' if count == 1 else 's'}" for name, count in counts if count]
        if self.memory:
            words.append(f"{self.memory / 2**30:.1f} GiB of memory")
        return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:]))) or "nothing"

    def holds(self, other: "Resources") -> bool:
        """Whether another fits in."""
        return self.cpus >= other.cpus and self.gpus >= other.gpus and self.memory >= other.memory

    def without(self, other: "Resources") -> "Resources":
        """What is left when another is taken out."""
        return Resources(self.cpus - other.cpus, self.gpus - other.gpus, self.memory - other.memory)

    def share_of(self, pool: "Resources") -> float:
        """The largest of its shares in what a pool has: dominant resource fairness (Ghodsi et al., NSDI 2011)."""
        pairs = ((self.cpus, pool.cpus), (self.gpus, pool.gpus), (self.memory, pool.memory))
        return max((mine / there for mine, there in pairs if there), default=0.0)


class Slots:
    """Fair shares of the pool.

    Experiments of the highest priority go first, one that has had no slot yet before the others; then that which has
    had least of the pool while it was there. A trial occupies one slot, even if several experiments need it.

    Args:
        database: where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def join(self, experiment: str, room: Resources) -> None:
        """An experiment takes part from now on; what an earlier driver of it held is free."""
        with self._database.write() as connection:
            self._database.lock(connection, slots)
            leave(connection, experiment)
            used = connection.execute(select(func.min(shares.c.used))).scalar() or 0.0
            connection.execute(
                insert(shares).values(
                    experiment=experiment, beat=moment(), waiting=None, wants=0, used=used, turns=0, **vars(room)
                )
            )

    def heartbeat(self, experiment: str) -> None:
        """Its driver is alive."""
        with self._database.write() as connection:
            connection.execute(update(shares).filter_by(experiment=experiment).values(beat=moment()))

    def claim(self, experiment: str, wanted: Sequence[str], left: Collection[str], pool: Resources) -> str | None:
        """A slot for one of the trials that an experiment could start now, if it is its turn.

        Args:
            experiment: its id.
            wanted: digests, the best first. None: it waits for nothing.
            left: trials whose slots it gives back; in the place of one it may start the next before its turn is over.
            pool: what the pool has.

        Returns:
            The trial that has a slot now. None if others go first, if the pool is full, or if others run all of them.
        """
        now = moment()
        with self._database.write() as connection:
            self._database.lock(connection, slots)
            self._free(connection, experiment, left, now)
            trial = self._first_free(connection, wanted, now)
            mine = update(shares).filter_by(experiment=experiment)
            if trial is None:
                connection.execute(mine.where(shares.c.waiting.is_not(None)).values(waiting=None))
                return None
            if not left:
                self._come_back(connection, experiment)
            patient = func.coalesce(shares.c.waiting, now)
            if not connection.execute(mine.values(beat=now, waiting=patient, wants=len(wanted))).rowcount:
                return None  # it has left
            if not self._is_next(connection, experiment, pool, now, keeps=bool(left)):
                return None
            share = connection.execute(select(shares).filter_by(experiment=experiment)).mappings().one()
            connection.execute(
                insert(slots).values(
                    trial=trial,
                    experiment=experiment,
                    since=now,
                    share=room_of(share).share_of(pool),
                    **vars(room_of(share)),
                )
            )
            connection.execute(mine.values(waiting=None, turns=shares.c.turns + 1))
        return trial

    def held(self) -> dict[str, list[str]]:
        """The trials that have slots, by experiment."""
        found: dict[str, list[str]] = {}
        with self._database.read() as connection:
            for experiment, trial in connection.execute(select(slots.c.experiment, slots.c.trial)):
                found.setdefault(experiment, []).append(trial)
        return found

    def in_use(self) -> Resources:
        """What the trials that run take together."""
        sums = (func.coalesce(func.sum(slots.c[name]), 0.0) for name in ("cpus", "gpus", "memory"))
        with self._database.read() as connection:
            return Resources(*connection.execute(select(*sums)).one())

    def _free(self, connection: Connection, experiment: str, left: Collection[str], now: float) -> None:
        """Give slots back, and charge what they were used for."""
        given = (slots.c.experiment == experiment, slots.c.trial.in_(left))
        if left:
            spent = connection.execute(select(func.sum(slots.c.share * (now - slots.c.since))).where(*given)).scalar()
            connection.execute(
                update(shares).filter_by(experiment=experiment).values(used=shares.c.used + (spent or 0.0))
            )
            connection.execute(delete(slots).where(*given))
            for trial in left:
                end(connection, "interrupted", "its turn was over", experiment=experiment, trial=trial)

    def _first_free(self, connection: Connection, wanted: Sequence[str], now: float) -> str | None:
        """The first of some trials that no driver alive runs."""
        if not wanted:
            return None
        query = select(slots.c.trial, shares.c.beat).join(shares, shares.c.experiment == slots.c.experiment)
        beats = dict(connection.execute(query).all())
        found = next((trial for trial in wanted if trial not in beats or not _is_alive(beats[trial], now)), None)
        if found in beats:  # its driver is dead
            connection.execute(delete(slots).where(slots.c.trial == found))
        return found

    def _come_back(self, connection: Connection, experiment: str) -> None:
        """For what was shared out while an experiment had nothing to run it has no claim."""
        mine, others = shares.c.experiment == experiment, shares.c.experiment != experiment
        holds = select(slots.c.trial).where(slots.c.experiment == experiment).exists()
        active = shares.c.waiting.is_not(None) | shares.c.experiment.in_(select(slots.c.experiment))
        least = connection.execute(select(func.min(shares.c.used)).where(others, active)).scalar()
        if least is not None:
            away = update(shares).where(mine, shares.c.waiting.is_(None), ~holds, shares.c.used < least)
            connection.execute(away.values(used=least))

    def _is_next(self, connection: Connection, experiment: str, pool: Resources, now: float, keeps: bool) -> bool:
        alive = and_(shares.c.beat > now - LEASE_SECONDS, shares.c.beat < now + LEASE_SECONDS)
        query = select(slots).join(shares, shares.c.experiment == slots.c.experiment).where(alive)
        free, charges = pool, dict[str, float]()
        for slot in connection.execute(query).mappings():
            free = free.without(room_of(slot))
            charges[slot["experiment"]] = charges.get(slot["experiment"], 0.0) + slot["share"] * (now - slot["since"])
        waiting = (
            select(shares, experiments.c.priority)
            .join(experiments, experiments.c.id == shares.c.experiment)
            .where(alive, shares.c.waiting.is_not(None))
        )

        def place(row: Mapping[Any, Any]) -> tuple[Any, ...]:
            bonus = TURN_SECONDS * room_of(row).share_of(pool) if keeps and row["experiment"] == experiment else 0.0
            return turn(row, row["used"] + charges.get(row["experiment"], 0.0) - bonus)

        rows = connection.execute(waiting).mappings().all()
        [priority] = [row["priority"] for row in rows if row["experiment"] == experiment]
        for row in sorted(rows, key=place):
            room = room_of(row)
            if row["experiment"] == experiment:
                return free.holds(room)
            # equals get one slot each in turn, a higher priority all that it wants
            for _ in range(row["wants"] if row["priority"] > priority else 1):
                if free.holds(room) or (now - row["waiting"] > PATIENCE_SECONDS and pool.holds(room)):
                    free = free.without(room)
        return False


def leave(connection: Connection, experiment: str) -> None:
    """An experiment has no part in the pool any more."""
    for table in (slots, shares):
        connection.execute(delete(table).where(table.c.experiment == experiment))


def turn(row: Mapping[Any, Any], used: float) -> tuple[Any, ...]:
    """What experiments that wait are sorted by, given what each has had, that of the trials that run included."""
    return -row["priority"], row["turns"] > 0, used, row["waiting"], row["experiment"]


def _is_alive(beat: float, now: float) -> bool:
    """Whether a driver is alive: a heartbeat to come is from before the machine was started anew."""
    return abs(now - beat) < LEASE_SECONDS


def room_of(row: Mapping[Any, Any]) -> Resources:
    """What a row of `slots` or `shares` takes."""
    return Resources(row["cpus"], row["gpus"], row["memory"])
