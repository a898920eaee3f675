"""Pairs of statements of which the first entails, contradicts or says nothing of the second, by how they are built.

Who bought something at the market bought it; who bought nothing bought nothing at the market. So a statement entails
those with fewer adjuncts and contradicts their denials; a denial entails those with more and contradicts what they
deny. Besides, who was born in one city was not born in another. Other frames are left out: they know no contradiction
(who visited Oslo last week may have visited it yesterday too), or one that shows without a premise (the largest city
of a country).

The hypothesis of a purchase is drawn without regard to the label; that of a birth names a city, and a year only if
neutral. Hence no hypothesis shows by itself whether it is entailed or contradicted.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations

from trainers.data.sample import lexicon as lexicons
from trainers.data.sample.corpus import DRAWS_PER_EXAMPLE, SOURCE, SPLITS
from trainers.data.sample.draw import Chance, Draw
from trainers.data.sample.grammar import Derivation
from trainers.data.sample.lexicon import Lexicon, LexiconError
from trainers.data.sample.meaning import DENIES, FRAMES, Meaning

LABELS = ("entailment", "neutral", "contradiction")
_BIRTH = "born"
_HYPOTHESES = (_BIRTH, "bought", "did_not_buy")
_OPPOSITE = {**DENIES, **{denied: denial for denial, denied in DENIES.items()}}
_SOURCE_SIZES = (600, 90, 120)
_TARGET_SIZES = (60, 60, 90)


@dataclass(frozen=True)
class Pair:
    """Two statements and what the first makes of the second."""

    premise: Derivation
    hypothesis: Derivation
    label: str

    @property
    def forms(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Both as they are written."""
        return self.premise.forms, self.hypothesis.forms


def pairs(language: str, split: str) -> tuple[Pair, ...]:
    """The pairs of one split; LexiconError where the lexicon cannot give enough of them."""
    return _splits(language)[split]


@cache
def _splits(language: str) -> Mapping[str, tuple[Pair, ...]]:
    lexicon = lexicons.load(language)
    sizes = _SOURCE_SIZES if language == SOURCE else _TARGET_SIZES
    elsewhere: set[tuple[str, ...]] = set()
    splits = {}
    for split, size in zip(SPLITS, sizes, strict=True):
        splits[split] = _split(lexicon, split, size, elsewhere)
        elsewhere.update(sentence for pair in splits[split] for sentence in pair.forms)
    return splits


def _split(lexicon: Lexicon, split: str, size: int, elsewhere: Collection[tuple[str, ...]]) -> tuple[Pair, ...]:
    chance = Chance(lexicon.language, split, "xnli")
    draw = Draw(lexicon, split == "train", chance)
    found: dict[tuple[tuple[str, ...], ...], Pair] = {}
    for _ in range(DRAWS_PER_EXAMPLE * size):
        turn, which = divmod(len(found), len(LABELS))
        pair = _pair(_HYPOTHESES[turn % len(_HYPOTHESES)], LABELS[which], draw, chance)
        if not any(sentence in elsewhere for sentence in pair.forms):
            found.setdefault(pair.forms, pair)
        if len(found) == size:
            return tuple(found.values())
    raise LexiconError(f"lexicon {lexicon.language}: too few pairs of sentences for {split}")


def _pair(frame: str, label: str, draw: Draw, chance: Chance) -> Pair:
    full = draw.meaning(frame, every_adjunct=True)
    premise, hypothesis = _birth(full, label, draw) if frame == _BIRTH else _purchase(full, label, chance)
    return Pair(draw.sentence(premise), draw.sentence(hypothesis), label)


def _birth(full: Meaning, label: str, draw: Draw) -> tuple[Meaning, Meaning]:
    undated = _with_adjuncts(full, ())
    if label == "neutral":
        return undated, full
    return full, undated if label == "entailment" else draw.otherwise(undated, "place")


def _purchase(full: Meaning, label: str, chance: Chance) -> tuple[Meaning, Meaning]:
    """A hypothesis with some but not all adjuncts, which every label can have, and a premise for the label."""
    adjuncts = tuple(FRAMES[full.frame].adjuncts)
    said = frozenset(chance.sample(adjuncts, chance.pick(range(1, len(adjuncts)))))
    opposed = label == "contradiction"
    frame = _OPPOSITE[full.frame] if opposed else full.frame
    given = chance.pick(
        [
            given
            for given in _subsets(adjuncts)
            if _bears_on(frame, given, said) == (label != "neutral") and (opposed or given != said)
        ]
    )
    return _with_adjuncts(replace(full, frame=frame), given), _with_adjuncts(full, said)


def _bears_on(frame: str, given: Collection[str], said: Collection[str]) -> bool:
    """Whether a premise with some adjuncts entails the same statement, and contradicts its opposite, with others."""
    return set(given) <= set(said) if frame in DENIES else set(said) <= set(given)


def _subsets(roles: Collection[str]) -> Iterator[frozenset[str]]:
    return (frozenset(chosen) for size in range(len(roles) + 1) for chosen in combinations(roles, size))


def _with_adjuncts(meaning: Meaning, kept: Collection[str]) -> Meaning:
    left_out = FRAMES[meaning.frame].adjuncts.keys() - set(kept)
    return replace(meaning, fillers={role: it for role, it in meaning.fillers.items() if role not in left_out})
