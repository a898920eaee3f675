"""What one trial does: data, shots, encoder, method, surgery, scores.

`run` is the door, `config` the plain data that goes through it. Importing this package loads no torch.
"""

from collections.abc import Callable

from trainers.trial import NUMERICS, Change, Outcome, Report, Score, Trial, TrialConfig

__all__ = ["NUMERICS", "Outcome", "Report", "Score", "Trial", "TrialConfig", "resumed_hyperparameters", "run"]


def run(trial: Trial, report: Callable[[Report], None]) -> Outcome:
    """Train and score one trial; see `trainers.one_trial.run`."""
    from trainers.one_trial import run as run_trial

    return run_trial(trial, report)


def resumed_hyperparameters(trial: Trial) -> Change | None:
    """What an interrupted member of a population goes on with; see `trainers.one_trial.resumed_hyperparameters`."""
    from trainers.one_trial import resumed_hyperparameters as of_trial

    return of_trial(trial)
