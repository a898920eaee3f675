"""The rows that reports are made of, as frames: scores, measures of trainings, cosines of gradients."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from service.reports.cosines import cosines
from service.reports.left_out import with_left_out
from service.reports.setting import with_settings
from service.reports.summary import described, of_main_metric
from service.store import Store
from service.store.query import And, Where, equal
from service.store.results import TRAINING_COLUMNS
from trainers.marks import MARK_NAMES, surgery_overflow
from trainers.methods import METHODS

# The kinds of rows: test scores of the selected weights, scores of every epoch, those on dev sets alone, measures of
# trainings, what surgery met by language, or cosines between the gradients of kept models.
Of = Literal["selected", "every", "dev", "measures", "surgery", "cosines"]


class Rows:
    """The rows of some results, of each kind that is asked for. None is read twice.

    Args:
        store: where they are stored.
        home: the service's folder, for kept models.
        where: conditions on results.
        metric: of scores; if None, each task's main one. Measures and cosines have none.
        notes: what is to be said of their choice, in sentences.
    """

    def __init__(
        self, store: Store, home: Path, where: Where, metric: str | None = None, notes: Sequence[str] = ()
    ) -> None:
        self.notes = tuple(notes)
        self._store, self._home, self._where, self._metric = store, home, where, metric
        self._read: dict[Of, pd.DataFrame] = {}

    def of(self, kind: Of) -> pd.DataFrame:
        """The rows of a kind.

        Raises:
            ValueError: cosines need a model that was not kept, or nothing was scored by the metric.
        """
        if kind not in self._read:
            self._read[kind] = self._rows(kind)
        return self._read[kind]

    def _rows(self, kind: Of) -> pd.DataFrame:
        store, where, metric = self._store, self._where, self._metric
        match kind:
            case "selected":
                return _scored(selected(store, where, metric=metric), metric)
            case "every":
                return _scored(_every(store, where, metric), metric)
            case "dev":
                if "every" in self._read and metric is None:
                    every = self._read["every"]
                    return every[every["split"] == "dev"]
                return _scored(_every(store, And((where, equal({"split": ["dev"]}))), metric), metric)
            case "measures":
                return _measures(store, where)
            case "surgery":
                return _surgery(store, where)
            case "cosines":
                return _cosines(store, self._home, where)


def selected(store: Store, where: Where, split: str = "test", metric: str | None = None) -> pd.DataFrame:
    """Scores of the selected weights, of one metric or, if None, of each task's main one, with their specs."""
    rows = _described(store, store.results.cells(where, split, metric).to_pandas())
    return of_main_metric(rows) if metric is None else rows.assign(metric=metric)


def _scored(rows: pd.DataFrame, metric: str | None) -> pd.DataFrame:
    """The rows of tasks that were scored by a metric, if one is named. ValueError: none was."""
    if metric is None or rows.empty:
        return rows
    found = rows[rows["value"].notna().groupby(rows["task"]).transform("any")]
    if found.empty:
        raise ValueError(f"there are no scores of the metric {metric!r} among these results")
    return found


def _described(store: Store, rows: pd.DataFrame) -> pd.DataFrame:
    specs, digests = store.results.specs(list(rows["experiment"].unique())), list(rows["trial"].unique())
    rows = with_settings(
        described(rows, specs), store.results.configs(digests), specs, store.results.differences(specs)
    )
    packages = {digest: tuple(found.items()) for digest, found in store.results.packages(digests).items()}
    rows = rows.assign(packages=rows["trial"].map(packages))
    return with_left_out(rows, store.results.left_out(specs))


def _every(store: Store, where: Where, metric: str | None) -> pd.DataFrame:
    """Scores of every epoch; one that several experiments share is there once."""
    planned, scores = (batch.to_pandas() for batch in store.results.every(where, metric))
    planned = _described(store, planned[planned["id"].isin(scores["planned"])])
    scores = scores[scores["planned"].isin(planned["id"])]  # an experiment may have been deleted meanwhile
    is_mark = scores["metric"].isin(MARK_NAMES)
    marks, scores = scores[is_mark], scores[~is_mark]
    places = pd.Index(planned["id"]).get_indexer(scores["planned"])
    # the same score of the same result: told apart before rows are made, of which there are many more
    same = planned.groupby(["trial", "method", "k", "seed", "language", "split"]).ngroup().to_numpy()[places]
    is_new = ~scores[["metric", "epoch", "examples"]].assign(same=same).duplicated().to_numpy()
    places, scores = places[is_new], scores[is_new].reset_index(drop=True)
    rows = (
        planned.iloc[places]
        .reset_index(drop=True)
        .assign(
            **{name: scores[name] for name in ("metric", "epoch", "value", "examples", "selected")},
            **{name: _marked(scores, marks[marks["metric"] == name]) for name in MARK_NAMES},
        )
    )
    return of_main_metric(rows) if metric is None else rows


