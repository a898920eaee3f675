"""What trials achieved: their objective over epochs, the scores of each selection, and the shots that they used."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from statistics import fmean
from typing import Any

from sqlalchemy import and_, select

from search_spaces.objective import Judged
from service.store import costs, marks
from service.store.broken import reading, require
from service.store.database import Database
from service.store.schema import measures, planned_results, planned_trials, scores, selections, trials
from trainers.marks import MARK_NAMES
from trainers.trial import Score, Selection, TrialConfig


class Objectives:
    """Read access to what trials achieved. A trial whose row cannot be read is a BrokenRowError that names it.

    Args:
        database: where it is stored.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def judged(self, experiment: str, metric: str) -> dict[str, Judged]:
        """The trials of an experiment's sweeps with their objective over epochs, by digest.

        Args:
            experiment: its id.
            metric: that the objective is the mean of.

        Raises:
            BrokenRowError: what is stored of a trial cannot be read.
        """
        of_trial = planned_trials.c.trial
        compared = and_(planned_trials.c.experiment == experiment, planned_trials.c.sweep.is_not(None))
        tried = costs.ran([experiment])
        of_sweeps = (
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
        told = select(measures.c.trial, measures.c["values"]).join(planned_trials, of_trial == measures.c.trial)
        told = told.where(compared).order_by(measures.c.trial, measures.c.step)
        chosen = select(selections.c.trial, selections.c.selection, selections.c.step)
        chosen = chosen.join(planned_trials, of_trial == selections.c.trial).where(compared)
        with self._database.read() as connection:
            rows = connection.execute(of_sweeps.order_by(planned_trials.c.position)).mappings().all()
            last = {trial: values for trial, values in connection.execute(told)}  # noqa: C416  (mypy: rows, no pairs)
            found = {row["trial"]: _judged(row, last.get(row["trial"], {})) for row in rows}
            judges = {row["trial"]: row["judge"] for row in rows}
            for trial, selection, step in connection.execute(chosen):
                if found[trial].state != "stopped":
                    found[trial].selected[selection] = step
            values: dict[tuple[str, int, int], list[float]] = {}
            for trial, epoch, step, language, data, value in connection.execute(measured):
                # another experiment may have trained the trial further than this one, which stopped it
                beyond = found[trial].state == "stopped" and epoch > found[trial].epochs
                if judges[trial].get(language) == data and not beyond:
                    values.setdefault((trial, epoch, step), []).append(value)
        for (trial, epoch, step), of_languages in values.items():
            if len(of_languages) == len(judges[trial]):
                found[trial].history.append((epoch, step, fmean(of_languages)))
        return found

    def test_scores(self, experiment: str, metric: str) -> list[dict[str, Any]]:
        """Test scores of sweeps at the selected steps: `method`, `trial`, `language`, `value` and their marks."""
        of = planned_results.c
        of_sweep = and_(planned_trials.c.trial == of.trial, planned_trials.c.experiment == of.experiment)
        selected = and_(selections.c.trial == of.trial, selections.c.selection == of.selection)
        of_result = (scores.c[name] == of[name] for name in ("trial", "language", "split", "data"))
        query = (
            select(of.method, of.trial, of.language, scores.c.value)
            .add_columns(*(marks.is_marked(name).label(name) for name in MARK_NAMES))
            .select_from(planned_results)
            .join(planned_trials, of_sweep)
            .join(selections, selected)
            .join(scores, and_(*of_result, scores.c.step == selections.c.step, scores.c.metric == metric))
            .where(of.experiment == experiment, of.split == "test", planned_trials.c.sweep.is_not(None))
            .order_by(of.id)
        )
        with self._database.read() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def by_selection(self, trial: str) -> dict[Selection, list[Score]]:
        """The scores of a trial at the step that each of its selections chose."""
        stored = [scores.c[field.name] for field in fields(Score) if field.name not in MARK_NAMES]
        columns = [*stored, *(marks.is_marked(name).label(name) for name in MARK_NAMES)]
        query = (
            select(selections.c.selection, *columns)
            .join(scores, and_(selections.c.trial == scores.c.trial, selections.c.step == scores.c.step))
            .where(scores.c.trial == trial, marks.is_score())
            .order_by(selections.c.selection, scores.c.id)
        )
        found: dict[Selection, list[Score]] = {}
        with self._database.read() as connection:
            for row in connection.execute(query).mappings():
                values = {name: value for name, value in row.items() if name != "selection"}
                found.setdefault(row["selection"], []).append(Score(**values))
        return found

    def shots(self, experiment: str) -> list[dict[str, Any]]:
        """The shots that an experiment's trials were trained on: `language`, `k`, `seed`, ids, digest."""
        drawn: dict[tuple[str, int, int], dict[str, Any]] = {}
        for trial, config, facts in self._facts(experiment):
            with reading(f"trial {trial}"):
                for language, shots in facts["shots"].items():
                    key = {"language": language, "k": config["k"], "seed": config["seed"]}
                    drawn[language, config["k"], config["seed"]] = {**key, **shots}
        return [drawn[key] for key in sorted(drawn)]

    def samples(self, experiment: str) -> list[dict[str, Any]]:
        """The samples that an experiment's trials were trained or scored on (`Outcome.facts`), each once."""
        drawn: dict[tuple[str, str, int], dict[str, Any]] = {}
        for trial, _, facts in self._facts(experiment):
            with reading(f"trial {trial}"):
                for one in facts.get("samples", ()):  # trials of version 0.1.0 have none
                    drawn[one["language"], one["split"], one["examples"]] = one
        return [drawn[key] for key in sorted(drawn)]

    def _facts(self, experiment: str) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
        """Digest, configuration and facts of each of an experiment's trials that have succeeded."""
        query = (
            select(trials.c.digest, trials.c.config, trials.c.facts)
            .join(planned_trials, planned_trials.c.trial == trials.c.digest)
            .where(planned_trials.c.experiment == experiment, planned_trials.c.state == "succeeded")
            .order_by(planned_trials.c.position)
        )
        with self._database.read() as connection:
            for row in connection.execute(query):
                yield row.digest, row.config, row.facts


def _judged(row: Mapping[Any, Any], measured: Mapping[str, Any]) -> Judged:
    """A trial of a sweep before its scores are known, given what it measured last. BrokenRowError names one that is."""
    with reading(f"trial {row['trial']}"):
        require(row["selections"], list)
        require(row["judge"], dict)
        return Judged(
            config=TrialConfig.from_dict(row["config"]),
            sweep=row["sweep"],
            state=row["state"],
            epochs=row["epochs"],
            seconds=row["seconds"],
            selections=row["selections"],
            selected={},
            history=[],
            conflicts=_conflicts(measured),
        )


def _conflicts(measured: Mapping[str, Any]) -> int | None:
    """The conflicts that surgery has met since the start of a training."""
    met = measured.get("surgery")
    return None if met is None else round((met["conflict_rate"] or 0) * (met["operations"] - met["nonfinite"]))
