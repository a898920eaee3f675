"""Numbers of tokens and windows of examples: counted once the examples are tokenized, estimated from characters before.

Tokens are always sub-word tokens, as the encoder's tokenizer makes them. Stored facts and results name their number
`sub_words`.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

# On samples of XTREME-R's test splits, tokenized with XLM-R's vocabulary: 2.9 to 4.6 in scripts with spaces.
CHARACTERS_OF_A_SUB_WORD = 3.6

# Characters that a wide (East Asian) character counts for: 1.4 of them make a token.
WIDE = 2.5

# Examples of a split from which tokens are estimated.
SAMPLE = 100

T = TypeVar("T")


@dataclass(frozen=True)
class Size:
    """The number of examples, of their windows, and of the tokens in these, special tokens included."""

    examples: int
    windows: int
    sub_words: int


def guessed(text: str) -> int:
    """The estimated number of tokens of a text, from its characters."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return max(1, round((len(text) + (WIDE - 1) * wide) / CHARACTERS_OF_A_SUB_WORD))


def sampled(examples: Sequence[T]) -> Iterable[T]:
    """Up to SAMPLE of a split's examples, evenly spaced."""
    return examples[:: max(1, -(-len(examples) // SAMPLE))]
