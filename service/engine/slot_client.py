"""A driver's client of the pool's slots: claims and releases them for the trials of one experiment."""

import logging
import threading
import time
from collections.abc import Collection, Sequence

import ray

from service.store import Resources, Store

log = logging.getLogger(__name__)

# Seconds between two heartbeats, and between two claims of a slot that was not free.
HEARTBEAT_SECONDS = 5.0
ASK_SECONDS = 0.2


class SlotClient:
    """The slots of one experiment, which takes turns with the others. Ray has been joined.

    Args:
        store: keeps the slots of all experiments.
        experiment: its id.
        resources: what each of its trials takes.
        at_once: the most slots that it may hold; None for no limit.

    Attributes:
        held: the trials that have a slot.
    """

    def __init__(self, store: Store, experiment: str, resources: Resources, at_once: int | None) -> None:
        self.store, self.experiment, self.resources, self.at_once = store, experiment, resources, at_once
        self.held: set[str] = set()
        self._released: set[str] = set()
        self._is_waiting, self._note = False, ""
        self._is_closed = False
        self._asked = 0.0
        store.slots.join(experiment, resources)
        threading.Thread(target=self._heartbeat, name="heartbeat", daemon=True).start()

    def claim(self, wanted: Sequence[str]) -> str | None:
        """Claim a slot for one of some trials, the best first. The trial that has one now; None if none has."""
        if self._is_closed:
            return None
        wanted = [trial for trial in wanted if trial not in self.held]
        if self.at_once is not None:
            wanted = wanted[: max(0, self.at_once - len(self.held))]
        is_idle = not wanted and not self._is_waiting
        if not self._released and (is_idle or time.monotonic() - self._asked < ASK_SECONDS):
            return None
        self._asked = time.monotonic()
        nodes = self._nodes()
        fits = any(node.holds(self.resources) for node in nodes)
        found = self.store.slots.claim(self.experiment, wanted if fits else [], self._released, _sum(nodes))
        self._released.clear()
        self._is_waiting = bool(wanted) and found is None
        if found is not None:
            self.held.add(found)
        self._show(self._why_nothing_runs(nodes, fits))
        return found

    def release(self, trials: Collection[str]) -> None:
        """Trials do not need their slots any more; the next `claim` gives the slots back, or takes one over."""
        self._released |= self.held & set(trials)
        self.held -= set(trials)

    def close(self) -> None:
        """Claim no more slots."""
        self._is_closed = True

    def _why_nothing_runs(self, nodes: Sequence[Resources], fits: bool) -> str:
        if self.held or not self._is_waiting:
            return ""
        if fits:
            return "waiting for a free slot of the pool"
        largest = max(nodes, key=lambda node: (node.gpus, node.cpus), default="none")
        return f"waiting for a larger pool: a trial takes {self.resources}, and its largest node has {largest} for now"

    def _show(self, note: str) -> None:
        if note != self._note:
            self._note = note
            self.store.control.note(self.experiment, note)

    def _nodes(self) -> list[Resources]:
        """The resources of each node that is alive; a trial runs on one node. Nodes of a cluster come and go."""
        alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        return [Resources(one.get("CPU", 0.0), one.get("GPU", 0.0), one.get("memory", 0.0)) for one in alive]

    def _heartbeat(self) -> None:
        while True:
            time.sleep(HEARTBEAT_SECONDS)
            try:
                self.store.slots.heartbeat(self.experiment)
            except Exception:
                log.exception("a heartbeat was missed")


def _sum(nodes: Sequence[Resources]) -> Resources:
    return Resources(*(sum(getattr(node, name) for node in nodes) for name in ("cpus", "gpus", "memory")))
