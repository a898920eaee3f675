"""What was found: score rows, what candidates came to, the shots that were drawn."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields
from hashlib import sha256
from statistics import fmean
from typing import Any, NamedTuple

from pyarrow import RecordBatch
from sqlalchemy import ColumnElement, Connection, Select, and_, false, func, literal, select, union

from search_spaces.objective import Judged
from service.store import arrow, costs
from service.store.database import BadCursorError, Database, decode, encode
from service.store.query import EVERYTHING, By, Columns, Where, after, equal
from service.store.schema import (
    clock,
    experiments,
    measures,
    planned_results,
    planned_trials,
    scores,
    selections,
    tags,
    trials,
)
from trainers.trial import Score, Selection, TrialConfig

# What a row says, and of which type.
RESULT_COLUMNS: dict[str, type[str] | type[int] | type[float] | type[bool]] = {
    "experiment": str, "trial": str, "method": str, "k": int, "seed": int, "alpha": float, "candidate": str,
    "language": str, "split": str, "metric": str, "epoch": int, "value": float, "examples": int, "cut": bool,
    "selected": bool, "selection": str, "judged_on": str,
}  # fmt: skip

# What one of the values is that an experiment wants to know, and the value.
CELL_COLUMNS: dict[str, type[str] | type[int] | type[float] | type[bool]] = {
    "experiment": str, "trial": str, "method": str, "k": int, "seed": int, "alpha": float, "candidate": str,
    "language": str, "selection": str, "judged_on": str, "data": str, "metric": str, "value": float,
}  # fmt: skip

# So many rows are read here; for more another process is worth its third of a second.
FEW_ROWS = 10_000


@dataclass(frozen=True)
class Query:
    """A question about results.

    Attributes:
        where: which rows; of RESULT_COLUMNS, `owner`, and `tags` (with "eq" and "in": it has one of them).
        order: by what they are sorted; where that leaves it open, as they were planned.
        columns: what is told of each.
        every_step: test scores of all steps that have one, for curves; else those at the step that was selected.
        since: only rows that came after that moment, or changed: `Page.now` of an earlier answer.
    """

    where: Where = EVERYTHING
    order: tuple[By, ...] = ()
    columns: tuple[str, ...] = tuple(RESULT_COLUMNS)
    every_step: bool = False
    since: int | None = None

    def digest(self) -> str:
        """A name of it: cursors are of one query."""
        return sha256(repr(self).encode()).hexdigest()[:16]


class Page(NamedTuple):
    """Some rows of an answer, the cursor of the next page if there is one, and the moment that all pages are of."""

    rows: list[dict[str, Any]]
    next: str | None
    now: int


class Results:
    """What the trials came to, as experiments ask for it. Nothing is changed.

    Args:
        database: where it is kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def rows(self, query: Query, limit: int, cursor: str | None = None) -> Page:
        """A page of an answer. What comes while pages are read is not on them, but after `Page.now`.

        Args:
            query: what is asked.
            limit: how many rows at most.
            cursor: where the page before ended.

        Raises:
            BadCursorError: no page of this query ended so.
        """
        with self._database.read() as connection:
            now, last = (_moment(connection), None) if cursor is None else _decoded(query, cursor)
            if query.since == now:
                return Page([], None, now)
            statement, keys = self._statement(query, now)
            statement = statement.add_columns(*(key.label(f"key_{n}") for n, (key, _) in enumerate(keys)))
            if last is not None:
                statement = statement.where(after(keys, last))
            rows = connection.execute(statement.limit(limit + 1)).mappings().all()
        following = None
        if len(rows) > limit:
            ended = [rows[limit - 1][f"key_{n}"] for n in range(len(keys))]
            following = encode(query.digest(), now, ended)
        return Page([{name: row[name] for name in query.columns} for row in rows[:limit]], following, now)

    def whole(self, query: Query, limit: int | None = None) -> tuple[int, Iterator[RecordBatch]]:
        """A whole answer in Arrow's batches, one at least, and the moment that it is of."""
        types = {name: RESULT_COLUMNS[name] for name in query.columns}
        most = FEW_ROWS if limit is None else min(limit, FEW_ROWS)
        with self._database.read() as connection:
            now = _moment(connection)
            if query.since == now:
                return now, iter([arrow.batch([], types)])
            statement, _ = self._statement(query, now)
            rows = connection.execute(statement.limit(most + (limit != most))).all()
        if len(rows) <= most:
            return now, iter([arrow.batch(rows, types)])
        return now, arrow.batches(self._database.url, statement.limit(limit), types)

    def cells(self, where: Where, split: str, metric: str | None) -> RecordBatch:
        """What experiments want to know, and the value of it: null as long as it is not there.

        Args:
            where: which; of CELL_COLUMNS but `metric`, of `owner` and of `tags`.
            split: "test" or "dev": always of the weights that were selected.
            metric: None for all that there are; "" is that of a value that is not there.

        Returns:
            CELL_COLUMNS.
        """
        told: dict[str, ColumnElement[Any]] = {
            name: planned_results.c[name] for name in CELL_COLUMNS if name in planned_results.c
        }
        told |= {"metric": func.coalesce(scores.c.metric, ""), "value": scores.c.value}
        of_selection = and_(*(selections.c[name] == planned_results.c[name] for name in ("trial", "selection")))
        of_score = and_(_of_score(), scores.c.step == selections.c.step)
        joined = (
            planned_results.outerjoin(selections, of_selection)
            .outerjoin(scores, of_score if metric is None else and_(of_score, scores.c.metric == metric))
            .join(experiments, experiments.c.id == planned_results.c.experiment)
        )
        statement = (
            select(*(told[name].label(name) for name in CELL_COLUMNS))
            .select_from(joined)
            .where(planned_results.c.split == split, self._columns(told).clause(where))
        )
        with self._database.read() as connection:
            return arrow.batch(connection.execute(statement).all(), CELL_COLUMNS)

    def measures(self, where: Where) -> list[dict[str, Any]]:
        """What the trainings behind results measured at each report: `method`, `k`, `seed`, `alpha`, `values`, ...

        Args:
            where: which; of CELL_COLUMNS but `metric`, of `owner` and of `tags`.
        """
        names = (
            "experiment",
            "trial",
            "method",
            "k",
            "seed",
            "alpha",
            "candidate",
            "language",
            "selection",
            "judged_on",
        )
        told: dict[str, ColumnElement[Any]] = {name: planned_results.c[name] for name in (*names, "data")}
        columns = [told[name] for name in ("experiment", "trial", "method", "k", "seed", "alpha", "candidate")]
        joined = planned_results.join(experiments, experiments.c.id == planned_results.c.experiment)
        mine = select(*columns).select_from(joined).where(self._columns(told).clause(where)).distinct().subquery()
        query = select(mine, measures.c.epoch, measures.c.step, measures.c["values"])
        query = query.join(measures, measures.c.trial == mine.c.trial)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(mine.c.trial, measures.c.step)).mappings().all()
        return [dict(row) for row in rows]

    def specs(self, ids: Collection[str]) -> dict[str, dict[str, Any]]:
        """What some experiments asked for, by id."""
        query = select(experiments.c.id, experiments.c.spec).where(experiments.c.id.in_(ids))
        with self._database.read() as connection:
            return {id_: spec for id_, spec in connection.execute(query)}  # noqa: C416  (mypy knows no rows as pairs)

    def _columns(self, told: Mapping[str, ColumnElement[Any]]) -> Columns:
        tagged = select(tags.c.tag).where(tags.c.experiment == experiments.c.id)
        return Columns({**told, "owner": experiments.c.owner}, {"tags": tagged}, self._database.ordered)

    def _statement(self, query: Query, now: int) -> tuple[Select[Any], list[tuple[ColumnElement[Any], bool]]]:
        """A query as SQL, as of a moment, and the keys that its rows are sorted by."""
        selected = func.coalesce(scores.c.step == selections.c.step, false()).label("selected")
        told: dict[str, ColumnElement[Any]] = {
            name: planned_results.c[name] if name in planned_results.c else scores.c[name]
            for name in RESULT_COLUMNS
            if name != "selected"
        }
        told["selected"] = selected
        columns = self._columns(told)
        keys = [*columns.keys(query.order), (planned_results.c.id, False), (scores.c.id, False)]
        visible = selected | (scores.c.split != "test") | literal(query.every_step)
        of_selection = and_(
            *(selections.c[name] == planned_results.c[name] for name in ("trial", "selection")), selections.c.at <= now
        )
        joined = (
            planned_results.join(scores, _of_score())
            .outerjoin(selections, of_selection)
            .join(experiments, experiments.c.id == planned_results.c.experiment)
        )
        asked_of = joined
        if query.since is not None:
            came = [table.c.at > query.since for table in (scores, planned_results, selections)]
            ids = planned_results.c.id.label("planned"), scores.c.id.label("score")
            pairs = union(*(select(*ids).select_from(joined).where(one) for one in came)).subquery("pairs")
            asked_of = (
                pairs.join(planned_results, planned_results.c.id == pairs.c.planned)
                .join(scores, scores.c.id == pairs.c.score)
                .outerjoin(selections, of_selection)
                .join(experiments, experiments.c.id == planned_results.c.experiment)
            )
        statement = (
            select(*(told[name].label(name) for name in query.columns))
            .select_from(asked_of)
            .where(visible, columns.clause(query.where), *(table.c.at <= now for table in (scores, planned_results)))
            .order_by(*(key.desc() if descending else key for key, descending in keys))
        )
        return statement, keys

    def test_scores(self, experiment: str, metric: str) -> list[dict[str, Any]]:
        """`method`, `trial`, `language`, `value` of the selected test scores of the trials that are compared."""
        filters = equal({"experiment": [experiment], "split": ["test"], "metric": [metric]})
        query = Query(filters, columns=("method", "trial", "language", "value"))
        found: list[dict[str, Any]] = []
        cursor = None
        while True:
            page = self.rows(query, 10_000, cursor)
            found += page.rows
            if (cursor := page.next) is None:
                return found

    def by_selection(self, trial: str) -> dict[Selection, list[Score]]:
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

    def objectives(self, experiment: str, metric: str) -> dict[str, Judged]:
        """What is known of an experiment's trials that are compared with others, by digest."""
        of_trial = planned_trials.c.trial
        compared = and_(planned_trials.c.experiment == experiment, planned_trials.c.sweep.is_not(None))
        tried = costs.ran([experiment])
        asking = (
            select(planned_trials, trials.c.config, tried.epochs.label("epochs"), tried.seconds.label("seconds"))
            .select_from(tried.tables)
            .where(compared)
        )
        measured = (
            select(of_trial, scores.c.epoch, scores.c.step, scores.c.language, scores.c.data, scores.c.value)
            .join(scores, scores.c.trial == of_trial)
            .where(compared, scores.c.split == "dev", scores.c.metric == metric)
            .order_by(of_trial, scores.c.step)
        )
        chosen = select(selections.c.trial, selections.c.selection, selections.c.step)
        chosen = chosen.join(planned_trials, of_trial == selections.c.trial).where(compared)
        with self._database.read() as connection:
            rows = connection.execute(asking.order_by(planned_trials.c.position)).mappings().all()
            found = {
                row["trial"]: Judged(
                    TrialConfig.from_dict(row["config"]),
                    row["sweep"],
                    row["state"],
                    row["epochs"],
                    row["seconds"],
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


def _of_score() -> ColumnElement[bool]:
    return and_(*(scores.c[name] == planned_results.c[name] for name in ("trial", "language", "split", "data")))


def _moment(connection: Connection) -> int:
    return int(connection.execute(select(clock.c.now)).scalar_one())


def _decoded(query: Query, cursor: str) -> tuple[int, list[Any]]:
    """The moment of a query's pages, and the keys of the last row of one."""
    match decode(cursor):
        case [digest, now, last] if digest == query.digest():
            return now, last
    raise BadCursorError("it is of another query")
