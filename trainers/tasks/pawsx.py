"""Paraphrase identification: whether sentences of nearly the same words mean the same (Yang et al. 2019, PAWS-X)."""

from dataclasses import replace
from typing import Any

from trainers.examples import Example
from trainers.sample_corpus.draw import Draw
from trainers.sample_corpus.grammar import Derivation
from trainers.sample_corpus.meaning import Meaning
from trainers.tasks.hub import HubPart
from trainers.tasks.pairs import PairClassification
from trainers.tasks.xnli import XNLI

LABELS = (DIFFERENT, PARAPHRASE) = ("different", "paraphrase")


def _row(id_: str, sentence1: Any, sentence2: Any, label: Any) -> Example:
    named = {"0": DIFFERENT, "1": PARAPHRASE}.get(str(label), label)
    return {"id": id_, "sentence1": sentence1, "sentence2": sentence2, "label": named}


class ParaphraseIdentification(PairClassification):
    """The task `pawsx`. The paper does not have it: its settings are those of xnli, which is over pairs as well."""

    name = "pawsx"
    fields = ("sentence1", "sentence2")
    labels = LABELS
    settings = XNLI.settings
    languages = ("de", "en", "es", "fr", "ja", "ko", "zh")
    hub = (
        HubPart(
            repository="google-research-datasets/paws-x",
            splits=("train", "dev", "test"),
            configuration=lambda language: language,
            columns=("sentence1", "sentence2", "label"),
            example=_row,
        ),
    )

    def sample(self, language: str, split: str) -> list[Example]:
        """Pairs that are paraphrases, or not, by how they are built."""
        return self.sampled(language, split, pair)


PAWSX = ParaphraseIdentification()


def pair(number: int, label: str, draw: Draw) -> tuple[Derivation, Derivation]:
    """Two sentences, as `trainers.sample_corpus.pairs.MakePair`, in two patterns where the lexicon has them.

    Meeting is symmetric; a journey from one city to another is not one in the other direction. So to
    exchange two names says nothing by itself, nor does another order of the words.
    """
    # two people can be exchanged in every language; to say all else again takes a second pattern
    frames = ["met", *(frame for frame in ("travelled", "born") if len(draw.lexicon.patterns(frame)) > 1)]
    frame = frames[number % len(frames)]
    meaning = draw.meaning(frame, every_adjunct=True)
    other = _exchanged(meaning, "agent", "patient") if frame == "met" else meaning
    if label == DIFFERENT:
        other = _exchanged(other, "origin", "goal") if frame == "travelled" else draw.otherwise(other, "place")
    return draw.sentences(meaning, other)


def _exchanged(meaning: Meaning, one: str, other: str) -> Meaning:
    fillers = meaning.fillers
    return replace(meaning, fillers={**fillers, one: fillers[other], other: fillers[one]})
