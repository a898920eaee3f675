"""The supervisor: keeps the pool alive and gives each active experiment a driver of its own.

More than 300 lines: what may be done to a driver, and when, stands in one file.
"""

import fcntl
import logging
import os
import shutil
import signal
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from service import planning
from service.engine import pool as pools
from service.engine.processes import ProcessId, ask_to_end, start, stop, this
from service.owner import owner_of
from service.settings import Settings
from service.store import DatabaseLostError, LeaseLostError, Store, StoreFullError, reserve
from service.store.states import FINAL
from trainers.artifacts.atomic import write_text
from trainers.artifacts.layout import driver_log, end_file, server_lock, tune_folder
from trainers.child_process import leave_removed_folder
from trainers.trial import NUMERICS

log = logging.getLogger(__name__)

# The most experiments that have a driver at once; a driver is a process of about 300 MB.
MAX_DRIVERS = 8

# Seconds before a driver that died is followed by another, over what is outstanding: one delay for each death without
# progress, the last for all further ones.
DELAYS = (0.0, 2.0, 10.0, 60.0, 300.0)

# Ray's head and raylet keep 0.15 MiB for each driver that has ended: after this many drivers they are restarted, once
# nothing is running.
RENEW_DRIVERS = 50

INTERVAL_SECONDS = 0.2

# Seconds that running trials have to write a checkpoint: when their experiment is paused or outranked, and when the
# server stops. Trials in an evaluation that takes longer go on from the last checkpoint that they wrote.
PAUSE_SECONDS, CLOSE_SECONDS = 30.0, 5.0

# Seconds that a closing server waits for what the supervisor is at, and for Ray.
LOOK_SECONDS, POOL_SECONDS = 2.0, 4.0

STOPPED = "the server was stopped"
PAUSED = "the experiment was paused"

# What is said of an experiment that goes on after that.
GOES_ON = {
    STOPPED: f"{STOPPED}; it goes on when the server starts again",
    PAUSED: "it was resumed, and goes on from its checkpoints",
}

# How often a database that is lost is looked at, and said to be.
LOST_SECONDS = 10.0


class HomeInUseError(RuntimeError):
    """Another server uses this home."""


@dataclass(kw_only=True)
class _Ending:
    """A driver that was asked to end: why, and when it is killed (`time.monotonic`)."""

    process: ProcessId
    why: str
    deadline: float

    def has_ended(self) -> bool:
        """Whether it has, of its own accord or now."""
        if self.process.find() is not None and time.monotonic() < self.deadline:
            return False
        stop(self.process, patience=0)  # also what it left behind; the store is always consistent
        return True


