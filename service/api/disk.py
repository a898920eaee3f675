"""What the files of an experiment take: counted beside the requests that show it, which are not to wait for a disk."""

import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from service.store import Store
from trainers.artifacts.disk import taken
from trainers.artifacts.layout import OF_TRIAL, driver_log, place_of_kind
from trainers.artifacts.place import Place

log = logging.getLogger(__name__)

# What the request waits that has them counted: the files of a hundred trials are counted by then.
WAIT_SECONDS = 0.005

# What was counted stays for a second, or so many times what counting took: one percent of a core at most.
LEAST_SECONDS, TIMES = 1.0, 100.0

# What was counted longer ago than it would be again is not shown for longer than this.
STALE_SECONDS = 60.0

# Experiments of which it is remembered.
MOST_KNOWN = 1000

Bytes = dict[str, int]


@dataclass
class _Count:
    """The last count, and the one that is being made; `due`, on the monotonic clock, is when another one may begin."""

    last: Bytes | None = None
    due: float = 0.0
    coming: "Future[None] | None" = None


class DiskUse:
    """Bytes of experiments' files by kind, counted again when they are asked for."""

    def __init__(self) -> None:
        self._worker = ThreadPoolExecutor(1, "disk-use")
        self._known: dict[tuple[Path, str], _Count] = {}
        self._lock = Lock()

    def of(self, store: Store, place: Place, experiment: str) -> Bytes | None:
        """What an experiment's files take: `bytes`, and those of each kind; None until they have been counted."""
        begun = None
        with self._lock:
            count = self._known.pop((place.home, experiment), _Count())
            self._known[place.home, experiment] = count  # those that were asked for last are last
            if len(self._known) > MOST_KNOWN:
                del self._known[next(iter(self._known))]
            if count.coming is None or (count.coming.done() and time.monotonic() >= count.due):
                begun = count.coming = self._worker.submit(self._count, count, store, place, experiment)
        if begun is not None:
            wait([begun], WAIT_SECONDS)
        return count.last if time.monotonic() < count.due + STALE_SECONDS else None

    def _count(self, count: _Count, store: Store, place: Place, experiment: str) -> None:
        begin = time.monotonic()
        try:
            trials = store.keeping.trials_of(experiment)
            found: Bytes = {
                kind: place_of_kind(place, kind).taken(of(place.home, trial) for trial in trials).bytes
                for kind, of in OF_TRIAL.items()
            }
            found["logs"] += taken([driver_log(place.home, experiment)]).bytes
            count.last = {"bytes": sum(found.values()), **found}
        except Exception:
            log.exception("what experiment %s takes could not be counted", experiment)
        now = time.monotonic()
        count.due = now + max(LEAST_SECONDS, TIMES * (now - begin))
