"""An experiment's share of the pool: the slots that its trials have, asked for in turn with other experiments."""

import logging
import threading
import time
from collections.abc import Collection, Sequence

import ray

from service.store import Resources, Store

log = logging.getLogger(__name__)

# How often a driver says that it is alive, and asks again for what it did not get.
BEAT_SECONDS = 5.0
ASK_SECONDS = 0.2


class Share:
    """The slots of one experiment. Ray has been joined.

    Args:
        store: where all experiments' slots are.
        experiment: its id.
        room: what each of its trials takes.
        at_once: how many slots it wants at most, if not all.
    """

    def __init__(self, store: Store, experiment: str, room: Resources, at_once: int | None) -> None:
        self.store, self.experiment, self.room, self.at_once = store, experiment, room, at_once
        self.held: set[str] = set()
        self.left: set[str] = set()
        self.waits, self.said = False, ""
        self._asked = 0.0
        store.slots.join(experiment, room)
        threading.Thread(target=self._beat, name="beat", daemon=True).start()

    def claim(self, wanted: Sequence[str]) -> str | None:
        """One of some trials, the best first, that has a slot from now on; None if none has."""
        wanted = [trial for trial in wanted if trial not in self.held]
        if self.at_once is not None:
            wanted = wanted[: max(0, self.at_once - len(self.held))]
        if not self.left and ((not wanted and not self.waits) or time.monotonic() - self._asked < ASK_SECONDS):
            return None
        self._asked = time.monotonic()
        nodes = self._nodes()
        fits = any(node.holds(self.room) for node in nodes)
        found = self.store.slots.claim(self.experiment, wanted if fits else [], self.left, _together(nodes))
        self.left.clear()
        self.waits = bool(wanted) and found is None
        if found is not None:
            self.held.add(found)
        self._say(self._why_nothing_runs(nodes, fits))
        return found

    def leave(self, trials: Collection[str]) -> None:
        """Trials need their slots no more; the next `claim` gives them back, or takes over one of them."""
        self.left |= self.held & set(trials)
        self.held -= set(trials)

    def _why_nothing_runs(self, nodes: Sequence[Resources], fits: bool) -> str:
        if self.held or not self.waits:
            return ""
        if fits:
            return "waiting for a free slot of the pool"
        largest = max(nodes, key=lambda node: (node.gpus, node.cpus), default="none")
        return f"waiting for a larger pool: a trial takes {self.room}, and its largest node has {largest} for now"

    def _say(self, reason: str) -> None:
        if reason != self.said:
            self.said = reason
            self.store.control.note(self.experiment, reason)

    def _nodes(self) -> list[Resources]:
        """What each node has; a trial runs on one. Of a cluster nodes come and go."""
        there = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        return [Resources(one.get("CPU", 0.0), one.get("GPU", 0.0), one.get("memory", 0.0)) for one in there]

    def _beat(self) -> None:
        while True:
            time.sleep(BEAT_SECONDS)
            try:
                self.store.slots.beat(self.experiment)
            except Exception:
                log.exception("a beat is missed")


def _together(nodes: Sequence[Resources]) -> Resources:
    return Resources(*(sum(getattr(node, name) for node in nodes) for name in ("cpus", "gpus", "memory")))
