"""From a meaning to a sentence: the constituent tree whose terminals carry form, part of speech and entity tag.

A lexicon's sentence pattern is a line of items separated by spaces:

``was/AUX``
    A word as it stands, with its universal part of speech.
``$place`` or ``$place.acc``
    The filler of a role, in the form of that column (``form`` if none is named), or a word of ``[words]``. A role the
    meaning leaves open gives nothing.
``$visit.<agent.gender>``
    Agreement: ``<role.feature>`` is replaced by that feature of the role's filler before the column is looked up.
``[place in/ADP $place ]``
    A constituent with its role; it is left out, with all in it, where the meaning leaves the role open.
``[time! ... ]``
    The same, in a pattern that is only for meanings which have the role (as when the time opens a German sentence).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache

from trainers.sample_corpus.lexicon import Entry, Lexicon, LexiconError, Token, read_token
from trainers.sample_corpus.meaning import FRAMES, Filler, Meaning

_AGREEMENT = re.compile(r"<(\w+)\.(\w+)>")


@dataclass(frozen=True)
class Terminal:
    """One token: its form, universal part of speech and IOB2 entity tag."""

    form: str
    upos: str
    tag: str


@dataclass(frozen=True)
class Constituent:
    """A phrase and its semantic role; one around a bare filler, inside one with its adposition where there is any."""

    role: str
    children: tuple["Constituent | Terminal", ...]

    @property
    def terminals(self) -> tuple[Terminal, ...]:
        """The tokens under this constituent, in sentence order."""
        return tuple(
            word
            for child in self.children
            for word in (child.terminals if isinstance(child, Constituent) else (child,))
        )


@dataclass(frozen=True)
class Derivation:
    """A meaning and the constituents and tokens, in sentence order, that express it."""

    meaning: Meaning
    children: tuple[Constituent | Terminal, ...]

    @property
    def terminals(self) -> tuple[Terminal, ...]:
        """The tokens of the sentence."""
        return Constituent("sentence", self.children).terminals

    @property
    def forms(self) -> tuple[str, ...]:
        """The tokens of the sentence as they are written."""
        return tuple(word.form for word in self.terminals)

    @property
    def roles(self) -> frozenset[str]:
        """The roles that it has constituents for."""
        return frozenset(node.role for _, node in _constituents(self.children, 0))

    def span(self, role: str) -> range:
        """Which tokens the outermost constituent of a role covers."""
        first, node = next(found for found in _constituents(self.children, 0) if found[1].role == role)
        return range(first, first + len(node.terminals))


@dataclass(frozen=True)
class _Reference:
    name: str
    form: str


@dataclass(frozen=True)
class _Bracket:
    role: str
    required: bool
    items: tuple["_Item", ...]


_Item = Terminal | _Reference | _Bracket


def derive(lexicon: Lexicon, meaning: Meaning, variant: int) -> Derivation:
    """Express a meaning by one of the patterns that fit it (``variant`` counts round and round them).

    Raises:
        LexiconError: where the lexicon lacks a form, or a pattern cannot be read or names an unknown role.
    """
    place = f"lexicon {lexicon.language}: [clauses] {meaning.frame}"
    fitting = [
        items
        for items in (_parse(pattern, place) for pattern in lexicon.patterns(meaning.frame))
        if _required(items) <= meaning.fillers.keys()
    ]
    if not fitting:
        raise LexiconError(f"{place}: no pattern is free of required adjuncts")
    return _Sentence(lexicon, meaning, place).derivation(fitting[variant % len(fitting)])


def ask(lexicon: Lexicon, meaning: Meaning, role: str) -> Derivation:
    """Ask for a role of a meaning; the roles of the derivation are those that the question itself mentions.

    Raises:
        LexiconError: where the lexicon has no such question, or as for ``derive``.
    """
    place = f"lexicon {lexicon.language}: [questions] {meaning.frame}.{role}"
    return _Sentence(lexicon, meaning, place).derivation(_parse(lexicon.question(meaning.frame, role), place))


def part_names(shape: str) -> tuple[str, ...]:
    """The sections from which the parts of a person's name come, for one of ``Lexicon.shapes``."""
    return tuple(word[1:].partition(".")[0] for word in shape.split() if word.startswith("$"))


