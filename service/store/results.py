"""What was found: score rows, what candidates came to, the shots that were drawn."""

from dataclasses import dataclass, fields
from hashlib import sha256
from statistics import fmean
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, false, func, literal, select, tuple_, union

from search_spaces.judging import Judged
from service.store import costs
from service.store.database import BadCursorError, Database, decode, encode
from service.store.query import EVERYTHING, By, Columns, Where, after, equal
from service.store.schema import clock, experiments, planned_results, planned_trials, scores, selections, tags, trials
from trainers.config import Score, Selection, TrialConfig

# What a row says, and of which type.
RESULT_COLUMNS: dict[str, type[str] | type[int] | type[float] | type[bool]] = {
    "experiment": str, "trial": str, "method": str, "k": int, "seed": int, "alpha": float, "candidate": str,
    "language": str, "split": str, "metric": str, "epoch": int, "value": float, "examples": int, "cut": bool,
    "selected": bool, "selection": str, "judged_on": str,
}  # fmt: skip


@dataclass(frozen=True)
class Query:
    """A question about results.

    Attributes:
        where: which rows; of RESULT_COLUMNS, `owner`, and `tags` (with "eq" and "in": it has one of them).
        order: by what they are sorted; where that leaves it open, as they came.
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
        selected = func.coalesce(scores.c.step == selections.c.step, false()).label("selected")
        of_score = and_(*(scores.c[name] == planned_results.c[name] for name in ("trial", "language", "split", "data")))
        told: dict[str, ColumnElement[Any]] = {
            name: planned_results.c[name] if name in planned_results.c else scores.c[name]
            for name in RESULT_COLUMNS
            if name != "selected"
        }
        told["selected"] = selected
        tagged = select(tags.c.tag).where(tags.c.experiment == experiments.c.id)
        columns = Columns({**told, "owner": experiments.c.owner}, {"tags": tagged}, self._database.ordered)
        keys = [*columns.keys(query.order), (scores.c.id, False), (planned_results.c.id, False)]
        visible = selected | (scores.c.split != "test") | literal(query.every_step)
        with self._database.read() as connection:
            if cursor is None:
                now, last = connection.execute(select(clock.c.now)).scalar_one(), None
            else:
                now, last = _decoded(query, cursor)
            of_selection = and_(
                *(selections.c[name] == planned_results.c[name] for name in ("trial", "selection")),
                selections.c.at <= now,
            )
            joined = (
                planned_results.join(scores, of_score)
                .outerjoin(selections, of_selection)
                .join(experiments, experiments.c.id == planned_results.c.experiment)
            )
            statement = (
                select(
                    *(told[name] for name in query.columns), *(key.label(f"key_{n}") for n, (key, _) in enumerate(keys))
                )
                .select_from(joined)
                .where(
                    visible, columns.clause(query.where), *(table.c.at <= now for table in (scores, planned_results))
                )
                .order_by(*(key.desc() if descending else key for key, descending in keys))
                .limit(limit + 1)
            )
            if query.since is not None:
                came = [table.c.at > query.since for table in (scores, planned_results, selections)]
                pairs = union(
                    *(select(planned_results.c.id, scores.c.id).select_from(joined).where(one) for one in came)
                )
                statement = statement.where(tuple_(planned_results.c.id, scores.c.id).in_(pairs))
            if last is not None:
                statement = statement.where(after(keys, last))
            rows = connection.execute(statement).mappings().all()
        following = None
        if len(rows) > limit:
            ended = [rows[limit - 1][f"key_{n}"] for n in range(len(keys))]
            following = encode(query.digest(), now, ended)
        return Page([{name: row[name] for name in query.columns} for row in rows[:limit]], following, now)

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


def _decoded(query: Query, cursor: str) -> tuple[int, list[Any]]:
    """The moment of a query's pages, and the keys of the last row of one."""
    match decode(cursor):
        case [digest, now, last] if digest == query.digest():
            return now, last
    raise BadCursorError("it is of another query")
