"""Pairs of sentences under a label: as many of each label, no pair twice, and no sentence in two splits."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache

from trainers.sample_corpus import lexicon as lexicons
from trainers.sample_corpus.corpus import DRAWS_PER_EXAMPLE, SOURCE, SPLITS
from trainers.sample_corpus.draw import Chance, Draw
from trainers.sample_corpus.grammar import Derivation
from trainers.sample_corpus.lexicon import Lexicon, LexiconError

_SOURCE_SIZES = (600, 90, 120)
_TARGET_SIZES = (60, 60, 90)

# Makes the two sentences of a pair, given how many pairs of its label there are already, the label, and what to draw
# from: (number, label, draw).
MakePair = Callable[[int, str, Draw], tuple[Derivation, Derivation]]


@dataclass(frozen=True)
class Pair:
    """Two sentences and the label that holds between them."""

    first: Derivation
    second: Derivation
    label: str

    @property
    def forms(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Both as they are written."""
        return self.first.forms, self.second.forms


@cache
def pairs(language: str, task: str, labels: tuple[str, ...], make: MakePair) -> Mapping[str, tuple[Pair, ...]]:
    """The pairs of each split, labels in turn; LexiconError where the lexicon cannot give enough of them."""
    lexicon = lexicons.load(language)
    sizes = _SOURCE_SIZES if language == SOURCE else _TARGET_SIZES
    elsewhere: set[tuple[str, ...]] = set()
    splits = {}
    for split, size in zip(SPLITS, sizes, strict=True):
        draw = Draw(lexicon, split == "train", Chance(language, split, task))
        splits[split] = _split(lexicon, draw, size, labels, make, elsewhere)
        elsewhere.update(sentence for pair in splits[split] for sentence in pair.forms)
    return splits


def _split(
    lexicon: Lexicon,
    draw: Draw,
    size: int,
    labels: tuple[str, ...],
    make: MakePair,
    elsewhere: Collection[tuple[str, ...]],
) -> tuple[Pair, ...]:
    found: dict[tuple[tuple[str, ...], ...], Pair] = {}
    for _ in range(DRAWS_PER_EXAMPLE * size):
        number, which = divmod(len(found), len(labels))
        pair = Pair(*make(number, labels[which], draw), labels[which])
        if not any(sentence in elsewhere for sentence in pair.forms):
            found.setdefault(pair.forms, pair)
        if len(found) == size:
            return tuple(found.values())
    raise LexiconError(f"lexicon {lexicon.language}: too few pairs of sentences, only {len(found)} of {size}")
