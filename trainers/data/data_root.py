"""Folders under the data root, the only ones that clients of the service may name."""

from pathlib import Path

from trainers.examples import DataError


def folder_under(data_root: Path | None, given: str) -> Path:
    """The folder that a path under the data root names, links resolved.

    Raises:
        DataError: it is not a folder, or not under the data root; or there is no data root.
    """
    if data_root is None:
        raise DataError("folders are read only under the data root, and ALLASPRAK_DATA_ROOT is not set")
    root = data_root.resolve()
    try:
        path = (root / given).resolve()
        is_folder = path.is_dir()
    except (OSError, RuntimeError) as error:  # too long a name, links in a circle
        raise DataError(f"{given} is not a folder: {error}") from error
    if not path.is_relative_to(root):
        raise DataError(f"{given} is not under the data root {data_root}")
    if not is_folder:
        raise DataError(f"{given}: the data root {data_root} has no such folder")
    return path
