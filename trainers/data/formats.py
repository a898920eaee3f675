"""Formats of files of examples, and JSON Lines."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from trainers.examples import DataError
from trainers.tasks.task import Task

# An example is a few kilobytes; a file without line breaks is not one of examples.
MAX_LINE_BYTES = 2**24


@dataclass(frozen=True, kw_only=True)
class Format:
    """How a file holds the examples of a task.

    Attributes:
        extensions: of its files' names; a split that has several files is read from the first of these.
        read: yields (line number from 1, example) in the order of a file, given its path and the task. The examples
            are checked by the task afterwards. DataError, with file and line, where the file cannot be read.
        facts_form: identifies the form in which facts about its files are cached; changed whenever that form or the
            format changes, and different from that of every other format.
    """

    extensions: tuple[str, ...]
    read: Callable[[Path, Task[Any]], Iterator[tuple[int, object]]]
    facts_form: int | str


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """(line number from 1, line with its end) of a file. DataError for a line longer than `MAX_LINE_BYTES`."""
    with path.open("rb") as file:
        for number, line in enumerate(iter(partial(file.readline, MAX_LINE_BYTES + 1), b""), start=1):
            if len(line) > MAX_LINE_BYTES:
                raise DataError(f"{path}, line {number}: longer than {MAX_LINE_BYTES / 2**20:g} MiB")
            yield number, line


def _json_lines(path: Path, _: Task[Any]) -> Iterator[tuple[int, object]]:
    for number, line in numbered_lines(path):
        if not line.strip():
            continue
        try:
            example = json.loads(line.decode())
            json.dumps(example, ensure_ascii=False, allow_nan=False).encode()  # no NaN, no lone surrogates
            yield number, example
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}, line {number}: not a line of JSON ({error})") from error


# One JSON object a line, blank lines left out (https://jsonlines.org).
JSON_LINES = Format(extensions=(".jsonl",), read=_json_lines, facts_form=3)