@cache
def _parse(pattern: str, place: str) -> tuple[_Item, ...]:
    if pattern.count("[") != pattern.count("]"):
        raise LexiconError(f"{place}: brackets do not match in {pattern!r}")
    return tuple(_items(iter(pattern.replace("]", " ]").split()), place))


def _items(words: Iterator[str], place: str) -> Iterator[_Item]:
    for word in words:
        if word == "]":
            return
        if word.startswith("["):
            role = word[1:].removesuffix("!")
            yield _Bracket(role, word.endswith("!"), tuple(_items(words, place)))
        elif word.startswith("$"):
            name, _, form = word[1:].partition(".")
            yield _Reference(name, form or "form")
        else:
            token = read_token(word, "", place)
            yield Terminal(token.form, token.upos, "O")


def _required(items: tuple[_Item, ...]) -> set[str]:
    brackets = [item for item in items if isinstance(item, _Bracket)]
    return {bracket.role for bracket in brackets if bracket.required}.union(
        *(_required(bracket.items) for bracket in brackets)
    )


@dataclass(frozen=True)
class _Sentence:
    """The expansion of a pattern's items for one meaning."""

    lexicon: Lexicon
    meaning: Meaning
    place: str

    def derivation(self, items: tuple[_Item, ...]) -> Derivation:
        return Derivation(self.meaning, _capitalised(self.expand(items), self.lexicon.capitals))

    def expand(self, items: tuple[_Item, ...]) -> tuple[Constituent | Terminal, ...]:
        return tuple(node for item in items for node in self._nodes(item))

    def _nodes(self, item: _Item) -> tuple[Constituent | Terminal, ...]:
        if isinstance(item, Terminal):
            return (item,)
        if isinstance(item, _Bracket):
            filled = self._is_filled(item.role)
            return (Constituent(item.role, self.expand(item.items)),) if filled else ()
        if item.name in self.lexicon.words:
            word = self.lexicon.words[item.name]
            return _tagged(word.tokens(self._agreed(item.form)), "")
        if not self._is_filled(item.name):
            return ()
        filler = self.meaning.fillers[item.name]
        return (Constituent(item.name, _tagged(_tokens(filler, self._agreed(item.form)), filler.entity)),)

    def _is_filled(self, role: str) -> bool:
        if role not in FRAMES[self.meaning.frame].roles:
            raise LexiconError(f"{self.place}: {role!r} is neither a role of this frame nor one of [words]")
        return role in self.meaning.fillers

    def _agreed(self, form: str) -> str:
        return _AGREEMENT.sub(lambda match: self.meaning.fillers[match[1]].feature(match[2]), form)


def _constituents(nodes: Iterable[Constituent | Terminal], first: int) -> Iterator[tuple[int, Constituent]]:
    """Each constituent with the number of its first token, outer ones before inner ones."""
    for node in nodes:
        if isinstance(node, Constituent):
            yield first, node
            yield from _constituents(node.children, first)
        first += len(node.terminals) if isinstance(node, Constituent) else 1


def _tokens(filler: Filler, form: str) -> list[Token]:
    return [token for reference in filler.shape.split() for token in _part_tokens(reference, filler.parts, form)]


def _part_tokens(reference: str, parts: Mapping[str, Entry], form: str) -> list[Token]:
    if not reference.startswith("$"):
        return [read_token(reference, "", "[person]")]
    name, _, column = reference[1:].partition(".")
    column = _AGREEMENT.sub(lambda match: parts[match[1]].feature(match[2]), column.replace("*", form))
    return parts[name].tokens(column)


def _tagged(tokens: list[Token], entity: str) -> tuple[Terminal, ...]:
    terminals = []
    inside = False
    for token in tokens:
        named = bool(entity) and token.named
        tag = f"{'I' if inside else 'B'}-{entity}" if named else "O"
        terminals.append(Terminal(token.form, token.upos, tag))
        inside = named
    return tuple(terminals)


def _capitalised(
    nodes: tuple[Constituent | Terminal, ...], capitals: Mapping[str, str]
) -> tuple[Constituent | Terminal, ...]:
    first, *rest = nodes
    if isinstance(first, Constituent):
        return (replace(first, children=_capitalised(first.children, capitals)), *rest)
    letter = capitals.get(first.form[0], first.form[0].upper())
    return (replace(first, form=letter + first.form[1:]), *rest)
