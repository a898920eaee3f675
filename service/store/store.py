"""The store: every question that the service asks its database, and every change that it makes."""

import json
import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from statistics import fmean
from types import MappingProxyType
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    and_,
    case,
    cast,
    false,
    func,
    insert,
    literal,
    select,
    update,
)

from search_spaces.candidates import Candidate
from search_spaces.clock import Measured
from search_spaces.estimate import Known, devices
from search_spaces.judging import Judged
from search_spaces.plan import Plan
from search_spaces.spec import ExperimentSpec, ResourcesSpec
from service.store.database import Database, decode, encode
from service.store.schema import experiments, planned_results, planned_trials, scores, selections, sizes, tags, trials
from trainers.config import Outcome, Report, Score, Selection, TrialConfig, Work
from trainers.methods import METHODS
from trainers.sub_words import Size

ACTIVE = ("queued", "running")
FINAL = ("succeeded", "failed", "cancelled")

# Of the trials that tell how fast others will be, the latest.
MAX_MEASURED = 100

NOTHING_ESTIMATED: Mapping[str, float | None] = MappingProxyType({})

RESULT_COLUMNS = (
    "experiment", "trial", "method", "k", "seed", "alpha", "candidate", "language", "split", "metric", "epoch",
    "value", "examples", "cut", "selected", "selection", "judged_on",
)  # fmt: skip


@dataclass(frozen=True)
class Experiment:
    """An experiment as it stands.

    `trials` counts by state, `failures` name trials and reasons. `cost` is in seconds of a GPU, or of a CPU thread
    where none is asked for: `planned`, `spent` (also by what failed), and `left` if all takes as much longer than
    planned as the trials that are done did: `error`, planned over taken. None is not known.
    """

    id: str
    name: str
    owner: str
    tags: list[str]
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


