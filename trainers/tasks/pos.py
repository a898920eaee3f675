"""Part-of-speech tagging: universal tags, the share of words tagged correctly, the paper's chunk F1."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from trainers.examples import Example
from trainers.protocols import PAPER, RELEASED_CODE, TaskSettings
from trainers.sample_corpus.corpus import derivations
from trainers.tasks.scores import Fraction, equal, overlap
from trainers.tasks.tagging import Tagging, as_released
from trainers.tasks.task import Published

# https://universaldependencies.org/u/pos/
UPOS = ("ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN", "PUNCT", "SCONJ",
        "SYM", "VERB", "X")  # fmt: skip

_PAPER = replace(PAPER.defaults, alpha=1.0)  # section 4.3


class PartOfSpeechTagging(Tagging):
    """The task `pos`."""

    name = "pos"
    metric = "accuracy"
    metrics_names: tuple[str, ...] = ("accuracy", "chunk_f1")
    tag = re.compile("|".join(UPOS))
    kind_of_tag = f"a universal part-of-speech tag ({', '.join(UPOS)})"
    unplaced = "X"
    settings: Mapping[str, TaskSettings] = {PAPER.name: _PAPER, RELEASED_CODE.name: as_released(_PAPER)}
    languages = (
        "af", "ar", "bg", "de", "el", "en", "es", "et", "eu", "fa", "fi", "fr", "he", "hi", "hu", "id", "it", "ja",
        "kk", "ko", "lt", "mr", "nl", "pl", "pt", "ro", "ru", "ta", "te", "tr", "uk", "ur", "vi", "wo", "zh",
    )  # fmt: skip
    has_treebanks = True
    published = Published(
        encoder="xlm-roberta-large",  # section 4.3
        metric="chunk_f1",  # section 4.3: our name for its F1
        languages=35,  # ticks of Table 3
    )

    def sample(self, language: str, split: str) -> list[Example]:
        """Universal parts of speech of the sentences of ner."""
        sentences = (one.terminals for one in derivations(language, split))
        return [{"tokens": [word.form for word in words], "tags": [word.upos for word in words]} for words in sentences]

    def label_set(self, labels: Sequence[str]) -> tuple[str, ...]:
        """All universal tags, whichever occur."""
        return UPOS

    def fractions(self, gold: Sequence[str], prediction: Sequence[str]) -> dict[str, Fraction]:
        """`accuracy` over words, and `chunk_f1` over runs of one tag, the "F1" that the paper gives for pos.

        Chunk F1 is a property of the authors' scorer, seqeval on bare tags, where neighbours with the same tag are one
        item.
        """
        return {"accuracy": equal(gold, prediction), "chunk_f1": overlap(runs(gold), runs(prediction))}


POS = PartOfSpeechTagging()


def runs(tags: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """(tag, first word, word after the last) of each longest run of one tag."""
    first = 0
    for tag, run in groupby(tags):
        after = first + sum(1 for _ in run)
        yield tag, first, after
        first = after
