"""Experiments that are watched: until they are over, or trial by trial."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Any, Protocol, TextIO, TypeVar

from search_spaces.messages import LONGER
from service.bars import Bars
from service.connection import patiently
from service.patience import PATIENCE, Patience
from service.printing import count, duration
from trainers.marks import marks_of

FINAL = ("succeeded", "failed", "cancelled")

# Of the scores of an epoch, so many are shown.
MOST_SCORES = 6

# Events belong together that are less than so many seconds apart, and are shown after so many at the latest.
TOGETHER, AT_LATEST = 0.1, 2.0

# Seconds between two looks at an experiment without any event, for the time that is left.
LOOK = 10.0

T = TypeVar("T")


class Watched(Protocol):
    """A service whose experiments are watched: see `service.client.Client`."""

    def experiment(self, id_: str) -> dict[str, Any]:
        """An experiment as it stands."""

    def trial(self, id_: str) -> dict[str, Any]:
        """A trial."""

    def events(self, id_: str, after: int = 0, patience: float = PATIENCE) -> Iterator[dict[str, Any]]:
        """The events of an experiment, until it is over."""


def wait(
    client: Watched,
    ids: Sequence[str],
    progress: bool,
    poll_seconds: float,
    patience: float = PATIENCE,
    timeout: float | None = None,
) -> list[dict[str, Any]]:
    """A bar for each of some experiments, until all are over; returns them in their final states.

    A service that is gone is waited for, for `patience` seconds. TimeoutError if not all are over after `timeout` ones.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    found: dict[str, dict[str, Any]] = {}
    with Bars(shown=progress) as bars:
        patient = Patience(patience, bars.tell, deadline)
        rows = {id_: bars.add(id_, 1.0) for id_ in ids}
        while True:
            for id_, row in rows.items():
                if id_ not in found or found[id_]["state"] not in FINAL:
                    found[id_] = patiently(partial(client.experiment, id_), patient)
                    bars.set(row, **_whole(found[id_]))
            running = [f"{id_} ({one['state']})" for id_, one in found.items() if one["state"] not in FINAL]
            if not running:
                return [found[id_] for id_ in ids]
            left = poll_seconds if deadline is None else min(poll_seconds, deadline - time.monotonic())
            if left < 0:
                raise TimeoutError(f"not over after {duration(timeout or 0)}: {', '.join(running)}")
            time.sleep(left)


def follow(client: Watched, id_: str, patience: float = PATIENCE, file: TextIO | None = None) -> dict[str, Any]:
    """A bar for an experiment and each of its running trials, until it is over; returns it in its final state.

    A service that is gone is waited for, for `patience` seconds. The bars are written to `file`, standard error if none
    is given.
    """
    with Bars(file) as bars:
        patient = Patience(patience, bars.tell)
        shown = _Experiment(client, id_, bars, patient)
        shown.look()
        looked, is_past = time.monotonic(), True
        for batch in together(client.events(id_, patience=patience)):
            latest: dict[str, dict[str, Any]] = {}
            for event in batch:
                if event["event"] == "trial":
                    latest[event["trial"]] = event
                    if event["state"] != "running":
                        for mark in marks_of(event):
                            bars.note(f"{event['trial']}: {mark.brief}: {event[mark.name]}")
            for trial, event in latest.items():
                shown.tell(trial, event, is_past)
            if batch or time.monotonic() - looked > LOOK:
                shown.look()
                looked = time.monotonic()
            is_past = is_past and not batch
        return shown.look(is_last=True)


