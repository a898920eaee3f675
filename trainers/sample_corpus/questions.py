"""Questions about short texts: each asks for one role in one sentence, and no other sentence there mentions its names.

A question about a sentence comes with one more sentence of its frame, so that the kind of question is no clue to where
the answer is; and every so often with a text too long for an encoder to read at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest

from trainers.sample_corpus import lexicon as lexicons
from trainers.sample_corpus.corpus import SOURCE, SPLITS, sentences
from trainers.sample_corpus.draw import Chance
from trainers.sample_corpus.grammar import Derivation, ask
from trainers.sample_corpus.lexicon import Lexicon, LexiconError

# What can be asked well in all ten languages, as frame and role.
ASKED = (
    ("born", "place"), ("born", "time"), ("works", "employer"), ("lives", "place"), ("studied", "topic"),
    ("studied", "place"), ("bought", "patient"), ("opened", "patient"), ("travelled", "goal"), ("largest", "place"),
)  # fmt: skip
_SOURCE_SIZES = (300, 60, 60)
_TARGET_SIZES = (40, 40, 40)
_SENTENCES_PER_QUESTION = 3
_SHORT_TEXTS = range(3, 7)
_LONG_TEXT = 45  # sentences: more than 384 tokens in every language
_LONG_EVERY = 17  # no multiple of the kinds of question, so that it is not always the same kind


@dataclass(frozen=True)
class Question:
    """A question for the role of the target, one of the sentences of a text."""

    text: tuple[Derivation, ...]
    target: Derivation
    role: str
    asked: Derivation

    @property
    def answer(self) -> range:
        """Which tokens of the text are the answer."""
        before = sum(len(sentence.forms) for sentence in self.text[: self.text.index(self.target)])
        span = self.target.span(self.role)
        return range(before + span.start, before + span.stop)


@cache
def questions(language: str, split: str) -> tuple[Question, ...]:
    """The questions of one split; LexiconError where the lexicon cannot give enough of them."""
    sizes = _SOURCE_SIZES if language == SOURCE else _TARGET_SIZES
    pool = sentences(language, tuple(_SENTENCES_PER_QUESTION * size for size in sizes), "tydiqa")[split]
    size = sizes[SPLITS.index(split)]
    answerable = _answerable(pool)[:size]
    if len(answerable) < size:
        raise LexiconError(f"lexicon {language}: too few sentences to ask about for {split}")
    lexicon = lexicons.load(language)
    chance = Chance(language, split, "tydiqa texts")
    return tuple(
        _question(lexicon, pool, target, role, _length(number, chance), chance)
        for number, (target, role) in enumerate(answerable, start=1)
    )


def _answerable(pool: Sequence[Derivation]) -> list[tuple[Derivation, str]]:
    """Every sentence with every role to ask for, one of each kind of question in turn."""
    kinds = [
        [(sentence, role) for sentence in pool if sentence.meaning.frame == frame and role in sentence.meaning.fillers]
        for frame, role in ASKED
    ]
    return [pair for row in zip_longest(*kinds) for pair in row if pair is not None]


def _length(number: int, chance: Chance) -> int:
    return chance.pick(_SHORT_TEXTS) if number % _LONG_EVERY else _LONG_TEXT


def _question(
    lexicon: Lexicon, pool: Sequence[Derivation], target: Derivation, role: str, length: int, chance: Chance
) -> Question:
    asked = ask(lexicon, target.meaning, role)
    mentioned = frozenset(word for named in asked.roles for word in target.meaning.fillers[named].words)
    others = [sentence for sentence in pool if mentioned.isdisjoint(sentence.meaning.words)]
    alike = chance.sample([sentence for sentence in others if sentence.meaning.frame == target.meaning.frame], 1)
    rest = chance.sample([sentence for sentence in others if sentence not in alike], length - 1 - len(alike))
    return Question(tuple(chance.sample([target, *alike, *rest], length)), target, role, asked)
