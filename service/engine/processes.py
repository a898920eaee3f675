"""Processes that outlive whoever started them, known by pid and start time (pids are used again)."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class ProcessId:
    """A process on this machine: its pid, and when it was started (seconds since 1970)."""

    pid: int
    created: float

    def find(self) -> psutil.Process | None:
        """The process if it runs, else None. A child that has ended is reaped."""
        try:
            process = psutil.Process(self.pid)
            if process.create_time() != self.created:
                return None
            if process.status() == psutil.STATUS_ZOMBIE:
                process.wait(0)
                return None
            return process
        except (psutil.NoSuchProcess, psutil.TimeoutExpired):
            return None


def start(arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> ProcessId:
    """Start `python -m <arguments>` in a session of its own, so that it survives us; its output is added to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,
        )
    process.returncode = 0  # waited for through psutil, by whoever asks; a Popen that is forgotten would complain
    return ProcessId(process.pid, psutil.Process(process.pid).create_time())


def stop(id_: ProcessId, patience: float) -> None:
    """SIGTERM, then after `patience` seconds SIGKILL, to a process; then SIGKILL to all that it left behind."""
    process = id_.find()
    if process is None:
        return
    descendants = process.children(recursive=True)
    process.terminate()
    try:
        process.wait(patience)
    except psutil.TimeoutExpired:
        process.kill()
    _, left = psutil.wait_procs(descendants, timeout=min(patience, 5))
    for one in left:
        one.kill()
    psutil.wait_procs([process, *left], timeout=5)
