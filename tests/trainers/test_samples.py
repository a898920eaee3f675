"""Samples of cut data: nested, the same for everybody, of every class its share, and what a sorted file needs."""

import json
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers.artifacts.layout import predictions_file
from trainers.artifacts.places import place_of
from trainers.artifacts.predictions import read
from trainers.data.samples import sample, shares
from trainers.data.shots import draw
from trainers.data.sources import open_data
from trainers.examples import evaluation_data
from trainers.tasks.xnli import LABELS
from trainers.training import trial_data
from trainers.trial import DataReference, Trial

Make = Callable[..., Trial]
Train = Callable[[Trial], Any]

DATA = "0123456789abcdef0123"
STRATA = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=80)


@settings(deadline=None, max_examples=100)
@given(STRATA, st.booleans(), st.data())
def test_a_smaller_sample_is_part_of_a_larger_one_and_each_has_its_size(
    strata: list[str], is_sorted: bool, data: st.DataObject
) -> None:
    strata = sorted(strata) if is_sorted else strata
    sizes = sorted(data.draw(st.lists(st.integers(0, len(strata)), min_size=2, max_size=4)))
    samples = [sample(DATA, strata, size) for size in sizes]
    for size, places in zip(sizes, samples, strict=True):
        assert len(places) == size
        assert list(places) == sorted(set(places))
    assert all(set(smaller) <= set(larger) for smaller, larger in pairwise(samples))
    assert sample(DATA, strata, len(strata)) == tuple(range(len(strata)))


@settings(deadline=None, max_examples=100)
@given(st.dictionaries(st.text(max_size=3), st.integers(1, 400), min_size=1, max_size=9), st.data())
def test_each_class_has_its_share_of_a_sample_but_for_less_than_one(sizes: dict[str, int], data: st.DataObject) -> None:
    whole = sum(sizes.values())
    size = data.draw(st.integers(0, whole))
    found = shares(sizes, size)
    assert sum(found.values()) == size
    for name, number in found.items():
        assert abs(number * whole - size * sizes[name]) < whole


def test_over_contents_every_example_is_drawn_equally_often() -> None:
    counts = Counter(place for content in range(2000) for place in sample(f"content {content}", [""] * 20, 5))
    assert sum((counts[place] - 500) ** 2 / 375 for place in range(20)) < 43.8  # 0.1% point, 19 degrees of freedom


def test_a_sample_does_not_know_the_shots() -> None:
    half = set(sample(DATA, [""] * 400, 200))
    shots = [place for seed in range(40) for place in draw(DATA, "de", [""] * 400, 25, seed).indices]
    assert abs(len([place for place in shots if place in half]) - 500) < 80  # five standard deviations


def test_one_sample_is_pinned() -> None:
    assert sample(DATA, [""] * 100, 6) == sample(DATA, [""] * 100, 6)
    assert sample(DATA, [""] * 100, 6) == (3, 52, 57, 81, 94, 97)
    assert sample(DATA, ["a"] * 60 + ["b"] * 40, 5) == (3, 52, 57, 81, 94)


# In trials

SAYS = {"entailment": "yes", "neutral": "perhaps", "contradiction": "no"}


@pytest.fixture
def by_class(tmp_path: Path) -> DataReference:
    """xnli in English and German, every file sorted by its label, which the premise tells."""
    for language in ("en", "de"):
        for split in ("train", "dev", "test"):
            path = tmp_path / "data" / "xnli" / language / f"{split}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            pairs = [
                {"id": f"{split} {language}", "premise": SAYS[label], "hypothesis": str(place), "label": label}
                for label in LABELS for place in range(60)
            ]  # fmt: skip
            path.write_text("\n".join(map(json.dumps, pairs)))
    return DataReference("folder", tmp_path / "data")


def test_cut_data_that_are_sorted_by_class_teach_and_test_all_classes(
    train: Train, make_trial: Make, by_class: DataReference
) -> None:
    cut = {"max_source_examples": 60, "max_test_examples": 31}
    trial = make_trial("zero-shot", task="xnli", data=by_class, evaluate=("en", "de"), epochs=15, **cut)
    done = train(trial)
    [step] = done.outcome.selected.values()
    samples = {(one["language"], one["split"]): one for one in done.outcome.facts["samples"]}
    for language, score in done.test_scores.items():
        assert score.value > 90  # of the first 60, all of one class, it was 33.3
        of = {"step": step, "language": language, "split": "test", "data": score.data}
        _, predictions = read(place_of(trial), predictions_file(trial.home, trial.config.digest, **of))
        assert sorted(Counter(predictions["gold"]).values()) == [10, 10, 11]
        examples = open_data(by_class, "xnli", trial.home).examples(language, "test")
        assert predictions["gold"] == [examples[place]["label"] for place in predictions["example"]]
        assert samples[language, "test"]["indices"] == predictions["example"]
    source = samples["en", "train"]
    assert (source["examples"], source["of"]) == (60, 180)
    assert Counter(place // 60 for place in source["indices"]) == {0: 20, 1: 20, 2: 20}


def test_a_sample_is_the_same_for_every_seed_and_method_and_only_what_is_cut_is_one(
    train: Train, make_trial: Make
) -> None:
    cut = {"epochs": 1, "max_source_examples": 20, "max_test_examples": 5}
    trials = [make_trial("zero-shot", seed=1, **cut), make_trial("naive-mix-train", seed=2, **cut)]
    one, other = (train(trial).outcome.facts["samples"] for trial in trials)
    assert one == other
    assert [(sample["language"], sample["split"], sample["examples"]) for sample in one] == [
        ("en", "train", 20), ("en", "test", 5), ("de", "test", 5), ("hi", "test", 5),
    ]  # fmt: skip
    adapted = train(make_trial("ord-FS", epochs=1, max_source_examples=20, max_test_examples=None))
    assert adapted.outcome.facts["samples"] == []


def test_a_large_sample_is_recorded_by_its_digest_alone(
    train: Train, make_trial: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = make_trial("zero-shot", epochs=1, max_source_examples=20, max_test_examples=5, evaluate=("de",))
    small = {one["split"]: one for one in train(trial).outcome.facts["samples"]}
    monkeypatch.setattr(trial_data, "MOST_RECORDED", 10)
    again = {one["split"]: one for one in train(trial).outcome.facts["samples"]}
    assert again == {"train": {**small["train"], "indices": None}, "test": small["test"]}


def test_a_sample_is_another_evaluation_than_the_whole_and_than_any_other_size(make_trial: Make) -> None:
    facts = open_data(DataReference("sample"), "ner", make_trial("zero-shot").home).facts("de", "test")
    sizes = [None, facts.examples, *range(1, facts.examples)]
    assert len({evaluation_data(facts, size) for size in sizes}) == facts.examples
    assert evaluation_data(facts, None) == evaluation_data(facts, facts.examples) == facts.digest
