"""What a format of files is, and how text is read: UTF-8, line by line."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from trainers.examples import DataError
from trainers.tasks.task import Task

# Room for an example of `MAX_CHARACTERS`; a file without line breaks is not one of examples.
MAX_LINE_BYTES = 2**22

# Of a file, which may have blank lines and comments for as long as it likes: fifty for each example of a large split.
MAX_LINES = 50_000_000

# Of an example. An encoder reads a few thousand at once, and TyDi QA's passages have some thousands.
MAX_CHARACTERS = 200_000

# What a list or object counts as, since garbage collection looks through all of them and stops all threads meanwhile;
# and what any other value counts as beside its characters, since it takes more memory than a few of them.
CHARACTERS_OF_CONTAINER, CHARACTERS_OF_VALUE = 200, 4

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
    """The lines of a text file, as `lines_of`. DataError for one with more than `MAX_CHARACTERS`."""
    with path.open("rb") as file:
        for number, line in lines_of(file):
            if len(line) > MAX_CHARACTERS:
                raise DataError(f"line {number}: more characters than allowed: {MAX_CHARACTERS:,}")
            yield number, line


def lines_of(file: IO[bytes]) -> Iterator[tuple[int, str]]:
    """(line number from 1, line with its end) of text in UTF-8, without a byte order mark.

    Raises:
        DataError: a line is longer than `MAX_LINE_BYTES`, or no text in UTF-8, or there are more than `MAX_LINES`.
    """
    for number, line in enumerate(iter(partial(file.readline, MAX_LINE_BYTES + 1), b""), start=1):
        if len(line) > MAX_LINE_BYTES:
            raise DataError(f"line {number}: longer than {MAX_LINE_BYTES / 2**20:g} MiB")
        if number > MAX_LINES:
            raise DataError(f"line {number}: more lines than allowed of a file: {MAX_LINES:,}")
        yield number, decoded(line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line, number)


def characters(example: object) -> int:
    """How many an example has: those of its texts and the digits of its integers, with some for each value."""
    count, left = 0, [example]
    while left:  # as deep as it may be
        value = left.pop()
        if isinstance(value, dict | list):
            count += CHARACTERS_OF_CONTAINER
            left += value
            left += value.values() if isinstance(value, dict) else ()
        else:
            count += CHARACTERS_OF_VALUE
            count += len(value) if isinstance(value, str) else value.bit_length() // 3 if isinstance(value, int) else 0
    return count


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
