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
    training=replace(_PAPER.training, accumulation=4, evaluate_every=100),
    shots_split="dev",
    oracle_limit=8,
)


def _pair(id_: str, premise: Any, hypothesis: Any, label: Any) -> Example:
    return {"id": id_, "premise": premise, "hypothesis": hypothesis, "label": label}


class NaturalLanguageInference(PairClassification):
    """The task `xnli`."""

    name = "xnli"
    fields = ("premise", "hypothesis")
    labels = LABELS
    settings: Mapping[str, TaskSettings] = {PAPER.name: _PAPER, RELEASED_CODE.name: _RELEASED_CODE}
    languages = ("ar", "bg", "de", "el", "en", "es", "fr", "hi", "ru", "sw", "th", "tr", "ur", "vi", "zh")
    # XTREME's XNLI has no training set; the other repository (https://huggingface.co/datasets/facebook/xnli) has
    # MultiNLI ("en") and its machine translations.
    hub = (
        HubPart(
            splits=("dev", "test"),
            configuration=lambda _: "XNLI",
            columns=("sentence1", "sentence2", "gold_label"),
            example=_pair,
            language_column="language",
        ),
        HubPart(
            splits=("train",),
            configuration=lambda language: language,
            columns=("premise", "hypothesis", "label"),
            example=_pair,
            repository="facebook/xnli",
        ),
    )
    published = Published(encoder="xlm-roberta-base", metric="accuracy", languages=15)  # section 4.3; Table 7

    def sample(self, language: str, split: str) -> list[Example]:
        """Pairs that entail, contradict or do neither by how they are built."""
        return self.sampled(language, split, inference.pair)


XNLI = NaturalLanguageInference()
