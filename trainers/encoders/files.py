"""The files of an encoder that are read, in a folder that may hold anything."""

import hashlib
import json
import os
import stat
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

from trainers import machine
from trainers.digests import digest
from trainers.encoders.encoder import EncoderError

CONFIG = "config.json"
ADAPTER = "adapter_config.json"
WEIGHTS, WEIGHTS_INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLE, PICKLE_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
TOKENIZER = "tokenizer.json"
TOKENIZER_CONFIG, SPECIAL_TOKENS, ADDED_TOKENS = (
    "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
)  # fmt: skip

# All from which a fast tokenizer of transformers is made: `vocab_files_names` of its classes, and what they share.
TOKENIZER_FILES = (
    "tokenizer*.json", SPECIAL_TOKENS, ADDED_TOKENS, "*vocab*.json", "*vocab*.txt", "merges*.txt", "*.model", "*.spm",
    "tekken.json", "normalizer.json",
)  # fmt: skip

# What a digest covers: no pickles and no code.
COUNTED = (CONFIG, "*.safetensors", WEIGHTS_INDEX, *TOKENIZER_FILES)

POINTER = b"version https://git-lfs.github.com/spec/"

# The largest file that is read whole: tokenizers of a million tokens are smaller.
MOST_BYTES = 2**28

# Digests of parts of this size are computed side by side.
PART_BYTES = 2**26
BLOCK_BYTES = 2**20


def is_any(name: str, patterns: Iterable[str]) -> bool:
    """Whether a file's name is one of these."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


class Folder:
    """The files of a folder, none of which is opened unless it is a regular file.

    Args:
        path: the folder.

    Attributes:
        sizes: bytes of each regular file by name; a link counts as what it leads to.

    Raises:
        EncoderError: it cannot be read, or holds something that an encoder does not have.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sizes: dict[str, int] = {}
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    self._add(entry)
        except EncoderError:
            raise
        except (OSError, ValueError) as error:  # no folder, no permission, too long a name, a NUL in it
            raise EncoderError(f"it is not a folder that can be read: {_reason(error)}") from error

    def _add(self, entry: "os.DirEntry[str]") -> None:
        is_read = is_any(entry.name, (*COUNTED, ADAPTER))
        if is_read and not entry.name.isprintable():  # nor is it UTF-8
            raise EncoderError(f"{entry.name!a} is no name of a file of an encoder: rename or remove it")
        try:
            state = entry.stat()
        except OSError as error:
            if is_read:
                raise EncoderError(f"{entry.name} is a link that leads nowhere: {_reason(error)}") from error
            return
        if stat.S_ISREG(state.st_mode):
            self.sizes[entry.name] = state.st_size
        elif is_read or not stat.S_ISDIR(state.st_mode):
            raise EncoderError(f"{entry.name} is {_kind(state.st_mode)}, not a file")

    def _open(self, name: str) -> int:
        """A descriptor of a file. EncoderError if it cannot be read, or is no longer a regular file."""
        try:
            descriptor = os.open(self.path / name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise EncoderError(f"{name} cannot be read: {_reason(error)}") from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise EncoderError(f"{name} is not a file")
        return descriptor

    def read(self, name: str, at_most: int = MOST_BYTES) -> bytes:
        """The contents of a file. EncoderError if it cannot be read or is a Git LFS pointer, or larger than that."""
        with os.fdopen(self._open(name), "rb") as file:
            content = file.read(at_most + 1)
        if len(content) > at_most:
            raise EncoderError(f"{name} is larger than {at_most} bytes")
        self._check(name, content)
        return content

    def check(self, name: str) -> None:
        """EncoderError if a file cannot be read or is a Git LFS pointer."""
        self.beginning(name)

    def beginning(self, name: str, size: int = 8) -> bytes:
        """The first bytes of a file. EncoderError if it cannot be read or is a Git LFS pointer."""
        with os.fdopen(self._open(name), "rb") as file:
            content = file.read(max(size, len(POINTER)))
        self._check(name, content)
        return content[:size]

    def _check(self, name: str, content: bytes) -> None:
        if content.startswith(POINTER):
            raise EncoderError(f"{name} is a Git LFS pointer, not the file: run `git lfs pull` in its repository")

    def read_json(self, name: str) -> dict[str, Any]:
        """The JSON object in a file. EncoderError if there is none."""
        content = self.read(name)
        try:
            value = json.loads(content.decode(), parse_constant=_refuse)
        except UnicodeDecodeError as error:
            raise EncoderError(f"{name} is not UTF-8: {error}") from error
        except RecursionError as error:
            raise EncoderError(f"{name} is not read: it is nested too deeply") from error
        except ValueError as error:
            raise EncoderError(f"{name} is not JSON: {error}") from error
        if not isinstance(value, dict):
            raise EncoderError(f"{name} is not a JSON object, but {_TYPES[type(value)]}")
        return value

    def states(self, names: Iterable[str]) -> list[list[Any]]:
        """Path, size and modification time of files: while they stay, so do the contents."""
        found = [(self.path / name, (self.path / name).stat()) for name in sorted(names)]
        return [[str(path), state.st_size, state.st_mtime_ns] for path, state in found]

    def sha256(self, name: str) -> str:
        """Digest of a file's contents; of a large one that of its parts' digests."""
        descriptor = self._open(name)
        try:
            starts = range(0, max(1, os.fstat(descriptor).st_size), PART_BYTES)
            if len(starts) == 1:
                return _part_sha256(descriptor, 0)
            with ThreadPoolExecutor(machine.cpus()) as pool:
                parts = pool.map(lambda start: _part_sha256(descriptor, start), starts)
                return hashlib.sha256("".join(parts).encode()).hexdigest()
        finally:
            os.close(descriptor)


def tokenizer_digest(path: Path) -> str:
    """Digest of the names and contents of a folder's files from which its tokenizer is made; EncoderError as `Folder`.

    A process remembers it for as long as no such file changes.
    """
    folder = Folder(path)
    names = sorted(name for name in folder.sizes if is_any(name, (CONFIG, *TOKENIZER_FILES)))
    return _tokenizer_digest(path, tuple(map(tuple, folder.states(names))))


@lru_cache(maxsize=8)
def _tokenizer_digest(path: Path, states: tuple[tuple[str, int, int], ...]) -> str:
    folder, names = Folder(path), (Path(file).name for file, _, _ in states)
    return digest([[name, folder.sha256(name)] for name in names])


def _part_sha256(descriptor: int, start: int) -> str:
    found = hashlib.sha256()
    for place in range(start, start + PART_BYTES, BLOCK_BYTES):
        block = os.pread(descriptor, BLOCK_BYTES, place)
        if not block:
            break
        found.update(block)
    return found.hexdigest()


_TYPES = {
    list: "a list",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def _kind(mode: int) -> str:
    kinds = {stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a FIFO", stat.S_ISSOCK: "a socket"}
    return next((name for is_kind, name in kinds.items() if is_kind(mode)), "a device")


def _reason(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")
