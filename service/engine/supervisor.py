"""The supervisor: keeps the pool alive and gives each experiment in turn a driver of its own."""

import fcntl
import logging
import threading
from pathlib import Path
from typing import IO

from service.engine import pool as pools
from service.engine.processes import ProcessId, start, stop
from service.settings import Settings
from service.store import Store, StoreFullError, reserve

log = logging.getLogger(__name__)

# A driver that dies is started again over what is outstanding, so often.
MAX_DRIVER_STARTS = 4

INTERVAL_SECONDS = 0.2


class HomeInUseError(RuntimeError):
    """Another server uses this home."""


class Supervisor(threading.Thread):
    """Runs stored experiments one after another, of the highest priority the longest queued first.

    A driver whose experiment is paused or cancelled is stopped. A pool and drivers that an earlier server left behind
    are taken over. `close` stops everything resumably.

    Args:
        settings: where to read, write and run.
        store: the database.

    Raises:
        HomeInUseError: another server uses this home.
        PoolError: Ray did not start.
    """

    def __init__(self, settings: Settings, store: Store) -> None:
        super().__init__(name="supervisor", daemon=True)
        self.settings, self.store = settings, store
        self._lock = _lock(settings.home)
        self._closing = threading.Event()
        self._environment = pools.environment(settings.home, embedded=settings.ray_address is None)
        reserve.make(settings.home)
        self.pool = self._ensure_pool()

    def _ensure_pool(self) -> pools.Pool:
        address = self.settings.ray_address
        return pools.ensure(self.settings.home) if address is None else pools.join(address)

    def run(self) -> None:
        """Look after things until `close`."""
        while not self._closing.wait(INTERVAL_SECONDS):
            try:
                self._look()
            except StoreFullError:
                log.exception("the disk is full")
                reserve.release(self.settings.home)
            except Exception:
                log.exception("the supervisor goes on after")

    def close(self) -> None:
        """Stop the driver and the pool; what they were at is queued again for the next server."""
        self._closing.set()
        if self.is_alive():
            self.join()
        for experiment, driver in self.store.control.drivers().items():
            self._release(experiment, driver, "the server was stopped; it goes on when the server starts again")
        pools.close(self.pool, self.settings.home)
        self._lock.close()

    def _release(self, experiment: str, driver: tuple[int, float], reason: str = "") -> None:
        """Stop a driver resumably: what it was at is queued again, unless its experiment is not to go on."""
        stop(ProcessId(*driver), patience=10)
        self.store.control.move(experiment, "requeue", reason)
        self.store.control.release_driver(experiment)

    def _look(self) -> None:
        for unwanted, its_driver in self.store.control.unwanted().items():
            self._release(unwanted, its_driver)
        experiment = self.store.control.next_active()
        if experiment is None:
            return
        driver = self.store.control.drivers().get(experiment)
        pool_died = self.pool.process is not None and self.pool.process.find() is None
        if driver is not None and ProcessId(*driver).find() is not None:
            if not pool_died:
                return
            stop(ProcessId(*driver), patience=0)  # it would wait a minute for the pool that it knew
        log_file = self.settings.home / "logs" / f"{experiment}.log"
        if self.store.control.driver_starts(experiment) >= MAX_DRIVER_STARTS:
            reason = f"its driver died {MAX_DRIVER_STARTS} times; its log is {log_file}"
            self.store.control.move(experiment, "fail", reason)
            return
        if pool_died:
            self.pool = self._ensure_pool()
        arguments = ["service.engine.driver", experiment, self.pool.address, str(self.pool.cpus or 0)]
        process = start(arguments, self._environment, log_file)
        try:
            self.store.control.set_driver(experiment, process.pid, process.created)
        except BaseException:
            stop(process, patience=0)  # nobody would know of it
            raise


def _lock(home: Path) -> IO[str]:
    home.mkdir(parents=True, exist_ok=True)
    file = (home / "server.lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise HomeInUseError(f"another server uses {home}; set ALLASPRAK_HOME to have a second one") from None
    return file
