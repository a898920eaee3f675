"""The gate: the search algorithm through which Tune gets an experiment's trials, each when it may start."""

import time
from collections.abc import Mapping
from typing import Any

from ray.tune.experiment import Trial as TuneTrial
from ray.tune.experiment.config_parser import _create_trial_from_spec, _make_parser
from ray.tune.search import SearchAlgorithm

import trainers
from service.engine.recorder import Recorder
from service.engine.schedulers import digest_of
from service.engine.slot_client import SlotClient
from service.engine.trial_queue import TrialQueue
from trainers import Trial

# Seconds between two checks whether a trial may start.
WAIT_SECONDS = 0.1

# Seconds before a trial whose process has died (killed, out of memory, its node gone) runs again: one delay for each
# death without progress, the last for all further ones. What a trainer raises is a result, and does not run again.
DELAYS = (0.0, 5.0, 20.0, 60.0, 300.0)


class Gate(SearchAlgorithm):  # type: ignore[misc]
    """Lets a trial start once its source training has succeeded and it has a slot.

    While no trial may start, Tune is told that there will be none: Tune then keeps no worker waiting, and another
    experiment can have the slot. A run of Tune that ends for this reason is followed by another one. Tune's id of a
    trial begins with the trial's digest.

    Args:
        queue: the trials.
        slots: the experiment's slots; None if the scheduler claims them. Trials that are ready then start paused.
        recorder: records trials that will not run.
    """

    def __init__(self, queue: TrialQueue, slots: SlotClient | None, recorder: Recorder) -> None:
        self.queue, self.slots, self.recorder = queue, slots, recorder
        self.spec: dict[str, Any] = {}
        self.parser = _make_parser()
        self.waiting: dict[str, Trial] = {}
        self.running: dict[str, Trial] = {}
        self.failed = set(queue.failed_before)
        self.interrupted: set[str] = set()
        self.deaths: dict[str, int] = {}
        self.due: dict[str, float] = {}
        self.furthest_epoch: dict[str, int] = {}
        self.admitted: tuple[str, Trial] | None = None
        self.taken = 0
        self.checked = 0.0

    def is_done(self) -> bool:
        """Whether all trials have ended."""
        return self.is_finished() and not self.waiting and not self.interrupted and self.queue.is_complete()

    def requeue(self, digest: str, trial: Trial, why: str) -> None:
        """A trial has to go on in another process: it waits again, the longer the more often it has died."""
        self.deaths[digest] = self.deaths.get(digest, 0) + 1
        delay = DELAYS[min(self.deaths[digest], len(DELAYS)) - 1]
        self.due[digest] = time.monotonic() + delay
        self._take({digest: trial})
        reason = f"{why} ({self.deaths[digest]} times without progress); it goes on in {delay:g} s"
        self.recorder.died(digest, reason)

    def note_interruption(self, digest: str) -> None:
        """A trial has ended because it was asked to: it goes on in another driver, and this one has not done all."""
        self.interrupted.add(digest)

    def note_progress(self, digest: str, epoch: int) -> None:
        """A trial has finished an epoch; if it never got that far before, its deaths are forgotten."""
        if epoch > self.furthest_epoch.get(digest, 0):
            self.furthest_epoch[digest] = epoch
            self.deaths.pop(digest, None)

    def end_run(self) -> None:
        """A run of Tune has ended. Trials that it lost on the way (an actor that could not be reused) wait again."""
        lost, self.running = self.running, {}
        for digest, trial in lost.items():
            self._release(digest)
            self.requeue(digest, trial, "Ray Tune has lost it")

    # Tune's interface

    def add_configurations(self, experiments: Any) -> None:
        """Take the experiment that Tune runs."""
        [experiment] = experiments if isinstance(experiments, list) else [experiments]
        self.spec = experiment.spec

    @property
    def total_samples(self) -> int:
        """The number of trials so far."""
        return self.taken

    def is_finished(self) -> bool:
        """Whether no trial may start at the moment."""
        if self.admitted is None and time.monotonic() - self.checked >= WAIT_SECONDS:
            self.admitted = self._admit()
            self.checked = 0.0 if self.admitted is not None else time.monotonic()
        return self.admitted is None

    def next_trial(self) -> Any:
        """A trial that may start now; None if there is none at the moment."""
        if self.is_finished():
            return None
        assert self.admitted is not None
        digest, trial = self.admitted
        self.admitted = None
        return self._build(digest, trial)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A trial or its process has ended: trials that start from it may start now, or never will."""
        digest = digest_of(trial_id)
        if digest not in self.running:
            return
        del self.running[digest]
        self._release(digest)
        self.checked = 0.0
        if result is not None and result.get("kind") == "failed":
            self.failed.add(digest)

    def set_finished(self) -> None:
        """Give up the trials that wait."""
        self.waiting.clear()

    def save_to_dir(self, *_: Any, **__: Any) -> None:
        """Save nothing: a driver that starts again asks the store which trials are outstanding."""

    def has_checkpoint(self, _: str) -> bool:
        """There is never a saved state."""
        return False

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return dict, ()  # Tune pickles its parts with its own state, which is never read here

    # Which trial may start

    def _admit(self) -> tuple[str, Trial] | None:
        """The next trial that has all it needs: its source training, and a slot."""
        self._take(self.queue.more())
        for refused, reason in self.queue.refused(self.waiting).items() if self.waiting else ():
            del self.waiting[refused]
            self.recorder.refused(refused, reason)
        while True:
            ready = self._ready()
            digest = next(iter(ready), None) if self.slots is None else self.slots.claim(ready)
            if digest is None:
                return None
            del self.waiting[digest]
            trial = self.queue.refresh(digest)
            if trial is not None:
                self.running[digest] = trial
                return digest, trial
            self._release(digest)  # another experiment has run it in the meantime
            self.queue.ended(digest)

    def _ready(self) -> list[str]:
        """The waiting trials whose source training has succeeded and whose delay is over."""
        ready = []
        for digest, trial in list(self.waiting.items()):
            needed = trial.source.digest if trial.source is not None else None
            if needed in self.failed:
                del self.waiting[digest]
                self.failed.add(digest)
                self.recorder.failed(digest, f"the source training {needed}, which it starts from, failed")
            elif needed not in self.waiting and needed not in self.running and self._is_due(digest):
                ready.append(digest)
        return ready

    def _is_due(self, digest: str) -> bool:
        return self.due.get(digest, 0.0) <= time.monotonic()

    def _take(self, more: Mapping[str, Trial]) -> None:
        self.waiting.update(more)
        self.taken += len(more)

    def _release(self, digest: str) -> None:
        if self.slots is not None:
            self.slots.release([digest])

    def _build(self, digest: str, trial: Trial) -> Any:
        """A trial in the form that Tune has it."""
        config = {
            "trial": trial,
            "alpha": trial.config.alpha,
            "learning_rate": trial.config.training.learning_rate,
            "end_file": self.recorder.end_file,
        }
        if trial.config.population is not None and (now := trainers.resumed_hyperparameters(trial)) is not None:
            config |= {"alpha": now.alpha, "learning_rate": now.learning_rate}
        again = f"{digest}.{self.taken}"  # Tune needs a new id for a trial whose process has died
        built = _create_trial_from_spec(
            {**self.spec, "config": config},
            self.parser,
            trial_id=again if digest in self.due else digest,
            experiment_tag=digest,
        )
        if self.slots is None:
            built.set_status(TuneTrial.PAUSED)  # Tune would run a pending trial, whatever its scheduler says
        return built
