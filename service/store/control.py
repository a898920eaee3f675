"""Control of experiments: their states, which runs next, the processes that run them, and forgetting them."""

import time
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, select, update

from service.store.database import Database
from service.store.schema import experiments, planned_results, planned_trials, scores, selections, tags, trials
from service.store.states import ACTIVE, FINAL, MOVES, MoveName


class Control:
    """What becomes of experiments.

    Args:
        database: where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def next_active(self) -> str | None:
        """The experiment that should run now: one that has begun, else of the highest priority the longest queued."""
        query = (
            select(experiments.c.id)
            .where(experiments.c.state.in_(ACTIVE))
            .order_by(
                experiments.c.driver_pid.is_(None),
                experiments.c.state.desc(),
                experiments.c.priority.desc(),
                experiments.c.created,
                experiments.c.id,
            )
            .limit(1)
        )
        with self._database.read() as connection:
            return connection.execute(query).scalar()

    def move(self, experiment: str, name: MoveName, reason: str = "") -> bool:
        """Make one of `states.MOVES`; False if the experiment's state does not allow it, and nothing is changed.

        Where a driver has to be stopped for it, `unwanted` says so from now on, and trials stay as they are till then.
        """
        move = MOVES[name]
        change: dict[str, Any] = {"state": move.to, "reason": reason}
        if move.to == "running":
            change["started"] = func.coalesce(experiments.c.started, time.time())
        if move.to in FINAL:
            change["finished"] = time.time()
        if name in ("pause", "cancel"):
            change["driver_unwanted"] = experiments.c.driver_pid.is_not(None)
        if name == "retry":
            change |= {"finished": None, "driver_starts": 0}
        mine = experiments.c.id == experiment
        with self._database.write() as connection:
            allowed = update(experiments).where(mine, experiments.c.state.in_(move.origins))
            if not connection.execute(allowed.values(change)).rowcount:
                return False
            if name == "retry":
                again = update(planned_trials).filter_by(experiment=experiment, state="failed")
                connection.execute(again.values(state="queued", reason="", taken=None, ended_after=None))
            unwanted = connection.execute(select(experiments.c.driver_unwanted).where(mine)).scalar_one()
            if move.to != "running" and not unwanted:
                self._settle(connection, experiment, move.to)
        return True

    def note(self, experiment: str, reason: str) -> None:
        """Say what an active experiment is at."""
        change = update(experiments).where(experiments.c.id == experiment, experiments.c.state.in_(ACTIVE))
        with self._database.write() as connection:
            connection.execute(change.values(reason=reason))

    def set_priority(self, experiment: str, priority: int) -> None:
        """Change which experiments go before it."""
        with self._database.write() as connection:
            connection.execute(update(experiments).where(experiments.c.id == experiment).values(priority=priority))

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
            for table in (planned_results, planned_trials, tags):
                connection.execute(delete(table).where(table.c.experiment == experiment))
            for table in (selections, scores):
                connection.execute(delete(table).where(table.c.trial.in_(orphans)))
            connection.execute(delete(trials).where(trials.c.digest.in_(orphans)))
            connection.execute(delete(experiments).where(experiments.c.id == experiment))
        return orphans

    def _settle(self, connection: Connection, experiment: str, state: str) -> None:
        """Nothing of an experiment that does not run itself is running, and of one that is cancelled nothing will."""
        mine = update(planned_trials).where(planned_trials.c.experiment == experiment)
        running = mine.where(planned_trials.c.state == "running")
        if state == "cancelled":
            connection.execute(mine.where(planned_trials.c.state.in_(ACTIVE)).values(state="cancelled"))
        else:
            connection.execute(running.values(state="queued"))

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

    def set_driver(self, experiment: str, pid: int, created: float) -> None:
        """Remember the process that runs it."""
        change = update(experiments).where(experiments.c.id == experiment)
        starts = experiments.c.driver_starts + 1
        with self._database.write() as connection:
            connection.execute(change.values(driver_pid=pid, driver_created=created, driver_starts=starts))

    def release_driver(self, experiment: str) -> None:
        """Forget a driver that was stopped on purpose."""
        mine = experiments.c.id == experiment
        free = {"driver_pid": None, "driver_created": None, "driver_starts": 0, "driver_unwanted": False}
        with self._database.write() as connection:
            connection.execute(update(experiments).where(mine).values(free))
            state = connection.execute(select(experiments.c.state).where(mine)).scalar_one()
            self._settle(connection, experiment, state)

    def driver_starts(self, experiment: str) -> int:
        """How many processes have been started for it."""
        with self._database.read() as connection:
            return int(connection.execute(select(experiments.c.driver_starts).filter_by(id=experiment)).scalar_one())
