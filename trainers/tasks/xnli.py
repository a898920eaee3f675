"""Natural language inference: whether a premise entails a hypothesis, contradicts it or does neither."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from trainers.examples import Example
from trainers.protocols import PAPER, RELEASED_CODE, TaskSettings
from trainers.sample_corpus import inference
from trainers.tasks.hub import HubPart
from trainers.tasks.pairs import PairClassification
from trainers.tasks.task import Published

LABELS = ("entailment", "neutral", "contradiction")

_PAPER = replace(PAPER.defaults, alpha=0.1)  # section 4.3

_RELEASED_CODE = replace(
    _PAPER,
    training=replace(_PAPER.training, accumulation=4, evaluate_every=100, batching="micro-batches"),
    shots_split="dev",
    oracle_limit=8,
)


def _pair(id_: str, premise: Any, hypothesis: Any, label: Any) -> Example:
    """Without blanks around the sentences, as XTREME cuts them."""
    return {"id": id_, "premise": _cut(premise), "hypothesis": _cut(hypothesis), "label": label}


def _cut(text: Any) -> Any:
    return text.strip() if isinstance(text, str) else text


class NaturalLanguageInference(PairClassification):
    """The task `xnli`."""

    name = "xnli"
    fields = ("premise", "hypothesis")
    labels = LABELS
    settings: Mapping[str, TaskSettings] = {PAPER.name: _PAPER, RELEASED_CODE.name: _RELEASED_CODE}
    languages = ("ar", "bg", "de", "el", "en", "es", "fr", "hi", "ru", "sw", "th", "tr", "ur", "vi", "zh")
    # All splits are of one repository, which reads quotes as they stand; that of XTREME takes them for ends of fields.
    hub = (
        HubPart(
            repository="facebook/xnli",
            splits=("train", "dev", "test"),
            configuration=lambda language: language,
            columns=("premise", "hypothesis", "label"),
            example=_pair,
        ),
    )
    published = Published(encoder="xlm-roberta-base", metric="accuracy", languages=15)  # section 4.3; Table 7

    def sample(self, language: str, split: str) -> list[Example]:
        """Pairs that entail, contradict or do neither by how they are built."""
        return self.sampled(language, split, inference.pair)


XNLI = NaturalLanguageInference()
