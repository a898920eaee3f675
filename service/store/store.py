"""The store: experiments and their trials, as they are asked for, run and end."""

import json
import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, Float, case, cast, func, insert, select, update

from search_spaces.estimate import Known
from search_spaces.plan import Plan
from search_spaces.spec import ExperimentSpec
from service.store import costs
from service.store.control import Control
from service.store.coverage import Coverage
from service.store.database import Database, decode, encode
from service.store.results import Results
from service.store.schema import experiments, planned_results, planned_trials, scores, selections, sizes, tags, trials
from trainers.config import Outcome, Report, Score, Selection, TrialConfig
from trainers.sub_words import Size

NOTHING_ESTIMATED: Mapping[str, float | None] = MappingProxyType({})


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
class OutstandingTrial:
    """A trial that an experiment still needs, and the languages whose test scores it lacks.

    `judge`, `sweep` and `test_every_report` are those of the plan.
    """

    config: TrialConfig
    source: TrialConfig | None
    selections: tuple[Selection, ...]
    evaluate: tuple[str, ...]
    judge: tuple[str, ...]
    sweep: str | None
    test_every_report: bool


@dataclass(frozen=True)
class Submission:
    """What makes a repeated submission the same: the key that the caller gave it, and a digest of what it asks."""

    key: str
    digest: str


class KeyReusedError(ValueError):
    """A key came with something else before."""