def _marked(scores: pd.DataFrame, marks: pd.DataFrame) -> "pd.Series[bool]":
    """Which scores have a mark, which is of all of a result at a step."""
    of = ["planned", "step"]
    is_marked = pd.MultiIndex.from_frame(scores[of]).isin(pd.MultiIndex.from_frame(marks[of])) if len(marks) else False
    return pd.Series(is_marked, index=scores.index, dtype=bool)


def _measures(store: Store, where: Where) -> pd.DataFrame:
    """The conflict rate of each epoch, in percent of its finite `operations`: from counts since the start."""
    found: list[dict[str, Any]] = []
    before: dict[str, tuple[int, float]] = {}
    rows = {(row["trial"], row["step"], row["method"]): row for row in store.results.measures(where)}
    for row in rows.values():
        met = row.pop("values").get("surgery")
        if met is None or met["conflict_rate"] is None:
            continue
        operations = met["operations"] - met["nonfinite"]
        conflicts = met["conflict_rate"] * operations
        earlier_operations, earlier = before.get(row["trial"], (0, 0.0))
        before[row["trial"]] = operations, conflicts
        new = operations - earlier_operations
        rate = 100 * (conflicts - earlier) / new if new > 0 else None
        marks = dict.fromkeys(MARK_NAMES, False) | {"surgery_overflow": surgery_overflow({"surgery": met}) is not None}
        found.append({**row, "conflict_rate": rate, "operations": new, **marks})
    columns = pd.Index([*TRAINING_COLUMNS, "epoch", "step", "conflict_rate", "operations", *MARK_NAMES])
    return _described(store, pd.DataFrame(found, columns=columns))


def _surgery(store: Store, where: Where) -> pd.DataFrame:
    """What surgery has met in each training that is done, by language: `operations`, `conflict_rate`, `mean_cosine`.

    The operations are the finite ones; rates are in percent.
    """
    found: list[dict[str, Any]] = []
    for row in store.results.surgery(where):
        per_language = row.pop("per_language")
        for language, met in per_language.items():
            if met["conflict_rate"] is None:
                continue
            of = {"operations": met["operations"] - met["nonfinite"], "conflict_rate": 100 * met["conflict_rate"]}
            marks = dict.fromkeys(MARK_NAMES, False) | {"surgery_overflow": _lost(met)}
            found.append({**row, "language": language, **of, "mean_cosine": met["mean_cosine"], **marks})
    columns = ["language", "operations", "conflict_rate", "mean_cosine", *MARK_NAMES]
    return _described(store, pd.DataFrame(found, columns=pd.Index([*TRAINING_COLUMNS, *columns])))


def _lost(met: dict[str, Any]) -> bool:
    return surgery_overflow({"surgery": met}) is not None


def _cosines(store: Store, home: Path, where: Where) -> pd.DataFrame:
    """The cosine of every two languages' gradients in each model of mixed training. ValueError: one was not kept."""
    tests = selected(store, where)
    mixed = tests[tests["method"].isin([name for name, one in METHODS.items() if one.mixes and one.trajectory is None])]
    models = mixed.drop_duplicates("trial").drop(columns=["language", "examples", "metric", "value"])
    rows = models.to_dict("records")
    found: list[dict[str, Any]] = []
    known_of = cosines(home, [(str(row["trial"]), str(row["selection"])) for row in rows])
    for row, known in zip(rows, known_of, strict=True):
        for language, line in zip(known["languages"], known["cosines"], strict=True):
            pairs = zip(known["languages"], line, strict=True)
            found += [{**row, "language": language, "other": other, "cosine": cosine} for other, cosine in pairs]
    return pd.DataFrame(found)
