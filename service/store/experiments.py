"""Experiments: submitted, planned, listed and counted."""

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, func, insert, or_, select, update

from search_spaces.cost.estimate import Known
from search_spaces.plan import Plan
from search_spaces.spec import ExperimentSpec
from service.store import costs
from service.store.clocks import elapsed
from service.store.coverage import Coverage
from service.store.database import Database, decode, encode
from service.store.events import record_event, record_left_out
from service.store.progress import Experiment, shown
from service.store.query import BadCursorError, By, Columns, after, equal
from service.store.revisions import next_revision
from service.store.schema import Readable, attempts, experiments, planned_results, planned_trials, sizes, tags, trials
from service.store.states import FINAL
from service.store.trials import took
from trainers.data.token_counts import Size
from trainers.trial import NUMERICS

# What a listing can be sorted by.
SORTABLE = ("created", "started", "finished", "name", "owner", "task", "state", "priority")

NEWEST_FIRST = (By("created", descending=True),)


@dataclass(frozen=True)
class Submission:
    """What makes a repeated submission the same: the client's key, and the digest of the request."""

    key: str
    digest: str


class Counts(NamedTuple):
    """Experiments, planned trials and attempts by state; optimizer steps per second of all running attempts."""

    experiments: dict[str, int]
    trials: dict[str, int]
    attempts: dict[str, int]
    steps_per_second: float


class KeyReusedError(ValueError):
    """The key of a submission was used for a different request before."""


