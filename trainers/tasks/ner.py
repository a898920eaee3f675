"""Named entity recognition: IOB2 tags, entity-level F1."""

import re
from collections.abc import Iterator, Sequence

from trainers.tasks.scores import micro_f1
from trainers.tasks.tagging import Tagging


class NamedEntityRecognition(Tagging):
    """The task `ner`."""

    name = "ner"
    metric = "f1"
    metrics_names: tuple[str, ...] = ("f1",)
    tag = re.compile(r"O|[BI]-\S+")
    kind_of_tag = "an IOB2 tag (O, B-<type> or I-<type>)"
    unplaced = "O"

    def label_set(self, labels: Sequence[str]) -> tuple[str, ...]:
        """All tags of the entity types that occur, O first."""
        types = sorted({tag[2:] for tag in labels if tag != "O"})
        return ("O", *(f"{prefix}-{type_}" for type_ in types for prefix in "BI"))

    def metrics(self, gold: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]]) -> dict[str, float]:
        """`f1`, in percent."""
        return {"f1": entity_f1(gold, predictions)}


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


def entity_f1(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> float:
    """Micro-averaged F1 in percent over exact entities (type and both ends) of all sentences; 0 without any match."""
    return micro_f1(map(entities, gold), map(entities, predicted))
