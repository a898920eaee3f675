"""xnli whose files are sorted by label: shots, oracle sets and batches have every class."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from trainers.data.shots import draw_from
from trainers.data.sources import open_data
from trainers.tasks.xnli import LABELS, XNLI
from trainers.training import loop
from trainers.trial import DataReference, Trial

Make = Callable[..., Trial]
Train = Callable[[Trial], Any]

SAYS = {"entailment": "yes", "neutral": "perhaps", "contradiction": "no"}
K = 4


@pytest.fixture
def by_label(tmp_path: Path) -> DataReference:
    """xnli in English and German, every file sorted by its label, which the premise tells."""
    for language in ("en", "de"):
        for split, each in (("train", 40), ("dev", 20), ("test", 20)):
            path = tmp_path / "data" / "xnli" / language / f"{split}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            pairs = [
                {"premise": SAYS[label], "hypothesis": f"{language} {split} {place}", "label": label}
                for label in LABELS for place in range(each)
            ]  # fmt: skip
            path.write_text("\n".join(map(json.dumps, pairs)))
    return DataReference("folder", tmp_path / "data")


@pytest.fixture
def sorted_trial(make_trial: Make, by_label: DataReference) -> Make:
    def make(method: str, **changed: Any) -> Trial:
        fields = {"task": "xnli", "data": by_label, "evaluate": ("en", "de"), "max_source_examples": None, "k": K}
        if method != "zero-shot":
            fields["target_languages"] = ("de",)
        return make_trial(method, **{**fields, **changed})

    return make


def labels_of(trial: Trial, places: list[int]) -> list[str]:
    examples = open_data(trial.data, "xnli", trial.home).examples("de", "train")
    return [examples[place]["label"] for place in places]


def test_every_class_has_k_shots_and_batches_mix_the_classes(
    train: Train, sorted_trial: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    update = loop.Loop._update

    def watched(self: loop.Loop, indices: Any) -> None:
        sizes.append(len(torch.unique(self.data.collate(indices)["labels"])))
        update(self, indices)

    monkeypatch.setattr(loop.Loop, "_update", watched)
    trial = sorted_trial("naive-mix-train", epochs=2, evaluate=())
    shots = train(trial).outcome.facts["shots"]["de"]
    assert Counter(labels_of(trial, shots["indices"])) == dict.fromkeys(LABELS, K)
    assert sum(size == 3 for size in sizes) > 0.8 * len(sizes)


def test_an_oracle_set_that_is_the_first_of_the_shots_has_several_classes(sorted_trial: Make) -> None:
    """The released code takes the first 8 of 3K shots: sorted by class, they would be of two of them at K = 4."""
    trial = sorted_trial("gradient-mix-train", protocol="released-code")
    data = open_data(trial.data, "xnli", trial.home)
    kinds = []
    for seed in range(1, 21):
        drawn = draw_from(data, XNLI, "de", "dev", K, seed)
        first = [data.examples("de", "dev")[place]["label"] for place in drawn.indices[:8]]
        kinds.append(len(set(first)))
    assert min(kinds) > 1
    assert kinds.count(3) > 15