class Experiments:
    """Experiments and their plans.

    Args:
        database: where they are stored.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self, spec: ExperimentSpec, plan: Plan | None, submission: Submission | None = None, by: str | None = None
    ) -> str:
        """Store an experiment; returns its id.

        Args:
            spec: as submitted.
            plan: None where data have to be fetched first; `add_plan` stores it later.
            submission: if it was submitted before, nothing is stored and the id is that of the first time.
            by: name of the token with which it was submitted.

        Raises:
            KeyReusedError: its key was used for a different request.
        """
        id_ = secrets.token_hex(6)
        key, digest = (submission.key, submission.digest) if submission is not None else (None, None)
        with self._database.write() as connection:
            added = connection.execute(
                self._database.insert(experiments)
                .on_conflict_do_nothing(index_elements=["request_key"])
                .values(
                    id=id_,
                    name=spec.name,
                    owner=spec.owner,
                    spec=spec.model_dump(mode="json"),
                    planned=False,
                    priority=spec.priority,
                    request_key=key,
                    request_digest=digest,
                    state="queued",
                    reason="",
                    created=time.time(),
                    driver_deaths=0,
                    driver_unwanted=False,
                    events=0,
                )
                .returning(experiments.c.id)
            ).scalar()
            if submission is not None and added is None:
                return str(_submitted(connection, submission))
            if distinct := sorted(set(spec.tag_list())):
                connection.execute(insert(tags), [{"experiment": id_, "tag": tag} for tag in distinct])
            record_event(connection, id_, "experiment", by, state="queued", reason="")
            if plan is not None:
                self._add_plan(connection, id_, plan)
        return id_

    def submitted(self, submission: Submission) -> str | None:
        """The id of the experiment of an earlier, equal submission. KeyReusedError if the request was different."""
        with self._database.read() as connection:
            return _submitted(connection, submission)

    def add_plan(self, experiment: str, plan: Plan) -> None:
        """Add trials and results to an experiment's plan. Trials that are planned already stay as they are."""
        with self._database.write() as connection:
            self._add_plan(connection, experiment, plan)

    def _add_plan(self, connection: Connection, experiment: str, plan: Plan) -> None:
        rows = [
            {
                "digest": digest,
                "config": planned.config.to_dict(),
                "source": planned.source.digest if planned.source else None,
                "attempt": 0,
                "epochs": planned.config.training.epochs,
            }
            for digest, planned in sorted(plan.trials.items())  # in the same order in all processes: no deadlock
        ]
        if rows:
            connection.execute(self._database.insert(trials).on_conflict_do_nothing(), rows)
            links = []
            mine = planned_trials.c.experiment == experiment
            first = connection.execute(select(func.count()).select_from(planned_trials).where(mine)).scalar_one()
            there = Coverage(connection, plan.trials)
            for position, (digest, planned) in enumerate(plan.trials.items(), start=first):
                wanted = vars(planned.wanted)
                needed = {name: value for name, value in wanted.items() if name != "estimate"}
                done = there.missing(digest, planned.wanted) is None
                state = {"state": "succeeded" if done else "queued", "reason": "", "reused": done}
                row = {"experiment": experiment, "trial": digest, "position": position, **needed, **state}
                links.append({**row, "estimated": wanted["estimate"]})
            connection.execute(self._database.insert(planned_trials).on_conflict_do_nothing(), links)
            common = {"experiment": experiment, "at": next_revision(connection), "numerics": NUMERICS}
            connection.execute(insert(planned_results), [{**common, **vars(result)} for result in plan.results])
        if plan.left_out:
            record_left_out(connection, experiment, plan.left_out)
        connection.execute(update(experiments).where(experiments.c.id == experiment).values(planned=True))

    def known(self, spec: ExperimentSpec, plan: Plan) -> Known:
        """What earlier trials tell about the cost of a plan."""
        if not plan.trials:
            return Known(missing={}, trained=frozenset(), sizes={}, measured=[])
        encoder = next(iter(plan.trials.values())).config.encoder_digest
        counted = select(sizes.c.data, sizes.c.examples, sizes.c.windows, sizes.c.sub_words).filter_by(encoder=encoder)
        with self._database.read() as connection:
            there = Coverage(connection, plan.trials)
            return Known(
                missing={digest: there.missing(digest, planned.wanted) for digest, planned in plan.trials.items()},
                trained=frozenset(there.chosen),
                sizes={data: Size(*counts) for data, *counts in connection.execute(counted)},
                measured=costs.measured(connection, spec, encoder),
                card=costs.card(connection),
            )

    def plan_of(self, experiment: str) -> dict[str, dict[str, str]] | None:
        """Planned trials with {language: digest of the test examples} each; None as long as no plan is stored."""
        query = select(planned_trials.c.trial, planned_trials.c.evaluate).filter_by(experiment=experiment)
        with self._database.read() as connection:
            if not connection.execute(select(experiments.c.planned).filter_by(id=experiment)).scalar_one():
                return None
            return {row.trial: row.evaluate for row in connection.execute(query)}

    def one(self, id_: str) -> Experiment | None:
        """The experiment with an id; None if there is none."""
        found = self.page(id_=id_, limit=1)[0]
        return found[0] if found else None

    def page(
        self,
        limit: int,
        cursor: str | None = None,
        id_: str | None = None,
        search: str | None = None,
        method: str | None = None,
        sort: Sequence[By] = NEWEST_FIRST,
        **filters: str | None,
    ) -> tuple[list[Experiment], str | None]:
        """A page of experiments, and the cursor of the next one.

        Args:
            limit: experiments a page at most.
            cursor: of this page, as the page before returned it.
            id_: only the experiment with this id.
            search: text within the name, the id, the owner or a tag; upper and lower case are the same.
            method: only experiments that plan results of this method.
            sort: by which of SORTABLE; ties are in the order of the ids.
            filters: `owner`, `tags` (has this tag), `state`, `name`, `task`; None for any.

        Raises:
            BadCursorError: no page returned this cursor.
        """
        columns = self._columns()
        given = {name: [value] for name, value in filters.items() if value is not None}
        query = select(experiments).where(columns.clause(equal(given)))
        if search:
            query = query.where(_has_text(search))
        if method is not None:
            planned = select(planned_results.c.method).where(planned_results.c.experiment == experiments.c.id)
            query = query.where(planned.where(planned_results.c.method == method).exists())
        if id_ is not None:
            query = query.where(experiments.c.id == id_)
        asked = [[by.column, by.descending] for by in sort]
        keys = columns.keys([*sort, By("id")])
        if cursor is not None:
            match decode(cursor):
                case [said, [*last]] if said == asked:
                    query = query.where(after(keys, last))
                case _:
                    raise BadCursorError("it is of another query")
        ordered = [key.desc() if descending else key for key, descending in keys]
        named = [key.label(f"key_{place}") for place, (key, _) in enumerate(keys)]
        with self._database.read() as connection:
            rows = connection.execute(query.add_columns(*named).order_by(*ordered).limit(limit + 1)).mappings().all()
            page = shown(connection, rows[:limit])
        if len(rows) <= limit:
            return page, None
        return page, encode(asked, [rows[limit - 1][key.name] for key in named])

    def _columns(self) -> Columns:
        task: ColumnElement[str] = Readable(experiments.c.spec)["task"].as_string()
        plain = {name: experiments.c[name] for name in ("id", *SORTABLE) if name != "task"}
        tagged = select(tags.c.tag).where(tags.c.experiment == experiments.c.id)
        return Columns(plain | {"task": task}, {"tags": tagged}, self._database.ordered)

    def unfinished_with(self, data: Mapping[str, Any]) -> list[str]:
        """The experiments that are not over and whose spec has these data, the oldest first."""
        query = select(experiments.c.id, experiments.c.spec).where(experiments.c.state.not_in(FINAL))
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(experiments.c.created, experiments.c.id)).all()
        return [id_ for id_, spec in rows if isinstance(spec, dict) and spec.get("data") == data]

    def spent(self, experiment: str) -> tuple[int, float]:
        """The number of trials that were started for an experiment, and the seconds of all attempts at them so far.

        For the process that runs them: it measures how long those take that are running.
        """
        tried = attempts.c
        ended = func.coalesce(func.sum(elapsed(tried.started, tried.ended)), 0.0)
        mine = select(func.count(tried.trial.distinct()), ended).where(tried.experiment == experiment)
        running = select(tried.trial, tried.number, tried.started).filter_by(experiment=experiment, state="running")
        with self._database.read() as connection:
            begun, seconds = connection.execute(mine).one()
            return begun, seconds + sum(took(*one) for one in connection.execute(running))

    def counts(self) -> Counts:
        """How many experiments, planned trials and attempts there are."""
        by_state = select(experiments.c.state, func.count()).group_by(experiments.c.state)
        planned = select(planned_trials.c.state, func.count()).group_by(planned_trials.c.state)
        tried = select(attempts.c.state, func.count(), func.coalesce(func.sum(attempts.c.rate), 0.0))
        with self._database.read() as connection:
            of_attempts = connection.execute(tried.group_by(attempts.c.state)).all()
            return Counts(
                dict(connection.execute(by_state).all()),
                dict(connection.execute(planned).all()),
                {state: number for state, number, _ in of_attempts},
                sum(rate for state, _, rate in of_attempts if state == "running"),
            )


def _submitted(connection: Connection, submission: Submission) -> str | None:
    query = select(experiments.c.id, experiments.c.request_digest).filter_by(request_key=submission.key)
    found = connection.execute(query).one_or_none()
    if found is not None and found.request_digest != submission.digest:
        raise KeyReusedError(f"{submission.key!r} came with another experiment before ({found.id})")
    return found.id if found is not None else None


def _has_text(search: str) -> ColumnElement[bool]:
    """Whether an experiment's name, id, owner or one of its tags has a text in it."""
    text = search.lower()
    tagged = select(tags.c.tag).where(tags.c.experiment == experiments.c.id)
    among = [experiments.c.name, experiments.c.id, experiments.c.owner]
    named = [func.lower(column).contains(text, autoescape=True) for column in among]
    return or_(*named, tagged.where(func.lower(tags.c.tag).contains(text, autoescape=True)).exists())
