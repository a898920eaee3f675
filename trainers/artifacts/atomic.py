"""Writing to the disk: files whole or not at all, and large ones only where there is room for them."""

import errno
import fcntl
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path

# Room that is left to the database, so that it can still say what happened when models have filled the disk.
RESERVE_BYTES = 64 * 2**20

# A trial's process that was told to end is gone after two.
END_SECONDS = 5.0


def need_room(folder: Path, size: int) -> None:
    """Check before a large write.

    Raises:
        OSError: ENOSPC, unless `folder`'s disk has `size` bytes and the reserve left.
    """
    free = shutil.disk_usage(folder).free
    if free < size + RESERVE_BYTES:
        megabytes = 2**20
        raise OSError(
            errno.ENOSPC,
            f"the disk is full: {size / megabytes:.0f} MB and a reserve of {RESERVE_BYTES / megabytes:.0f} MB are"
            f" needed, {free / megabytes:.0f} MB are free",
            str(folder),
        )


@contextmanager
def unfinished_file(path: Path) -> Iterator[Path]:
    """A path to write to; the file appears as `path` when the block ends well, replacing what was there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")  # several threads may write the same file
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def log_of(home: Path, digest: str) -> Path:
    """What all attempts at a trial have said."""
    return home / "logs" / "trials" / f"{digest}.log"


def checkpoints_of(home: Path, digest: str) -> Path:
    """Where an attempt at a trial leaves its state for the next."""
    return home / "checkpoints" / digest


def driver_log(home: Path, experiment: str) -> Path:
    """What the processes that ran an experiment have said."""
    return home / "logs" / f"{experiment}.log"


@dataclass(frozen=True)
class Saved:
    """What a trial has on disk.

    `models` are the selections whose models are kept, `predictions` how many files of them there are, `checkpoint` when
    the last one of a training that has not ended was written (seconds since 1970).
    """

    models: list[str]
    predictions: int
    checkpoint: float | None


def saved(home: Path, digest: str) -> Saved:
    """What a trial has on disk."""
    models = sorted(path.name for path in (home / "models" / digest).glob("*"))
    predictions = sum(1 for _ in (home / "predictions" / digest).glob("[!.]*"))
    written = None
    for path in checkpoints_of(home, digest).glob("[0-9]*"):
        with suppress(FileNotFoundError):  # a later one has taken its place
            written = path.stat().st_mtime
    return Saved(models, predictions, written)


def remove_trial(home: Path, digest: str) -> None:
    """Remove what a trial has written: models, checkpoints, predictions, its log; not if it is at work again.

    A process that is at work on it and about to end is waited for.
    """
    with suppress(TimeoutError), lock(home / "locks" / digest, patience=END_SECONDS):
        log_of(home, digest).unlink(missing_ok=True)
        for kind in ("models", "checkpoints", "predictions"):
            shutil.rmtree(home / kind / digest, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a small file; whoever reads it meanwhile sees the old one or the new one."""
    with unfinished_file(path) as unfinished:
        unfinished.write_text(text)


@contextmanager
def lock(path: Path, patience: float = inf) -> Iterator[None]:
    """Hold a file's lock, waiting for whoever holds it: so long, then TimeoutError. It goes with the process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + patience
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{path} is locked") from None
                time.sleep(0.05)
        yield
