"""Pairs of statements of which the first entails, contradicts or says nothing of the second, by how they are built.

Who bought something at the market bought it; who bought nothing bought nothing at the market. So a statement entails
those with fewer adjuncts and contradicts their denials; a denial entails those with more and contradicts what they
deny. Besides, who was born in one city was not born in another. Other frames are left out: they know no contradiction
(who visited Oslo last week may have visited it yesterday too), or one that shows without a premise (the largest city
of a country).

The hypothesis of a purchase is drawn without regard to the label; that of a birth names a city, and a year only if
neutral. Hence no hypothesis shows by itself whether it is entailed or contradicted.
"""

from collections.abc import Collection, Iterator
from dataclasses import replace
from itertools import combinations

from trainers.sample_corpus.draw import Chance, Draw
from trainers.sample_corpus.grammar import Derivation
from trainers.sample_corpus.meaning import DENIES, FRAMES, Meaning

_BIRTH = "born"
_HYPOTHESES = (_BIRTH, "bought", "did_not_buy")
_OPPOSITE = {**DENIES, **{denied: denial for denial, denied in DENIES.items()}}


def pair(number: int, label: str, draw: Draw) -> tuple[Derivation, Derivation]:
    """A premise and a hypothesis, as `pairs.MakePair`; the label is "entailment", "neutral" or "contradiction"."""
    frame = _HYPOTHESES[number % len(_HYPOTHESES)]
    full = draw.meaning(frame, every_adjunct=True)
    premise, hypothesis = _birth(full, label, draw) if frame == _BIRTH else _purchase(full, label, draw.chance)
    return draw.sentence(premise), draw.sentence(hypothesis)


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
