"""Two-column CoNLL, for tasks that tag words.

A line has a token and its tag, separated by a tab or by blanks; a blank line ends a sentence. Lines of `-DOCSTART-` are
skipped, and so are comments: lines before a sentence's first token that begin with "# ", unless they are the token "#"
with one of the task's tags.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from trainers.data.format import MAX_CHARACTERS, Format, Placed, text_lines
from trainers.examples import DataError, Example
from trainers.tasks.tagging import MAX_WORDS, Tagging
from trainers.tasks.task import Task


def _sentences(path: Path, task: Task[Any], _: str) -> Iterator[Placed]:
    """(line of the first token, example) of each sentence. DataError, with the line, for a malformed one."""
    first = size = 0
    words: list[tuple[str, str]] = []
    for number, line in text_lines(path):
        text = line.strip(" \t\r\n")
        if not text or re.match(r"-DOCSTART-([ \t]|$)", text):
            if words:
                yield first, _example(words)
            words, size = [], 0
        elif words or not _is_comment(text, task):
            if len(words) == MAX_WORDS:
                raise DataError(f"line {number}: the sentence goes on after {MAX_WORDS:,} words, which are allowed")
            size += len(text)
            if size > MAX_CHARACTERS:
                raise DataError(f"line {number}: the sentence has more characters than allowed: {MAX_CHARACTERS:,}")
            first = first if words else number
            words.append(_word(text, task, number))
    if words:
        yield first, _example(words)


def _example(words: Sequence[tuple[str, str]]) -> Example:
    return {"tokens": [token for token, _ in words], "tags": [tag for _, tag in words]}


def _is_comment(text: str, task: Task[Any]) -> bool:
    """Whether a line before the first token is one: not the token "#" with a tag."""
    token, *tags = _columns(text)
    is_word = task.problem({"tokens": [token], "tags": tags}) is None
    return re.match("#( |$)", text) is not None and not is_word


def _word(text: str, task: Task[Any], line: int) -> tuple[str, str]:
    """A token and its tag."""
    columns = _columns(text)
    if len(columns) != 2 or not all(columns):
        raise DataError(f"line {line}: not two columns; allowed: a token and its tag, separated by a tab or by blanks")
    token, tag = columns
    if problem := task.problem({"tokens": ["a"], "tags": [tag]}):
        raise DataError(f"line {line}: {problem}")
    return token, tag


def _columns(text: str) -> list[str]:
    """By tabs, so that tokens may have blanks within, or else by blanks; other white space belongs to a token."""
    return [column.strip(" ") for column in text.split("\t")] if "\t" in text else re.split(" +", text)


CONLL = Format(
    extensions=(".conll", ".tsv"),
    suits=lambda task: isinstance(task, Tagging),
    read=_sentences,
    facts_form="conll 2",
)
