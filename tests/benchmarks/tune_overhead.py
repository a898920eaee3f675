"""What Tune itself costs a trial: many trials that end before they have done anything."""

import argparse
import os
import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from threading import Event

from side_by_side import Spread, at_most, parser, print_table, setting

from service.engine import pool as pools
from service.store import Resources
from trainers import Outcome, Report, Trial, TrialConfig
from trainers.protocols import PAPER
from trainers.tasks import TASKS
from trainers.trial import DataReference, Wanted

SECONDS_AT_MOST = 0.1


class Nothing:
    """Trials whose encoder is not there: each fails at once, in its worker."""

    def __init__(self, home: Path, trials: int) -> None:
        made = [_trial(home, seed) for seed in range(trials)]
        self.waiting = {trial.config.digest: trial for trial in made}
        self.trials, self.runs, self.resources = dict(self.waiting), False, Resources(1, 0, 0)
        self.times: list[float] = []
        self.end_file = home / "end"
        self.failed_before: set[str] = set()

    def more(self) -> Mapping[str, Trial]:
        ready, self.waiting = self.waiting, {}
        return ready

    def refresh(self, digest: str) -> Trial:
        return self.trials[digest]

    def claim(self, wanted: Sequence[str]) -> str | None:
        """There is one slot."""
        found = wanted[0] if wanted and not self.runs else None
        self.runs = self.runs or found is not None
        return found

    def release(self, trials: Collection[str]) -> None:
        self.runs = False

    def is_complete(self) -> bool:
        return not self.waiting

    def refused(self, waiting: Mapping[str, Trial]) -> Mapping[str, str]:
        return {}

    def started(self, digest: str) -> None:
        """Not what is measured."""

    def reported(self, digest: str, report: Report) -> None:
        raise AssertionError(report)

    def succeeded(self, digest: str, outcome: Outcome) -> bool:
        raise AssertionError(outcome)

    def stopped(self, digest: str, reason: str) -> None:
        raise AssertionError(reason)

    def failed(self, digest: str, reason: str) -> None:
        """One more trial has ended."""
        self.times.append(time.monotonic())


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    trials = 12 if arguments.quick else arguments.trials
    with tempfile.TemporaryDirectory(prefix="tune-", dir="/tmp") as folder:
        home = Path(folder)
        pool = pools.ensure(home, Event())
        nothing = Nothing(home, trials)
        try:
            os.environ.update(pools.environment(home, embedded=True))  # which Ray reads when it is imported
            import ray

            from service.engine import tune

            tune.join(pool.address)
            tune.run_trials(nothing, nothing, home / "tune" / "nothing", nothing)  # type: ignore[arg-type]
            ray.shutdown()
        finally:
            pools.close(pool, home, patience=10)
    between = [later - earlier for earlier, later in zip(nothing.times, nothing.times[1:], strict=False)]
    spread, mean = Spread.of(between), (nothing.times[-1] - nothing.times[0]) / len(between)
    print(f"{trials} trials that do nothing, one at a time in one worker.")
    print(setting(1, "cpu", "fp32", arguments.quick) + "\n")
    print_table(
        ["further trials", "seconds each, median", "mean", "target for the mean"],
        [[len(between), f"{spread.median:.3f} ({spread.low:.3f} to {spread.high:.3f})", f"{mean:.3f}",
          at_most(SECONDS_AT_MOST, mean, arguments.quick)]],
    )  # fmt: skip


def _trial(home: Path, seed: int) -> Trial:
    config = TrialConfig(
        task="ner", method="zero-shot", source_language="en", target_languages=(), k=0, seed=seed, alpha=None,
        protocol=PAPER.name, training=TASKS["ner"].under(PAPER.name).training, encoder=str(home / "missing"),
        encoder_digest="none", data_digest="none",
    )  # fmt: skip
    return Trial(
        config=config, source=None, data=DataReference("sample"), wanted=Wanted(selections=("source-dev",)),
        max_test_examples=None, home=home,
    )  # fmt: skip


def _arguments() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--trials", type=int, default=200)
    return made.parse_args()


if __name__ == "__main__":
    main()