class Store:
    """Experiments, trials and scores in a database.

    Args:
        url: of the database, as SQLAlchemy writes it.
    """

    def __init__(self, url: str) -> None:
        self._database = Database(url)

    def close(self) -> None:
        """Give the connections back."""
        self._database.close()

    # Experiments

    def add_experiment(
        self, spec: ExperimentSpec, plan: Plan | None, seconds: Mapping[str, float | None] = NOTHING_ESTIMATED
    ) -> str:
        """Store an experiment, with its plan if its data are at hand; returns its id.

        Args:
            spec: what was asked for.
            plan: None if it is made later, by `add_plan`.
            seconds: estimated, of each trial.
        """
        id_ = secrets.token_hex(6)
        with self._database.write() as connection:
            connection.execute(
                insert(experiments).values(
                    id=id_,
                    name=spec.name,
                    owner=spec.owner,
                    spec=spec.model_dump(mode="json"),
                    planned=False,
                    state="queued",
                    reason="",
                    created=time.time(),
                    driver_starts=0,
                )
            )
            if distinct := sorted(set(spec.tag_list())):
                connection.execute(insert(tags), [{"experiment": id_, "tag": tag} for tag in distinct])
            if plan is not None:
                self._add_plan(connection, id_, plan, seconds)
        return id_

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
            there = _There(connection, plan.trials)
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
            there = _There(connection, plan.trials)
            return Known(
                {digest: there.missing({"trial": digest, **vars(planned)}) for digest, planned in plan.trials.items()},
                frozenset(connection.execute(chosen).scalars()),
                {data: Size(*counts) for data, *counts in connection.execute(counted)},
                self._measured(connection, spec, encoder),
            )  # fmt: skip

    def _measured(self, connection: Connection, spec: ExperimentSpec, encoder: str) -> list[Measured]:
        """What the last trials like a spec's took: same encoder, task, precision, threads and kind of device."""
        config, facts, on_cpu = trials.c.config, trials.c.facts, trials.c.facts["device"].as_string().startswith("cpu")
        query = (
            select(config["method"].as_string(), trials.c.finished - trials.c.started, facts["work"])
            .where(
                trials.c.finished.is_not(None),
                config["encoder_digest"].as_string() == encoder,
                config["task"].as_string() == spec.task,
                config[("training", "precision")].as_string() == Candidate().training(spec).precision,
                facts["threads"].as_integer() == spec.resources.cpus_per_trial,
                ~on_cpu if spec.resources.gpus_per_trial else on_cpu,
            )
            .order_by(trials.c.finished.desc())
            .limit(MAX_MEASURED)
        )
        return [
            Measured(METHODS[method].adapts, seconds, Work(**work["training"]), Work(**work["evaluation"]))
            for method, seconds, work in connection.execute(query)
        ]

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
        counts = dict.fromkeys(("total", "queued", "running", "succeeded", "stopped", "failed", "reused"), 0)
        done = 0.0
        for state, reused, number, begun in connection.execute(by_state):
            counts["total"] += number
            counts[state] += number
            counts["reused"] += number if reused else 0
            done += {"running": begun, "queued": 0}.get(state, number)
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
            **{name: row[name] for name in ("id", "name", "owner", "state", "reason", "created", "started",
                                            "finished", "spec")},
            tags=list(connection.execute(own_tags).scalars()),
            progress=done / counts["total"] if counts["total"] else float(row["state"] == "succeeded"),
            trials=counts,
            cost=self._cost(connection, row["id"], row["spec"]),
            failures=failures,
        )  # fmt: skip

    def _cost(self, connection: Connection, experiment: str, spec: Mapping[str, Any]) -> dict[str, float | None]:
        mine, now = planned_trials.c, time.time()
        running = case((mine.state == "running", now - trials.c.started), else_=0.0)
        has_ended, is_open = mine.taken.is_not(None), mine.state.in_(("queued", "running"))
        unknown = and_(mine.estimated.is_(None), ~mine.reused)
        sums = {
            "unknown": case((unknown, 1), else_=0),
            "planned": mine.estimated,
            "spent": func.coalesce(mine.taken, 0.0) + running,
            "open": case((is_open, mine.estimated), else_=0.0),
            "running": running,
            "expected": case((and_(has_ended, mine.state == "succeeded"), mine.estimated), else_=0.0),
            "taken": case((mine.state == "succeeded", mine.taken), else_=0.0),
        }
        query = (
            select(*(func.coalesce(func.sum(value), 0).label(name) for name, value in sums.items()))
            .select_from(planned_trials.join(trials, trials.c.digest == mine.trial))
            .where(mine.experiment == experiment)
        )
        found = connection.execute(query).mappings().one()
        of_trial = devices(ResourcesSpec.model_validate(spec["resources"]))
        is_known = not found["unknown"]
        error = found["expected"] / found["taken"] if is_known and found["taken"] else None
        left = max(0.0, found["open"] / (error or 1.0) - found["running"])
        return {
            "planned": of_trial * found["planned"] if is_known else None,
            "spent": of_trial * found["spent"],
            "left": of_trial * left if is_known else None,
            "error": error,
        }

    def plan_of(self, experiment: str) -> dict[str, dict[str, str]] | None:
        """Its trials, and per trial {language: digest of the test examples}; None as long as no plan is stored."""
        query = select(planned_trials.c.trial, planned_trials.c.evaluate).filter_by(experiment=experiment)
        with self._database.read() as connection:
            if not connection.execute(select(experiments.c.planned).filter_by(id=experiment)).scalar_one():
                return None
            return {row.trial: row.evaluate for row in connection.execute(query)}

    def next_active(self) -> str | None:
        """The experiment that should run now: one that was running, else the longest queued."""
        query = (
            select(experiments.c.id)
            .where(experiments.c.state.in_(ACTIVE))
            .order_by(experiments.c.state.desc(), experiments.c.created, experiments.c.id)
            .limit(1)
        )
        with self._database.read() as connection:
            return connection.execute(query).scalar()

    def set_state(self, experiment: str, state: str, reason: str = "") -> None:
        """Change an experiment's state. A final state stays as it is."""
        now = time.time()
        times: dict[str, Any] = {}
        if state == "running":
            times = {"started": func.coalesce(experiments.c.started, now)}
        elif state in FINAL:
            times = {"finished": now}
        change = update(experiments).where(experiments.c.id == experiment, experiments.c.state.not_in(FINAL))
        with self._database.write() as connection:
            connection.execute(change.values(state=state, reason=reason, **times))
            if state != "running":
                self._stop_trials(connection, experiment)

    def driver(self, experiment: str) -> tuple[int, float] | None:
        """Pid and start time of the process that runs it, if one was started."""
        query = select(experiments.c.driver_pid, experiments.c.driver_created).filter_by(id=experiment)
        with self._database.read() as connection:
            pid, created = connection.execute(query).one()
        return (pid, created) if pid is not None else None

    def set_driver(self, experiment: str, pid: int, created: float) -> None:
        """Remember the process that runs it."""
        change = update(experiments).where(experiments.c.id == experiment)
        starts = experiments.c.driver_starts + 1
        with self._database.write() as connection:
            connection.execute(change.values(driver_pid=pid, driver_created=created, driver_starts=starts))

    def release_driver(self, experiment: str, reason: str) -> None:
        """Queue an experiment again whose driver was stopped on purpose."""
        change = update(experiments).where(experiments.c.id == experiment, experiments.c.state.in_(ACTIVE))
        with self._database.write() as connection:
            connection.execute(
                change.values(state="queued", reason=reason, driver_pid=None, driver_created=None, driver_starts=0)
            )
            self._stop_trials(connection, experiment)

    def _stop_trials(self, connection: Connection, experiment: str) -> None:
        """Nothing of an experiment that does not run itself is running."""
        mine = update(planned_trials).filter_by(experiment=experiment, state="running")
        connection.execute(mine.values(state="queued"))

    def driver_starts(self, experiment: str) -> int:
        """How many processes have been started for it."""
        with self._database.read() as connection:
            return int(connection.execute(select(experiments.c.driver_starts).filter_by(id=experiment)).scalar_one())

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
            there = _There(connection, configs)
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
            connection.execute(mine.values(state="running", reason="", taken=None))
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
            there = _There(connection, [digest])
            for row in connection.execute(waiting).mappings().all():
                if there.missing(row) is None:
                    mine = update(planned_trials).filter_by(experiment=row["experiment"], trial=digest)
                    connection.execute(mine.values(state="succeeded", taken=_seconds_of(digest)))
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
        with self._database.write() as connection:
            key = {"experiment": experiment, "trial": digest}
            is_running = connection.execute(select(planned_trials.c.state).filter_by(**key)).scalar_one() == "running"
            epoch = select(trials.c.epoch).filter_by(digest=digest).scalar_subquery()
            came_to = {"stopped_after": epoch if is_running else 0, "taken": _seconds_of(digest) if is_running else 0.0}
            if is_running:
                connection.execute(update(trials).where(trials.c.digest == digest).values(finished=time.time()))
            mine = update(planned_trials).filter_by(**key)
            connection.execute(mine.values(state="stopped", reason=reason, **came_to))

    def trial_failed(self, experiment: str, digest: str, reason: str) -> None:
        """Store that a trial failed for an experiment, and why. Its scores stay."""
        with self._database.write() as connection:
            connection.execute(update(trials).where(trials.c.digest == digest).values(finished=time.time()))
            mine = update(planned_trials).filter_by(experiment=experiment, trial=digest)
            connection.execute(mine.values(state="failed", reason=reason, taken=_seconds_of(digest)))

    def trial(self, digest: str) -> dict[str, Any] | None:
        """A trial's configuration and facts, and its state for each experiment; None if there is no such trial."""
        asking = select(planned_trials.c.experiment.label("id"), planned_trials.c.state, planned_trials.c.reason)
        with self._database.read() as connection:
            row = connection.execute(select(trials).filter_by(digest=digest)).mappings().one_or_none()
            states = connection.execute(asking.filter_by(trial=digest).order_by("id")).mappings().all()
        return {**row, "experiments": [dict(state) for state in states]} if row is not None else None

    def shots(self, experiment: str) -> list[dict[str, Any]]:
        """The draws that an experiment's trials were trained on: `language`, `k`, `seed` and what is known of each."""
        query = (
            select(trials.c.config, trials.c.facts)
            .join(planned_trials, planned_trials.c.trial == trials.c.digest)
            .where(planned_trials.c.experiment == experiment, planned_trials.c.state == "succeeded")
            .order_by(planned_trials.c.position)
        )
        drawn: dict[tuple[str, int, int], dict[str, Any]] = {}
        with self._database.read() as connection:
            for config, facts in connection.execute(query):
                for language, shots in facts["shots"].items():
                    key = {"language": language, "k": config["k"], "seed": config["seed"]}
                    drawn[language, config["k"], config["seed"]] = {**key, **shots}
        return [drawn[key] for key in sorted(drawn)]

    def objectives(self, experiment: str, metric: str) -> dict[str, Judged]:
        """What is known of an experiment's trials that are compared with others, by digest."""
        of_trial = planned_trials.c.trial
        compared = and_(planned_trials.c.experiment == experiment, planned_trials.c.sweep.is_not(None))
        took = func.coalesce(func.coalesce(trials.c.finished, time.time()) - trials.c.started, 0.0).label("seconds")
        asking = (
            select(planned_trials, trials.c.config, trials.c.epoch, took)
            .join(trials, trials.c.digest == of_trial)
            .where(compared)
        )
        measured = (
            select(of_trial, scores.c.epoch, scores.c.step, scores.c.language, scores.c.data, scores.c.value)
            .join(scores, scores.c.trial == of_trial)
            .where(compared, scores.c.split == "dev", scores.c.metric == metric)
            .order_by(of_trial, scores.c.step)
        )
        chosen = select(selections).join(planned_trials, of_trial == selections.c.trial).where(compared)
        with self._database.read() as connection:
            rows = connection.execute(asking.order_by(planned_trials.c.position)).mappings().all()
            found = {
                row["trial"]: Judged(
                    TrialConfig.from_dict(row["config"]),
                    row["sweep"],
                    row["state"],
                    row["epoch"] if row["stopped_after"] is None else row["stopped_after"],
                    row["seconds"] if row["taken"] is None else row["taken"],
                    {},
                    [],
                )
                for row in rows
            }
            judges = {row["trial"]: row["judge"] for row in rows}
            for trial, selection, step in connection.execute(chosen):
                if found[trial].state != "stopped":
                    found[trial].selected[selection] = step
            values: dict[tuple[str, int, int], list[float]] = {}
            for trial, epoch, step, language, data, value in connection.execute(measured):
                stopped = found[trial].state == "stopped" and epoch > found[trial].epochs  # others went on with it
                if judges[trial].get(language) == data and not stopped:
                    values.setdefault((trial, epoch, step), []).append(value)
        for (trial, epoch, step), of_languages in values.items():
            if len(of_languages) == len(judges[trial]):
                found[trial].history.append((epoch, step, fmean(of_languages)))
        return found

    def spent(self, experiment: str) -> tuple[int, float]:
        """How many trials were begun for an experiment, and the hours that they took so far."""
        until = func.coalesce(trials.c.finished, time.time())
        query = (
            select(func.count(), func.coalesce(func.sum(until - trials.c.started), 0.0))
            .select_from(planned_trials.join(trials, trials.c.digest == planned_trials.c.trial))
            .where(planned_trials.c.experiment == experiment, trials.c.started.is_not(None))
            .where(planned_trials.c.reused.is_(False), planned_trials.c.state != "queued")
        )
        with self._database.read() as connection:
            begun, seconds = connection.execute(query).one()
        return int(begun), float(seconds) / 3600

    def scores_by_selection(self, trial: str) -> dict[Selection, list[Score]]:
        """The scores of what each of a trial's selections chose."""
        columns = [scores.c[field.name] for field in fields(Score)]
        query = (
            select(selections.c.selection, *columns)
            .join(scores, and_(selections.c.trial == scores.c.trial, selections.c.step == scores.c.step))
            .where(scores.c.trial == trial)
            .order_by(selections.c.selection, scores.c.id)
        )
        found: dict[Selection, list[Score]] = {}
        with self._database.read() as connection:
            for row in connection.execute(query).mappings():
                values = {name: value for name, value in row.items() if name != "selection"}
                found.setdefault(row["selection"], []).append(Score(**values))
        return found

    # Results

    def results(
        self, filters: Mapping[str, Sequence[Any]], limit: int, cursor: str | None = None, every_step: bool = False
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Rows of RESULT_COLUMNS, in the order in which their scores came, and the cursor of the next page.

        Test scores are those at the step that the method selected; dev scores are there for every epoch.

        Args:
            filters: per column (of RESULT_COLUMNS, or `owner` and `tags`) the values to keep.
            limit: how many rows at most.
            cursor: where the page before ended.
            every_step: test scores of all steps that have one, for curves.

        Raises:
            BadCursorError: no page ended so.
        """
        is_selected = func.coalesce(scores.c.step == selections.c.step, false())
        joined = (
            planned_results.join(
                scores,
                and_(*(scores.c[name] == planned_results.c[name] for name in ("trial", "language", "split", "data"))),
            )
            .outerjoin(
                selections, and_(*(selections.c[name] == planned_results.c[name] for name in ("trial", "selection")))
            )
            .join(experiments, experiments.c.id == planned_results.c.experiment)
        )
        columns: dict[str, ColumnElement[Any]] = {
            name: planned_results.c[name] if name in planned_results.c else scores.c[name]
            for name in RESULT_COLUMNS
            if name != "selected"
        }
        columns["selected"] = is_selected.label("selected")
        query = (
            select(scores.c.id.label("score_id"), planned_results.c.id.label("result_id"), *columns.values())
            .select_from(joined)
            .where(is_selected | (scores.c.split != "test") | literal(every_step))
            .order_by(scores.c.id, planned_results.c.id)
            .limit(limit + 1)
        )
        for name, values in filters.items():
            if name == "tags":
                query = query.where(experiments.c.id.in_(select(tags.c.experiment).where(tags.c.tag.in_(values))))
            else:
                query = query.where((experiments.c.owner if name == "owner" else columns[name]).in_(values))
        if cursor is not None:
            score, result = decode(cursor, int, int)
            query = query.where((scores.c.id > score) | ((scores.c.id == score) & (planned_results.c.id > result)))
        with self._database.read() as connection:
            rows = connection.execute(query).mappings().all()
        page = rows[:limit]
        following = encode(page[-1]["score_id"], page[-1]["result_id"]) if len(rows) > limit else None
        return [{name: row[name] for name in RESULT_COLUMNS} for row in page], following

    def test_scores(self, experiment: str, metric: str) -> list[dict[str, Any]]:
        """`method`, `trial`, `language`, `value` of the selected test scores of the trials that are compared."""
        filters = {"experiment": [experiment], "split": ["test"], "metric": [metric]}
        found: list[dict[str, Any]] = []
        cursor = None
        while True:
            rows, cursor = self.results(filters, 10_000, cursor)
            found += rows
            if cursor is None:
                return found


class _There:
    """What is known of trials: the steps that were selected, and which scores there are.

    Args:
        connection: to ask.
        digests: of the trials.
    """

    def __init__(self, connection: Connection, digests: Collection[str]) -> None:
        self.epochs: dict[str, int] = {}
        self.chosen: dict[str, dict[str, int]] = {}
        self.steps: dict[tuple[str, str, str, str], set[int]] = {}
        choices = (
            select(selections.c.trial, selections.c.selection, selections.c.step, trials.c.epochs)
            .join(trials, trials.c.digest == selections.c.trial)
            .where(selections.c.trial.in_(digests))
        )
        for trial, selection, step, epochs in connection.execute(choices):
            self.epochs[trial] = epochs
            self.chosen.setdefault(trial, {})[selection] = step
        columns = (scores.c.trial, scores.c.split, scores.c.language, scores.c.data, scores.c.step)
        for *key, step in connection.execute(select(*columns).where(scores.c.trial.in_(self.chosen))):
            self.steps.setdefault((key[0], key[1], key[2], key[3]), set()).add(step)

    def missing(self, planned: Mapping[Any, Any]) -> tuple[str, ...] | None:
        """What a planned trial still lacks: the languages without a test score of what was selected; None if nothing.

        Where no more than scores on its judging dev sets are lacking, no language is. Where test scores of every epoch
        are asked for, there must be as many as epochs.
        """
        trial = planned["trial"]
        chosen = self.chosen.get(trial, {})
        if not chosen.keys() >= set(planned["selections"]):
            return tuple(planned["evaluate"])
        steps = [chosen[selection] for selection in planned["selections"]]

        def lacking(split: str, needed: Mapping[str, str], at_least: int) -> tuple[str, ...]:
            found = {name: self.steps.get((trial, split, name, data), set()) for name, data in needed.items()}
            return tuple(name for name, of in found.items() if not of.issuperset(steps) or len(of) < at_least)

        tests = lacking("test", planned["evaluate"], self.epochs[trial] if planned["test_every_report"] else 1)
        return tests if tests or lacking("dev", planned["judge"], 1) else None


def _seconds_of(digest: str) -> Any:
    """From the start to the end of a trial's last attempt."""
    return select(trials.c.finished - trials.c.started).filter_by(digest=digest).scalar_subquery()
