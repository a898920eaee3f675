"""Pairs of texts as a table with a header: TSV, without quotes, or CSV, with the quotes of RFC 4180.

The header names the columns: both texts and the label, as in JSON Lines, and whatever else an example has.
"""

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from trainers.data.format import MAX_CHARACTERS, Format, Placed, text_lines
from trainers.examples import DataError
from trainers.tasks.pairs import PairClassification
from trainers.tasks.task import Task, shown

Row = tuple[int, list[str]]  # line of its begin, cells

csv.field_size_limit(MAX_CHARACTERS)  # of all of this process; by default it is 131,072


def _tab_separated(lines: Iterable[tuple[int, str]]) -> Iterator[Row]:
    for number, line in lines:
        if line.strip(" \t\r\n"):
            yield number, line.rstrip("\r\n").split("\t")


def _comma_separated(lines: Iterable[tuple[int, str]]) -> Iterator[Row]:
    size = 0

    def texts() -> Iterator[str]:
        nonlocal size
        for number, line in lines:
            size += len(line)
            if size > MAX_CHARACTERS:  # in quotes a row goes on over line ends
                raise DataError(f"line {number}: the row has more characters than allowed: {MAX_CHARACTERS:,}")
            yield line

    rows = csv.reader(texts(), strict=True)
    begin = 1
    try:
        for row in rows:
            size = 0
            if row:
                yield begin, row
            begin = rows.line_num + 1
    except csv.Error as error:
        raise DataError(f"line {rows.line_num}: not CSV ({error})") from error


def _reading(rows_of: Callable[[Iterable[tuple[int, str]]], Iterator[Row]]) -> Callable[..., Iterator[Placed]]:
    def read(path: Path, task: Task[Any], _: str) -> Iterator[Placed]:
        assert isinstance(task, PairClassification)
        rows = rows_of(text_lines(path))
        first, header = next(rows, (1, []))
        if (problem := _problem_of_header(header, (*task.fields, "label"))) is not None:
            raise DataError(f"line {first}: {problem}")
        for number, row in rows:
            if len(row) != len(header):
                raise DataError(f"line {number}: {len(row)} columns; allowed: {len(header)}, as in the header")
            yield number, dict(zip(header, row, strict=True))

    return read


def _problem_of_header(header: Sequence[str], needed: Sequence[str]) -> str | None:
    for name, times in Counter(header).items():
        if times > 1:
            return f"the header has the column {shown(name)} twice"
    missing = [name for name in needed if name not in header]
    if missing:
        return f"the header has no column {missing[0]!r}; allowed: a header with {', '.join(needed)}"
    return None


def _has_pairs(task: Task[Any]) -> bool:
    return isinstance(task, PairClassification)


TSV = Format(extensions=(".tsv",), suits=_has_pairs, read=_reading(_tab_separated), facts_form="tsv 1")

CSV = Format(extensions=(".csv",), suits=_has_pairs, read=_reading(_comma_separated), facts_form="csv 1")
