"""Treebanks of Universal Dependencies in CoNLL-U (https://universaldependencies.org/format.html), as words with tags.

The conversion is that of XTREME (`conllu_to_conll.py` and `utils_preprocess.py` in google-research/xtreme): a multiword
token is one word, as it is written; empty nodes, and sentences whose text may not be distributed, are left out.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from trainers.data.format import MAX_CHARACTERS, Format, Placed, text_lines
from trainers.examples import DataError, Example
from trainers.tasks.pos import PartOfSpeechTagging
from trainers.tasks.tagging import MAX_WORDS
from trainers.tasks.task import Task

COLUMNS = 10
FIELDS = ("id", "form", "lemma", "upos", "xpos", "feats", "head")  # the columns after these are not needed

# What stands for a form that may not be distributed.
BLANKED = "_"

# The tags that a multiword token takes first, if several of its words are equally near to the root.
PRIORITY = ("VERB", "NOUN", "PROPN", "PRON", "ADJ", "NUM", "ADV", "INTJ", "AUX", "ADP", "DET", "PART", "CCONJ", "SCONJ",
            "X", "PUNCT")  # fmt: skip
PRIORITIES = {
    "es": ("VERB", "AUX", "PRON", "ADP", "DET"),
    "fr": ("VERB", "AUX", "PRON", "NOUN", "ADJ", "ADV", "ADP", "DET", "PART", "SCONJ", "CONJ"),
    "it": ("VERB", "AUX", "ADV", "PRON", "ADP", "DET", "INTJ"),
}


@dataclass(frozen=True, kw_only=True)
class _Token:
    """A syntactic word, or a multiword token, which has no head: `first` and `last` number its words, from 1."""

    line: int
    first: int
    last: int
    form: str
    upos: str
    head: int | None

    @property
    def is_word(self) -> bool:
        return self.first == self.last


def examples(lines: Iterable[str], language: str) -> Iterator[tuple[int, Example]]:
    """(line number from 1, `{"tokens": [...], "tags": [...]}`) of each sentence.

    The line is that of the sentence's first token. Tags are the universal parts of speech as they stand.

    Args:
        lines: of a CoNLL-U file, with or without their ends.
        language: its code; it decides which tag a multiword token takes.

    Raises:
        DataError: a line is malformed, or the words of a multiword token are not below the root; the message begins
            with the line.
    """
    order = PRIORITIES.get(language, PRIORITY)
    for sentence in _sentences(lines):
        words = list(_written(sentence, order))
        if not _is_blanked([form for form, _ in words]):
            forms, tags = zip(*words, strict=True)
            yield sentence[0].line, {"tokens": [_unspaced(form) for form in forms], "tags": list(tags)}


def _sentences(lines: Iterable[str]) -> Iterator[list[_Token]]:
    sentence: list[_Token] = []
    size = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            if sentence:
                yield sentence
            sentence, size = [], 0
        elif len(sentence) == 2 * MAX_WORDS:  # each word may be a token of its own, and a part of a written one
            raise DataError(f"line {number}: the sentence goes on after {2 * MAX_WORDS:,} tokens, which are allowed")
        elif not line.startswith("#") and (token := _token(line, number)) is not None:
            sentence.append(_following(token, sentence))
            size += len(token.form) + len(token.upos)
            if size > MAX_CHARACTERS:
                raise DataError(f"line {number}: the sentence has more characters than allowed: {MAX_CHARACTERS:,}")
    if sentence:
        yield sentence


@cache
def _parsers() -> dict[str, Any]:
    """Without parsers for features the library reads twice as fast."""
    from conllu.parser import DEFAULT_FIELD_PARSERS

    return {field: DEFAULT_FIELD_PARSERS[field] for field in ("id", "head")}


def _token(line: str, number: int) -> _Token | None:
    """The token of a line; None for an empty node."""
    from conllu.exceptions import ParseException
    from conllu.parser import parse_line

    if line.count("\t") != COLUMNS - 1:
        raise DataError(f"line {number}: {line.count(chr(9)) + 1} columns; allowed: the 10 of CoNLL-U, between tabs")
    try:  # the library takes two blanks for a tab
        found = parse_line(re.sub(" {2,}", " ", line), FIELDS, _parsers())
    except (ParseException, ValueError) as error:  # the latter for numbers of thousands of digits
        raise DataError(
            f"line {number}: {str(error)[:200]} Allowed: an ID as 3, 3-4 or 3.1; a head as 3, or _"
        ) from error
    match found["id"]:
        case int(first):
            last = first
        case first, "-", last:
            pass
        case _, ".", _:
            return None
        case _:
            raise DataError(f"line {number}: the token has no ID")
    return _Token(line=number, first=first, last=last, form=found["form"], upos=found["upos"], head=found["head"])


def _following(token: _Token, sentence: Sequence[_Token]) -> _Token:
    """The token, if it is the next: words are numbered from 1, and a multiword token stands before its words."""
    before = sentence[-1] if sentence else None
    expected = 1 if before is None else before.last + 1 if before.is_word else before.first
    if token.first != expected or not (token.is_word or before is None or before.is_word):
        raise DataError(f"line {token.line}: the token's ID begins with {token.first}; allowed here: {expected}")
    return token


def _written(sentence: Sequence[_Token], order: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(form, tag) of each word as it is written."""
    words = {token.first: token for token in sentence if token.is_word}
    depths = {0: 0}
    written = 0
    for token in sentence:
        if not token.is_word:
            if token.first <= written:
                raise DataError(f"line {token.line}: the token {token.first}-{token.last} overlaps the one before")
            yield token.form, _tag(token, words, depths, order)
        elif token.first > written:
            yield token.form, token.upos
        written = max(written, token.last)


def _tag(token: _Token, words: dict[int, _Token], depths: dict[int, int], order: Sequence[str]) -> str:
    """The tag of the word of a multiword token that is nearest to the root, of several the first in the order."""
    span = [words[place] for place in range(token.first, token.last + 1) if place in words]
    if not span or span[-1].first != token.last:
        raise DataError(f"line {token.line}: the sentence lacks words of the token {token.first}-{token.last}")
    least = min(_depth(word, words, depths) for word in span)
    nearest = [word.upos for word in span if depths[word.first] == least]
    return min(nearest, key=lambda tag: order.index(tag) if tag in order else len(order))


def _depth(word: _Token, words: dict[int, _Token], depths: dict[int, int]) -> int:
    """The number of steps from a word to the root; added to those that are known, with those of the words between."""
    path: list[int] = []
    place = word.first
    while place not in depths:
        if place not in words or len(path) > len(words):
            raise DataError(f"line {word.line}: no path leads from the word {word.first} to the root")
        path.append(place)
        place = words[place].head or 0
    for steps, passed in enumerate(reversed(path), start=depths[place] + 1):
        depths[passed] = steps
    return depths[word.first]


def _is_blanked(forms: Sequence[str]) -> bool:
    """Whether all forms, or all but one, are left out of the treebank."""
    return BLANKED in forms and forms.count(BLANKED) >= len(forms) - 1


def _unspaced(form: str) -> str:
    """The form without zero-width non-joiners, and without blanks."""
    return form.strip().replace("\u200c", "").replace(" ", "")


def _read(path: Path, _: Task[Any], language: str) -> Iterator[Placed]:
    return examples((line for _, line in text_lines(path)), language)


CONLLU = Format(
    extensions=(".conllu",),
    suits=lambda task: isinstance(task, PartOfSpeechTagging),
    read=_read,
    facts_form="conllu 1",
)
