"""The splits: sentences drawn for each, so that none repeats and a third of all names is held out of training."""

from collections.abc import Mapping
from functools import cache

from trainers.sample_corpus import lexicon as lexicons
from trainers.sample_corpus.draw import Chance, Draw
from trainers.sample_corpus.grammar import Derivation
from trainers.sample_corpus.lexicon import Lexicon, LexiconError
from trainers.sample_corpus.meaning import FRAMES

SOURCE = "en"
LANGUAGES: tuple[str, ...] = (SOURCE, *(code for code in lexicons.available() if code != SOURCE))
SPLITS = ("train", "dev", "test")
# Frames with few distinct sentences give way to others; a lexicon that needs more draws than this is too small.
DRAWS_PER_EXAMPLE = 20
_SOURCE_SIZES = (800, 120, 200)
_TARGET_SIZES = (60, 60, 120)
_LENGTHS = range(5, 19)


def derivations(language: str, split: str) -> tuple[Derivation, ...]:
    """The derivations of one split, in a fixed order; LexiconError where the lexicon cannot give enough of them."""
    return sentences(language, _SOURCE_SIZES if language == SOURCE else _TARGET_SIZES)[split]


@cache
def sentences(language: str, sizes: tuple[int, ...], *purpose: str) -> Mapping[str, tuple[Derivation, ...]]:
    """As many derivations for each split as ``sizes`` says, none of them in two; another purpose, other derivations."""
    lexicon = lexicons.load(language)
    seen: set[tuple[str, ...]] = set()
    return {
        split: _split(lexicon, split, size, Chance(language, split, *purpose), seen)
        for split, size in zip(SPLITS, sizes, strict=True)
    }


def _split(
    lexicon: Lexicon, split: str, size: int, chance: Chance, seen: set[tuple[str, ...]]
) -> tuple[Derivation, ...]:
    draw = Draw(lexicon, split == "train", chance)
    frames = tuple(FRAMES)
    drawn: list[Derivation] = []
    for turn in range(DRAWS_PER_EXAMPLE * size):
        derivation = draw.sentence(draw.meaning(frames[turn % len(frames)]))
        if derivation.forms not in seen and len(derivation.forms) in _LENGTHS:
            seen.add(derivation.forms)
            drawn.append(derivation)
        if len(drawn) == size:
            return tuple(drawn)
    raise LexiconError(f"lexicon {lexicon.language}: too few distinct sentences for {split}")
