"""Draws by chance that are the same on every platform and Python version: meanings, from the names a split may use."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from itertools import count
from typing import TypeVar

from trainers.sample_corpus.grammar import Derivation, derive, part_names
from trainers.sample_corpus.lexicon import Lexicon, Section
from trainers.sample_corpus.meaning import FRAMES, Filler, Meaning, words_of

_VARIANTS = 60  # divisible by as many patterns as a frame may have, so that each is as likely

_T = TypeVar("_T")


class Chance:
    """Choices made by a digest of the seed and a running number."""

    def __init__(self, *seed: str) -> None:
        self._seed = " ".join(seed)
        self._turns = count()

    def below(self, limit: int) -> int:
        """A number from 0 up to, not including, the limit."""
        digest = sha256(f"{self._seed} {next(self._turns)}".encode()).digest()
        return int.from_bytes(digest[:8], "big") % limit

    def pick(self, options: Sequence[_T]) -> _T:
        """One of the options."""
        return options[self.below(len(options))]

    def sample(self, options: Sequence[_T], size: int) -> list[_T]:
        """So many of the options, or all if there are fewer, each once and in any order."""
        left = list(options)
        return [left.pop(self.below(len(left))) for _ in range(min(size, len(left)))]


class Draw:
    """Meanings drawn by chance, and how they are said.

    Args:
        lexicon: of the language.
        training: draw none of the names that are held out of training.
        chance: what is drawn.
    """

    def __init__(self, lexicon: Lexicon, training: bool, chance: Chance) -> None:
        self.lexicon = lexicon
        self._training = training
        self.chance = chance

    def meaning(self, name: str, every_adjunct: bool = False) -> Meaning:
        """A frame with its core roles filled and each adjunct filled half of the time or always."""
        frame = FRAMES[name]
        adjuncts = {
            role: sections for role, sections in frame.adjuncts.items() if every_adjunct or self.chance.below(2)
        }
        fillers = self._fact(frame.facts) if frame.facts else {}
        for role, sections in {**frame.core, **adjuncts}.items():
            fillers[role] = self._unlike(list(fillers.values()), sections)
        return Meaning(name, fillers)

    def otherwise(self, meaning: Meaning, role: str) -> Meaning:
        """The same with another filler in one of its core roles."""
        filler = self._unlike(list(meaning.fillers.values()), FRAMES[meaning.frame].core[role])
        return replace(meaning, fillers={**meaning.fillers, role: filler})

    def sentence(self, meaning: Meaning) -> Derivation:
        """A way to say it."""
        return derive(self.lexicon, meaning, self.chance.below(_VARIANTS))

    def sentences(self, first: Meaning, second: Meaning) -> tuple[Derivation, Derivation]:
        """Both, of the same frame and roles, said in two ways where the lexicon has more than one."""
        variant = self.chance.below(_VARIANTS)
        return derive(self.lexicon, first, variant), derive(self.lexicon, second, variant + 1)

    def _fact(self, country_of: Mapping[str, str]) -> dict[str, Filler]:
        cities, countries = self.lexicon.section("city"), self.lexicon.section("country")
        known = countries.entries.keys() - (_held_out(countries) if self._training else set())
        options = [city for city in self._keys(cities) if country_of.get(city) in known]
        city = self.chance.pick(options)
        return {"place": _plain(cities, city), "region": _plain(countries, country_of[city])}

    def _unlike(self, others: list[Filler], sections: Sequence[str]) -> Filler:
        """A filler that shares no word with the others: nobody meets a namesake, no journey ends where it began."""
        used = words_of(others)
        while True:
            filler = self._filler(self.chance.pick(sections))
            if used.isdisjoint(filler.words):
                return filler

    def _filler(self, name: str) -> Filler:
        if name == "person":
            return self._person()
        section = self.lexicon.section(name)
        return _plain(section, self.chance.pick(self._keys(section)))

    def _person(self) -> Filler:
        shape = self.chance.pick(self.lexicon.shapes)
        parts = {}
        for name in part_names(shape):
            section = self.lexicon.section(name)
            parts[name] = section.entries[self.chance.pick(self._keys(section))]
        return Filler(shape, parts, "PER")

    def _keys(self, section: Section) -> list[str]:
        """The entries to choose from; outside training, half of the names are ones that training never shows."""
        held_out = _held_out(section)
        if self._training or not held_out or self.chance.below(2):
            return [key for key in section.entries if key not in held_out]
        return sorted(held_out)


def _held_out(section: Section) -> set[str]:
    """Every third line of a list of names; training never draws it."""
    return {key for index, key in enumerate(section.entries) if section.entity and index % 3 == 2}


def _plain(section: Section, key: str) -> Filler:
    return Filler("$it.*", {"it": section.entries[key]}, section.entity)