class Supervisor(threading.Thread):
    """Runs stored experiments, several at once: the highest priority first, and of equal ones the longest queued.

    A driver whose experiment is paused or cancelled is stopped; when it is paused, its trials write a checkpoint first.
    A pool and drivers that an earlier server of this home left behind are taken over; those of another home end by
    themselves. `close` stops everything resumably.

    Whatever is done to a driver is done after it was read from the store, and then the lease found to be held: a server
    that was suspended meanwhile stops no driver of the server that has taken over.

    Args:
        settings: where to read, write and run.
        store: the database, opened for a server: it is upgraded here.

    Attributes:
        lost: that another server has taken the database over; this process is told to end, and `close` leaves the
            database as it is.

    Raises:
        HomeInUseError: another server uses this home.
        LeaseHeldError: another server uses this database, which is left as it is.
        PoolError: Ray did not start.
    """

    def __init__(self, settings: Settings, store: Store) -> None:
        super().__init__(name="supervisor", daemon=True)
        self.settings, self.store = settings, store
        self._lock = _lock(settings.home)
        self._lease = store.lease(owner_of(settings.home), (this().pid, this().created), _is_running)
        self.lost: LeaseLostError | None = None
        self._drivers: set[ProcessId] = set()  # those that may be running, of which the lease was held
        is_heir = self._lease.take(log.warning)
        try:
            self._begin(is_heir)
        except BaseException:
            self._lease.release()
            raise

    def _begin(self, is_heir: bool) -> None:
        settings, store = self.settings, self.store
        store.upgrade(self._lease)  # not before: a server of an earlier version may be using the database
        if not is_heir:
            self._forget_drivers()
        self._closing = threading.Event()
        self._ending: dict[str, _Ending] = {}
        self._environment = pools.environment(settings.home, embedded=settings.ray_address is None)
        reserve.make(settings.home)
        for experiment, numerics in store.control.outdated(NUMERICS).items():
            store.control.move(experiment, "outdate", planning.outdated(numerics))
        self.pool = self._ensure_pool()
        self._drivers_of_pool = 0

    def _ensure_pool(self) -> pools.Pool:
        address = self.settings.ray_address
        return pools.ensure(self.settings.home, self._closing) if address is None else pools.join(address)

    def run(self) -> None:
        """Watch the pool and the drivers until `close`."""
        while not self._closing.wait(INTERVAL_SECONDS):
            try:
                self._look()
            except LeaseLostError as error:
                self._give_up(error)
                os.kill(os.getpid(), signal.SIGTERM)
                return
            except DatabaseLostError as error:
                log.error("%s", error)
                self._closing.wait(LOST_SECONDS)
            except StoreFullError:
                log.exception("the disk is full")
                reserve.release(self.settings.home)
            except Exception:
                log.exception("the supervisor goes on after")

    def close(self) -> None:
        """Stop the drivers and the pool resumably: what was running is queued again for the next server.

        Within `LOOK_SECONDS`, `CLOSE_SECONDS` and `POOL_SECONDS` all processes have ended. Then it is stored, which may
        take as long as another transaction does.
        """
        self._closing.set()
        if self.is_alive():
            self.join(LOOK_SECONDS)
        try:
            for experiment, driver in self._held(self.store.control.drivers()).items():
                self._end(experiment, driver, STOPPED, CLOSE_SECONDS)
            while not all(ending.has_ended() for ending in self._ending.values()):
                time.sleep(0.05)
        except LeaseLostError as error:
            self._give_up(error)
        except DatabaseLostError:
            pass  # nobody knows the drivers then; they end with the pool
        finally:
            pools.close(self.pool, self.settings.home, POOL_SECONDS)
        with suppress(DatabaseLostError):
            for experiment, ending in self._ending.items() if self.lost is None else ():
                self._release(experiment, ending.why)
            self._lease.release()
        self._lock.close()

    def _held(self, drivers: dict[str, tuple[int, float]]) -> dict[str, tuple[int, float]]:
        """These drivers, which are this server's: they were read while it had the lease."""
        if drivers:
            self._lease.check()
        return drivers

    def _give_up(self, error: LeaseLostError) -> None:
        """Stop the drivers of this server, and leave to the other what the store says of experiments."""
        if self.lost is None:
            log.error("%s", error)
            self.lost = error
            for driver in self._drivers:
                stop(driver, patience=0)

    def _forget_drivers(self) -> None:
        """Those of another home or machine are none of this server's processes. They see it, and end."""
        for experiment in self.store.control.drivers():
            why = "a server with another home goes on with it"
            self.store.control.release_driver(experiment, why)
            self.store.control.move(experiment, "requeue", why)

    def _end(self, experiment: str, driver: tuple[int, float], why: str, patience: float) -> None:
        """Ask a driver to end, once; it is killed where that takes longer than `patience` seconds."""
        deadline = time.monotonic() + patience
        if experiment in self._ending:
            self._ending[experiment].deadline = min(deadline, self._ending[experiment].deadline)
            return
        self._ending[experiment] = _Ending(process=ProcessId(*driver), why=why, deadline=deadline)
        with suppress(OSError):  # on a full disk there is no room for a checkpoint either
            write_text(end_file(self.settings.home, experiment), why)
        ask_to_end(ProcessId(*driver))

    def _release(self, experiment: str, why: str) -> None:
        """Of a driver that has ended what was running is queued again, unless it was paused or cancelled."""
        shutil.rmtree(tune_folder(self.settings.home, experiment), ignore_errors=True)
        end_file(self.settings.home, experiment).unlink(missing_ok=True)
        self.store.control.release_driver(experiment, why)
        self.store.control.move(experiment, "requeue", GOES_ON.get(why, why))

    def _look(self) -> None:
        leave_removed_folder()
        control = self.store.control
        self._lease.check()
        for experiment, driver in self._held(control.unwanted()).items():
            if (state := control.state(experiment)) in FINAL:
                self._end(experiment, driver, f"the experiment is {state}", patience=0.0)
            else:
                self._end(experiment, driver, PAUSED, PAUSE_SECONDS)
        self._release_ended()
        if self.pool.process is not None and self.pool.process.find() is None:
            self._renew_pool()
        drivers = self._held(control.drivers())
        # one that has ended by itself is no driver any more, and a zombie until it is looked for
        self._drivers = {one for one in self._drivers if not one.is_gone()}
        self._drivers |= {ProcessId(*one) for one in drivers.values()}
        for experiment, driver in drivers.items():
            if experiment in self._ending:
                continue
            process = ProcessId(*driver).find()
            if process is None:
                stop(ProcessId(*driver), patience=0)  # its remaining processes
                reason = "its driver died ({deaths} without getting further, see the experiment's log)"
                control.driver_died(experiment, f"{reason}; another starts in {{delay}} s", DELAYS)
            elif not self._is_of_pool(process):
                self._end_of_pool(experiment, driver)
        drivers = self._held(control.drivers())
        for experiment in control.outranked(MAX_DRIVERS):
            self._end(experiment, drivers[experiment], "experiments of a higher priority go first", PAUSE_SECONDS)
        if self.pool.process is not None and self._drivers_of_pool >= RENEW_DRIVERS and not control.drivers():
            pools.close(self.pool, self.settings.home, POOL_SECONDS)
            self._renew_pool()
        for experiment in control.runnable(MAX_DRIVERS):
            self._start(experiment)
        reserve.make(self.settings.home)

    def _release_ended(self) -> None:
        for experiment, ending in list(self._ending.items()):
            if ending.has_ended():
                self._release(experiment, ending.why)
                del self._ending[experiment]

    def _renew_pool(self) -> None:
        for experiment, driver in self._held(self.store.control.drivers()).items():
            self._end_of_pool(experiment, driver)
        if not self._closing.is_set():
            self.pool, self._drivers_of_pool = self._ensure_pool(), 0

    def _end_of_pool(self, experiment: str, driver: tuple[int, float]) -> None:
        """Stop a driver whose pool has died: it would wait for a minute, or forever if it was about to join it."""
        stop(ProcessId(*driver), patience=0)
        self._ending.pop(experiment, None)
        self.store.control.driver_died(experiment, "the pool died, and is started again", ())

    def _is_of_pool(self, driver: psutil.Process) -> bool:
        """Whether a driver was started for the current pool: an earlier server's may have died with that server."""
        try:
            arguments = driver.cmdline()
        except psutil.Error:
            arguments = []
        return not arguments or self.pool.address in arguments  # without any it is ending, noticed the next time

    def _start(self, experiment: str) -> None:
        arguments = ["service.engine.driver", experiment, self.pool.address, str(self.pool.cpus or 0)]
        process = start(arguments, self._environment, self._log(experiment))
        self._drivers_of_pool += 1
        self._drivers.add(process)
        known = False
        try:
            known = self.store.control.set_driver(experiment, process.pid, process.created)
        finally:
            if not known:
                stop(process, patience=0)

    def _log(self, experiment: str) -> Path:
        return driver_log(self.settings.home, experiment)


def _is_running(pid: int, created: float) -> bool:
    return ProcessId(pid, created).find() is not None


def _lock(home: Path) -> IO[str]:
    home.mkdir(parents=True, exist_ok=True)
    file = server_lock(home).open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        who = file.read() or "another server"
        file.close()
        raise HomeInUseError(f"{who} uses {home}; set ALLASPRAK_HOME to have a second one") from None
    file.truncate(0)
    print(f"the server with process {os.getpid()} on {socket.gethostname()}", end="", file=file, flush=True)
    return file
