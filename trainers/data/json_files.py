"""Examples as JSON: an object a line (https://jsonlines.org), or one document as SQuAD's.

SQuAD's form is that of https://arxiv.org/abs/1606.05250: articles with paragraphs, of which each is a `context` with
its questions (`qas`) and their `answers`. TyDi QA's gold passages have it, too.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NoReturn

from trainers.data.format import BYTE_ORDER_MARK, Format, Placed, decoded, text_lines
from trainers.examples import DataError, Example
from trainers.json_objects import unique
from trainers.tasks.passages import ExtractiveQuestionAnswering
from trainers.tasks.task import Task

# A document is read at once, which takes 15 times as much memory; TyDi QA's training examples have 56 MB.
MAX_DOCUMENT_BYTES = 2**26


def _json_lines(path: Path, _: Task[Any], __: str) -> Iterator[Placed]:
    for number, line in text_lines(path):
        if line.strip(" \t\r\n"):
            try:
                yield number, _value(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"line {number}: not a line of JSON ({error})") from error


def _squad(path: Path, _: Task[Any], __: str) -> Iterator[Placed]:
    with path.open("rb") as file:
        yield from enumerate(questions(file), start=1)


def questions(file: IO[bytes]) -> Iterator[Example]:
    """The questions of a document of SQuAD's form, which the task checks afterwards. DataError for another form."""
    content = file.read(MAX_DOCUMENT_BYTES + 1)
    if len(content) > MAX_DOCUMENT_BYTES:
        raise DataError(f"the file: larger than {MAX_DOCUMENT_BYTES / 2**20:g} MiB")
    try:
        # the hook has other threads run between two objects, which writing the document again to check it would not
        document = json.loads(
            decoded(content.removeprefix(BYTE_ORDER_MARK)), object_pairs_hook=unique, parse_constant=_refuse
        )
    except json.JSONDecodeError as error:
        raise DataError(f"line {error.lineno}: not JSON ({error.msg})") from error
    except (ValueError, RecursionError) as error:
        raise error if isinstance(error, DataError) else DataError(f"the file: not JSON ({error})") from error
    for number, question in enumerate(_questions(document), start=1):
        try:
            json.dumps(question, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise DataError(f"question {number}: half a character ({error})") from error
        yield question


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no value of JSON")


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


def _value(text: str) -> Any:
    """The value of a text. ValueError if it is not JSON, or has a key twice, NaN, or half a character."""
    value = json.loads(text, object_pairs_hook=unique)
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    return value


JSON_LINES = Format(extensions=(".jsonl",), suits=lambda _: True, read=_json_lines, facts_form=4)

SQUAD = Format(
    extensions=(".json",),
    suits=lambda task: isinstance(task, ExtractiveQuestionAnswering),
    read=_squad,
    facts_form="squad 1",
    unit="question",
)
