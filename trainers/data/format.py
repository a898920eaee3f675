"""What a format of files is, and how text is read: UTF-8, line by line."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from trainers.examples import DataError
from trainers.tasks.task import Task

# An example is a few kilobytes; a file without line breaks is not one of examples.
MAX_LINE_BYTES = 2**24

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# (its place in the file, example as it stands there)
Placed = tuple[int, object]


@dataclass(frozen=True, kw_only=True)
class Format:
    """How a file holds the examples of a task.

    Attributes:
        extensions: of its files' names.
        suits: whether a task can have such files.
        read: yields (place, example) in the order of a file, given its path, the task and the language's code. The
            examples are checked by the task afterwards. DataError where the file cannot be read; its message begins
            with the place, such as "line 3: ".
        facts_form: identifies the form in which facts about its files are cached; changed whenever that form or the
            format changes, and different from that of every other format.
        unit: what places count, from 1.
    """

    extensions: tuple[str, ...]
    suits: Callable[[Task[Any]], bool]
    read: Callable[[Path, Task[Any], str], Iterator[Placed]]
    facts_form: int | str
    unit: str = "line"


def text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a text file, as `lines_of`."""
    with path.open("rb") as file:
        yield from lines_of(file)


def lines_of(file: IO[bytes]) -> Iterator[tuple[int, str]]:
    """(line number from 1, line with its end) of text in UTF-8, without a byte order mark.

    Raises:
        DataError: a line is longer than `MAX_LINE_BYTES`, or no text in UTF-8.
    """
    for number, line in enumerate(iter(partial(file.readline, MAX_LINE_BYTES + 1), b""), start=1):
        if len(line) > MAX_LINE_BYTES:
            raise DataError(f"line {number}: longer than {MAX_LINE_BYTES / 2**20:g} MiB")
        yield number, decoded(line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line, number)


def decoded(content: bytes, line: int = 1) -> str:
    """The text of bytes in UTF-8 that begin at a line. DataError, with the line, for anything else."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line += content.count(b"\n", 0, error.start)
        raise DataError(
            f"line {line}: not UTF-8 ({error}); allowed: UTF-8, with or without a byte order mark"
        ) from error
    if "\0" in text:
        line += text.count("\n", 0, text.index("\0"))
        raise DataError(f"line {line}: a NUL character, as in UTF-16; allowed: text in UTF-8")
    return text
