"""Trials: data, shots, encoders, methods, gradient surgery and scores.

There are three entry points: `run` trains and scores a trial, `trainers.export.export` writes a kept model as a Hugging
Face folder, `trainers.cosines.gradient_cosines` computes Figure 1. A trial and its results are plain data
(`trainers.trial`). Importing this package does not load torch.
"""

from collections.abc import Callable

from trainers.trial import NUMERICS, Change, Interrupted, Outcome, Report, Score, Trial, TrialConfig

__all__ = [
    "NUMERICS",
    "Interrupted",
    "Outcome",
    "Report",
    "Score",
    "Trial",
    "TrialConfig",
    "resumed_hyperparameters",
    "run",
]


def run(trial: Trial, report: Callable[[Report], None], is_asked_to_end: Callable[[], bool] = lambda: False) -> Outcome:
    """Train and score one trial; see `trainers.one_trial.run`."""
    from trainers.one_trial import run as run_trial

    return run_trial(trial, report, is_asked_to_end)


def resumed_hyperparameters(trial: Trial) -> Change | None:
    """Hyperparameters of an interrupted member of a population; see `trainers.one_trial.resumed_hyperparameters`."""
    from trainers.one_trial import resumed_hyperparameters as of_trial

    return of_trial(trial)
