"""Folders for a while on a local disk, which outlive no process for long."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trainers.artifacts.atomic import need_room

PREFIX = "allasprak-artifact-"

# A folder is locked by then.
LOCK_SECONDS = 60.0


@contextmanager
def scratch(size: int) -> Iterator[Path]:
    """An empty folder in that of temporary files (`TMPDIR`), removed when the block ends.

    What killed processes of this user have left there is removed first.

    Args:
        size: bytes that will be written to it.

    Raises:
        OSError: the disk has no room for them.
    """
    _remove_left()
    need_room(Path(tempfile.gettempdir()), size)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    with _opened(folder) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # the operating system releases it if the process dies
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_left() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):  # another process removes it
            about = folder.lstat()
            if about.st_uid != os.getuid() or time.time() - about.st_ctime < LOCK_SECONDS or not folder.is_dir():
                continue
            with _opened(folder) as descriptor:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
