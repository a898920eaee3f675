"""Trials: what is outstanding, every attempt at it, and how each ended.

More than 300 lines: all that changes a trial's state stands in one file.
"""

import json
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from sqlalchemy import Connection, func, insert, or_, select, update

from search_spaces.plan import PlannedTrial
from service.store import marks
from service.store.broken import reading, require, require_json, require_times
from service.store.clocks import moment
from service.store.costs import with_device_seconds
from service.store.coverage import Coverage
from service.store.database import Database
from service.store.events import record_event
from service.store.revisions import next_revision
from service.store.schema import attempts, experiments, measures, planned_trials, scores, selections, sizes, trials
from service.store.states import ACTIVE
from trainers.marks import MARK_NAMES
from trainers.trial import Outcome, Report, Score, TrialConfig, Wanted

# When this process began an attempt, by trial and number.
_BEGUN: dict[tuple[str, int], float] = {}

# What became of an outcome.
Taken = Literal["taken", "incomplete", "refused"]


class Trials:
    """What becomes of trials. What comes late, of an older attempt, is refused.

    Args:
        database: where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def outstanding(self, experiment: str, among: Collection[str] | None = None) -> dict[str, PlannedTrial]:
        """The trials that an experiment still needs, by digest, in their order; all are queued again.

        What is wanted of each is what it still lacks: `evaluate` has the languages without a test score. Trials that
        were stopped or have failed are not among them: those are for `retry`.

        Args:
            experiment: its id.
            among: only these are looked at, if not None.
        """
        query = (
            select(planned_trials, trials.c.config, trials.c.source)
            .join(trials, trials.c.digest == planned_trials.c.trial)
            .where(planned_trials.c.experiment == experiment, planned_trials.c.state.in_(ACTIVE))
            .order_by(planned_trials.c.position)
        )
        if among is not None:
            query = query.where(planned_trials.c.trial.in_(among))
        with self._database.write() as connection:
            rows = connection.execute(query).mappings().all()
            sources = _configs(connection, {row["source"] for row in rows if row["source"]})
            there = Coverage(connection, {row["trial"] for row in rows})
            found = {}
            for row in rows:
                mine = update(planned_trials).filter_by(experiment=experiment, trial=row["trial"])
                if (missing := there.missing(row["trial"], wanted_of(row))) is not None:
                    source = sources[row["source"]] if row["source"] else None
                    lacking = {language: row["evaluate"][language] for language in missing}
                    config, wanted = TrialConfig.from_dict(row["config"]), replace(wanted_of(row), evaluate=lacking)
                    found[row["trial"]] = PlannedTrial(config=config, source=source, wanted=wanted)
                    connection.execute(mine.values(state="queued", reason=""))
                else:  # another experiment has done it since this one was planned
                    connection.execute(mine.values(state="succeeded", reason="", reused=True))
        return found

    def of_state(self, experiment: str, state: str) -> set[str]:
        """The trials of an experiment that are in a state."""
        query = select(planned_trials.c.trial).filter_by(experiment=experiment, state=state)
        with self._database.read() as connection:
            return set(connection.execute(query).scalars())

    def begun(self, experiment: str) -> set[str]:
        """The trials that were begun for an experiment."""
        query = select(attempts.c.trial).filter_by(experiment=experiment).distinct()
        with self._database.read() as connection:
            return set(connection.execute(query).scalars())

    def started(self, experiment: str, digest: str) -> int:
        """A trial begins to run for an experiment; returns the number of this attempt."""
        with self._database.write() as connection:
            record_event(connection, experiment, "trial", trial=digest, state="running", epoch=0)
            end(connection, "interrupted", "another attempt has begun", experiment=experiment, trial=digest)
            number = trials.c.attempt + 1
            connection.execute(update(trials).filter_by(digest=digest).values(attempt=number))
            attempt = int(connection.execute(select(trials.c.attempt).filter_by(digest=digest)).scalar_one())
            new = {"trial": digest, "number": attempt, "experiment": experiment, "started": time.time()}
            connection.execute(insert(attempts).values(**new, state="running", reason="", epoch=0))
            _BEGUN[digest, attempt] = moment()
            mine = update(planned_trials).filter_by(experiment=experiment, trial=digest)
            connection.execute(mine.values(state="running", reason=""))
        return attempt

    def reported(self, digest: str, attempt: int, report: Report, node: str | None = None) -> None:
        """Store a report's scores, how far the trial is, and the machine that it runs on."""
        with self._database.write() as connection:
            experiment = self._runs_for(connection, digest, attempt)
            if experiment is None:
                return
            told = ("language", "metric", "value", *MARK_NAMES)
            dev = [{name: getattr(one, name) for name in told} for one in report.scores]
            record_event(connection, experiment, "trial", trial=digest, state="running", epoch=report.epoch, scores=dev)
            self._add_scores(connection, digest, attempt, report.scores)
            self._add_measures(connection, digest, report)
            mine = update(attempts).filter_by(trial=digest, number=attempt)
            rate = report.measures.get("steps_per_second")
            so_far = {"epoch": report.epoch, "rate": rate, "node": node}
            connection.execute(mine.where(attempts.c.epoch < report.epoch).values(so_far))
            before = select(func.max(attempts.c.epoch)).where(attempts.c.trial == digest, attempts.c.number < attempt)
            if report.epoch > (connection.execute(before).scalar() or 0):
                _got_on(connection, experiment)

    def succeeded(self, digest: str, attempt: int, outcome: Outcome) -> Taken:
        """Store a trial's outcome, and mark it done in every experiment that needs no more of it.

        Returns:
            "refused", and nothing is stored, if it comes too late: another attempt has begun, or this one has ended.
            "incomplete" if there are scores among what its experiment needs that it does not have.
        """
        with self._database.write() as connection:
            experiment = self._runs_for(connection, digest, attempt)
            if experiment is None:
                return "refused"
            why = {name: outcome.facts[name] for name in MARK_NAMES if name in outcome.facts}
            record_event(connection, experiment, "trial", trial=digest, state="succeeded", **why)
            at = self._add_scores(connection, digest, attempt, outcome.scores)
            statement = self._database.insert(selections)
            changed = {name: statement.excluded[name] for name in ("step", "at")}
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["trial", "selection"],
                    set_=changed,
                    where=selections.c.step != statement.excluded.step,
                ),
                [
                    {"trial": digest, "selection": name, "step": step, "kept": False, "at": at}
                    for name, step in outcome.selected.items()
                ],
            )
            keeps = select(planned_trials.c.keep).filter_by(experiment=experiment, trial=digest)
            if connection.execute(keeps).scalar():
                chosen = selections.c.selection.in_(outcome.selected)
                connection.execute(update(selections).filter_by(trial=digest).where(chosen).values(kept=True))
            connection.execute(update(trials).filter_by(digest=digest).values(facts=_as_json(outcome.facts)))
            end(connection, "succeeded", trial=digest, number=attempt)
            _got_on(connection, experiment)
            self._add_sizes(connection, digest, outcome.facts.get("sizes", {}))
            waiting = select(planned_trials).filter_by(trial=digest, state="running")
            there = Coverage(connection, [digest])
            done = {row["experiment"]: there.missing(digest, wanted_of(row)) is None
                    for row in connection.execute(waiting).mappings().all()}  # fmt: skip
            for one in (one for one, is_done in done.items() if is_done):
                mine = update(planned_trials).filter_by(experiment=one, trial=digest)
                connection.execute(mine.values(state="succeeded"))
            return "taken" if done.get(experiment, True) else "incomplete"

    def stopped(self, experiment: str, digest: str, reason: str) -> bool:
        """Store that a trial will not go on, or not begin, for an experiment. Its scores stay.

        Returns:
            Whether nobody will go on with it from where it is: no other experiment waits for it, runs it or may retry.
        """
        others = planned_trials.c.experiment != experiment
        wanted = planned_trials.c.state.in_((*ACTIVE, "failed"))
        query = select(planned_trials.c.experiment).where(planned_trials.c.trial == digest, others, wanted)
        with self._database.write() as connection:
            self._end_early(connection, experiment, digest, "stopped", reason)
            return connection.execute(query.limit(1)).first() is None

    def failed(self, experiment: str, digest: str, reason: str) -> None:
        """Store that a trial failed for an experiment, and why. Its scores stay."""
        with self._database.write() as connection:
            self._end_early(connection, experiment, digest, "failed", reason)

    def died(self, experiment: str, digest: str, reason: str) -> None:
        """Store that a trial's process died; it is queued again."""
        with self._database.write() as connection:
            self._end_early(connection, experiment, digest, "died", reason)

    def interrupted(self, experiment: str, digest: str, reason: str) -> None:
        """Store that a trial ended because it was asked to; it is queued again."""
        with self._database.write() as connection:
            self._end_early(connection, experiment, digest, "interrupted", reason)

    def _end_early(self, connection: Connection, experiment: str, digest: str, state: str, reason: str) -> None:
        key = {"experiment": experiment, "trial": digest}
        record_event(connection, experiment, "trial", trial=digest, state=state, reason=reason)
        end(connection, state, reason, **key)
        becomes = "queued" if state in ("died", "interrupted") else state
        connection.execute(update(planned_trials).filter_by(**key).values(state=becomes, reason=reason))

    def one(self, digest: str) -> dict[str, Any] | None:
        """A trial's configuration, facts, measures and attempts, and its state for each experiment; None if none.

        An attempt's `device_seconds` are None until it ends, and where the experiment that it ran for was deleted.

        Raises:
            BrokenRowError: what is stored of it cannot be read.
        """
        planned = experiments.join(planned_trials, planned_trials.c.experiment == experiments.c.id)
        asking = (
            select(experiments.c.id, experiments.c.name, planned_trials.c.state, planned_trials.c.reason)
            .select_from(planned)
            .where(planned_trials.c.trial == digest)
        )
        columns = (column for column in attempts.c if column.name != "trial")
        both = attempts.outerjoin(experiments, experiments.c.id == attempts.c.experiment)
        tried = select(*columns, experiments.c.spec).select_from(both).where(attempts.c.trial == digest)
        measured = select(measures.c.epoch, measures.c.step, measures.c["values"]).filter_by(trial=digest)
        with self._database.read() as connection:
            row = connection.execute(select(trials).filter_by(digest=digest)).mappings().one_or_none()
            states = connection.execute(asking.order_by(experiments.c.id)).mappings().all()
            rows = connection.execute(tried.order_by(attempts.c.number)).mappings().all()
            told = connection.execute(measured.order_by(measures.c.step)).mappings().all()
        if row is None:
            return None
        with reading(f"trial {digest}"):
            for value in ([] if row["facts"] is None else [row["facts"]]) + [one["values"] for one in told]:
                require(value, dict)
            require_times(*(one[name] for one in rows for name in ("started", "ended")))
            lists = {"experiments": states, "attempts": [with_device_seconds(one) for one in rows], "measures": told}
            config = TrialConfig.from_dict(row["config"]).to_dict()  # with its NUMERICS, also where that was not stored
            shown = {**row, "config": config, **{name: [dict(one) for one in found] for name, found in lists.items()}}
            require_json(shown)
        return shown

    def _add_sizes(self, connection: Connection, digest: str, found: Mapping[str, Mapping[str, int]]) -> None:
        if not found:
            return
        encoder = _configs(connection, [digest])[digest].encoder_digest
        statement = self._database.insert(sizes)
        counts = {name: statement.excluded[name] for name in ("examples", "windows", "sub_words")}
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["encoder", "data"], set_=counts, where=sizes.c.examples < statement.excluded.examples
            ),
            [{"encoder": encoder, "data": data, **size} for data, size in found.items()],
        )

    def _add_measures(self, connection: Connection, digest: str, report: Report) -> None:
        surgery = {name: value for name, value in report.measures.get("surgery", {}).items() if name != "per_language"}
        values = _as_json({**report.measures, **({"surgery": surgery} if surgery else {})})
        row = {"trial": digest, "step": report.step, "epoch": report.epoch, "values": values}
        statement = self._database.insert(measures)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["trial", "step"], set_={"values": statement.excluded["values"]}
            ),
            [row],
        )

    def _runs_for(self, connection: Connection, digest: str, attempt: int) -> str | None:
        """The experiment that an attempt at a trial runs for; None if it is not the latest or has ended."""
        query = select(attempts.c.experiment).join(trials, trials.c.digest == attempts.c.trial)
        mine = query.where(trials.c.digest == digest, trials.c.attempt == attempt, attempts.c.number == attempt)
        return connection.execute(mine.where(attempts.c.state == "running")).scalar()

    def _add_scores(self, connection: Connection, digest: str, attempt: int, found: Sequence[Score]) -> int:
        """Store scores, and return the moment. One that is there already stays as it is, and of its moment."""
        at = next_revision(connection)
        if not found:
            return at
        statement = self._database.insert(scores)
        said = ("value", "epoch", "examples", "cut")
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["trial", "step", "language", "split", "data", "metric"],
                set_={name: statement.excluded[name] for name in (*said, "attempt", "at")},
                where=or_(*(scores.c[name] != statement.excluded[name] for name in said)),
            ),
            [{"trial": digest, "attempt": attempt, **row, "at": at} for row in marks.rows(found)],
        )
        return at


