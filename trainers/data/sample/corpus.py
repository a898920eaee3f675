"""The splits: which meanings are drawn for each, so that no sentence repeats and a third of all names is held out."""

from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from itertools import count
from typing import TypeVar

from trainers.data.sample import lexicon as lexicons
from trainers.data.sample.grammar import Derivation, derive, part_names
from trainers.data.sample.lexicon import Lexicon, LexiconError, Section
from trainers.data.sample.meaning import FRAMES, Filler, Meaning

SOURCE = "en"
LANGUAGES: tuple[str, ...] = (SOURCE, *(code for code in lexicons.available() if code != SOURCE))
SPLITS = ("train", "dev", "test")
_SOURCE_SIZES = {"train": 800, "dev": 120, "test": 200}
_TARGET_SIZES = {"train": 60, "dev": 60, "test": 120}
_LENGTHS = range(5, 19)
# Frames with few distinct sentences give way to others; a lexicon that needs more draws than this is too small.
_DRAWS_PER_SENTENCE = 20
_VARIANTS = 60  # divisible by as many patterns as a frame may have, so that each is as likely

_T = TypeVar("_T")


def derivations(language: str, split: str) -> tuple[Derivation, ...]:
    """The derivations of one split, in a fixed order; LexiconError where the lexicon cannot give enough of them."""
    return _splits(language)[split]


@cache
def _splits(language: str) -> Mapping[str, tuple[Derivation, ...]]:
    lexicon = lexicons.load(language)
    sizes = _SOURCE_SIZES if language == SOURCE else _TARGET_SIZES
    seen: set[tuple[str, ...]] = set()
    return {split: _split(lexicon, split, sizes[split], seen) for split in SPLITS}


def _split(lexicon: Lexicon, split: str, size: int, seen: set[tuple[str, ...]]) -> tuple[Derivation, ...]:
    chance = _Chance(f"{lexicon.language} {split}")
    draw = _Draw(lexicon, split == "train", chance)
    frames = tuple(FRAMES)
    drawn: list[Derivation] = []
    for turn in range(_DRAWS_PER_SENTENCE * size):
        derivation = derive(lexicon, draw.meaning(frames[turn % len(frames)]), chance.below(_VARIANTS))
        sentence = tuple(word.form for word in derivation.terminals)
        if sentence not in seen and len(sentence) in _LENGTHS:
            seen.add(sentence)
            drawn.append(derivation)
        if len(drawn) == size:
            return tuple(drawn)
    raise LexiconError(f"lexicon {lexicon.language}: too few distinct sentences for {split}")


class _Chance:
    """Choices that are the same on every platform and Python version: a digest of the seed and a running number."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._turns = count()

    def below(self, limit: int) -> int:
        digest = sha256(f"{self._seed} {next(self._turns)}".encode()).digest()
        return int.from_bytes(digest[:8], "big") % limit

    def pick(self, options: Sequence[_T]) -> _T:
        return options[self.below(len(options))]


class _Draw:
    """Meanings drawn by chance, from the names that the split may use."""

    def __init__(self, lexicon: Lexicon, training: bool, chance: _Chance) -> None:
        self._lexicon = lexicon
        self._training = training
        self._chance = chance

    def meaning(self, name: str) -> Meaning:
        """A frame with its core roles filled and each adjunct filled half of the time."""
        frame = FRAMES[name]
        adjuncts = {role: sections for role, sections in frame.adjuncts.items() if self._chance.below(2)}
        fillers = self._fact(frame.facts) if frame.facts else {}
        for role, sections in {**frame.core, **adjuncts}.items():
            fillers[role] = self._unlike(list(fillers.values()), sections)
        return Meaning(name, fillers)

    def _fact(self, country_of: Mapping[str, str]) -> dict[str, Filler]:
        cities, countries = self._lexicon.section("city"), self._lexicon.section("country")
        known = countries.entries.keys() - (_held_out(countries) if self._training else set())
        options = [city for city in self._keys(cities) if country_of.get(city) in known]
        city = self._chance.pick(options)
        return {"place": _plain(cities, city), "region": _plain(countries, country_of[city])}

    def _unlike(self, others: list[Filler], sections: Sequence[str]) -> Filler:
        """A filler that shares no word with the others: nobody meets a namesake, no journey ends where it began."""
        used = {entry.place for filler in others for entry in filler.parts.values()}
        while True:
            filler = self._filler(self._chance.pick(sections))
            if used.isdisjoint(entry.place for entry in filler.parts.values()):
                return filler

    def _filler(self, name: str) -> Filler:
        if name == "person":
            return self._person()
        section = self._lexicon.section(name)
        return _plain(section, self._chance.pick(self._keys(section)))

    def _person(self) -> Filler:
        shape = self._chance.pick(self._lexicon.shapes)
        parts = {}
        for name in part_names(shape):
            section = self._lexicon.section(name)
            parts[name] = section.entries[self._chance.pick(self._keys(section))]
        return Filler(shape, parts, "PER")

    def _keys(self, section: Section) -> list[str]:
        """The entries to choose from; outside training, half of the names are ones that training never shows."""
        held_out = _held_out(section)
        if self._training or not held_out or self._chance.below(2):
            return [key for key in section.entries if key not in held_out]
        return sorted(held_out)


def _held_out(section: Section) -> set[str]:
    """Every third line of a list of names; training never draws it."""
    return {key for index, key in enumerate(section.entries) if section.entity and index % 3 == 2}


def _plain(section: Section, key: str) -> Filler:
    return Filler("$it.*", {"it": section.entries[key]}, section.entity)
