"""Atomic writes: a file is complete or absent, and a large one is written only if the disk has room for it."""

import errno
import fcntl
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path

# Disk space that is left to the database, so that it can record failures when models have filled the disk.
RESERVE_BYTES = 64 * 2**20


def need_room(folder: Path, size: int) -> None:
    """Check the free disk space before a large write.

    Raises:
        OSError: ENOSPC if the disk of `folder` has less than `size` bytes and the reserve.
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
    """A temporary path to write to, which replaces `path` when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")  # several threads may write the same file
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a small file. A reader sees the old content or the new."""
    with unfinished_file(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


@contextmanager
def lock(path: Path, patience: float = inf) -> Iterator[None]:
    """Hold a file lock, which the operating system releases if the process dies.

    Args:
        path: the file.
        patience: seconds to wait for another holder.

    Raises:
        TimeoutError: another process or thread still holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + patience
    with path.open("w", encoding="utf-8") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{path} is locked") from None
                time.sleep(0.05)
        yield
