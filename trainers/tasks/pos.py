"""Part-of-speech tagging: universal tags, the paper's chunk F1, the share of words tagged correctly."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from trainers.examples import Example
from trainers.protocols import PAPER, RELEASED_CODE, TaskSettings
from trainers.sample_corpus.corpus import derivations
from trainers.tasks.scores import Fraction, equal, overlap
from trainers.tasks.tagging import Tagging, as_released
from trainers.tasks.task import Published

# https://universaldependencies.org/u/pos/
UPOS = ("ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN", "PUNCT", "SCONJ",
        "SYM", "VERB", "X")  # fmt: skip

Chunk = tuple[str, int, int]  # type, first word, last word; words are counted through all sentences

_PAPER = replace(PAPER.defaults, alpha=1.0)  # section 4.3


class PartOfSpeechTagging(Tagging):
    """The task `pos`."""

    name = "pos"
    metric = "chunk_f1"
    metrics_names: tuple[str, ...] = ("chunk_f1", "accuracy")
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

    def fractions(
        self, gold: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]]
    ) -> list[dict[str, Fraction]]:
        """`chunk_f1`, the F1 that the paper gives for pos, and `accuracy` over words.

        Chunk F1 is a property of the authors' scorer, not of tagging (`chunks`).
        """
        pairs = zip(gold, predictions, strict=True)
        both = zip(chunks(gold), chunks(predictions), strict=True)
        return [
            {"chunk_f1": overlap(*found), "accuracy": equal(*tags)} for found, tags in zip(both, pairs, strict=True)
        ]


POS = PartOfSpeechTagging()


def chunks(sentences: Iterable[Sequence[str]]) -> Iterator[list[Chunk]]:
    """The chunks that end in each sentence, as seqeval 1.2.2 finds them in bare tags.

    It reads a tag's first letter as its place in a chunk and the rest as the chunk's type, in all sentences at once
    with an O after each. So a run of one tag is a chunk, but the S of SYM and SCONJ begins and ends one; CCONJ and
    SCONJ are of one type; and X has the type of that O: at a sentence's end it is no chunk, and at the beginning of any
    but the first its chunk begins where the one before began.
    """
    first = place = 0
    before, kind = "O", ""
    for tags in sentences:
        found = []
        for tag in (*tags, "O"):
            letter, rest = tag[0], tag[1:] or "_"
            if before == "S" or (before != "O" and rest != kind):
                found.append((kind, first, place - 1))
            if letter == "S" or (letter != "O" and rest != kind):
                first = place
            before, kind, place = letter, rest, place + 1
        yield found
