"""The pool: an embedded Ray on this machine, loopback only and token-authenticated, or an existing Ray cluster.

The embedded Ray lives in a process of its own (`python -m service.engine.pool`), so that it survives the API server;
the file `pool.json` in the home names it.
"""

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event
from types import FrameType

from service.engine.processes import ProcessId, start, started, stop
from trainers.artifacts import layout
from trainers.artifacts.atomic import write_text
from trainers.child_process import VARIABLES

# A Unix socket's path has at most 107 bytes; Ray appends "/session_<date>_<pid>/sockets/plasma_store" (67) to it.
MAX_RAY_FOLDER = 38

# Ray's core reads paths as ASCII (Ray 2.60, measured).
PLAIN_PATH = re.compile(r"[A-Za-z0-9_./-]+")

START_SECONDS = 60.0

# Ray's head keeps a history for a dashboard that is not installed: keep less of it. What that saves is not measured.
SYSTEM_CONFIG = {
    "prestart_worker_first_driver": False,
    "task_events_report_interval_ms": 0,
    "maximum_gcs_dead_worker_cached_count": 100,
    "maximum_gcs_destroyed_actor_cached_count": 100,
}


class PoolError(RuntimeError):
    """The pool did not start."""


@dataclass(frozen=True)
class Pool:
    """A Ray that trials run on. `process`, `folder` and the size are None for an existing cluster."""

    address: str
    cpus: int | None
    gpus: int | None
    memory: int | None
    process: ProcessId | None
    folder: Path | None


def environment(home: Path, embedded: bool) -> dict[str, str]:
    """The environment variables of every process that talks to the pool."""
    ours = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AIR_NEW_OUTPUT": "0",
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    if embedded:
        ours |= {
            # Without it Ray listens on every interface, whatever address it is given (Ray 2.60, measured).
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(layout.ray_token(home)),
        }
    return {**os.environ, **ours, **VARIABLES}


def join(address: str) -> Pool:
    """The pool of an existing cluster."""
    return Pool(address, None, None, None, None, None)


def ensure(home: Path, given_up: Event) -> Pool:
    """The embedded pool: the one that is running already, or a new one.

    Args:
        home: the folder of all files.
        given_up: once it is set, nobody waits for the pool any more.

    Raises:
        PoolError: it did not start; the message quotes the end of its log.
    """
    before = _last(home)
    if before is not None and before.process is not None:
        if before.process.find() is not None:
            return before
        _end(before, patience=0)  # a head that was killed leaves some of its processes behind
    with contextlib.suppress(FileNotFoundError):  # a pool that a server was starting when it was killed
        stop(ProcessId(**json.loads(layout.starting_pool_file(home).read_text(encoding="utf-8"))), patience=0)
    _write_token(layout.ray_token(home))
    layout.pool_file(home).unlink(missing_ok=True)
    log = layout.pool_log(home)
    process = start(["service.engine.pool", str(home)], environment(home, embedded=True), log)
    write_text(layout.starting_pool_file(home), json.dumps(asdict(process)))
    try:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and process.find() is not None and not given_up.is_set():
            if (pool := _last(home)) is not None and pool.process == process:
                return pool
            time.sleep(0.1)
    except BaseException:
        stop(process, patience=5)
        raise
    stop(process, patience=1)
    raise PoolError(
        f"Ray did not start; the end of {log}:\n{log.read_text(errors='replace', encoding='utf-8')[-2000:]}"
    )


def close(pool: Pool, home: Path, patience: float) -> None:
    """Stop the embedded pool, which has `patience` seconds to end by itself; an existing cluster is left alone."""
    if pool.process is not None:
        _end(pool, patience)
        layout.pool_file(home).unlink(missing_ok=True)


def _end(pool: Pool, patience: float) -> None:
    """Stop the remaining processes of an embedded pool, and remove the files that Ray wrote."""
    assert pool.process is not None
    assert pool.folder is not None
    stop(pool.process, patience)
    shutil.rmtree(pool.folder, ignore_errors=True)


def _last(home: Path) -> Pool | None:
    """The embedded pool that was started last, whether it is running or not."""
    try:
        state = json.loads(layout.pool_file(home).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    size = (state["cpus"], state["gpus"], state["memory"])
    return Pool(state["address"], *size, ProcessId(**state["process"]), Path(state["folder"]))


def _write_token(path: Path) -> None:
    """Write a token that only its owner may read; token files that Ray generates are world-readable."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600, exist_ok=False)
    path.write_text(secrets.token_hex(32), encoding="utf-8")


def _ray_folder(home: Path) -> Path:
    """Ray's folder: in the home, or a temporary folder where that path is too long for sockets, or odd for Ray."""
    folder = layout.ray_folder(home)
    if len(os.fsencode(folder)) <= MAX_RAY_FOLDER and PLAIN_PATH.fullmatch(str(folder)):
        return folder
    return Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))


def _serve(home: Path) -> None:
    """Run a Ray head until SIGTERM, or until one of its processes dies: the supervisor then starts a new one."""
    import psutil
    import ray

    me = ProcessId(os.getpid(), started(os.getpid()))
    write_text(layout.starting_pool_file(home), json.dumps(asdict(me)))  # the server may die before it has written it
    folder = _ray_folder(home)
    try:
        # "local": never join an address that an earlier Ray left in a file
        context = ray.init(
            "local",
            num_cpus=len(os.sched_getaffinity(0)),
            _memory=psutil.virtual_memory().total,
            include_dashboard=False,
            log_to_driver=False,
            object_store_memory=100 * 2**20,  # objects are specs and scores
            _temp_dir=str(folder),
            _system_config=SYSTEM_CONFIG,
        )
        signal.signal(signal.SIGTERM, _exit)
        signal.signal(signal.SIGINT, _exit)
        resources = ray.cluster_resources()
        state = {
            "address": context.address_info["gcs_address"],
            "cpus": int(resources["CPU"]),
            "gpus": int(resources.get("GPU", 0)),
            "memory": int(resources["memory"]),
            "folder": str(folder),
            "process": asdict(me),
        }
        write_text(layout.pool_file(home), json.dumps(state))
        head = [child for child in psutil.Process().children() if child.name() in ("gcs_server", "raylet")]
        while all(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in head):
            time.sleep(0.5)
        os._exit(1)  # a shutdown would wait for dead processes; the next pool's start ends the others
    finally:
        ray.shutdown()


def _exit(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
