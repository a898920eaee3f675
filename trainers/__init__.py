"""What one trial does: data, shots, encoder, method, surgery, scores.

`run` is the door, `config` the plain data that goes through it. Importing this package loads no torch.
"""

from collections.abc import Callable

from trainers.trial import NUMERICS, Change, Outcome, Report, Score, Trial, TrialConfig

__all__ = ["NUMERICS", "Outcome", "Report", "Score", "Trial", "TrialConfig", "goes_on_with", "run"]


def run(trial: Trial, report: Callable[[Report], None]) -> Outcome:
    """Train and score one trial; see `trainers.one_trial.run`."""
    from trainers.one_trial import run as run_trial

    return run_trial(trial, report)


def goes_on_with(trial: Trial) -> Change | None:
    """What an interrupted member of a population goes on with; see `trainers.one_trial.goes_on_with`."""
    from trainers.one_trial import goes_on_with as of_trial

    return of_trial(trial)
