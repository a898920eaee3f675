"""Folders under the data root, the only ones that clients of the service may name."""

import os
from pathlib import Path

from trainers.examples import DataError

# Folders below the one that is named: XTREME's scripts put files four folders deep.
MAX_DEPTH = 4


def folder_under(data_root: Path | None, given: str) -> Path:
    """The folder that a path under the data root names, links resolved.

    Raises:
        DataError: it is not a folder, not under the data root, or has a link out of it; or there is no data root.
    """
    if data_root is None:
        raise DataError("folders are read only under the data root, and ALLASPRAK_DATA_ROOT is not set")
    root = data_root.resolve()
    try:
        path = (root / given).resolve()
        is_folder = path.is_dir()
    except (OSError, RuntimeError) as error:  # too long a name, links in a circle
        raise DataError(
            f"{given} is not a folder ({getattr(error, 'strerror', None) or 'links in a circle'})"
        ) from error
    if not path.is_relative_to(root):
        raise DataError(f"{given} is not under the data root")
    if not is_folder:
        raise DataError(f"{given}: the data root has no such folder")
    _require_inside(path, root)
    return path


def _require_inside(folder: Path, root: Path) -> None:
    """Refuse with DataError a link below a folder, as deep as examples lie, that leads out of the data root."""
    seen = {folder}
    left = [(folder, 0)]
    while left:
        current, depth = left.pop()
        try:
            with os.scandir(current) as entries:
                found = [entry for entry in entries if entry.is_symlink() or entry.is_dir()]
        except OSError:  # whoever reads it says what is wrong with it
            continue
        for entry in found:
            try:
                path = Path(entry.path).resolve()
            except (OSError, RuntimeError):  # links in a circle, which lead nowhere
                continue
            if not path.is_relative_to(root):
                name = Path(entry.path).relative_to(root).as_posix()
                raise DataError(f"{name} is a link that leads out of the data root; allowed: links within it")
            if depth < MAX_DEPTH and path not in seen and path.is_dir():
                seen.add(path)
                left.append((path, depth + 1))
