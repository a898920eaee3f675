"""One trial of this project in a process of its own, with the parts of its time apart.

What precedes the first update is preparation, here with the test sets' tokens. What follows an epoch or the last
update is evaluation: predictions, scores, what is stored, and the copies of the best weights.
"""

# ruff: noqa: E402  (the clock starts before the imports)
import time

BEGIN = time.perf_counter(), time.process_time()  # imports are a part of its preparation

import json
import pickle
import resource
import shutil
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import torch

import trainers
from trainers.artifacts.layout import checkpoints_of
from trainers.training.loop import Loop, Progress


class Clock:
    """Seconds and CPU seconds by part."""

    def __init__(self, device: str) -> None:
        self.device, self.last = device, BEGIN
        self.seconds: dict[str, float] = defaultdict(float)
        self.cpu_seconds: dict[str, float] = defaultdict(float)

    def charge(self, part: str) -> None:
        """Charge a part with what has passed since the last call."""
        if self.device == "cuda":
            torch.cuda.synchronize()
        now = time.perf_counter(), time.process_time()
        self.seconds[part] += now[0] - self.last[0]
        self.cpu_seconds[part] += now[1] - self.last[1]
        self.last = now


def main() -> None:
    """Run the trial that lies pickled in a file, and write what was found into another."""
    source, target = map(Path, sys.argv[1:])
    trial: trainers.Trial = pickle.loads(source.read_bytes())
    checkpoints = checkpoints_of(trial.home, trial.config.digest)
    shutil.rmtree(checkpoints, ignore_errors=True)  # of a benchmark that was interrupted
    clock = Clock(trial.device)
    run = Loop.run

    def timed(loop: Loop, report: Callable[[Progress], None], after_update: Callable[[], None]) -> None:
        def reported(progress: Progress) -> None:
            clock.charge("training")
            report(progress)
            clock.charge("evaluation")

        clock.charge("preparation")
        run(loop, reported, after_update)
        clock.charge("training")

    with patch.object(Loop, "run", timed):
        outcome = trainers.run(trial, lambda _: None)
    clock.charge("evaluation")
    result = {
        "seconds": clock.seconds,
        "cpu_seconds": clock.cpu_seconds,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "device_peak": torch.cuda.max_memory_allocated() if trial.device == "cuda" else 0,
        "scores": {score.language: score.value for score in outcome.scores},
        "steps": outcome.facts["work"]["training"]["steps"],
    }
    target.write_text(json.dumps(result))
    shutil.rmtree(checkpoints, ignore_errors=True)


if __name__ == "__main__":
    main()
