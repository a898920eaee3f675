"""Control of experiments: their states, which runs next, the processes that run them, and forgetting them."""

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, case, delete, func, select, update

from service.store.clocks import moment
from service.store.database import Database
from service.store.events import record_event
from service.store.schema import (
    attempts,
    events,
    experiments,
    measures,
    planned_results,
    planned_trials,
    scores,
    selections,
    tags,
    trials,
)
from service.store.slots import leave
from service.store.states import ACTIVE, FINAL, MOVES, MoveName
from service.store.trials import end

# No driver that died is followed by another later than this.
LONGEST_DELAY_SECONDS = 300.0


class Control:
    """What becomes of experiments.

    Args:
        database: where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def runnable(self, most: int) -> list[str]:
        """The active experiments that have no driver and should have one now, as many as there is room for.

        At most this many active ones have a driver: those of the highest priority, then the longest queued.
        """
        first, others = self._in_order(most)
        room = most - sum(row.driver_pid is not None for row in (*first, *others))
        return [row.id for row in first if _needs_driver(row)][: max(0, room)]

    def outranked(self, most: int) -> list[str]:
        """The active experiments whose drivers have to make room for others of a higher priority, the last first."""
        first, others = self._in_order(most)
        taken = [row.id for row in others if row.driver_pid is not None]
        room = most - len(taken) - sum(row.driver_pid is not None for row in first)
        lacking = sum(map(_needs_driver, first)) - max(0, room)
        return taken[::-1][: max(0, lacking)]

    def _in_order(self, most: int) -> tuple[Sequence[Row[Any, Any, Any]], Sequence[Row[Any, Any, Any]]]:
        """The active experiments that may have drivers, and the others."""
        query = (
            select(experiments.c.id, experiments.c.driver_pid, experiments.c.driver_due)
            .where(experiments.c.state.in_(ACTIVE))
            .order_by(experiments.c.priority.desc(), experiments.c.created, experiments.c.id)
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return rows[:most], rows[most:]

    def move(self, experiment: str, name: MoveName, reason: str = "", by: str | None = None) -> bool:
        """Make one of `states.MOVES`; False if the experiment's state does not allow it, and nothing is changed.

        Where a driver has to be stopped for it, `unwanted` says so from now on, and trials stay as they are till then.
        `by` is the name of the token that asks for it.
        """
        move = MOVES[name]
        change: dict[str, Any] = {"state": move.to, "reason": reason}
        if move.to == "running":
            change["started"] = func.coalesce(experiments.c.started, time.time())
        if move.to in FINAL:
            now, started = time.time(), experiments.c.started
            change["finished"] = case((started > now, started), else_=now)  # the clock may have been set back
        if name in ("pause", "cancel"):
            change["driver_unwanted"] = experiments.c.driver_pid.is_not(None)
        if name == "retry":
            change["finished"] = None
        if name in ("retry", "resume"):
            change |= {"driver_deaths": 0, "driver_due": None}
        mine = experiments.c.id == experiment
        with self._database.write() as connection:
            allowed = update(experiments).where(mine, experiments.c.state.in_(move.origins))
            if not connection.execute(allowed.values(change)).rowcount:
                return False
            record_event(connection, experiment, "experiment", by, state=move.to, reason=reason)
            if name == "retry":
                again = update(planned_trials).filter_by(experiment=experiment, state="failed")
                connection.execute(again.values(state="queued", reason=""))
            unwanted = connection.execute(select(experiments.c.driver_unwanted).where(mine)).scalar_one()
            if move.to != "running" and not unwanted:
                self._settle(connection, experiment, move.to, reason or f"the experiment is {move.to}")
        return True

    def outdated(self, numerics: int) -> dict[str, int]:
        """The unfinished experiments that were planned under another NUMERICS, with theirs."""
        query = (
            select(experiments.c.id, func.min(planned_results.c.numerics))
            .join(planned_results, planned_results.c.experiment == experiments.c.id)
            .where(experiments.c.state.in_(MOVES["outdate"].origins), planned_results.c.numerics != numerics)
            .group_by(experiments.c.id)
        )
        with self._database.read() as connection:
            return {id_: theirs for id_, theirs in connection.execute(query)}  # noqa: C416  (mypy: rows, no pairs)

    def state(self, experiment: str) -> str | None:
        """The state of an experiment; None if there is none of this id."""
        with self._database.read() as connection:
            return connection.execute(select(experiments.c.state).where(experiments.c.id == experiment)).scalar()

    def note(self, experiment: str, reason: str) -> None:
        """Say what an active experiment is at."""
        change = update(experiments).where(experiments.c.id == experiment, experiments.c.state.in_(ACTIVE))
        with self._database.write() as connection:
            if connection.execute(change.where(experiments.c.reason != reason).values(reason=reason)).rowcount:
                state = connection.execute(select(experiments.c.state).where(experiments.c.id == experiment)).scalar()
                record_event(connection, experiment, "experiment", state=state, reason=reason)

    def fetched(self, experiment: str, differs: Sequence[str]) -> None:
        """Say that an experiment's data are there, and in what they differ from those that were published."""
        query = select(experiments.c.state, experiments.c.reason).where(experiments.c.id == experiment)
        with self._database.write() as connection:
            row = connection.execute(query).one()
            data = {"state": row.state, "reason": row.reason, "differs": list(differs)}
            record_event(connection, experiment, "experiment", **data)

    def set_priority(self, experiment: str, priority: int, by: str | None = None) -> None:
        """Change which experiments go before it; `by` is the name of the token that asks for it."""
        change = update(experiments).where(experiments.c.id == experiment, experiments.c.priority != priority)
        changed = change.values(priority=priority).returning(experiments.c.state, experiments.c.reason)
        with self._database.write() as connection:
            if row := connection.execute(changed).one_or_none():
                data = {"state": row.state, "reason": row.reason, "priority": priority}
                record_event(connection, experiment, "experiment", by, **data)

    def delete(self, experiment: str) -> list[str] | None:
        """Forget an experiment that is over, and its trials that no other one plans.

        Returns:
            Those trials' digests: nobody needs their files. None, and nothing is changed, if it is not over or its
            driver has not ended.
        """
        over = (experiments.c.state.in_(FINAL), experiments.c.driver_pid.is_(None))
        mine, others = planned_trials.c.experiment == experiment, planned_trials.c.experiment != experiment
        with self._database.write() as connection:
            # an experiment that is being planned finds these trials as they were before, or as they are afterwards
            self._database.lock(connection, trials)
            if not connection.execute(select(experiments.c.id).where(experiments.c.id == experiment, *over)).scalar():
                return None
            query = select(planned_trials.c.trial).where(mine)
            alone = query.where(planned_trials.c.trial.not_in(select(planned_trials.c.trial).where(others)))
            orphans = list(connection.execute(alone).scalars())
            for table in (planned_results, planned_trials, tags, events):
                connection.execute(delete(table).where(table.c.experiment == experiment))
            for table in (selections, scores, measures, attempts):
                connection.execute(delete(table).where(table.c.trial.in_(orphans)))
            connection.execute(delete(trials).where(trials.c.digest.in_(orphans)))
            connection.execute(delete(experiments).where(experiments.c.id == experiment))
        return orphans

    def _settle(self, connection: Connection, experiment: str, state: str, why: str) -> None:
        """Nothing of an experiment that does not run itself is running, and of one that is cancelled nothing will."""
        leave(connection, experiment)
        end(connection, "interrupted", why, experiment=experiment)
        mine = update(planned_trials).where(planned_trials.c.experiment == experiment)
        if state == "cancelled":
            connection.execute(mine.where(planned_trials.c.state.in_(ACTIVE)).values(state="cancelled"))
        else:
            connection.execute(mine.where(planned_trials.c.state == "running").values(state="queued"))

    def drivers(self) -> dict[str, tuple[int, float]]:
        """Pid and start time of every process that was started and not released, by experiment."""
        return self._drivers(experiments.c.driver_pid.is_not(None))

    def unwanted(self) -> dict[str, tuple[int, float]]:
        """Those of experiments that are over, or paused, or were since."""
        not_active = experiments.c.state.not_in(ACTIVE)
        return self._drivers(experiments.c.driver_pid.is_not(None) & (experiments.c.driver_unwanted | not_active))

    def _drivers(self, which: ColumnElement[bool]) -> dict[str, tuple[int, float]]:
        query = select(experiments.c.id, experiments.c.driver_pid, experiments.c.driver_created).where(which)
        with self._database.read() as connection:
            return {id_: (pid, created) for id_, pid, created in connection.execute(query)}

    def set_driver(self, experiment: str, pid: int, created: float) -> bool:
        """Remember the process that runs it; False, and nothing is changed, if another does or none is to."""
        this = (experiments.c.driver_pid == pid) & (experiments.c.driver_created == created)
        free = (experiments.c.driver_pid.is_(None) & experiments.c.state.in_(ACTIVE)) | this
        change = update(experiments).where(experiments.c.id == experiment, free)
        with self._database.write() as connection:
            return bool(connection.execute(change.values(driver_pid=pid, driver_created=created)).rowcount)

    def driver_died(self, experiment: str, reason: str, delays: Sequence[float]) -> None:
        """Forget a driver that died. After a delay, one for each death in a row, it may have another.

        Args:
            experiment: its id.
            reason: with `{deaths}` and `{delay}`, which are filled in.
            delays: in seconds, at most `LONGEST_DELAY_SECONDS`; the last one for all further deaths. None: at once, and
                the death does not count.
        """
        mine = experiments.c.id == experiment
        with self._database.write() as connection:
            deaths = connection.execute(select(experiments.c.driver_deaths).where(mine)).scalar_one()
            delay = delays[min(deaths, len(delays) - 1)] if delays else 0.0
            deaths += 1 if delays else 0
            words = reason.format(deaths=deaths, delay=f"{delay:g}")
            gone = {"driver_pid": None, "driver_created": None, "driver_unwanted": False}
            again = {"driver_deaths": deaths, "driver_due": moment() + delay}
            connection.execute(update(experiments).where(mine).values(**gone, **again))
            active = update(experiments).where(mine, experiments.c.state.in_(ACTIVE))
            if connection.execute(active.values(reason=words, state=MOVES["requeue"].to)).rowcount:
                record_event(connection, experiment, "experiment", state=MOVES["requeue"].to, reason=words)
            state = connection.execute(select(experiments.c.state).where(mine)).scalar_one()
            self._settle(connection, experiment, state, "its driver died")

    def release_driver(self, experiment: str, why: str) -> None:
        """Forget a driver that was stopped on purpose; attempts that are still running end with that reason."""
        mine = experiments.c.id == experiment
        free = {"driver_pid": None, "driver_created": None, "driver_deaths": 0, "driver_due": None}
        with self._database.write() as connection:
            connection.execute(update(experiments).where(mine).values(**free, driver_unwanted=False))
            state = connection.execute(select(experiments.c.state).where(mine)).scalar_one()
            self._settle(connection, experiment, state, why)


def _needs_driver(row: Row[Any, Any, Any]) -> bool:
    """Whether it is due; a moment further ahead than any delay is from before the machine was started anew."""
    left = (row.driver_due or 0.0) - moment()
    return row.driver_pid is None and not 0 < left <= LONGEST_DELAY_SECONDS
