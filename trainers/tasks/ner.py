"""Named entity recognition: IOB2 tags, entity-level F1."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from trainers.examples import Example
from trainers.protocols import PAPER, RELEASED_CODE, TaskSettings
from trainers.sample_corpus.corpus import derivations
from trainers.tasks.errors import Error, Mark, Reading, entity_errors
from trainers.tasks.hub import HubPart
from trainers.tasks.scores import Fraction, overlap
from trainers.tasks.tagging import Tagging, as_released, tagged
from trainers.tasks.task import Published

_PAPER = replace(
    PAPER.defaults,
    alpha=1.0,  # section 4.3, of 47 targets
    alpha_per_target=0.1,  # footnotes 9 and 10: 0.1 for one target, 0.4 for four
)


class NamedEntityRecognition(Tagging):
    """The task `ner`."""

    name = "ner"
    metric = "f1"
    metrics_names: tuple[str, ...] = ("f1",)
    tag = re.compile(r"O|[BI]-\S+")
    kind_of_tag = "an IOB2 tag (O, B-<type> or I-<type>)"
    unplaced = "O"
    reading: Reading = "pieces"
    settings: Mapping[str, TaskSettings] = {PAPER.name: _PAPER, RELEASED_CODE.name: as_released(_PAPER)}
    languages = (
        "af", "ar", "az", "bg", "bn", "de", "el", "en", "es", "et", "eu", "fa", "fi", "fr", "gu", "he", "hi", "hu",
        "id", "it", "ja", "jv", "ka", "kk", "ko", "lt", "ml", "mr", "ms", "my", "nl", "pa", "pl", "pt", "qu", "ro",
        "ru", "sw", "ta", "te", "th", "tl", "tr", "uk", "ur", "vi", "yo", "zh",
    )  # fmt: skip
    # WikiANN in the splits of Rahimi et al. (2019). Of XTREME-R's languages XTREME ("PAN-X" on the hub) lacks eight.
    hub = (
        HubPart(
            repository="unimelb-nlp/wikiann",
            splits=("train", "dev", "test"),
            configuration=lambda language: language,
            columns=("tokens", "ner_tags"),
            example=tagged,
        ),
    )
    published = Published(encoder="xlm-roberta-large", metric="f1", languages=48)  # section 4.3; Table 4

    def sample(self, language: str, split: str) -> list[Example]:
        """IOB2 over PER, LOC and ORG."""
        sentences = (one.terminals for one in derivations(language, split))
        return [{"tokens": [word.form for word in words], "tags": [word.tag for word in words]} for words in sentences]

    def oddity(self, example: Example) -> str | None:
        """Whether an entity begins with I-, as in IOB1; `entities` finds it as well."""
        tags = example["tags"]
        odd = any(tag.startswith("I-") and tag[2:] != before[2:] for before, tag in pairwise(["O", *tags]))
        return "an entity begins with I-, where IOB2 has B-; it counts as an entity" if odd else None

    def label_set(self, labels: Sequence[str]) -> tuple[str, ...]:
        """All tags of the entity types that occur, O first."""
        types = sorted({tag[2:] for tag in labels if tag != "O"})
        return ("O", *(f"{prefix}-{type_}" for type_ in types for prefix in "BI"))

    def fractions(
        self, gold: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]]
    ) -> list[dict[str, Fraction]]:
        """`f1`, micro-averaged over exact entities: type and both ends."""
        return [{"f1": overlap(entities(tags), entities(found))} for tags, found in zip(gold, predictions, strict=True)]

    def marks(self, example: Example, prediction: Sequence[str]) -> list[Mark]:
        """The entities."""
        return [Mark("tokens", (first, after), type_) for type_, first, after in entities(prediction)]

    def errors(self, gold: Sequence[str], prediction: Sequence[str]) -> list[Error]:
        """Entities that are missed, spurious, or of a wrong type or boundary."""
        return entity_errors(entities(gold), entities(prediction))


NER = NamedEntityRecognition()


def entities(tags: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """(type, first word, word after the last) of each entity, as seqeval 1.2.2 finds them in its default mode.

    An entity begins at a B, and also at an I that follows O or another type; it ends before the next beginning or O.
    """
    kind, first = "", 0
    for place, tag in enumerate([*tags, "O"]):
        continues = tag.startswith("I-") and tag[2:] == kind
        if continues:
            continue
        if kind:
            yield kind, first, place
        kind, first = tag[2:], place
