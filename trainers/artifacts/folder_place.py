"""A place in a folder: the home itself, or another folder that is laid out like it."""

import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trainers.artifacts import disk
from trainers.artifacts.atomic import need_room, unfinished_file
from trainers.artifacts.disk import Taken
from trainers.artifacts.place import Place


class FolderPlace(Place):
    """Artifacts in a folder.

    A state is a folder `<name>/<number>`, which appears once it is complete; then the one before is removed.

    Args:
        home: as for `Place`.
        root: the folder; None for the home.
    """

    def __init__(self, home: Path, root: Path | None = None) -> None:
        super().__init__(home)
        self.root = root if root is not None else home

    def _at(self, path: Path) -> Path:
        return self.root / path.relative_to(self.home)

    @contextmanager
    def writing(self, folder: Path, *others: Path, size: int) -> Iterator[Path]:
        """As `Place.writing`. Unfinished states of others are removed. A state has its files once, under all names."""
        at = self._at(folder)
        at.mkdir(parents=True, exist_ok=True)
        need_room(at, size)
        before = list(_versions(at))
        version = at / str(max((int(path.name) for path in before), default=0) + 1)
        unfinished = at / f".{version.name}"
        for left in at.glob(".*"):
            shutil.rmtree(left, ignore_errors=True)
        unfinished.mkdir()
        try:
            yield unfinished
            unfinished.replace(version)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        for path in before:
            shutil.rmtree(path, ignore_errors=True)
        for other in others:
            _link(at, self._at(other))

    @contextmanager
    def reading(self, folder: Path, *_: str) -> Iterator[Path | None]:
        """As `Place.reading`: where it lies, with all files."""
        yield max(_versions(self._at(folder)), key=lambda path: int(path.name), default=None)

    def written(self, folder: Path) -> float | None:
        """As `Place.written`."""
        written = None
        for path in _versions(self._at(folder)):
            with suppress(FileNotFoundError):  # replaced by a later one
                written = max(path.stat().st_mtime, written or 0.0)
        return written

    @contextmanager
    def writing_file(self, path: Path, size: int) -> Iterator[Path]:
        """As `Place.writing_file`."""
        at = self._at(path)
        at.parent.mkdir(parents=True, exist_ok=True)
        need_room(at.parent, size)
        with unfinished_file(at) as unfinished:
            yield unfinished

    @contextmanager
    def reading_file(self, path: Path) -> Iterator[Path]:
        """As `Place.reading_file`: where it lies."""
        yield self._at(path)

    def has_file(self, path: Path) -> bool:
        """As `Place.has_file`."""
        return self._at(path).is_file()

    def remove_file(self, path: Path) -> None:
        """As `Place.remove_file`."""
        self._at(path).unlink(missing_ok=True)

    def complete(self, folder: Path) -> list[str]:
        """As `Place.complete`: what is being written or removed has a name that begins with a dot."""
        return sorted(path.name for path in self._at(folder).glob("[!.]*"))

    def names(self, folder: Path) -> list[str]:
        """As `Place.names`, without what begins with a dot, which `layout.unfinished` has."""
        return self.complete(folder)

    def taken(self, folders: Iterable[Path]) -> Taken:
        """As `Place.taken`."""
        return disk.taken(self._at(path) for path in folders)

    def remove(self, folder: Path) -> None:
        """As `Place.remove`."""
        shutil.rmtree(self._at(folder), ignore_errors=True)

    def detach(self, path: Path) -> Callable[[], None]:
        """As `Place.detach`."""
        at = self._at(path)
        aside = at.with_name(f".{at.name}.{secrets.token_hex(8)}")
        with suppress(FileNotFoundError):  # another process was faster
            at.rename(aside)

        def clear_up() -> None:
            if aside.is_dir():
                shutil.rmtree(aside, ignore_errors=True)
            else:
                aside.unlink(missing_ok=True)

        return clear_up

    def shown(self, path: Path) -> str:
        """As `Place.shown`."""
        return str(self._at(path))

    def check(self) -> None:
        """As `Place.check`."""
        self.root.mkdir(parents=True, exist_ok=True)
        probe = self.root / f".{secrets.token_hex(8)}"
        probe.touch(exist_ok=False)
        probe.unlink()


def _versions(at: Path) -> Iterator[Path]:
    return (path for path in at.glob("*") if path.name.isdigit())


def _link(at: Path, other: Path) -> None:
    """Give a state another name as well, of the same files, replacing the state there."""
    linked = other.with_name(f".{other.name}")
    shutil.rmtree(linked, ignore_errors=True)
    shutil.copytree(at, linked, copy_function=os.link)
    shutil.rmtree(other, ignore_errors=True)
    linked.replace(other)
