"""Examples as JSON: an object a line (https://jsonlines.org), or one document as SQuAD's.

SQuAD's form is that of https://arxiv.org/abs/1606.05250: articles with paragraphs, of which each is a `context` with
its questions (`qas`) and their `answers`. TyDi QA's gold passages have it, too.
"""

import json
import json.scanner
from collections.abc import Callable, Iterator
from itertools import count
from math import isinf
from pathlib import Path
from typing import IO, Any, NoReturn, cast

from trainers.data.format import BYTE_ORDER_MARK, Format, Placed, decoded, lines_of
from trainers.examples import DataError, Example
from trainers.json_objects import unique
from trainers.tasks.passages import ExtractiveQuestionAnswering
from trainers.tasks.task import Task

# A document is read at once, which takes 15 times as much memory; TyDi QA's training examples have 56 MB.
MAX_DOCUMENT_BYTES = 2**26

# Lists and objects of a document: of 49,881 training questions of TyDi QA each is in seven. Of many more, garbage
# collection stops all threads for long.
MAX_CONTAINERS = 2_000_000

# Of an object, which is made in one step.
MAX_KEYS = 100_000

# Lists and objects within each other. Reading in steps has a limit of its own, above 300.
MAX_DEPTH = 100

TOO_DEEP = f"nested too deep; allowed: {MAX_DEPTH} lists and objects within each other"

# Characters from which on a text is read in steps, which takes three times as long.
LONG = 2**16


def _json_lines(path: Path, _: Task[Any], __: str) -> Iterator[Placed]:
    with path.open("rb") as file:
        for number, line in lines_of(file):
            if line.strip(" \t\r\n"):
                try:
                    value = _read(line)
                    _check(value)
                except ValueError as error:
                    raise DataError(f"line {number}: not a line of JSON ({error})") from error
                yield number, value


def _squad(path: Path, _: Task[Any], __: str) -> Iterator[Placed]:
    with path.open("rb") as file:
        yield from enumerate(questions(file), start=1)


def questions(file: IO[bytes]) -> Iterator[Example]:
    """The questions of a document of SQuAD's form, which the task checks afterwards. DataError for another form."""
    content = file.read(MAX_DOCUMENT_BYTES + 1)
    if len(content) > MAX_DOCUMENT_BYTES:
        raise DataError(f"the file: larger than {MAX_DOCUMENT_BYTES / 2**20:g} MiB")
    try:
        document = _read(decoded(content.removeprefix(BYTE_ORDER_MARK)))
    except json.JSONDecodeError as error:
        raise DataError(f"line {error.lineno}: not JSON ({error.msg})") from error
    except ValueError as error:
        raise error if isinstance(error, DataError) else DataError(f"the file: not JSON ({error})") from error
    for number, question in enumerate(_questions(document), start=1):
        try:
            _check(question)
        except ValueError as error:
            raise DataError(f"question {number}: not JSON ({error})") from error
        yield question


def _questions(document: Any) -> Iterator[Example]:
    number = 0
    for article in _list(document, "data", number):
        for paragraph in _list(article, "paragraphs", number):
            for asked in _list(paragraph, "qas", number):
                number += 1
                answers = _list(asked, "answers", number - 1)
                yield {
                    "id": asked.get("id"),
                    "context": paragraph.get("context"),
                    "question": asked.get("question"),
                    "answers": {
                        field: [answer.get(field) if isinstance(answer, dict) else None for answer in answers]
                        for field in ("text", "answer_start")
                    },
                }


def _list(value: Any, field: str, questions: int) -> list[Any]:
    found = value.get(field) if isinstance(value, dict) else None
    if not isinstance(found, list):
        raise DataError(
            f"after question {questions}: no list {field!r}; allowed: SQuAD's data, paragraphs, qas, answers"
        )
    return found


def _read(text: str) -> Any:
    """The value of a text. ValueError if it is not JSON, as NaN is not, has a key twice, or is too large or deep."""
    decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse)
    try:
        return (_in_steps(decoder) if len(text) >= LONG else decoder).decode(text)
    except RecursionError as error:
        raise ValueError(TOO_DEEP) from error


def _in_steps(decoder: Any) -> json.JSONDecoder:
    """A decoder made to work in Python, between whose steps other threads run. C code lets none run until its end."""
    containers = count(1)

    def counted(parse: Callable[..., Any]) -> Callable[..., Any]:
        def parsed(*arguments: Any) -> Any:
            if next(containers) > MAX_CONTAINERS:
                raise ValueError(f"more lists and objects than allowed: {MAX_CONTAINERS:,}")
            return parse(*arguments)

        return parsed

    decoder.parse_int, decoder.parse_float = _of_ascii(decoder.parse_int), _of_ascii(decoder.parse_float)
    decoder.parse_array, decoder.parse_object = counted(decoder.parse_array), counted(decoder.parse_object)
    decoder.scan_once = json.scanner.py_make_scanner(decoder)  # type: ignore[attr-defined]  # the stubs lack it
    return cast(json.JSONDecoder, decoder)


def _of_ascii(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """A number's parser that refuses digits of other scripts, which Python's own scanner takes."""
    return lambda text: parse(text) if text.isascii() else _refuse(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MAX_KEYS:
        raise ValueError(f"more keys than allowed of an object: {MAX_KEYS:,}")
    return unique(pairs)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no value of JSON")


def _check(value: Any) -> None:
    """ValueError if what was read has an infinity, as of 1e999, or a lone surrogate, or is nested too deep."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        below: list[Any] = []
        for one in level:
            if isinstance(one, str):
                one.encode()
            elif isinstance(one, dict | list):
                below += one
                below += one.values() if isinstance(one, dict) else ()
            elif isinstance(one, float) and isinf(one):
                raise ValueError("a number that is too large")
        if not below:
            return
        level = below
    raise ValueError(TOO_DEEP)


JSON_LINES = Format(extensions=(".jsonl",), suits=lambda _: True, read=_json_lines, facts_form=4)

SQUAD = Format(
    extensions=(".json",),
    suits=lambda task: isinstance(task, ExtractiveQuestionAnswering),
    read=_squad,
    facts_form="squad 1",
    unit="question",
)
