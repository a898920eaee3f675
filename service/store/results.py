"""What was found: score rows, what candidates came to, the shots that were drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from statistics import fmean
from typing import Any

from sqlalchemy import ColumnElement, and_, false, func, literal, select

from search_spaces.judging import Judged
from service.store import costs
from service.store.database import Database, decode, encode
from service.store.schema import experiments, planned_results, planned_trials, scores, selections, tags, trials
from trainers.config import Score, Selection, TrialConfig

RESULT_COLUMNS = (
    "experiment", "trial", "method", "k", "seed", "alpha", "candidate", "language", "split", "metric", "epoch",
    "value", "examples", "cut", "selected", "selection", "judged_on",
)  # fmt: skip


class Results:
    """What the trials came to, as experiments ask for it. Nothing is changed.

    Args:
        database: where it is kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def rows(
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
            rows, cursor = self.rows(filters, 10_000, cursor)
            found += rows
            if cursor is None:
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
        tried = costs.ran()
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
        chosen = select(selections).join(planned_trials, of_trial == selections.c.trial).where(compared)
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
