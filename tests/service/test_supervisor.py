"""The supervisor and its drivers: processes that sleep, over a real store."""

import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import psutil
import pytest

from plans import spec_of
from service.engine import driver, supervisor
from service.engine.processes import ProcessId, started, stop
from service.engine.supervisor import Supervisor
from service.settings import Settings
from service.store import Store
from stored import plan_of
from trainers.artifacts.layout import end_file

pytestmark = pytest.mark.service


DRIVER = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
print("ready", flush=True)
time.sleep(60)
"""


@pytest.fixture
def one_driver(
    sqlite_store: Store, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Supervisor]:
    """A supervisor that has room for one driver, each of which sleeps, and that looks when it is told to."""
    home = tmp_path / "home"
    home.mkdir()
    environment = {
        "ALLASPRAK_HOME": str(home),
        "ALLASPRAK_DATABASE_URL": sqlite_url,
        "ALLASPRAK_RAY_ADDRESS": "nowhere:1",
    }
    begun: list[subprocess.Popen[str]] = []

    def start(arguments: Sequence[str], *_: Any) -> ProcessId:
        command = [sys.executable, "-c", DRIVER, *arguments]
        begun.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True))
        assert begun[-1].stdout is not None
        begun[-1].stdout.readline()
        return ProcessId(begun[-1].pid, started(begun[-1].pid))

    monkeypatch.setattr(supervisor, "MAX_DRIVERS", 1)
    monkeypatch.setattr(supervisor, "start", start)
    found = Supervisor(Settings.from_environment(environment), sqlite_store)
    yield found
    found.close()
    for process in begun:
        process.kill()
        process.communicate()


def look_until(supervisor: Supervisor, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        supervisor._look()


def test_what_is_said_of_a_driver_that_died_names_no_folder_of_the_server(
    one_driver: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.engine.supervisor.DELAYS", (60.0,))  # after 0 s the next one may be there already
    id_ = one_driver.store.experiments.add(spec_of(), plan_of())
    one_driver._look()
    [(pid, created)] = one_driver.store.control.drivers().values()
    stop(ProcessId(pid, created), patience=0)
    look_until(one_driver, lambda: not one_driver.store.control.drivers())
    shown = one_driver.store.experiments.one(id_)
    assert shown is not None
    died = "its driver died (1 without getting further, see the experiment's log)"
    assert shown.reason == f"{died}; another starts in 60 s"


def test_a_driver_that_is_ending_is_not_taken_for_one_of_another_pool(
    one_driver: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = one_driver.store.experiments.add(spec_of(), plan_of())
    one_driver._look()
    before = one_driver.store.control.drivers()
    with monkeypatch.context() as ending:
        ending.setattr(psutil.Process, "cmdline", lambda _: [])  # as the kernel says it once the memory is given back
        one_driver._look()
    assert one_driver.store.control.drivers() == before
    one_driver.pool = replace(one_driver.pool, address="elsewhere:1")
    one_driver._look()
    shown = one_driver.store.experiments.one(id_)
    assert shown is not None
    assert shown.reason == "the pool died, and is started again"


def test_an_experiment_that_is_outranked_is_asked_to_end_and_goes_on_after_the_other(one_driver: Supervisor) -> None:
    store = one_driver.store

    def drivers() -> set[str]:
        return set(store.control.drivers())

    low = store.experiments.add(spec_of(), plan_of())
    look_until(one_driver, lambda: drivers() == {low})
    store.control.move(low, "start")
    [(pid, created)] = store.control.drivers().values()
    equal = store.experiments.add(spec_of(), plan_of())
    for _ in range(3):
        one_driver._look()
    assert drivers() == {low}  # equals do not take each other's place
    high = store.experiments.add(spec_of(priority=1), plan_of())
    one_driver._look()
    words = "experiments of a higher priority go first"
    assert end_file(one_driver.settings.home, low).read_text() == words  # its trials write their checkpoints
    look_until(one_driver, lambda: drivers() == {high})
    assert ProcessId(pid, created).find() is None
    shown = store.experiments.one(low)
    assert shown is not None
    assert (shown.state, shown.reason) == ("queued", words)
    assert not end_file(one_driver.settings.home, low).exists()
    store.control.move(high, "cancel")
    look_until(one_driver, lambda: drivers() == {low})
    store.control.set_priority(equal, 2)
    look_until(one_driver, lambda: drivers() == {equal})


def test_no_zombie_stays_of_a_driver_that_has_ended_by_itself(one_driver: Supervisor) -> None:
    control = one_driver.store.control
    id_ = one_driver.store.experiments.add(spec_of(), plan_of())
    one_driver._look()
    [(pid, _)] = control.drivers().values()
    control.move(id_, "start")
    control.move(id_, "succeed")
    control.release_driver(id_, "it is done")
    one_driver._look()  # while it is still about to end
    os.kill(pid, 9)
    while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    one_driver._look()
    assert not psutil.pid_exists(pid)


# Its first thread ends before the others do.
LEADERLESS = """
import ctypes, os, threading, time
threading.Thread(target=lambda: (input(), os._exit(0))).start()
ctypes.CDLL(None).pthread_exit(None)
"""


def test_a_child_that_has_ended_but_for_its_threads_is_reaped_after_them() -> None:
    with subprocess.Popen([sys.executable, "-c", LEADERLESS], stdin=subprocess.PIPE) as child:
        one = ProcessId(child.pid, started(child.pid))
        while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        assert (one.find(), one.is_gone()) == (None, False)
        assert child.stdin is not None
        child.stdin.write(b"\n")
        child.stdin.close()
        while not one.is_gone():
            time.sleep(0.01)
        assert not psutil.pid_exists(child.pid)


def test_a_removed_working_folder_keeps_nothing_from_starting(
    one_driver: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    one_driver._look()
    assert Path.cwd() == Path("/")


def test_the_reason_of_an_experiment_that_meets_a_full_disk_names_no_folder_of_the_server(
    one_driver: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "the disk is full: 477 MB are needed", "/secret/place")

    monkeypatch.setattr(driver, "_run", full)
    monkeypatch.setattr(threading, "Thread", Mock())  # which would end this process once the driver is another
    id_ = one_driver.store.experiments.add(spec_of(), plan_of())
    driver.drive(id_, "nowhere:1", 1, one_driver.settings)
    one_driver.store.control.release_driver(id_, "")  # it is this process, which the supervisor would end
    shown = one_driver.store.experiments.one(id_)
    assert shown is not None
    assert (shown.state, shown.reason) == ("failed", "the disk is full: 477 MB are needed")
