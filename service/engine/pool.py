"""The pool: an embedded Ray on this machine, loopback only and token-authenticated, or an existing Ray cluster.

The embedded Ray lives in a process of its own (`python -m service.engine.pool`), so that it survives the API server;
the file `pool.json` in the home names it. It ends once it cannot be found or joined any more.
"""

import os
import re
import secrets
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from types import FrameType

from service.engine.processes import ProcessId, end_rest, read_down, start, started, stop, this, write_down
from service.owner import UMASK
from trainers import machine
from trainers.artifacts import layout
from trainers.child_process import VARIABLES

# A Unix socket's path has at most 107 bytes; Ray appends "/session_<date>_<pid>/sockets/plasma_store" (67) to it.
MAX_RAY_FOLDER = 38

# Ray's core reads paths as ASCII (Ray 2.60, measured).
PLAIN_PATH = re.compile(r"[A-Za-z0-9_./-]+")

# Ray's own folder, within a private one.
RAY = "r"

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
        # Below `uv run` Ray would start workers by that as well, in a copy of the current folder: a driver's is /.
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    }
    if embedded:
        ours |= {
            # Without it Ray listens on every interface, whatever address it is given (Ray 2.60, measured).
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            # No port at all: Ray's autoscaler, of which there is none, tells its metrics to whoever asks.
            "AUTOSCALER_METRIC_PORT": "65536",
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
    _end_started(home)  # a server may have been killed while it started one
    shutil.rmtree(layout.ray_folder(home), ignore_errors=True)
    _write_token(layout.ray_token(home))
    layout.pool_file(home).unlink(missing_ok=True)
    log = layout.pool_log(home)
    process = start(["service.engine.pool", str(home)], environment(home, embedded=True), log)
    write_down(layout.starting_pool_file(home), home, process)
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
    """Stop the embedded pool, which has `patience` seconds to end by itself; an existing cluster is left alone.

    A pool that is being started in its place is stopped as well.
    """
    if pool.process is not None:
        _end(pool, patience)
        _end_started(home)
        layout.pool_file(home).unlink(missing_ok=True)


def _end_started(home: Path) -> None:
    """Stop the pool that was started last, whether or not it can be joined already."""
    if (starting := read_down(layout.starting_pool_file(home), home)) is not None:
        stop(starting.process, patience=0)


def _end(pool: Pool, patience: float) -> None:
    """Stop the remaining processes of an embedded pool, and remove the files that Ray wrote."""
    assert pool.process is not None
    assert pool.folder is not None
    stop(pool.process, patience)
    shutil.rmtree(pool.folder, ignore_errors=True)


def _last(home: Path) -> Pool | None:
    """The embedded pool of this home that was started last, whether it is running or not."""
    found = read_down(layout.pool_file(home), home)
    if found is None:
        return None
    state = found.state
    size = (state["cpus"], state["gpus"], state["memory"])
    return Pool(state["address"], *size, found.process, Path(state["folder"]))


def _write_token(path: Path) -> None:
    """Write a token that only its owner may read; token files that Ray generates are world-readable."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600, exist_ok=False)
    path.write_text(secrets.token_hex(32), encoding="utf-8")


def _ray_folder(home: Path) -> Path:
    """A folder for Ray's: in the home, or a temporary one where that path is too long for sockets, or odd for Ray.

    Ray lets everyone write into its own folder, whatever the umask: it lies in one that is private.
    """
    folder = layout.ray_folder(home)
    if len(os.fsencode(folder / RAY)) <= MAX_RAY_FOLDER and PLAIN_PATH.fullmatch(str(folder)):
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder
    return Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))


def _serve(home: Path) -> None:
    """Run a Ray head until SIGTERM, or until it is not whole any more: the supervisor then starts a new one."""
    import psutil
    import ray

    home.mkdir(parents=True, exist_ok=True)
    me = this()
    write_down(layout.starting_pool_file(home), home, me)  # the server may die before it has written it
    folder = _ray_folder(home)
    try:
        # "local": never join an address that an earlier Ray left in a file
        context = ray.init(
            "local",
            num_cpus=machine.cpus(),
            _memory=machine.memory(),
            include_dashboard=False,
            log_to_driver=False,
            object_store_memory=100 * 2**20,  # objects are specs and scores
            _temp_dir=str(folder / RAY),
            _system_config=SYSTEM_CONFIG,
        )
        signal.signal(signal.SIGTERM, _exit)
        signal.signal(signal.SIGINT, _exit)
        resources = ray.cluster_resources()
        write_down(
            layout.pool_file(home),
            home,
            me,
            address=context.address_info["gcs_address"],
            cpus=int(resources["CPU"]),
            gpus=int(resources.get("GPU", 0)),
            memory=int(resources["memory"]),
            folder=str(folder),
        )
        children = [child for child in psutil.Process().children() if child.name() in ("gcs_server", "raylet")]
        head = [ProcessId(child.pid, started(child.pid)) for child in children]
        # without the token nobody can join it, and a temporary folder may be cleaned
        needed = [layout.ray_token(home), Path(context.address_info["session_dir"]) / "logs"]
        needed += [Path(context.address_info[name]) for name in ("raylet_socket_name", "object_store_address")]
        while all(process.find() for process in head):
            last = _last(home)
            if last is None or last.process != me or not all(path.exists() for path in needed):
                break
            time.sleep(0.5)
        end_rest(me)
        os._exit(1)  # a shutdown would wait for dead processes
    finally:
        ray.shutdown()


def _exit(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    os.umask(UMASK)
    _serve(Path(sys.argv[1]))
