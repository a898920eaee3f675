"""Parts of splits with their windows, kept in the home by their content: what one trial has tokenized others only read.

A short trial would otherwise read whole splits for a few shots, and tokenize again what the one before it tokenized.
The files may be removed at any time, and where none can be written nothing is kept.
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

from trainers.artifacts.atomic import need_room, unfinished_file
from trainers.artifacts.layout import tokenized_parts
from trainers.data.splits import Part
from trainers.digests import digest
from trainers.examples import Example
from trainers.tasks import TASKS
from trainers.tasks.task import Window
from trainers.trial import NUMERICS

log = logging.getLogger(__name__)

# Part of every name: raised by whatever changes what the files hold.
FORM = 1

# Of all files together; those that were used last stay.
MOST_BYTES = 2**31

# Larger parts take longer to train on than to tokenize, and their files would be hundreds of megabytes.
MOST_TOKENS = 4_000_000

# What is raised where windows cannot be written, or made of what was written.
WRONG = (TypeError, ValueError, RecursionError)

# The place of this field in all windows.
INPUT_IDS = [field.name for field in fields(Window)].index("input_ids")

# How JSON, which has lists alone, gives back the values of a field.
READERS: Mapping[str, Callable[[Any], Any]] = {
    "range": lambda value: range(*value),
    "tuple": tuple,
    "tuples": lambda value: list(map(tuple, value)),
}


@dataclass(frozen=True)
class Kept:
    """A part as it was cut, its examples, and their windows."""

    part: Part
    examples: list[Example]
    windows: list[Window]


class TokenizedParts:
    """The parts that were tokenized in one way.

    Args:
        home: the service's folder.
        task: the task's name.
        labels: the labels that its head tells apart.
        tokenizer: digest of the tokenizer's files (`trainers.encoders.files.tokenizer_digest`).
        max_length: tokens of a window.
    """

    def __init__(self, home: Path, task: str, labels: Sequence[str], tokenizer: str, max_length: int) -> None:
        self.folder = tokenized_parts(home)
        libraries = [version("transformers"), version("tokenizers")]
        self._way = [FORM, NUMERICS, task, TASKS.distribution(task), list(labels), tokenizer, max_length, libraries]
        self._ids: dict[int, int] = {}  # of tokens, each once: as objects of their own they take most of the memory

    def read(self, part: Part, limit: int | None) -> Kept | None:
        """A part, cut to `limit` examples; None if it is not there, or damaged."""
        path = self._path(part, limit)
        try:
            found, _, content = path.read_bytes().partition(b"\n")
            os.utime(path)
        except OSError:
            return None
        if found.decode("ascii", "replace") != hashlib.sha256(content).hexdigest():
            log.warning("%s is damaged: it is made anew", path)
            return None
        try:
            return _decoded(part, content, self._ids)
        except WRONG:  # windows of that name are others by now
            return None

    def write(self, part: Part, limit: int | None, kept: Kept) -> Kept:
        """Keep a part, and return it as it will be read.

        It is not kept, and returned as it is, if it is very large or has values that JSON would not give back. A disk
        without room keeps nothing, which is no error.
        """
        if sum(len(window.input_ids) for window in kept.windows) > MOST_TOKENS:
            return kept
        try:
            content = _encoded(part, kept)
            again = _decoded(part, content, self._ids)
        except WRONG:
            return kept
        if again is None or not _is_same(again, kept):
            return kept
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            need_room(self.folder, len(content))
            with unfinished_file(self._path(part, limit)) as unfinished:
                unfinished.write_bytes(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
            _forget(self.folder, MOST_BYTES)
        except OSError as error:
            log.warning("what was tokenized is not kept: %s", error)
        return again

    def _path(self, part: Part, limit: int | None) -> Path:
        return self.folder / f"{digest([*self._way, part.split, part.digest, len(part.places), limit])}.json"


def _encoded(part: Part, kept: Kept) -> bytes:
    """A part as JSON. One of `WRONG` if JSON has no such values, or windows are of several classes."""
    [kind] = {type(window) for window in kept.windows}
    columns = [[getattr(window, field.name) for window in kept.windows] for field in fields(kind)]
    value = {
        "kind": _named(kind),
        "readers": [_reader(column) for column in columns],
        "windows": [
            [[one.start, one.stop] if type(one) is range else one for one in row] for row in zip(*columns, strict=True)
        ],
        "examples": kept.examples,
        "cut": None if kept.part == part else [list(kept.part.places), kept.part.digest, kept.part.sample_of],
    }
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _is_same(one: Kept, other: Kept) -> bool:
    """Whether two are equal, also in attributes of windows that are no fields, or are not compared."""
    return one == other and list(map(vars, one.windows)) == list(map(vars, other.windows))


def _decoded(part: Part, content: bytes, ids: dict[int, int]) -> Kept | None:
    """The inverse of `_encoded`; None where this process has no such windows, or several classes of that name.

    Tokens are taken from `ids`, and added to it.
    """
    value = json.loads(content)
    kinds = [kind for kind in _kinds(Window) if _named(kind) == value["kind"]]
    if len(kinds) != 1:
        return None
    rows = value["windows"]
    for row in rows:
        row[INPUT_IDS][:] = map(ids.setdefault, row[INPUT_IDS], row[INPUT_IDS])
    for place, reader in enumerate(value["readers"]):
        if reader is not None:
            for row in rows:
                row[place] = READERS[reader](row[place])
    if value["cut"] is not None:
        places, of_sample, size = value["cut"]
        part = Part(part.split, places, of_sample, size)
    return Kept(part, value["examples"], [kinds[0](*row) for row in rows])


def _reader(column: Sequence[Any]) -> str | None:
    """What reads the values of a field: a name in `READERS`, None for none."""
    kinds = set(map(type, column))
    if kinds == {range}:
        return "range"
    if kinds == {tuple}:
        return "tuple"
    is_of_tuples = kinds == {list} and {tuple} == {type(one) for value in column for one in value}
    return "tuples" if is_of_tuples else None


def _kinds(kind: type[Window]) -> list[type[Window]]:
    """A class of windows and those that derive from it."""
    return [kind, *(one for derived in kind.__subclasses__() for one in _kinds(derived))]


def _named(kind: type[Window]) -> list[str]:
    """The name of a class, and those of its fields."""
    return [f"{kind.__module__}:{kind.__qualname__}", *(field.name for field in fields(kind))]


def _forget(folder: Path, most: int) -> None:
    """Remove the files that were used longest ago, until all others take `most` bytes."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # another process was faster
                state = entry.stat()
                found.append((state.st_mtime_ns, state.st_size, entry.path))
    taken = 0
    for _, size, path in sorted(found, reverse=True):
        taken += size
        if taken > most:
            Path(path).unlink(missing_ok=True)
