"""How many sub-words and windows examples have: a size that was counted, or a guess from characters before that."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

# Of the test splits of the XTREME-R samples, tokenised by XLM-R's vocabulary: 2.9 to 4.6 where words have spaces.
CHARACTERS_OF_A_SUB_WORD = 3.6

# What a wide (East Asian) character counts for: of those 1.4 make a sub-word.
WIDE = 2.5

# Examples of a split that are looked at.
SAMPLE = 100

T = TypeVar("T")


@dataclass(frozen=True)
class Size:
    """Windows of so many examples, and the sub-words in them, special tokens included."""

    examples: int
    windows: int
    sub_words: int


def guessed(text: str) -> int:
    """Sub-words of a text, from its characters."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return max(1, round((len(text) + (WIDE - 1) * wide) / CHARACTERS_OF_A_SUB_WORD))


def sampled(examples: Sequence[T]) -> Iterable[T]:
    """Up to SAMPLE of a split's examples, evenly spaced."""
    return examples[:: max(1, -(-len(examples) // SAMPLE))]
