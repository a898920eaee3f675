"""Two-column CoNLL files for tasks that tag words: `<root>/<task>/<language>/<split>.conll`, or `.tsv`.

A line has a token and its tag, separated by a tab or by blanks; a blank line ends a sentence. Files are UTF-8, with or
without a byte order mark. Lines of `-DOCSTART-` are skipped, and so are comments: lines before a sentence's first token
that begin with "# ", unless they are the token "#" with one of the task's tags.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from trainers.data.folder import FolderData, FolderSource
from trainers.data.formats import Format, numbered_lines
from trainers.examples import DataError, Example
from trainers.tasks import TASKS
from trainers.tasks.tagging import Tagging
from trainers.tasks.task import Task
from trainers.trial import DataReference

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def _sentences(path: Path, task: Task[Any]) -> Iterator[tuple[int, object]]:
    """(line of the first token, example) of each sentence. DataError, with file and line, for a malformed line."""
    first = 0
    words: list[tuple[str, str]] = []
    for number, text in _texts(path):
        if not text or re.match(r"-DOCSTART-([ \t]|$)", text):
            if words:
                yield first, _example(words)
            words = []
        elif words or not _is_comment(text, task):
            first = first if words else number
            words.append(_word(text, task, f"{path}, line {number}"))
    if words:
        yield first, _example(words)


def _example(words: Sequence[tuple[str, str]]) -> Example:
    return {"tokens": [token for token, _ in words], "tags": [tag for _, tag in words]}


def _is_comment(text: str, task: Task[Any]) -> bool:
    """Whether a line before the first token is one: not the token "#" with a tag."""
    token, *tags = _columns(text)
    is_word = task.problem({"tokens": [token], "tags": tags}) is None
    return re.match("#( |$)", text) is not None and not is_word


def _word(text: str, task: Task[Any], where: str) -> tuple[str, str]:
    """A token and its tag."""
    columns = _columns(text)
    if len(columns) != 2 or not all(columns):
        raise DataError(f"{where}: not two columns; allowed: a token and its tag, separated by a tab or by blanks")
    token, tag = columns
    if problem := task.problem({"tokens": [token], "tags": [tag]}):
        raise DataError(f"{where}: {problem}")
    return token, tag


def _texts(path: Path) -> Iterator[tuple[int, str]]:
    """(line number from 1, text without blanks around it)."""
    for number, line in numbered_lines(path):
        try:
            yield number, line.removeprefix(BYTE_ORDER_MARK if number == 1 else b"").decode().strip(" \t\r\n")
        except UnicodeDecodeError as error:
            raise DataError(f"{path}, line {number}: not UTF-8 ({error})") from error


def _columns(text: str) -> list[str]:
    """By tabs, so that tokens may have blanks within, or else by blanks; other white space belongs to a token."""
    return [column.strip(" ") for column in text.split("\t")] if "\t" in text else re.split(" +", text)


CONLL = Format(extensions=(".conll", ".tsv"), read=_sentences, facts_form="conll 1")


class ConllSource(FolderSource):
    """A folder of CoNLL files under the data root: `{"conll": "<path under the data root>"}`."""

    name = "conll"
    format = CONLL

    def open(self, reference: DataReference, task: str, home: Path) -> FolderData:
        """The folder's examples of a task. DataError if the task does not tag words."""
        tagging = [name for name, one in TASKS.items() if isinstance(one, Tagging)]
        if task not in tagging:
            raise DataError(f"CoNLL files have no examples of {task}; allowed: the tasks {', '.join(tagging)}")
        return super().open(reference, task, home)

    def words(self, value: str) -> str:
        """The path, told apart from that of a folder of JSON Lines."""
        return self.title(value)
