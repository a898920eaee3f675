"""The store: experiments as they are asked for, planned and shown; by its attributes everything else."""

import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, Float, cast, func, insert, select, update

from search_spaces.cost.estimate import Known
from search_spaces.plan import Plan
from search_spaces.spec import ExperimentSpec
from service.store import costs
from service.store.control import Control
from service.store.coverage import Coverage
from service.store.database import BadCursorError, Database, Observe, decode, encode, nobody
from service.store.events import Events, record_event
from service.store.results import Results
from service.store.revisions import next_revision
from service.store.schema import attempts, experiments, planned_results, planned_trials, selections, sizes, tags, trials
from service.store.slots import Slots
from service.store.states import TRIAL_STATES
from service.store.trials import Trials
from trainers.data.token_counts import Size


@dataclass(frozen=True)
class Experiment:
    """An experiment as it stands.

    Of equal ones the longest queued is run first, of others that of the higher `priority`.

    `trials` counts by state, `failures` name trials and reasons. `cost` is in seconds of a GPU, or of a CPU thread
    where none is asked for: `planned`, `spent` (also by what failed), and `left` if all takes as much longer than
    planned as the trials that are done did: `error`, planned over taken. None is not known.
    """

    id: str
    name: str
    owner: str
    tags: list[str]
    priority: int
    state: str
    reason: str
    created: float
    started: float | None
    finished: float | None
    progress: float
    trials: dict[str, int]
    cost: dict[str, float | None]
    failures: list[dict[str, Any]]
    spec: dict[str, Any]


@dataclass(frozen=True)
class Submission:
    """What makes a repeated submission the same: the key that the caller gave it, and a digest of what it asks."""

    key: str
    digest: str


class Counts(NamedTuple):
    """Experiments, trials that they ask for, and attempts at trials by state; optimizer steps a second of them all."""

    experiments: dict[str, int]
    trials: dict[str, int]
    attempts: dict[str, int]
    steps_per_second: float


class KeyReusedError(ValueError):
    """A key came with something else before."""


