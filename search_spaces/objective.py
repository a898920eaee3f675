"""The objective that candidates are compared by: dev scores, never a test score."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf
from statistics import fmean

from search_spaces.spec import ExperimentSpec
from trainers.methods import METHODS
from trainers.selections import kind_of
from trainers.tasks import TASKS
from trainers.trial import Score, Selection, Trial, TrialConfig


def objective(trial: Trial, scores: Iterable[Score]) -> float | None:
    """The mean of the task's first metric over the dev sets that judge the trial, in percent.

    None if the trial is not judged, or one of its judging languages has no score among these.
    """
    metric = TASKS[trial.config.task].metric
    found = {score.language: score.value for score in scores if (score.split, score.metric) == ("dev", metric)}
    if not trial.wanted.judge or not found.keys() >= set(trial.wanted.judge):
        return None
    return fmean(found[language] for language in trial.wanted.judge)


# The trials that may be compared with each other: those of one sweep at one seed.
Cohort = tuple[str, int]


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A trial that is compared with others.

    Attributes:
        config: what was trained.
        sweep: the name of the sweep that the trial belongs to.
        state: the trial's state.
        epochs: how many it was trained for.
        seconds: how long it was trained for.
        selections: those of its checkpoints that are scored.
        selected: the step that each of its selections chose; empty until the trial has succeeded.
        history: (epoch, step, objective) of every evaluation that has an objective, in their order.
        conflicts: how many conflicts its surgery has met; None where that is not known.
    """

    config: TrialConfig
    sweep: str
    state: str
    epochs: int
    seconds: float
    selections: Sequence[Selection]
    selected: dict[Selection, int]
    history: list[tuple[int, int, float]]
    conflicts: int | None = None

    @property
    def cohort(self) -> Cohort:
        """The trials that this one may be compared with."""
        return self.sweep, self.config.seed


def methods_of(spec: ExperimentSpec, trial: Judged) -> list[str]:
    """The methods of a spec that a trial belongs to: `ord-FS` and `ord-FS+dev` are selections of one training."""
    return [
        name
        for name in spec.methods
        if (METHODS[name].trajectory or name) == trial.config.method
        and METHODS[name].selection in (None, *map(kind_of, trial.selections))
    ]


def objective_value(trial: Judged, method: str, by: float = inf) -> float | None:
    """A trial's objective at the step that a method's selection chose.

    For a trial that was stopped before anything was selected, and for any trial before its end, it is the objective at
    the step that would have been selected: the best so far, or the latest for a method that selects the last. For a
    method that selects a step for each target it is the best as well. None if the trial has no objective yet.

    Args:
        trial: the trial's history.
        method: the name of the method.
        by: the last epoch that is taken into account.
    """
    history = [(step, value) for epoch, step, value in trial.history if epoch <= by]
    if not history:
        return None
    kind = METHODS[method].selection or kind_of(trial.selections[0])  # the first is the training's own
    steps = {step for selection, step in trial.selected.items() if kind_of(selection) == kind}
    if len(steps) == 1 and by >= trial.config.training.epochs:
        return next((value for step, value in history if step in steps), None)
    epochs = [value for step, value in history if step >= 0]
    return epochs[-1] if kind in ("last", "average") else max(epochs)
