"""The candidates that searches chose: among rows that were read, or as a condition on those that are to be."""

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import pandas as pd

from search_spaces.spec import parse
from service.reports.setting import listed
from service.reports.sweep import chosen_trials, sweep
from service.store import Store
from service.store.query import And, Or, Where, equal
from service.store.states import FINAL
from trainers.tasks import TASKS


class Choices(NamedTuple):
    """What an experiment's search chose.

    Attributes:
        experiment: its id.
        chosen: `chosen` of `service.reports.sweep.sweep`.
        trials: of the chosen candidates, by method.
    """

    experiment: str
    chosen: list[dict[str, Any]]
    trials: dict[str, list[str]]


def choices(store: Store, experiments: Collection[str]) -> Iterator[Choices]:
    """What the searches of experiments chose. ValueError: a package that an experiment needs is gone."""
    for id_, stored in store.results.specs(experiments).items():
        spec, problems = parse(dict(stored))
        if problems:
            raise ValueError(f"experiment {id_}: {problems[0].message}")
        metric = TASKS[spec.task].metric
        judged, tests = store.objectives.judged(id_, metric), store.objectives.test_scores(id_, metric)
        shown = store.experiments.one(id_)
        found = sweep(spec, judged, tests, is_over=shown is not None and shown.state in FINAL)["chosen"]
        yield Choices(id_, found, chosen_trials(spec, judged, found))


def of_chosen(store: Store, where: Where) -> tuple[Where, list[str]]:
    """A condition on results: those of the candidates that searches chose, and those that nothing was searched for.

    Args:
        store: where the results are.
        where: conditions on the results that are asked for, on columns that are filters everywhere.

    Returns:
        The condition, and sentences that name the searches which have chosen none so far.

    Raises:
        ValueError: a package that an experiment needs is gone.
    """
    parts: list[Where] = [equal({"candidate": [""]})]
    waiting: dict[str, None] = {}
    for id_, found, trials in choices(store, store.results.searches(where)):
        parts += [
            And((equal({"experiment": [id_], "method": [method]}), equal({"trial": digests})))
            for method, digests in trials.items()
        ]
        waiting |= {f"{one['method']} at K = {one['k']}": None for one in found if one["candidate"] is None}
    return Or(tuple(parts)), [f"No candidate is chosen yet of {', '.join(waiting)}."] if waiting else []


def chosen(store: Store, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the candidates that the searches of their experiments chose, and those that nothing was searched for.

    Raises:
        ValueError: a search has chosen none so far for a language, or a package that its experiment needs is gone.
    """
    wanted = {
        (id_, one["method"], one["k"], one["candidate"], language)
        for id_, found, _ in choices(store, list(rows["experiment"].unique()))
        for one in found
        for language in one["target_languages"]
    }
    keys = rows[["experiment", "method", "k", "candidate", "language"]].itertuples(index=False, name=None)
    is_wanted = pd.Series([key in wanted for key in keys], index=rows.index, dtype=bool)
    kept = rows[is_wanted | (rows["candidate"] == "")]
    of = ["experiment", "method", "k", "language"]
    have = set(kept[of].itertuples(index=False, name=None))
    for (id_, *rest), of_experiment in rows.groupby(of):
        if (id_, *rest) not in have:
            candidates = listed("candidate", of_experiment["candidate"])
            raise ValueError(f"the search of experiment {id_} has chosen no candidate so far: name one ({candidates})")
    return kept
