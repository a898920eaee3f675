"""A place: where checkpoints, kept models and predictions lie, each whole or not at all.

What is in a place is named by the path below the home that `layout` gives it, wherever the place is.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path

from trainers.artifacts.disk import Taken


class PlaceLostError(ConnectionError):
    """A place did not answer, or refused, for as long as it was waited for."""


class Place(ABC):
    """Where a home has its artifacts.

    A *state* is a folder of files that belong together, as `checkpoints.save` writes one. Every method may raise
    PlaceLostError.

    Args:
        home: the home; all paths are below it.
    """

    def __init__(self, home: Path) -> None:
        self.home = home

    @abstractmethod
    def writing(self, folder: Path, *others: Path, size: int) -> AbstractContextManager[Path]:
        """An empty folder for the files of a state, which replaces the state before where the block ends without error.

        Only one process at a time should write a state.

        Args:
            folder: the state's name.
            others: further names for it.
            size: bytes that will be written. OSError if a disk has no room for them.
        """

    @abstractmethod
    def reading(self, folder: Path, *files: str) -> AbstractContextManager[Path | None]:
        """The state that was written last, in a folder as long as the block lasts; None if there is none.

        Args:
            folder: the state's name.
            files: those of its files that are read; all if none is named.
        """

    @abstractmethod
    def written(self, folder: Path) -> float | None:
        """When a state was written, in seconds since 1970; None if there is none."""

    @abstractmethod
    def writing_file(self, path: Path, size: int) -> AbstractContextManager[Path]:
        """A path to write a file to, which replaces `path` where the block ends without error. `size` as above."""

    @abstractmethod
    def reading_file(self, path: Path) -> AbstractContextManager[Path]:
        """A file, to be read as long as the block lasts. FileNotFoundError if there is none."""

    @abstractmethod
    def has_file(self, path: Path) -> bool:
        """Whether there is such a file."""

    @abstractmethod
    def remove_file(self, path: Path) -> None:
        """Remove a file, if there is one."""

    @abstractmethod
    def complete(self, folder: Path) -> list[str]:
        """The names of the states and files in a folder, without what is being written."""

    @abstractmethod
    def names(self, folder: Path) -> list[str]:
        """The names of all that lies in a folder, complete or not."""

    @abstractmethod
    def taken(self, folders: Iterable[Path]) -> Taken:
        """What all that is in folders takes, and when it was written."""

    @abstractmethod
    def remove(self, folder: Path) -> None:
        """Remove a folder, if there is one, with all states and files in it."""

    @abstractmethod
    def detach(self, path: Path) -> Callable[[], None]:
        """Let a folder or file vanish at once, if it is there. Returns what clears up after that, and may take long."""

    @abstractmethod
    def shown(self, path: Path) -> str:
        """Where something lies, for people."""

    @abstractmethod
    def check(self) -> None:
        """Write something, read and remove it. OSError says what keeps this place from being used."""