class Store:
    """Experiments, trials and scores in a database.

    Args:
        url: of the database, as SQLAlchemy writes it.
        observe: is told how long the database took, as in `Database`.
        patience: seconds to wait for a server that is away.

    Attributes:
        control: their states and the processes that run them.
        slots: which of their trials may run.
        trials: what becomes of these.
        results: what they came to.
        events: all that happens, in order.
    """

    def __init__(self, url: str, observe: Observe = nobody, patience: float = 0.0) -> None:
        self._database = Database(url, observe, patience)
        self.control = Control(self._database)
        self.slots = Slots(self._database)
        self.trials = Trials(self._database)
        self.results = Results(self._database)
        self.events = Events(self._database)

    def close(self) -> None:
        """Give the connections back."""
        self._database.close()

    # Experiments

    def add_experiment(
        self,
        spec: ExperimentSpec,
        plan: Plan | None,
        submission: Submission | None = None,
    ) -> str:
        """Store an experiment, with its plan if its data are at hand; returns its id.

        Args:
            spec: what was asked for.
            plan: None if it is made later, by `add_plan`.
            submission: what makes it the same as another one: the id is then that of the first.

        Raises:
            KeyReusedError: its key was another's.
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
                return str(self._submitted(connection, submission))
            if distinct := sorted(set(spec.tag_list())):
                connection.execute(insert(tags), [{"experiment": id_, "tag": tag} for tag in distinct])
            record_event(connection, id_, "experiment", state="queued", reason="")
            if plan is not None:
                self._add_plan(connection, id_, plan)
        return id_

    def submitted(self, submission: Submission) -> str | None:
        """The id of the experiment that was submitted so before. KeyReusedError if the key was another's."""
        with self._database.read() as connection:
            return self._submitted(connection, submission)

    def _submitted(self, connection: Connection, submission: Submission) -> str | None:
        query = select(experiments.c.id, experiments.c.request_digest).filter_by(request_key=submission.key)
        found = connection.execute(query).one_or_none()
        if found is not None and found.request_digest != submission.digest:
            raise KeyReusedError(f"{submission.key!r} came with another experiment before ({found.id})")
        return found.id if found is not None else None

    def add_plan(self, experiment: str, plan: Plan) -> None:
        """Store the plan of an experiment whose data had to be fetched first."""
        with self._database.write() as connection:
            self._add_plan(connection, experiment, plan)

    def add_candidate(self, experiment: str, plan: Plan) -> None:
        """Store the plan of a further candidate. Trials that are planned already stay as they are."""
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
            for digest, planned in sorted(plan.trials.items())  # in one order, so that two of us never wait in a circle
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
            common = {"experiment": experiment, "at": next_revision(connection)}
            connection.execute(insert(planned_results), [{**common, **asdict(result)} for result in plan.results])
        connection.execute(update(experiments).where(experiments.c.id == experiment).values(planned=True))

    def known(self, spec: ExperimentSpec, plan: Plan) -> Known:
        """What the trials so far tell about a plan and its cost."""
        if not plan.trials:
            return Known(missing={}, trained=frozenset(), sizes={}, measured=[])
        encoder = next(iter(plan.trials.values())).config.encoder_digest
        chosen = select(selections.c.trial).where(selections.c.trial.in_(plan.trials))
        counted = select(sizes.c.data, sizes.c.examples, sizes.c.windows, sizes.c.sub_words).filter_by(encoder=encoder)
        with self._database.read() as connection:
            there = Coverage(connection, plan.trials)
            return Known(
                missing={digest: there.missing(digest, planned.wanted) for digest, planned in plan.trials.items()},
                trained=frozenset(connection.execute(chosen).scalars()),
                sizes={data: Size(*counts) for data, *counts in connection.execute(counted)},
                measured=costs.measured(connection, spec, encoder),
            )

    def experiment(self, id_: str) -> Experiment | None:
        """One experiment; None if there is none of this id."""
        found = self.experiments(id_=id_, limit=1)[0]
        return found[0] if found else None

    def experiments(
        self, limit: int, cursor: str | None = None, id_: str | None = None, **filters: str | None
    ) -> tuple[list[Experiment], str | None]:
        """Experiments, newest first, and the cursor of the next page.

        Args:
            limit: how many at most.
            cursor: where the page before ended.
            id_: only this one.
            filters: `owner`, `tags` (has this tag), `state`, `name`.

        Raises:
            BadCursorError: no page ended so.
        """
        query = select(experiments).order_by(experiments.c.created.desc(), experiments.c.id).limit(limit + 1)
        wanted = {name: value for name, value in filters.items() if value is not None}
        if (tag := wanted.pop("tags", None)) is not None:
            query = query.where(experiments.c.id.in_(select(tags.c.experiment).where(tags.c.tag == tag)))
        for name, value in wanted.items():
            query = query.where(experiments.c[name] == value)
        if id_ is not None:
            query = query.where(experiments.c.id == id_)
        if cursor is not None:
            match decode(cursor):
                case [float(created), str(last)]:
                    pass
                case _:
                    raise BadCursorError("it is of another query")
            query = query.where(
                (experiments.c.created < created) | ((experiments.c.created == created) & (experiments.c.id > last))
            )
        with self._database.read() as connection:
            rows = connection.execute(query).mappings().all()
            page = self._shown(connection, rows[:limit])
        more = len(rows) > limit
        return page, encode(page[-1].created, page[-1].id) if more else None

    def _shown(self, connection: Connection, rows: Sequence[Mapping[Any, Any]]) -> list[Experiment]:
        """Experiments with what is counted of them: as many queries for a hundred as for one."""
        ids = [row["id"] for row in rows]
        progress, counts = self._progress(connection, ids)
        mine = planned_trials.c.experiment
        failed = (
            select(mine, planned_trials.c.trial, planned_trials.c.reason, trials.c.config)
            .join(trials, trials.c.digest == planned_trials.c.trial)
            .where(mine.in_(ids), planned_trials.c.state == "failed")
            .order_by(planned_trials.c.position)
        )
        failures: dict[str, list[dict[str, Any]]] = {id_: [] for id_ in ids}
        for id_, digest, reason, config in connection.execute(failed):
            named = {name: config[name] for name in ("method", "seed", "k", "target_languages")}
            failures[id_].append({"trial": digest, **named, "reason": reason})
        tagged: dict[str, list[str]] = {id_: [] for id_ in ids}
        for id_, tag in connection.execute(select(tags).where(tags.c.experiment.in_(ids)).order_by(tags.c.tag)):
            tagged[id_].append(tag)
        cost = costs.cost(connection, {row["id"]: row["spec"] for row in rows})
        columns = ("id", "name", "owner", "priority", "state", "reason", "created", "started", "finished", "spec")
        return [
            Experiment(
                **{name: row[name] for name in columns},
                tags=tagged[row["id"]],
                progress=progress.get(row["id"], float(row["state"] == "succeeded")),
                trials=counts[row["id"]],
                cost=cost[row["id"]],
                failures=failures[row["id"]],
            )
            for row in rows
        ]

    def _progress(
        self, connection: Connection, ids: Collection[str]
    ) -> tuple[dict[str, float], dict[str, dict[str, int]]]:
        """Of each experiment that has trials the share that is done, and of each how many are in which state."""
        mine, tried = planned_trials.c.experiment, costs.ran(ids)
        share = cast(tried.epochs, Float) / (trials.c.epochs + 1)
        by_state = (
            select(mine, planned_trials.c.state, planned_trials.c.reused, func.count(), func.sum(share))
            .select_from(tried.tables)
            .where(mine.in_(ids))
            .group_by(mine, planned_trials.c.state, planned_trials.c.reused)
        )
        counts = {id_: dict.fromkeys(("total", *TRIAL_STATES, "reused"), 0) for id_ in ids}
        done = dict.fromkeys(ids, 0.0)
        for id_, state, reused, number, begun in connection.execute(by_state):
            counts[id_]["total"] += number
            counts[id_][state] += number
            counts[id_]["reused"] += number if reused else 0
            done[id_] += {"running": begun, "queued": 0, "cancelled": 0}.get(state, number)
        return {id_: done[id_] / counts[id_]["total"] for id_ in ids if counts[id_]["total"]}, counts

    def plan_of(self, experiment: str) -> dict[str, dict[str, str]] | None:
        """Its trials, and per trial {language: digest of the test examples}; None as long as no plan is stored."""
        query = select(planned_trials.c.trial, planned_trials.c.evaluate).filter_by(experiment=experiment)
        with self._database.read() as connection:
            if not connection.execute(select(experiments.c.planned).filter_by(id=experiment)).scalar_one():
                return None
            return {row.trial: row.evaluate for row in connection.execute(query)}

    def spent(self, experiment: str) -> tuple[int, float]:
        """How many trials were begun for an experiment, and the seconds that all attempts at them took so far."""
        with self._database.read() as connection:
            return costs.spent(connection, [experiment])[experiment]

    def counts(self) -> Counts:
        """How much there is of everything now."""
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
