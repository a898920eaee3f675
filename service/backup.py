"""Backups: one tar of a consistent copy of the database, and of the files that nothing would bring back.

It is laid out as a home is: unpacked into an empty folder, it is one. It may be made while the service runs and writes.
"""

import os
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import create_engine, make_url
from sqlalchemy.exc import SQLAlchemyError

from service.settings import Settings
from service.store.keeping import become_another
from trainers.artifacts import layout
from trainers.artifacts.atomic import need_room, unfinished_file
from trainers.artifacts.disk import taken


class Written(NamedTuple):
    """What is in a backup: how many files besides the database, and the bytes of all."""

    files: int
    bytes: int


def backup(settings: Settings, file: Path, with_models: bool = False) -> Written:
    """Write a backup, which appears whole or not at all, for its owner's eyes alone (mode 0600).

    The database is copied first: whatever it names was there before, and is added afterwards.

    Args:
        settings: of the service, which may be running.
        file: to write; an earlier backup is replaced, and nothing else.
        with_models: add the kept models. Without them, the database in the backup says that none is kept, but where
            models and predictions lie at a URL, and so are not in the backup. What was running is queued in it.

    Raises:
        ValueError: the database is not SQLite, or there is none, or what would be replaced is no backup, or the file
            would lie in the home, or in no folder; or models are asked for that lie at a URL.
        RuntimeError: it is damaged, or cannot be read.
        OSError: the file cannot be written, such as since the disk is full.
    """
    database = _sqlite_file(settings)
    elsewhere = settings.artifacts is not None
    if elsewhere and with_models:
        raise ValueError(f"--models: they lie at {settings.artifacts}, and are backed up there")
    if not file.parent.is_dir():
        raise ValueError(f"there is no folder {str(file.parent)!r}")
    if os.path.lexists(file) and not _is_backup(file, database):
        what = "is a directory" if file.is_dir() else "is there"
        raise ValueError(f"{file} {what}, and no earlier backup; allowed: a new file, or a .tar to be replaced")
    if settings.home.resolve() in (file.parent.resolve() / file.name).parents:
        raise ValueError(f"{file} lies in the home, all of which is the service's; allowed: elsewhere")
    folders = layout.irreplaceable(settings.home, with_models, with_predictions=not elsewhere)
    size = taken(folders).bytes + 2 * taken([database]).bytes
    with unfinished_file(file) as unfinished:
        need_room(file.parent, size)
        copy = unfinished.with_name(f"{unfinished.name}.sqlite")
        for path in (unfinished, copy):
            path.touch(0o600, exist_ok=False)
        try:
            _copy(database, copy, with_models or elsewhere)
            number = 0
            with tarfile.open(unfinished, "w") as archive:
                archive.add(copy, layout.database_file(Path()), filter=_private)
                for path in _files(folders):
                    number += _add(archive, path, path.relative_to(settings.home))
            with unfinished.open("rb") as written:
                os.fsync(written.fileno())
        finally:
            copy.unlink(missing_ok=True)
        return Written(number, unfinished.stat().st_size)


def _is_backup(file: Path, database: Path) -> bool:
    """Whether a file may be replaced: one that is named as backups are, or is a tar, but no database or device."""
    return file.is_file() and not file.samefile(database) and (file.suffix == ".tar" or tarfile.is_tarfile(file))


def _sqlite_file(settings: Settings) -> Path:
    """The file of the service's database. ValueError if there is none."""
    file = settings.existing_database()
    if file is None:
        here = settings.artifacts is None
        folders = ", ".join(path.name for path in layout.irreplaceable(settings.home, here, with_predictions=here))
        raise ValueError(
            f"the database is no file but {make_url(settings.database_url)}: pg_dump backs it up, and of"
            f" {settings.home} copy {folders} after that"
        )
    return file


def _copy(database: Path, copy: Path, with_models: bool) -> None:
    """Copy a database as of one moment: others may write to it meanwhile."""
    try:
        with (
            closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
            target.execute("PRAGMA journal_mode=DELETE")  # one file; the service makes it WAL again
            [[verdict]] = target.execute("PRAGMA quick_check(1)").fetchall()
        if verdict != "ok":
            raise RuntimeError(f"the database {database} is damaged: {' '.join(verdict.split())}")
        engine = create_engine("sqlite://", creator=lambda: sqlite3.connect(copy))
        with engine.begin() as connection:
            become_another(connection, with_models)
        engine.dispose()
    except (sqlite3.Error, SQLAlchemyError) as error:
        raise RuntimeError(f"the database {database} cannot be backed up: {str(error).splitlines()[0]}") from error


def _files(folders: list[Path]) -> Iterator[Path]:
    """All files but those that are being written or removed, whose names, or their folders', begin with a dot.

    A folder that vanishes meanwhile has none, which `Path.rglob` would not take.
    """
    for folder in folders:
        for place, below, names in os.walk(folder):
            below[:] = sorted(name for name in below if not name.startswith("."))
            for path in (Path(place, name) for name in sorted(names) if not name.startswith(".")):
                if path.is_file() and not path.is_symlink():
                    yield path


def _add(archive: tarfile.TarFile, path: Path, name: Path) -> bool:
    """Add a file; False if it is gone by now."""
    try:
        with path.open("rb") as content:
            member = _private(archive.gettarinfo(arcname=str(name), fileobj=content))
            archive.addfile(member, content if member.isreg() else None)
    except FileNotFoundError:
        return False
    return True


def _private(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Nobody else's to read, nor of a certain user."""
    member.mode, member.uid, member.gid, member.uname, member.gname = 0o600, 0, 0, "", ""
    return member
