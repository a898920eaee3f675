"""An object store that pyarrow opens, such as S3, with patience where it does not answer."""

import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pyarrow import fs

from trainers.artifacts.place import PlaceLostError

log = logging.getLogger(__name__)

# Seconds before a further try: at first, and at most.
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0

# What is read and sent at once.
CHUNK_BYTES = 8 * 2**20

T = TypeVar("T")


class Stored(NamedTuple):
    """An object: its `name` below the folder that was listed, its `bytes`, and when it was `written`, since 1970."""

    name: str
    bytes: int
    written: float


@dataclass(frozen=True)
class ObjectStore:
    """Objects below a prefix.

    Where the store does not answer, or refuses, each method tries again, after waits that grow; whether a key is wrong,
    or will be renewed, cannot be told. Errors of the local disk are raised at once.

    Attributes:
        url: as pyarrow's `FileSystem.from_uri` opens it. Credentials, region and endpoint are those of the environment.
        patience: seconds for which it is tried, before PlaceLostError.
    """

    url: str
    patience: float

    def read(self, key: str) -> bytes:
        """An object. FileNotFoundError if there is none."""

        def read(store: Any, root: str) -> bytes:
            with store.open_input_stream(f"{root}/{key}") as source:
                return bytes(source.read())

        return self._patiently(read)

    def write(self, key: str, content: bytes) -> None:
        """Write a small object, replacing the one before."""

        def write(store: Any, root: str) -> None:
            with store.open_output_stream(f"{root}/{key}") as sink:
                sink.write(content)

        self._patiently(write)

    def send(self, file: Path, key: str) -> None:
        """Make a file an object, replacing the one before."""
        self._patiently(lambda store, root: _copy(fs.LocalFileSystem(), str(file), store, f"{root}/{key}"))

    def receive(self, key: str, file: Path) -> None:
        """Make an object a file. FileNotFoundError if there is none."""
        self._patiently(lambda store, root: _copy(store, f"{root}/{key}", fs.LocalFileSystem(), str(file)))

    def about(self, key: str) -> Stored | None:
        """What is known of an object; None if there is none."""
        found = self._patiently(lambda store, root: store.get_file_info(f"{root}/{key}"))
        return _stored(found, "") if found.type == fs.FileType.File else None

    def below(self, folder: str) -> list[Stored]:
        """All objects below a folder."""

        def listed(store: Any, root: str) -> list[Stored]:
            found = store.get_file_info(fs.FileSelector(f"{root}/{folder}", recursive=True, allow_not_found=True))
            # others stand for folders
            return [_stored(one, f"{root}/{folder}/") for one in found if one.type == fs.FileType.File]

        return self._patiently(listed)

    def names(self, folder: str) -> list[str]:
        """The names of objects and folders in a folder."""
        within = self._patiently(
            lambda store, root: store.get_file_info(fs.FileSelector(f"{root}/{folder}", allow_not_found=True))
        )
        return sorted(one.base_name for one in within)

    def delete(self, key: str) -> None:
        """Remove an object. FileNotFoundError if there is none."""
        self._patiently(lambda store, root: store.delete_file(f"{root}/{key}"))

    def delete_below(self, folder: str) -> None:
        """Remove all objects below a folder. FileNotFoundError if there is none."""
        self._patiently(lambda store, root: store.delete_dir(f"{root}/{folder}"))

    def check(self) -> None:
        """Write an object, read, list and remove it, without patience. OSError says what was answered."""
        name, content = f"probe-{secrets.token_hex(8)}", secrets.token_bytes(8)
        store, root = self._opened
        with store.open_output_stream(f"{root}/{name}") as sink:
            sink.write(content)
        with store.open_input_stream(f"{root}/{name}") as source:
            if source.read() != content:
                raise OSError("what was written is not what is read")
        if name not in [one.base_name for one in store.get_file_info(fs.FileSelector(root))]:
            raise OSError("what was written is not listed")
        store.delete_file(f"{root}/{name}")

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        store, root = fs.FileSystem.from_uri(self.url)
        return store, str(root).rstrip("/")

    def _patiently(self, act: Callable[[Any, str], T]) -> T:
        """Do something with the store and the prefix in it."""
        begin, wait, said = time.monotonic(), FIRST_WAIT, False
        while True:
            try:
                found = act(*self._opened)
            except OSError as error:
                if isinstance(error, FileNotFoundError) or error.errno is not None:
                    raise  # an answer, or the local disk's
                waited = time.monotonic() - begin
                if waited + wait > self.patience:
                    raise PlaceLostError(f"{self.url} was tried for {waited:.0f} s: {error}") from error
                if not said:
                    log.warning("%s is waited for, up to %.0f s: %s", self.url, self.patience, error)
                said = True
                time.sleep(wait)
                wait = min(2 * wait, LONGEST_WAIT)
            else:
                if said:
                    log.warning("%s answers again, after %.0f s", self.url, time.monotonic() - begin)
                return found


def _copy(source: Any, name: str, target: Any, other: str) -> None:
    fs.copy_files(
        name, other, source_filesystem=source, destination_filesystem=target, chunk_size=CHUNK_BYTES, use_threads=False
    )


def _stored(one: Any, folder: str) -> Stored:
    return Stored(one.path.removeprefix(folder), one.size, one.mtime_ns / 1e9)