def wanted_of(row: Mapping[Any, Any]) -> Wanted:
    """What an experiment wants of a trial, from a row of `planned_trials`."""
    return Wanted(
        selections=tuple(row["selections"]),
        evaluate=row["evaluate"],
        judge=row["judge"],
        sweep=row["sweep"],
        test_every_report=row["test_every_report"],
        keep=row["keep"],
        estimate=row["estimated"],
    )


def took(trial: str, number: int, started: float) -> float:
    """Seconds of an attempt that runs: measured where this process has begun it, else as the wall's clock says."""
    begun = _BEGUN.get((trial, number))
    return max(0.0, time.time() - started if begun is None else moment() - begun)


def end(connection: Connection, state: str, reason: str = "", **of: Any) -> None:
    """Running attempts end: of an experiment, of a trial for it, or one by its number."""
    query = select(attempts.c.trial, attempts.c.number, attempts.c.started).filter_by(**of, state="running")
    for trial, number, started in connection.execute(query).all():
        one = update(attempts).filter_by(trial=trial, number=number)
        connection.execute(one.values(state=state, reason=reason, ended=started + took(trial, number, started)))
        _BEGUN.pop((trial, number), None)


def _as_json(measured: Mapping[str, Any]) -> Any:
    """A training that diverged has measures that JSON has no words for: null."""
    return json.loads(json.dumps(measured), parse_constant=lambda _: None)


def _got_on(connection: Connection, experiment: str) -> None:
    """Its driver gets things done: earlier deaths are forgotten."""
    connection.execute(update(experiments).where(experiments.c.id == experiment).values(driver_deaths=0))


def _configs(connection: Connection, digests: Collection[str]) -> dict[str, TrialConfig]:
    query = select(trials.c.digest, trials.c.config).where(trials.c.digest.in_(digests))
    return {digest: TrialConfig.from_dict(config) for digest, config in connection.execute(query)}
