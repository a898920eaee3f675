"""Records what happens to an experiment's trials in the store."""

import logging
from dataclasses import dataclass, field
from pathlib import Path

from service.engine.trial_queue import TrialQueue
from service.store import Store
from trainers import Outcome, Report
from trainers.artifacts.layout import checkpoints_of, end_file
from trainers.artifacts.place import PlaceLostError
from trainers.artifacts.places import NO_PATIENCE, place_of
from trainers.examples import CHANGED

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Recorder:
    """Writes the events of trials to the store, each under the number of the attempt that it belongs to.

    Attributes:
        store: where they are kept.
        experiment: the id of the experiment that the trials are run for.
        home: the service's folder.
        queue: is notified of trials that have ended.
        artifacts: the URL of the place where checkpoints lie; None for the home.
        attempts: the number of the current attempt at each trial.
        running: the trials that have begun and not ended yet.
        ended: those whose checkpoints are to be removed.
    """

    store: Store
    experiment: str
    home: Path
    queue: TrialQueue
    artifacts: str | None = None
    attempts: dict[str, int] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)

    @property
    def end_file(self) -> Path:
        """The file that asks the running trials to end once it is there; it says why."""
        return end_file(self.home, self.experiment)

    def started(self, digest: str) -> None:
        """An attempt at a trial begins."""
        if not self.attempts:
            self.store.control.move(self.experiment, "start")
        self.attempts[digest] = self.store.trials.started(self.experiment, digest)
        self.running.add(digest)

    def reported(self, digest: str, report: Report, node: str) -> None:
        """A trial has finished an epoch, on a machine."""
        self.store.trials.reported(digest, self.attempts[digest], report, node)

    def succeeded(self, digest: str, outcome: Outcome) -> bool:
        """A trial has succeeded; its checkpoints are removed once its outcome is stored.

        False if its attempt counted as dead already, so that the outcome comes too late and the trial has to run again.
        """
        found = self.store.trials.succeeded(digest, self.attempts[digest], outcome)
        if found == "refused":
            return False
        if found == "incomplete":
            self.store.trials.failed(self.experiment, digest, f"it lacks scores that were planned: {CHANGED}")
        self._remove_checkpoints(digest)
        self._ended(digest)
        return True

    def stopped(self, digest: str, reason: str) -> None:
        """A scheduler has stopped a trial. Its scores stay; its checkpoints stay if another experiment needs them."""
        if self.store.trials.stopped(self.experiment, digest, reason):
            self._remove_checkpoints(digest)
        self._ended(digest)

    def refused(self, digest: str, reason: str) -> None:
        """A trial will not start."""
        self.store.trials.stopped(self.experiment, digest, reason)
        self.queue.ended(digest)

    def failed(self, digest: str, reason: str) -> None:
        """A trial has failed and is not run again."""
        self.store.trials.failed(self.experiment, digest, reason)
        self._ended(digest)

    def died(self, digest: str, reason: str) -> None:
        """The process of a trial has died; another attempt will follow."""
        self.store.trials.died(self.experiment, digest, reason)
        self.running.discard(digest)

    def interrupted(self, digest: str, step: int) -> None:
        """A trial that was asked to end has written a checkpoint after an update."""
        why = self.end_file.read_text(encoding="utf-8")
        self.store.trials.interrupted(self.experiment, digest, f"{why}; a checkpoint was written after step {step}")
        self.running.discard(digest)

    def _ended(self, digest: str) -> None:
        self.running.discard(digest)
        self.queue.ended(digest)

    def _remove_checkpoints(self, digest: str) -> None:
        self.ended.add(digest)
        try:
            for one in list(self.ended):
                place_of(self, NO_PATIENCE).remove(checkpoints_of(self.home, one))
                self.ended.discard(one)
        except PlaceLostError as error:
            log.warning("checkpoints stay until another trial has ended, or they are pruned: %s", error)
