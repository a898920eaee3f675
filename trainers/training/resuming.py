"""Checkpoints of a trial, from which the next attempt resumes, and the hyperparameters that it resumes with."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainers.artifacts import checkpoints
from trainers.artifacts.layout import checkpoints_of
from trainers.artifacts.place import PlaceLostError
from trainers.artifacts.places import NO_PATIENCE, PATIENCE, place_of
from trainers.training.loop import Loop
from trainers.training.selecting import Selector
from trainers.trial import Schedule, Trial, TrialConfig

# Between two checkpoints there is at least this many times as much training as the first of them took to write.
CHECKPOINT_SHARE = 20

log = logging.getLogger(__name__)

State = Mapping[str, Any]


def last_checkpoint(trial: Trial) -> State | None:
    """The state that an interrupted attempt at a trial wrote last.

    None if there is none, or if that attempt scored other dev sets than this one has to, or fewer test sets.
    """
    state: State | None = checkpoints.load(place_of(trial), checkpoints_of(trial.home, trial.config.digest))
    if state is None:
        return None
    wanted = trial.wanted
    same_dev_sets = (tuple(state["selections"]), tuple(state["judge"])) == (wanted.selections, tuple(wanted.judge))
    tests = set(wanted.evaluate) if wanted.test_every_report else set()
    return state if same_dev_sets and tests <= set(state["tests"]) else None


@dataclass(frozen=True)
class History:
    """The hyperparameters that a member of a population has been trained with; empty for any other trial.

    Attributes:
        lines: (epochs trained before, alpha, learning rate), one for each change.
    """

    lines: tuple[tuple[int, Any, Any], ...] = ()

    @classmethod
    def of(cls, trial: Trial, state: State | None) -> "History":
        """That of the last checkpoint, and the change with which the trial resumes from it if there is one."""
        if trial.config.population is None:
            return cls()
        if state is None:
            return cls(((0, trial.config.alpha, trial.config.training.learning_rate),))
        lines = tuple((epoch, alpha, rate) for epoch, alpha, rate in state["history"])
        change = trial.change
        if change is None or (change.alpha, change.learning_rate) == lines[-1][1:]:
            return cls(lines)
        return cls((*lines, (state["training"]["epoch"], change.alpha, change.learning_rate)))

    def hyperparameters(self, config: TrialConfig) -> tuple[float | Schedule | None, float | Schedule]:
        """Alpha (None without surgery) and learning rate: the configuration's, or as schedules those of the history."""
        if not self.lines:
            return config.alpha, config.training.learning_rate
        alphas = None if config.alpha is None else tuple((epoch, alpha) for epoch, alpha, _ in self.lines)
        return alphas, tuple((epoch, rate) for epoch, _, rate in self.lines)

    def to_dicts(self) -> list[dict[str, Any]]:
        """As plain data."""
        return [{"epoch": epoch, "alpha": alpha, "learning_rate": rate} for epoch, alpha, rate in self.lines]


class Checkpoints:
    """Writes the checkpoints of a training.

    Args:
        trial: the trial.
        history: its hyperparameters so far.
        selector: its reports and choices.
        training: the loop that trains it.
    """

    def __init__(self, trial: Trial, history: History, selector: Selector, training: Loop) -> None:
        self.trial, self.history, self.selector, self.training = trial, history, selector, training
        self._written_at, self._took = time.monotonic(), 0.0

    def write_if_due(self) -> None:
        """Write a checkpoint if the last one is old enough; training goes on where its place does not answer."""
        since = time.monotonic() - self._written_at
        if since < max(self.trial.checkpoint_seconds, CHECKPOINT_SHARE * self._took):
            return
        begin = time.monotonic()
        try:
            self.write(NO_PATIENCE)
        except PlaceLostError as error:
            log.warning("after step %d there is no checkpoint: %s", self.training.step, error)
        self._written_at = time.monotonic()
        self._took = self._written_at - begin

    def write(self, patience: float = PATIENCE) -> None:
        """Write everything that the rest of the trial depends on.

        Args:
            patience: seconds that the place is waited for.

        Raises:
            OSError: the disk has no room, or the place is lost.
        """
        wanted = self.trial.wanted
        state = {
            "selections": wanted.selections,
            "judge": tuple(wanted.judge),
            "tests": tuple(wanted.evaluate) if wanted.test_every_report else (),
            "history": self.history.lines,
            "training": self.training.state_dict(),
            **self.selector.state_dict(),
        }
        place = place_of(self.trial, patience)
        checkpoints.save(place, checkpoints_of(self.trial.home, self.trial.config.digest), state)
