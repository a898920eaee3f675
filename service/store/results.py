"""Results: the scores of trials under each experiment that asked for them, filtered, sorted and in pages.

More than 300 lines: one query, with all that it filters by, sorts by and pages through.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple

from pyarrow import RecordBatch, Table
from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    Subquery,
    and_,
    func,
    literal,
    select,
    true,
    union,
)

from search_spaces.columns import COLUMNS, SHOWN
from search_spaces.sources import DataSpec
from service.store import arrow, marks
from service.store.broken import reading, require
from service.store.column_values import as_sql
from service.store.database import Database, decode, encode
from service.store.events import differences, left_out
from service.store.query import EVERYTHING, BadCursorError, By, Columns, Where, after
from service.store.schema import (
    Readable,
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
from trainers.marks import MARK_NAMES
from trainers.trial import Selection

# The columns of a result, with their types.
RESULT_COLUMNS = {column.name: column.type for column in SHOWN}

# Those of a cell: a value that an experiment asks for, whether or not it is there. `examples` is the digest of the
# examples that are scored, `step` that of the selected weights.
CELL_COLUMNS = {
    column.name: column.type for column in COLUMNS if column.place == "planned_results" and column.name != "split"
} | {"examples": str, "metric": str, "value": float, **dict.fromkeys(MARK_NAMES, bool), "step": int}

# Those that tell trainings apart, whatever is scored.
TRAINING_COLUMNS = ("experiment", "trial", "method", "k", "seed", "alpha", "candidate", "numerics")

# Those of a planned result that reports of every epoch need, and of its scores: `planned` is the `id` of the result.
EVERY_PLANNED = {"id": int} | {
    name: RESULT_COLUMNS[name]
    for name in (
        *("experiment", "trial", "method", "k", "seed", "candidate", "language", "split"),
        *("selection", "judged_on", "numerics"),
    )
}
EVERY_SCORE = {
    "planned": int, "step": int, "metric": str, "epoch": int, "value": float, "examples": int, "selected": bool,
}  # fmt: skip

# Up to this many rows are read in this process; for more, starting another one (a third of a second) pays off.
FEW_ROWS = 10_000

# Trials that one statement names.
ASKED_AT_ONCE = 10_000


# Means and reports are of experiments whose specs can be read.
_IS_READABLE = Readable(experiments.c.spec).is_not(None)


@dataclass(frozen=True)
class Query:
    """A question about results.

    Attributes:
        where: conditions on COLUMNS.
        order: columns to sort by; ties are in the order in which the experiments were planned.
        columns: which of RESULT_COLUMNS a row has.
        every_step: include test scores of every step that has one, for curves; otherwise of the selected step alone.
        since: only rows that were added or changed after this revision: `Page.now` of an earlier answer.
    """

    where: Where = EVERYTHING
    order: tuple[By, ...] = ()
    columns: tuple[str, ...] = tuple(RESULT_COLUMNS)
    every_step: bool = False
    since: int | None = None

    def digest(self) -> str:
        """Identifies the query in cursors: each is valid for one query only."""
        return sha256(repr(self).encode()).hexdigest()[:16]


class Page(NamedTuple):
    """Some rows of an answer, the cursor of the next page (None after the last), and the revision of all pages."""

    rows: list[dict[str, Any]]
    next: str | None
    now: int


class Results:
    """Read access to results.

    Args:
        database: where they are stored.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def rows(self, query: Query, limit: int, cursor: str | None = None) -> Page:
        """A page of an answer. All pages are of the revision of the first; `since` asks for what came later.

        Args:
            query: which rows and columns.
            limit: rows a page at most.
            cursor: `Page.next` of the page before.

        Raises:
            BadCursorError: the cursor is not one of this query.
        """
        with self._database.read() as connection:
            now, last = (_revision(connection), None) if cursor is None else _decoded(query, cursor)
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
        """The revision of a whole answer, and the answer as Arrow batches, at least one."""
        types = {name: RESULT_COLUMNS[name] for name in query.columns}
        most = FEW_ROWS if limit is None else min(limit, FEW_ROWS)
        with self._database.read() as connection:
            now = _revision(connection)
            if query.since == now:
                return now, iter([arrow.batch([], types)])
            statement, _ = self._statement(query, now)
            rows = connection.execute(statement.limit(most + (limit != most))).all()
        if len(rows) <= most:
            return now, iter([arrow.batch(rows, types)])
        return now, arrow.batches(self._database.url, statement.limit(limit), types)

    def left_out_of(self, query: Query, now: int) -> list[dict[str, Any]]:
        """What methods leave out in the experiments of an answer: `experiment`, `method`, `language` and `lacks`.

        Args:
            query: that was answered.
            now: the revision of the answer.
        """
        with self._database.read() as connection:
            found = {id_: listed for id_, listed in left_out(connection, true()).items() if listed}
            if not found:
                return []
            one, statement = experiments.alias(), self._statement(query, now)[0].order_by(None)
            has_rows = statement.where(planned_results.c.experiment == one.c.id).correlate(one).exists()
            shown = connection.execute(select(one.c.id).where(one.c.id.in_(found), has_rows).order_by(one.c.id))
            return [{"experiment": id_, **listed} for id_ in shown.scalars() for listed in found[id_]]

    def cells(self, where: Where, split: str, metric: str | None) -> RecordBatch:
        """The values that experiments ask for, those of the selected weights: null where there is none yet.

        Args:
            where: conditions on columns that are filters everywhere.
            split: "test" or "dev".
            metric: None for all; a cell without a value has the metric "".

        Returns:
            CELL_COLUMNS.
        """
        columns = self._columns() | {
            "examples": planned_results.c.data,
            "metric": func.coalesce(scores.c.metric, ""),
            "step": selections.c.step,
        }
        of_score = and_(_of_score(), scores.c.step == selections.c.step, marks.is_score())
        joined = (
            planned_results.outerjoin(selections, _of_selection())
            .outerjoin(scores, of_score if metric is None else and_(of_score, scores.c.metric == metric))
            .join(experiments, experiments.c.id == planned_results.c.experiment)
        )
        statement = (
            select(*(columns[name].label(name) for name in CELL_COLUMNS))
            .select_from(joined)
            .where(planned_results.c.split == split, _IS_READABLE, self._conditions(columns).clause(where))
        )
        with self._database.read() as connection:
            return arrow.batch(connection.execute(statement).all(), CELL_COLUMNS)

    def every(self, where: Where, metric: str | None) -> tuple[RecordBatch, Table]:
        """What experiments ask for, and its scores of every step, in the order of plans: marks are among the scores.

        A row each: what many scores share is read once.

        Args:
            where: conditions on columns that are filters everywhere, or on the split.
            metric: None for all.

        Returns:
            EVERY_PLANNED and EVERY_SCORE.
        """
        columns = self._columns() | {"id": planned_results.c.id}
        of_experiment = experiments.c.id == planned_results.c.experiment
        clause = self._conditions(columns).clause(where)
        asked = select(*(columns[name].label(name) for name in EVERY_PLANNED)).where(clause)
        asked = asked.select_from(planned_results.join(experiments, of_experiment)).order_by(planned_results.c.id)
        columns |= {"planned": planned_results.c.id, "step": scores.c.step}
        scored = select(*(columns[name].label(name) for name in EVERY_SCORE)).select_from(
            planned_results.join(scores, _of_score())
            .outerjoin(selections, _of_selection())
            .join(experiments, of_experiment)
        )
        if metric is not None:
            scored = scored.where(scores.c.metric.in_([metric, *MARK_NAMES]))
        scored = scored.where(_of_weights(), clause).order_by(planned_results.c.id, scores.c.id)
        with self._database.read() as connection:
            # first: what was planned since has no scores here. In batches: as objects, millions of rows take gigabytes
            found = [arrow.batch(part, EVERY_SCORE) for part in connection.execute(scored).partitions(arrow.BATCH_ROWS)]
            planned = connection.execute(asked).all()
        return arrow.batch(planned, EVERY_PLANNED), Table.from_batches([arrow.batch([], EVERY_SCORE), *found])

    def measures(self, where: Where) -> list[dict[str, Any]]:
        """What the trainings behind results measured at each report: TRAINING_COLUMNS, `epoch`, `step` and `values`.

        Args:
            where: conditions on columns that are filters everywhere.
        """
        trainings = self._trainings(where)
        query = select(trainings, measures.c.epoch, measures.c.step, measures.c["values"])
        query = query.join(measures, measures.c.trial == trainings.c.trial)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(trainings.c.trial, measures.c.step)).mappings().all()
        return [dict(row) for row in rows]

    def surgery(self, where: Where) -> list[dict[str, Any]]:
        """What surgery met in the trainings behind results that are done: TRAINING_COLUMNS and `per_language`.

        Args:
            where: conditions on columns that are filters everywhere.
        """
        trainings = self._trainings(where)
        met = Readable(trials.c.facts)[("training", "surgery", "per_language")]
        query = select(trainings, met.label("per_language")).join(trials, trials.c.digest == trainings.c.trial)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(trainings.c.trial)).mappings().all()
        return [dict(row) for row in rows if isinstance(row["per_language"], dict)]

    def _trainings(self, where: Where) -> Subquery:
        """The trainings behind results, each with TRAINING_COLUMNS."""
        columns = self._columns()
        joined = planned_results.join(experiments, experiments.c.id == planned_results.c.experiment)
        return (
            select(*(columns[name].label(name) for name in TRAINING_COLUMNS))
            .select_from(joined)
            .where(_IS_READABLE, self._conditions(columns).clause(where))
            .distinct()
            .subquery()
        )

    def searches(self, where: Where) -> list[str]:
        """The ids of experiments of which candidates of a search are among these results.

        Args:
            where: conditions on columns that are filters everywhere.
        """
        trainings = self._trainings(where)
        query = select(trainings.c.experiment).where(trainings.c.candidate != "").distinct()
        with self._database.read() as connection:
            return sorted(connection.execute(query).scalars())

    def specs(self, ids: Collection[str]) -> dict[str, dict[str, Any]]:
        """The specs of experiments, by id. BrokenRowError names one that says of no data."""
        query = select(experiments.c.id, experiments.c.spec).where(experiments.c.id.in_(ids))
        with self._database.read() as connection:
            found = {id_: spec for id_, spec in connection.execute(query)}  # noqa: C416  (mypy knows no rows as pairs)
        for id_, spec in found.items():
            with reading(f"experiment {id_}"):
                DataSpec.from_json(spec["data"])
                require(spec.get("training") or {}, dict)
        return found

    def differences(self, specs: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
        """In what the data of experiments, given their specs, differ from those that were published."""
        with self._database.read() as connection:
            return differences(connection, specs)

    def configs(self, digests: Sequence[str]) -> dict[str, tuple[dict[str, Any], list[Selection]]]:
        """The configurations of trials, by digest, each with the selections that an experiment wants of it."""
        asked = select(planned_trials.c.selections).where(planned_trials.c.trial == trials.c.digest).limit(1)
        query = select(trials.c.digest, trials.c.config, asked.scalar_subquery())
        found: dict[str, tuple[dict[str, Any], list[Selection]]] = {}
        with self._database.read() as connection:
            for first in range(0, len(digests), ASKED_AT_ONCE):
                some = trials.c.digest.in_(digests[first : first + ASKED_AT_ONCE])
                for digest, config, selections_ in connection.execute(query.where(some)):
                    found[digest] = config, selections_ or []
        return found

    def packages(self, digests: Sequence[str]) -> dict[str, dict[str, str]]:
        """The versions of the packages that trials ran with, by digest; none of those that have not succeeded."""
        query = select(trials.c.digest, Readable(trials.c.facts)["packages"])
        found: dict[str, dict[str, str]] = {}
        with self._database.read() as connection:
            for first in range(0, len(digests), ASKED_AT_ONCE):
                some = trials.c.digest.in_(digests[first : first + ASKED_AT_ONCE])
                found |= {digest: versions or {} for digest, versions in connection.execute(query.where(some))}
        return found

    def left_out(self, ids: Collection[str]) -> dict[str, list[dict[str, Any]]]:
        """What the methods of experiments leave out, by id: `method`, `language` and `lacks`."""
        with self._database.read() as connection:
            return left_out(connection, experiments.c.id.in_(ids))

    def _columns(self) -> dict[str, ColumnElement[Any]]:
        """Each of COLUMNS as SQL, but for tags, of which an experiment has several."""
        return {column.name: as_sql(column) for column in COLUMNS if column.place != "tags"}

    def _conditions(self, columns: dict[str, ColumnElement[Any]]) -> Columns:
        tagged = select(tags.c.tag).where(tags.c.experiment == experiments.c.id)
        return Columns(columns, {"tags": tagged}, self._database.ordered)

    def _statement(self, query: Query, now: int) -> tuple[Select[Any], list[tuple[ColumnElement[Any], bool]]]:
        """A query as SQL, as of a revision, and the keys that its rows are sorted by."""
        columns = self._columns()
        conditions = self._conditions(columns)
        keys = [*conditions.keys(query.order), (planned_results.c.id, False), (scores.c.id, False)]
        visible = columns["selected"] | (scores.c.split != "test") | literal(query.every_step)
        of_selection = and_(_of_selection(), selections.c.at <= now)
        joined: FromClause = (
            planned_results.join(scores, _of_score())
            .outerjoin(selections, of_selection)
            .join(experiments, experiments.c.id == planned_results.c.experiment)
        )
        if query.since is not None:
            came = [table.c.at > query.since for table in (scores, planned_results, selections)]
            ids = planned_results.c.id.label("planned"), scores.c.id.label("score")
            pairs = union(*(select(*ids).select_from(joined).where(one) for one in came)).subquery("pairs")
            joined = (
                pairs.join(planned_results, planned_results.c.id == pairs.c.planned)
                .join(scores, scores.c.id == pairs.c.score)
                .outerjoin(selections, of_selection)
                .join(experiments, experiments.c.id == planned_results.c.experiment)
            )
        statement = (
            select(*(columns[name].label(name) for name in query.columns))
            .select_from(joined)
            .where(visible, _of_weights(), marks.is_score(), conditions.clause(query.where))
            .where(*(table.c.at <= now for table in (scores, planned_results)))
            .order_by(*(key.desc() if descending else key for key, descending in keys))
        )
        return statement, keys


def _of_selection() -> ColumnElement[bool]:
    return and_(*(selections.c[name] == planned_results.c[name] for name in ("trial", "selection")))


def _of_weights() -> ColumnElement[bool]:
    """Whether a score is of weights that a result's selection chooses among: epochs, or an average of them alone."""
    of_average = planned_results.c.selection.startswith("average:")
    is_of_epochs: ColumnElement[bool] = (scores.c.step >= 0) & ~of_average
    return is_of_epochs | (scores.c.step == selections.c.step)


def _of_score() -> ColumnElement[bool]:
    return and_(*(scores.c[name] == planned_results.c[name] for name in ("trial", "language", "split", "data")))


def _revision(connection: Connection) -> int:
    return int(connection.execute(select(clock.c.now)).scalar_one())


def _decoded(query: Query, cursor: str) -> tuple[int, list[Any]]:
    """The revision of a query's pages, and the sort keys of the last row of one."""
    match decode(cursor):
        case [digest, int(now), [*last]] if digest == query.digest() and type(now) is int and 0 <= now < 2**63:
            return now, last
    raise BadCursorError("it is of another query")
