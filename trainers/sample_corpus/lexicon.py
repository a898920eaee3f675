"""Lexicon files: one TOML file per language holding its words, inflected forms and sentence patterns.

A file has these tables (``lexicons/en.toml`` is the plainest to start a new language from):

``[spacing]``
    How tokens make up a text: what stands ``between`` two of them, and before and after which there is nothing.
``[capitals]``
    Optional. Capitals that differ from Unicode's default, for the first letter of a sentence (Turkish ``i``).
``[SECTION]``
    A word list: ``upos`` is the default part of speech, ``entity`` (names only) is PER, LOC or ORG, and ``table`` has
    one entry a line, cells separated by ``|``, under a header of column names. A cell is either a feature that other
    words agree with (``f``) or a form of one or more tokens; ``of/ADP`` gives a token its own part of speech and
    ``~the/DET`` keeps a token outside the name that it stands beside.
``[person]``
    How full names are made: ``shapes`` are lists of references in which ``*`` is whatever form the sentence asks for.
``[words]``
    Words that no role chooses: ``visit = {m = "посетил/VERB", f = "посетила/VERB"}``.
``[clauses]``
    For each frame of ``meaning.FRAMES`` one or more patterns, in the notation described in ``grammar``.
``[questions]``
    For each frame and role of ``questions.ASKED`` a pattern that asks for that role: ``born.place = "where/ADV ..."``.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

# The 17 universal tags.
UPOS = frozenset(
    {
        "ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN", "PUNCT", "SCONJ",
        "SYM", "VERB", "X",
    }
)  # fmt: skip
_FOLDER = resources.files(__package__).joinpath("lexicons")
_YEARS = range(1976, 2010)


class LexiconError(ValueError):
    """A lexicon file lacks something a sentence needs, or says it wrongly."""


@dataclass(frozen=True)
class Token:
    """One token of a form; ``named`` is false for a token that stands beside a name without being part of it."""

    form: str
    upos: str
    named: bool


@dataclass(frozen=True)
class Entry:
    """One line of a word list: features and forms by column name."""

    place: str
    upos: str
    cells: Mapping[str, str]

    def feature(self, column: str) -> str:
        """The cell of this column as it stands; LexiconError where there is none."""
        if column not in self.cells:
            raise LexiconError(f"{self.place} has no {column!r}; it has {', '.join(self.cells)}")
        return self.cells[column]

    def tokens(self, column: str) -> list[Token]:
        """The form in this column; LexiconError where it is missing or has no valid part of speech."""
        return [read_token(text, self.upos, self.place) for text in self.feature(column).split()]


@dataclass(frozen=True)
class Section:
    """A word list: its entries by key, and the entity type of its names ("" for common words)."""

    entity: str
    entries: Mapping[str, Entry]


@dataclass(frozen=True)
class Spacing:
    """How a language writes tokens one after another: with ``between``, but with nothing around these marks."""

    between: str
    none_before: frozenset[str]
    none_after: frozenset[str]

    def join(self, tokens: Sequence[str]) -> tuple[str, list[int]]:
        """The text of the tokens, and at which character of it each of them starts."""
        text, starts = "", []
        for before, token in zip(["", *tokens], tokens, strict=False):
            if text and before not in self.none_after and token not in self.none_before:
                text += self.between
            starts.append(len(text))
            text += token
        return text, starts


@dataclass(frozen=True)
class Lexicon:
    """All of one language's data.

    ``shapes`` are the ways to make a person's name; ``clauses`` are patterns by frame, ``questions`` by frame and role.
    """

    language: str
    sections: Mapping[str, Section]
    shapes: tuple[str, ...]
    words: Mapping[str, Entry]
    clauses: Mapping[str, tuple[str, ...]]
    questions: Mapping[str, Mapping[str, str]]
    capitals: Mapping[str, str]
    spacing: Spacing

    def section(self, name: str) -> Section:
        """The word list of this name; LexiconError where the file has none."""
        if name not in self.sections:
            raise LexiconError(f"lexicon {self.language}: there is no section [{name}]")
        return self.sections[name]

    def patterns(self, frame: str) -> tuple[str, ...]:
        """The sentence patterns of a frame; LexiconError where the file has none."""
        if frame not in self.clauses:
            raise LexiconError(f"lexicon {self.language}: [clauses] has no {frame!r}")
        return self.clauses[frame]

    def question(self, frame: str, role: str) -> str:
        """The pattern that asks for a role of a frame; LexiconError where the file has none."""
        if role not in self.questions.get(frame, {}):
            raise LexiconError(f"lexicon {self.language}: [questions] has no '{frame}.{role}'")
        return self.questions[frame][role]


def read_token(text: str, upos: str, place: str) -> Token:
    """Read ``form``, ``form/UPOS`` or ``~form/UPOS``; ``place`` is named in the LexiconError for a bad tag."""
    form, _, own = text.removeprefix("~").partition("/")
    tag = own or upos
    if tag not in UPOS:
        raise LexiconError(f"{place}: the token {text!r} needs a universal part of speech, not {tag!r}")
    return Token(form, tag, not text.startswith("~"))


def available() -> tuple[str, ...]:
    """The languages that have a lexicon file, in alphabetical order."""
    return tuple(sorted(f.name.removesuffix(".toml") for f in _FOLDER.iterdir() if f.name.endswith(".toml")))


def load(language: str) -> Lexicon:
    """Read the lexicon file of one language; LexiconError where it is malformed."""
    try:
        data = tomllib.loads(_FOLDER.joinpath(f"{language}.toml").read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise LexiconError(f"lexicon {language}: {error}") from error
    for name in ("spacing", "person", "words", "clauses", "questions"):
        if name not in data:
            raise LexiconError(f"lexicon {language}: there is no table [{name}]")
    years = {str(year): Entry(f"lexicon {language}: year {year}", "NUM", {"form": str(year)}) for year in _YEARS}
    sections = {
        name: _section(f"lexicon {language}: [{name}]", table)
        for name, table in data.items()
        if isinstance(table, dict) and "table" in table
    }
    return Lexicon(
        language=language,
        sections={"year": Section("", years), **sections},
        shapes=tuple(data["person"]["shapes"]),
        words={word: Entry(f"lexicon {language}: [words] {word}", "", forms) for word, forms in data["words"].items()},
        clauses={frame: tuple(patterns) for frame, patterns in data["clauses"].items()},
        questions=data["questions"],
        capitals=data.get("capitals", {}),
        spacing=_spacing(f"lexicon {language}: [spacing]", data["spacing"]),
    )


def _spacing(place: str, table: Mapping[str, Any]) -> Spacing:
    for key in ("between", "none_before", "none_after"):
        if key not in table:
            raise LexiconError(f"{place} has no {key!r}")
    return Spacing(table["between"], frozenset(table["none_before"]), frozenset(table["none_after"]))


def _section(place: str, table: Mapping[str, Any]) -> Section:
    header, *lines = [_cells(line) for line in table["table"].strip().splitlines()]
    entries: dict[str, Entry] = {}
    for key, *cells in lines:
        if len(cells) != len(header) - 1 or key in entries:
            raise LexiconError(f"{place} {key}: expected one entry with the columns {', '.join(header)}")
        entries[key] = Entry(f"{place} {key}", table["upos"], dict(zip(header[1:], cells, strict=True)))
    return Section(table.get("entity", ""), entries)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("|")]
