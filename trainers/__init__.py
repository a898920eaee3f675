"""What one trial does: data, shots, encoder, method, surgery, scores.

`run` is the one door, `config` the plain data that goes through it. Importing this package loads no torch.
"""

from collections.abc import Callable

from trainers.config import NUMERICS, Outcome, Report, Score, Trial, TrialConfig

__all__ = ["NUMERICS", "Outcome", "Report", "Score", "Trial", "TrialConfig", "run"]


def run(trial: Trial, report: Callable[[Report], None]) -> Outcome:
    """Train and score one trial; see `trainers.trial.run`."""
    from trainers.trial import run as run_trial

    return run_trial(trial, report)
