"""Processes that outlive the process that started them, identified by pid and start time (pids are reused).

The start time is that of the kernel, in seconds since the machine was started: the clock on the wall may be set anew.
"""

import contextlib
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from service.owner import Owner, owner_of
from trainers.artifacts.atomic import write_text
from trainers.child_process import python

# In the environment of every process that is started here, and of those that it starts.
MARK = "ALLASPRAK_STARTED_THIS"

# Loading libraries takes a core for seconds: the server has to stay responsive.
NICE = 5


@dataclass(frozen=True)
class ProcessId:
    """A process on this machine: its pid, and its start time in seconds since the machine started."""

    pid: int
    created: float

    def find(self) -> psutil.Process | None:
        """The process if it is running, else None. A child that has ended is reaped."""
        try:
            process = psutil.Process(self.pid)
            if started(self.pid) != self.created:
                return None
            if process.status() == psutil.STATUS_ZOMBIE:
                process.wait(0)
                return None
            return process
        except (psutil.NoSuchProcess, psutil.TimeoutExpired):
            return None

    def is_gone(self) -> bool:
        """Whether nothing of the process is left. A child that has ended is a zombie for as long as its threads end."""
        try:
            return self.find() is None and started(self.pid) != self.created
        except psutil.NoSuchProcess:
            return True


def this() -> ProcessId:
    """This process."""
    return ProcessId(os.getpid(), started(os.getpid()))


def started(pid: int) -> float:
    """The start time of a process, as in `ProcessId`: field 22 of /proc/<pid>/stat (proc(5)). psutil.NoSuchProcess."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError) as error:
        raise psutil.NoSuchProcess(pid) from error
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


def start(arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> ProcessId:
    """Start `python -m <arguments>` in a new session, so that it survives this process; output goes to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            python(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**environment, MARK: "1"},
            start_new_session=True,
        )
    process.returncode = 0  # reaped through psutil; a Popen without a return code would warn
    psutil.Process(process.pid).nice(NICE)
    return ProcessId(process.pid, started(process.pid))


def ask_to_end(id_: ProcessId) -> None:
    """Send SIGTERM to a process, if it is running."""
    process = id_.find()
    if process is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()


def stop(id_: ProcessId, patience: float) -> None:
    """End a process and all others of the session that it leads, even if it is dead already.

    It gets SIGTERM and `patience` seconds; then it and whatever it left behind get SIGKILL.
    """
    process = id_.find()
    if process is not None:
        process.terminate()
        with contextlib.suppress(psutil.TimeoutExpired):
            process.wait(patience)
    end_rest(id_)


def end_rest(id_: ProcessId) -> None:
    """Kill all processes of the session that a process leads or led, but for this one."""
    left = [one for one in _session(id_) if one.pid != os.getpid()]
    for one in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(left, timeout=5)


def _session(id_: ProcessId) -> list[psutil.Process]:
    """The processes of the session that a process leads or led; none if its pid has been reused."""
    with contextlib.suppress(psutil.NoSuchProcess):
        if started(id_.pid) != id_.created:
            return []
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.Error):
            # a session whose leader has ended may be another one, which has got its number since
            if os.getsid(process.pid) == id_.pid and is_mine(process) and MARK in process.environ():
                found.append(process)
    return found


def is_mine(process: psutil.Process) -> bool:
    """Whether a process is of the user who runs this one. psutil.NoSuchProcess."""
    return bool(process.uids().real == os.getuid())


@dataclass(frozen=True)
class Written:
    """What a file says of a process."""

    process: ProcessId
    state: dict[str, Any]


def write_down(file: Path, home: Path, process: ProcessId, **state: Any) -> None:
    """Write down a process of a home on this machine. FileNotFoundError if the home is gone."""
    write_text(file, json.dumps({**state, "process": asdict(process), "owner": asdict(owner_of(home))}))


def read_down(file: Path, home: Path) -> Written | None:
    """What was written down; None if nothing was, or in a home that this one is a copy of, or on another machine."""
    try:
        state = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    owner = state.get("owner")  # files of version 0.1.0 have none
    if owner is not None and not Owner(**owner).is_same_as(owner_of(home)):
        return None
    return Written(ProcessId(**state.get("process", state)), state)