class Store:
    """Experiments, trials and scores in a database.

    Args:
        url: of the database, as SQLAlchemy writes it.

    Attributes:
        control: their states and the processes that run them.
        results: what the trials came to.
    """

    def __init__(self, url: str) -> None:
        self._database = Database(url)
        self.control = Control(self._database)
        self.results = Results(self._database)

    def close(self) -> None:
        """Give the connections back."""
        self._database.close()

    # Experiments

    def add_experiment(
        self,
        spec: ExperimentSpec,
        plan: Plan | None,
        seconds: Mapping[str, float | None] = NOTHING_ESTIMATED,
        submission: Submission | None = None,
    ) -> str:
        """Store an experiment, with its plan if its data are at hand; returns its id.

        Args:
            spec: what was asked for.
            plan: None if it is made later, by `add_plan`.
            seconds: estimated, of each trial.
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
                    driver_starts=0,
                    driver_unwanted=False,
                )
                .returning(experiments.c.id)
            ).scalar()
            if submission is not None and added is None:
                return str(self._submitted(connection, submission))
            if distinct := sorted(set(spec.tag_list())):
                connection.execute(insert(tags), [{"experiment": id_, "tag": tag} for tag in distinct])
            if plan is not None:
                self._add_plan(connection, id_, plan, seconds)
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

    def add_plan(self, experiment: str, plan: Plan, seconds: Mapping[str, float | None] = NOTHING_ESTIMATED) -> None:
        """Store the plan of an experiment whose data had to be fetched first."""
        with self._database.write() as connection:
            self._add_plan(connection, experiment, plan, seconds)

    def add_candidate(self, experiment: str, plan: Plan) -> None:
        """Store the plan of a further candidate. Trials that are planned already stay as they are."""
        with self._database.write() as connection:
            self._add_plan(connection, experiment, plan, NOTHING_ESTIMATED)

    def _add_plan(
        self, connection: Connection, experiment: str, plan: Plan, seconds: Mapping[str, float | None]
    ) -> None:
        rows = [
            {
                "digest": digest,
                "config": asdict(planned.config),
                "source": planned.source.digest if planned.source else None,
                "attempt": 0,
                "epoch": 0,
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
                needed = {name: getattr(planned, name) for name in
                          ("selections", "evaluate", "judge", "sweep", "test_every_report")}  # fmt: skip
                row = {"experiment": experiment, "trial": digest, "position": position, **needed}
                done = there.missing(row) is None
                state = {"state": "succeeded" if done else "queued", "reason": "", "reused": done}
                links.append({**row, **state, "estimated": seconds.get(digest)})
            connection.execute(self._database.insert(planned_trials).on_conflict_do_nothing(), links)
            connection.execute(
                insert(planned_results), [{"experiment": experiment, **asdict(result)} for result in plan.results]
            )
        connection.execute(update(experiments).where(experiments.c.id == experiment).values(planned=True))

    def known(self, spec: ExperimentSpec, plan: Plan) -> Known:
        """What the trials so far tell about a plan and its cost."""
        if not plan.trials:
            return Known({}, frozenset(), {}, [])
        encoder = next(iter(plan.trials.values())).config.encoder_digest
        chosen = select(selections.c.trial).where(selections.c.trial.in_(plan.trials))
        counted = select(sizes.c.data, sizes.c.examples, sizes.c.windows, sizes.c.sub_words).filter_by(encoder=encoder)
        with self._database.read() as connection:
            there = Coverage(connection, plan.trials)
            return Known(
                {digest: there.missing({"trial": digest, **vars(planned)}) for digest, planned in plan.trials.items()},
                frozenset(connection.execute(chosen).scalars()),
                {data: Size(*counts) for data, *counts in connection.execute(counted)},
                costs.measured(connection, spec, encoder),
            )  # fmt: skip

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
            created, last = decode(cursor, float, str)
            query = query.where(
                (experiments.c.created < created) | ((experiments.c.created == created) & (experiments.c.id > last))
            )
        with self._database.read() as connection:
            rows = connection.execute(query).mappings().all()
            page = [self._experiment(connection, row) for row in rows[:limit]]
        more = len(rows) > limit
        return page, encode(page[-1].created, page[-1].id) if more else None

    def _experiment(self, connection: Connection, row: Mapping[Any, Any]) -> Experiment:
        mine = planned_trials.c.experiment == row["id"]
        joined = planned_trials.join(trials, trials.c.digest == planned_trials.c.trial)
        share = cast(trials.c.epoch, Float) / (trials.c.epochs + 1)
        by_state = (
            select(planned_trials.c.state, planned_trials.c.reused, func.count(), func.sum(share))
            .select_from(joined)
            .where(mine)
            .group_by(planned_trials.c.state, planned_trials.c.reused)
        )
        counts = dict.fromkeys(
            ("total", "queued", "running", "succeeded", "stopped", "failed", "cancelled", "reused"), 0
        )
        done = 0.0
        for state, reused, number, begun in connection.execute(by_state):
            counts["total"] += number
            counts[state] += number
            counts["reused"] += number if reused else 0
            done += {"running": begun, "queued": 0, "cancelled": 0}.get(state, number)
        failed = (
            select(planned_trials.c.trial, planned_trials.c.reason, trials.c.config)
            .select_from(joined)
            .where(mine, planned_trials.c.state == "failed")
            .order_by(planned_trials.c.position)
        )
        named = ("method", "seed", "k", "target_languages")
        failures = [
            {"trial": digest, **{name: config[name] for name in named}, "reason": reason}
            for digest, reason, config in connection.execute(failed)
        ]
        own_tags = select(tags.c.tag).where(tags.c.experiment == row["id"]).order_by(tags.c.tag)
        return Experiment(
            **{name: row[name] for name in ("id", "name", "owner", "priority", "state", "reason", "created", "started",
                                            "finished", "spec")},
            tags=list(connection.execute(own_tags).scalars()),
            progress=done / counts["total"] if counts["total"] else float(row["state"] == "succeeded"),
            trials=counts,
            cost=costs.cost(connection, row["id"], row["spec"]),
            failures=failures,
        )  # fmt: skip

    def plan_of(self, experiment: str) -> dict[str, dict[str, str]] | None:
        """Its trials, and per trial {language: digest of the test examples}; None as long as no plan is stored."""
        query = select(planned_trials.c.trial, planned_trials.c.evaluate).filter_by(experiment=experiment)
        with self._database.read() as connection:
            if not connection.execute(select(experiments.c.planned).filter_by(id=experiment)).scalar_one():
                return None
            return {row.trial: row.evaluate for row in connection.execute(query)}

    # Trials

    def outstanding(self, experiment: str, among: Collection[str] | None = None) -> dict[str, OutstandingTrial]:
        """The trials that an experiment still needs, by digest, in their order; all are queued again.

        Args:
            experiment: its id.
            among: only these are looked at, if not None.
        """
        query = (
            select(planned_trials, trials.c.config, trials.c.source)
            .join(trials, trials.c.digest == planned_trials.c.trial)
            .where(planned_trials.c.experiment == experiment)
            .order_by(planned_trials.c.position)
        )
        with self._database.write() as connection:
            rows = connection.execute(query).mappings().all()
            configs = {row["trial"]: TrialConfig.from_dict(row["config"]) for row in rows}
            there = Coverage(connection, configs)
            found = {}
            for row in rows:
                if row["state"] in ("succeeded", "stopped") or (among is not None and row["trial"] not in among):
                    continue
                mine = update(planned_trials).filter_by(experiment=experiment, trial=row["trial"])
                if (missing := there.missing(row)) is not None:
                    source = configs[row["source"]] if row["source"] else None
                    chosen, judge = tuple(row["selections"]), tuple(row["judge"])
                    config, sweep = configs[row["trial"]], row["sweep"]
                    curves = row["test_every_report"]
                    found[row["trial"]] = OutstandingTrial(config, source, chosen, missing, judge, sweep, curves)
                    connection.execute(mine.values(state="queued", reason=""))
                else:  # another experiment has done it since this one was planned
                    connection.execute(mine.values(state="succeeded", reason="", reused=True))
        return found

    def trial_started(self, experiment: str, digest: str) -> int:
        """A trial begins to run for an experiment; returns the number of this attempt."""
        with self._database.write() as connection:
            connection.execute(
                update(trials)
                .where(trials.c.digest == digest)
                .values(attempt=trials.c.attempt + 1, started=time.time(), finished=None, epoch=0)
            )
            mine = update(planned_trials).filter_by(experiment=experiment, trial=digest)
            connection.execute(mine.values(state="running", reason="", taken=None, ended_after=None))
            return int(connection.execute(select(trials.c.attempt).filter_by(digest=digest)).scalar_one())

    def record(self, digest: str, attempt: int, report: Report) -> None:
        """Store a report's scores and how far the trial is. A late report of an older attempt is refused."""
        with self._database.write() as connection:
            if self._is_current(connection, digest, attempt):
                self._add_scores(connection, digest, attempt, report.scores)
                further = update(trials).where(trials.c.digest == digest, trials.c.epoch < report.epoch)
                connection.execute(further.values(epoch=report.epoch))

    def trial_succeeded(self, digest: str, attempt: int, outcome: Outcome) -> None:
        """Store what a trial came to, and that it is done for whoever needs no more. An older attempt is refused."""
        with self._database.write() as connection:
            if not self._is_current(connection, digest, attempt):
                return
            self._add_scores(connection, digest, attempt, outcome.scores)
            statement = self._database.insert(selections)
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["trial", "selection"], set_={"step": statement.excluded.step}
                ),
                [{"trial": digest, "selection": name, "step": step} for name, step in outcome.selected.items()],
            )
            # a training that diverged has measures that JSON has no words for
            facts = json.loads(json.dumps(outcome.facts), parse_constant=lambda _: None)
            change = update(trials).where(trials.c.digest == digest)
            connection.execute(change.values(finished=time.time(), facts=facts))
            self._add_sizes(connection, digest, outcome.facts.get("sizes", {}))
            waiting = select(planned_trials).filter_by(trial=digest, state="running")
            there = Coverage(connection, [digest])
            for row in connection.execute(waiting).mappings().all():
                if there.missing(row) is None:
                    mine = update(planned_trials).filter_by(experiment=row["experiment"], trial=digest)
                    connection.execute(mine.values(state="succeeded", taken=costs.last_attempt(digest)))
                    working = update(experiments).where(experiments.c.id == row["experiment"])
                    connection.execute(working.values(driver_starts=1))  # a driver that gets things done

    def _add_sizes(self, connection: Connection, digest: str, found: Mapping[str, Mapping[str, int]]) -> None:
        if not found:
            return
        encoder = TrialConfig.from_dict(
            connection.execute(select(trials.c.config).filter_by(digest=digest)).scalar_one()
        )
        statement = self._database.insert(sizes)
        counts = {name: statement.excluded[name] for name in ("examples", "windows", "sub_words")}
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["encoder", "data"], set_=counts, where=sizes.c.examples < statement.excluded.examples
            ),
            [{"encoder": encoder.encoder_digest, "data": data, **size} for data, size in found.items()],
        )

    def _is_current(self, connection: Connection, digest: str, attempt: int) -> bool:
        """Whether an attempt is the latest at its trial."""
        return bool(attempt == connection.execute(select(trials.c.attempt).filter_by(digest=digest)).scalar_one())

    def _add_scores(self, connection: Connection, digest: str, attempt: int, found: Sequence[Score]) -> None:
        if not found:
            return
        statement = self._database.insert(scores)
        changed = ("value", "epoch", "attempt", "examples", "cut")
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["trial", "step", "language", "split", "data", "metric"],
                set_={name: statement.excluded[name] for name in changed},
            ),
            [{"trial": digest, "attempt": attempt, **asdict(score)} for score in found],
        )

    def trial_stopped(self, experiment: str, digest: str, reason: str) -> None:
        """Store that a scheduler stopped a trial early for an experiment. Its scores stay."""
        self._end_early(experiment, digest, "stopped", reason)

    def trial_failed(self, experiment: str, digest: str, reason: str) -> None:
        """Store that a trial failed for an experiment, and why. Its scores stay."""
        self._end_early(experiment, digest, "failed", reason)

    def _end_early(self, experiment: str, digest: str, state: str, reason: str) -> None:
        key = {"experiment": experiment, "trial": digest}
        running = select(planned_trials.c.trial).filter_by(**key, state="running")
        was_running = planned_trials.c.state == "running"
        epoch = select(trials.c.epoch).filter_by(digest=digest).scalar_subquery()
        came_to = {
            "ended_after": case((was_running, epoch), else_=0),
            "taken": case((was_running, costs.last_attempt(digest)), else_=0.0),
        }
        with self._database.write() as connection:
            connection.execute(update(trials).where(trials.c.digest.in_(running)).values(finished=time.time()))
            connection.execute(update(planned_trials).filter_by(**key).values(state=state, reason=reason, **came_to))

    def spent(self, experiment: str) -> tuple[int, float]:
        """How many trials were begun for an experiment, and the seconds that they took so far."""
        with self._database.read() as connection:
            return costs.spent(connection, experiment)

    def trial(self, digest: str) -> dict[str, Any] | None:
        """A trial's configuration and facts, and its state for each experiment; None if there is no such trial."""
        asking = select(planned_trials.c.experiment.label("id"), planned_trials.c.state, planned_trials.c.reason)
        with self._database.read() as connection:
            row = connection.execute(select(trials).filter_by(digest=digest)).mappings().one_or_none()
            states = connection.execute(asking.filter_by(trial=digest).order_by("id")).mappings().all()
        return {**row, "experiments": [dict(state) for state in states]} if row is not None else None
