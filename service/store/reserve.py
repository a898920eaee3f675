"""A file whose room is given up when the disk is full, so that the database can still say what happened."""

import os
from pathlib import Path

RESERVE_BYTES = 8 * 2**20


def make(home: Path) -> None:
    """Take the room, if it is to be had and not taken yet."""
    path = _path(home)
    if path.exists():
        return
    try:
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)
    except OSError:
        path.unlink(missing_ok=True)


def release(home: Path) -> None:
    """Give the room back."""
    _path(home).unlink(missing_ok=True)


def _path(home: Path) -> Path:
    return home / "reserve"