class _Experiment:
    """The bars of an experiment that is followed."""

    def __init__(self, client: Watched, id_: str, bars: Bars, patience: Patience) -> None:
        self._client, self._id, self._bars, self._patience = client, id_, bars, patience
        self._whole = bars.add(id_, 1.0)
        self._trials: dict[str, tuple[Any, str, int]] = {}  # bar, words and epochs of each that runs

    def look(self, is_last: bool = False) -> dict[str, Any]:
        """The experiment as it stands. That it is over is the last that is shown: a look may be ahead of the events."""
        experiment = patiently(partial(self._client.experiment, self._id), self._patience)
        if is_last or experiment["state"] not in FINAL:
            self._bars.set(self._whole, **_whole(experiment))
        return experiment

    def tell(self, trial: str, event: Mapping[str, Any], is_past: bool) -> None:
        """The latest event of a trial. Of the past only what still runs is worth a request and a line."""
        if event["state"] != "running":
            if trial in self._trials:
                bar, words, _ = self._trials.pop(trial)
                self._bars.remove(bar)
            elif is_past:
                return
            else:
                words, _ = self._described(trial)
            why = f": {reason}" if (reason := event.get("reason")) else ""
            (self._bars.note if event["state"] == "failed" else self._bars.line)(f"{words}: {event['state']}{why}")
            return
        if trial not in self._trials:
            words, epochs = self._described(trial)
            self._trials[trial] = self._bars.add(words, max(epochs, 1)), words, epochs
        bar, _, epochs = self._trials[trial]
        scores = [f"{one['language']} {one['metric']} {_shown(one)}" for one in event.get("scores", [])]
        said = ", ".join([*scores[:MOST_SCORES], *(["…"] if len(scores) > MOST_SCORES else [])])
        self._bars.set(bar, event["epoch"], f"{event['epoch']}/{epochs} epochs", said)

    def _described(self, trial: str) -> tuple[str, int]:
        """A trial in words, and its number of epochs."""
        config = patiently(partial(self._client.trial, trial), self._patience)["config"]
        return f"{config['method']} K={config['k']} seed {config['seed']}", config["training"]["epochs"]


def time_left(experiment: Mapping[str, Any], after: str = "") -> str:
    """How long an experiment still takes if nothing else runs, with a word after it; empty where that is unknown."""
    eta = experiment["cost"]["eta"]
    if eta is None:
        return ""
    seconds = (datetime.fromisoformat(eta) - datetime.now(UTC)).total_seconds()
    return f"{duration(max(1.0, seconds))}{after}" if seconds > 0 else LONGER


def done(trials: Mapping[str, int]) -> int:
    """How many of an experiment's trials are over."""
    return trials["succeeded"] + trials["stopped"] + trials["failed"] + trials["cancelled"]


def together(events: Iterable[T]) -> Iterator[list[T]]:
    """What comes, in lists of what comes together; an empty one where nothing comes for a second or two.

    Raises what `events` raises. They are read in a thread of its own, which ends with them, or at the next one.
    """
    arrived: SimpleQueue[tuple[bool, Any]] = SimpleQueue()  # what came, or what the end was
    over = Event()

    def read() -> None:
        try:
            for one in events:
                arrived.put((True, one))
                if over.is_set():
                    return
            arrived.put((False, None))
        except Exception as error:
            arrived.put((False, error))

    Thread(target=read, daemon=True).start()
    try:
        while True:
            batch: list[T] = []
            begun = time.monotonic()
            while (left := begun + AT_LATEST - time.monotonic()) > 0:
                try:
                    is_event, what = arrived.get(timeout=min(left, TOGETHER) if batch else left)
                except Empty:
                    break
                if not is_event:
                    yield batch
                    if what is not None:
                        raise what
                    return
                batch.append(what)
            yield batch
    finally:
        over.set()


def _whole(experiment: Mapping[str, Any]) -> dict[str, Any]:
    """What the bar of an experiment shows."""
    trials, reason = experiment["trials"], experiment["reason"]
    running = f", {trials['running']} running" if experiment["state"] not in FINAL and trials["running"] else ""
    failed = f", {trials['failed']} failed" if trials["failed"] else ""
    return {
        "done": experiment["progress"],
        "amount": f"{done(trials)} of {count(trials['total'], 'trial')}",
        "said": f"{experiment['state']}{running}{failed}{f' ({reason})' if reason else ''}",
        "left": time_left(experiment, " left"),
    }


def _shown(score: Mapping[str, Any]) -> str:
    """A score with its marks."""
    return f"{score['value']:.1f}{''.join(f' ({mark.brief})' for mark in marks_of(score))}"
