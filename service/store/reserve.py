"""A file whose room is given up when the disk is full, so that the database can still say what happened."""

import os
import shutil
from pathlib import Path

from trainers.artifacts.layout import reserve_file

RESERVE_BYTES = 8 * 2**20

# Right after it was given up it would otherwise be taken again.
TO_OTHERS_BYTES = 4 * RESERVE_BYTES


def make(home: Path) -> None:
    """Take the room, if that leaves enough for others and it is not taken yet."""
    path = reserve_file(home)
    if path.exists() or shutil.disk_usage(home).free < RESERVE_BYTES + TO_OTHERS_BYTES:
        return
    try:
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)
    except OSError:
        path.unlink(missing_ok=True)


def release(home: Path) -> None:
    """Give the room back."""
    reserve_file(home).unlink(missing_ok=True)
