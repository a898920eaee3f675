"""What candidates are judged by: never a test score."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from statistics import fmean

from search_spaces.spec import ExperimentSpec
from trainers.methods import METHODS
from trainers.tasks import TASKS
from trainers.trial import Score, Selection, Trial, TrialConfig


def objective(trial: Trial, scores: Iterable[Score]) -> float | None:
    """The mean over the trial's judging languages of its task's first metric on their dev sets, in percent.

    None if the trial is not judged, or a language has no score among these.
    """
    metric = TASKS[trial.config.task].metric
    found = {score.language: score.value for score in scores if (score.split, score.metric) == ("dev", metric)}
    if not trial.wanted.judge or not found.keys() >= set(trial.wanted.judge):
        return None
    return fmean(found[language] for language in trial.wanted.judge)


@dataclass(frozen=True)
class Judged:
    """A trial that is compared with others: its state, and its objective at every evaluation that has one.

    `epochs` is how many it was trained for, in `seconds`; `selected` are the steps that its selections chose, `history`
    is (epoch, step, objective) in order.
    """

    config: TrialConfig
    sweep: str
    state: str
    epochs: int
    seconds: float
    selected: dict[Selection, int]
    history: list[tuple[int, int, float]]


def methods_of(spec: ExperimentSpec, config: TrialConfig) -> list[str]:
    """The methods of an experiment that a trial serves: `ord-FS` and `ord-FS+dev` are selections of one training."""
    return [method for method in spec.methods if (METHODS[method].trajectory or method) == config.method]


def objective_value(trial: Judged, method: str, by: float = inf) -> float | None:
    """What a trial is worth to a method: its objective at the step that the method's selection chose.

    Of one that was stopped before anything was chosen, and of any before its end, it is that of the step that would
    have been: the best so far, or the last for a method that takes the last. None if it never came to a score.

    Args:
        trial: what is known of it.
        method: what it is for.
        by: the epoch by which it counts.
    """
    history = [(step, value) for epoch, step, value in trial.history if epoch <= by]
    if not history:
        return None
    selection = METHODS[method].selection
    if trial.selected and by >= trial.config.training.epochs:
        step = trial.selected.get(selection) if selection else next(iter(trial.selected.values()))
        return next((value for at, value in history if at == step), None)
    return history[-1][1] if selection == "last" else max(value for _, value in history)
