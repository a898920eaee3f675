"""Zips of examples, extracted safely: nothing outside a folder, and no more than it has room for."""

import re
import stat
import time
import zipfile
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from trainers.artifacts.atomic import need_room
from trainers.data.archives import MAX_FILE_BYTES, bounded, limit_of, readable, require_known, too_large
from trainers.data.formats import FORMATS, by_extension, is_nearly_a_split
from trainers.examples import LANGUAGE_CODE, DataError
from trainers.tasks import TASKS
from trainers.trial import SPLITS

# Of a zip; XTREME-R's four tasks together have some 400 files and 2 GB.
MAX_FILES, MAX_BYTES = 10_000, 8 * 2**30

# An upload that takes longer to unpack holds a thread of the service.
MAX_SECONDS = 300.0

CHUNK_BYTES = 2**20


def extract(file: BinaryIO, folder: Path) -> None:
    """Extract the files of a zip that are examples (`<task>/<language>/<split>.jsonl`), at its top or in one folder.

    Raises:
        DataError: it is not a zip, is too large, or has a path, a link or a file of examples that is not allowed.
        OSError: the disk is full.
    """
    with readable("it is not a zip"):
        most = limit_of(file, MAX_BYTES)
        with zipfile.ZipFile(bounded(file)) as archive:
            files = [info for info in archive.infolist() if not info.is_dir()]
            if len(files) > MAX_FILES:
                raise DataError(f"it has {len(files)} files; allowed: {MAX_FILES}")
            _extract(archive, _targets(files, folder), most)


def _targets(files: list[zipfile.ZipInfo], folder: Path) -> list[tuple[zipfile.ZipInfo, Path]]:
    """The files of a zip that are examples, with where they go: all different, from the zip's top or one folder."""
    found: dict[Path, zipfile.ZipInfo] = {}
    tops: dict[str, None] = {}
    for info in files:
        if (path := _inside(info)) is None:
            continue
        if path in found:
            raise DataError(f"{info.filename[:200]!r}: there is another file {path}")
        tops[info.filename.replace("\\", "/").removesuffix(path.as_posix())] = None
        if len(tops) > 1:
            raise DataError(
                f"{info.filename[:200]!r}: other files are in {next(iter(tops))[:200]!r}; allowed: one folder"
            )
        require_known(info)
        found[path] = info
    return [(info, folder / path) for path, info in found.items()]


def _extract(archive: zipfile.ZipFile, targets: list[tuple[zipfile.ZipInfo, Path]], most: int) -> None:
    """Write files of a zip: no more than `most` bytes and than there is room for, in no more than `MAX_SECONDS`."""
    left, ends = most, time.monotonic() + MAX_SECONDS
    for info, target in targets:
        target.parent.mkdir(parents=True, exist_ok=True)
        name = "/".join(target.parts[-3:])
        with readable(f"it is not a zip: {name} is no file"), archive.open(info) as source, target.open("wb") as to:
            while chunk := source.read(CHUNK_BYTES):
                left -= len(chunk)  # the sizes that the zip states cannot be trusted
                if left < 0:
                    raise too_large(most)
                if time.monotonic() > ends:
                    raise DataError(f"to unpack it takes longer than allowed: {MAX_SECONDS:g} s")
                need_room(target.parent, len(chunk))
                to.write(chunk)
                if to.tell() > MAX_FILE_BYTES:
                    raise DataError(f"{name} is larger than allowed: {MAX_FILE_BYTES / 2**30:g} GiB")


def _inside(info: zipfile.ZipInfo) -> Path | None:
    """Where a file of a zip goes, as `<task>/<language>/<split>.jsonl`; None for anything else, such as a README."""
    parts = PurePosixPath(info.filename.replace("\\", "/")).parts
    if ".." in parts or info.filename.startswith(("/", "\\")) or stat.S_ISLNK(info.external_attr >> 16):
        raise DataError(f"{info.filename[:200]!r}: no path out of the zip, and no link, is allowed")
    path = Path(*parts[-3:])
    return path if len(parts) in (3, 4) and parts[0] != "__MACOSX" and _has_examples(path, info.filename) else None


def _has_examples(path: Path, name: str) -> bool:
    """Whether a path is that of a file of examples. DataError for one that is only nearly such a path."""
    task, language, _ = path.parts
    of_task = by_extension(TASKS[task]) if task in TASKS else {}
    any_format = [extension for one in FORMATS for extension in one.extensions]
    is_a_split = path.stem in SPLITS and path.suffix in any_format
    if path.name.startswith(".") or not (is_a_split or (task in TASKS and is_nearly_a_split(path.name))):
        return False
    if path.stem not in SPLITS or path.suffix not in of_task or not re.fullmatch(LANGUAGE_CODE, language):
        raise DataError(
            f"{name[:200]!r} is not <task>/<language>/<split> with a task of {', '.join(TASKS)}, a language code,"
            f" a split of {', '.join(SPLITS)}, and an extension of {', '.join(of_task or any_format)}"
        )
    return True
