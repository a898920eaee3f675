"""How much of the disk files and folders take, and when they were last written."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple


class Taken(NamedTuple):
    """What files take: `bytes`, and when the last of them was `written`, in seconds since 1970; 0 if nothing is there.

    Folders without any file were written when they were made.
    """

    bytes: int
    written: float


def taken(paths: Iterable[Path]) -> Taken:
    """What files, and all that is in folders, take. A file with several names (hard links) counts once.

    What is not there, or vanishes meanwhile, takes nothing. Links are not followed.
    """
    seen: set[tuple[int, int]] = set()
    size, written, made = 0, 0.0, 0.0
    for path in paths:
        with suppress(FileNotFoundError, NotADirectoryError):
            made = max(made, path.lstat().st_mtime)
        for one in _files(path):
            written = max(written, one.st_mtime)
            if (one.st_dev, one.st_ino) not in seen:
                seen.add((one.st_dev, one.st_ino))
                size += one.st_size
    return Taken(size, written if seen else made)


def _files(path: Path) -> Iterator[os.stat_result]:
    with suppress(FileNotFoundError, NotADirectoryError):
        if not path.is_dir() or path.is_symlink():
            yield path.lstat()
            return
        folders = [str(path)]
        while folders:
            with suppress(FileNotFoundError), os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    else:
                        with suppress(FileNotFoundError):
                            yield entry.stat(follow_symlinks=False)
