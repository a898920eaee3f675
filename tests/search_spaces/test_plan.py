"""From a spec to its trials: what is shared, what names a trial, and which result each score is."""

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from search_spaces.plan import Plan, plan
from search_spaces.spec import ExperimentSpec
from trainers.config import DataReference
from trainers.data import open_data

LANGUAGES = ("en", "fi", "hu", "tr")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of ner data in four languages."""
    for language in LANGUAGES:
        folder = tmp_path / "data" / "ner" / language
        folder.mkdir(parents=True)
        for split in ("train", "dev", "test"):
            lines = [{"tokens": [f"{language}-{split}-{n}"], "tags": ["B-PER"]} for n in range(12)]
            (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return tmp_path / "data"


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    """What looks like an encoder from outside; nothing is loaded."""
    folder = tmp_path / "encoder"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


@pytest.fixture
def planned(root: Path, encoder: Path, tmp_path: Path) -> Any:
    def make(data: Path = root, **fields: Any) -> Plan:
        base = {
            "task": "ner",
            "encoder": str(encoder),
            "data": {"folder": "data"},
            "target_languages": ["fi", "hu"],
            "methods": ["zero-shot", "ord-FS", "naive-mix-train", "gradient-mix-train"],
            "k": [1, 5],
            "seeds": [1, 2],
        }
        spec = ExperimentSpec.model_validate({**base, **fields})
        return plan(spec, open_data(DataReference("folder", data), "ner", tmp_path), tmp_path)

    return make


def test_each_method_has_the_trials_that_the_paper_gives_it(planned: Any) -> None:
    trials = planned().trials.values()
    assert Counter(trial.config.method for trial in trials) == {
        "zero-shot": 2,  # one per seed, whatever K
        "ord-FS": 8,  # one per seed, K and target
        "naive-mix-train": 4,  # one per seed and K
        "gradient-mix-train": 4,
    }
    assert all(trial.config.k == 0 for trial in trials if trial.config.method == "zero-shot")
    assert {trial.config.alpha for trial in trials if trial.config.method == "gradient-mix-train"} == {1.0}
    assert {trial.config.alpha for trial in trials if trial.config.method != "gradient-mix-train"} == {None}


def test_adaptation_starts_from_the_source_training_that_zero_shot_scores(planned: Any) -> None:
    made = planned()
    sources = {digest for digest, trial in made.trials.items() if trial.config.method == "zero-shot"}
    needed = {trial.source.digest for trial in made.trials.values() if trial.source is not None}
    assert needed == sources
    only_adapted = planned(methods=["ord-FS"])
    assert sources <= set(only_adapted.trials)
    assert not [result for result in only_adapted.results if result.method == "zero-shot"]


def test_source_trainings_come_first(planned: Any) -> None:
    made = planned(methods=["ord-FS", "gradient-mix-train", "zero-shot"])
    seen: set[str] = set()
    for digest, trial in made.trials.items():
        assert trial.source is None or trial.source.digest in seen
        seen.add(digest)


def test_every_method_has_a_test_result_in_every_language(planned: Any) -> None:
    made = planned()
    tests = Counter(
        (result.method, result.k, result.seed, result.language) for result in made.results if result.split == "test"
    )
    few_shot = ("ord-FS", "naive-mix-train", "gradient-mix-train")
    assert set(tests) == {
        (method, k, seed, language)
        for method, k in [("zero-shot", 0), *((method, k) for method in few_shot for k in (1, 5))]
        for seed in (1, 2)
        for language in ("en", "fi", "hu")
    }
    assert set(tests.values()) == {1}
    assert all(made.trials[result.trial].evaluate[result.language] == result.data
               for result in made.results if result.split == "test")  # fmt: skip


def test_an_adapted_model_takes_the_source_language_s_score_from_the_source_training(planned: Any) -> None:
    made = planned()
    for result in made.results:
        if result.method == "ord-FS" and result.language == "en":
            assert made.trials[result.trial].config.method == "zero-shot"


def names(made: Plan, method: str) -> set[str]:
    return {digest for digest, trial in made.trials.items() if trial.config.method == method}


def test_a_source_training_s_name_does_not_know_targets_or_what_is_scored(planned: Any) -> None:
    one = planned()
    other = planned(target_languages=["tr"], k=[3], training={"max_test_examples": 4})
    assert names(one, "zero-shot") == names(other, "zero-shot")
    assert names(one, "ord-FS").isdisjoint(names(other, "ord-FS"))


@pytest.mark.parametrize(
    "change",
    [
        {"seeds": [3]},
        {"training": {"epochs": 4}},
        {"training": {"learning_rate": 1e-3}},
        {"training": {"batch_size": 8}},
        {"training": {"max_source_examples": 5}},
    ],
)
def test_what_changes_the_weights_changes_the_name(planned: Any, change: dict[str, Any]) -> None:
    assert set(planned().trials).isdisjoint(planned(**change).trials)


def test_alpha_names_trials_with_surgery_alone(planned: Any) -> None:
    one, other = planned(), planned(alpha=0.5)
    assert names(one, "naive-mix-train") == names(other, "naive-mix-train")
    assert names(one, "gradient-mix-train").isdisjoint(names(other, "gradient-mix-train"))
    assert names(one, "gradient-mix-train") == names(planned(alpha=1.0), "gradient-mix-train")


def test_data_count_by_content_not_by_place(planned: Any, root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    assert set(planned(data=copy).trials) == set(planned().trials)
    with (copy / "ner/hu/train.jsonl").open("a") as file:
        file.write('\n{"tokens": ["new"], "tags": ["O"]}')
    changed = planned(data=copy)
    assert names(changed, "zero-shot") == names(planned(), "zero-shot")
    assert names(changed, "naive-mix-train").isdisjoint(names(planned(), "naive-mix-train"))
    to_fi = names(planned(), "ord-FS") & names(changed, "ord-FS")
    assert {changed.trials[digest].config.target_languages for digest in to_fi} == {("fi",)}


def test_other_test_data_are_another_evaluation_of_the_same_trial(planned: Any, root: Path) -> None:
    before = planned()
    with (root / "ner/hu/test.jsonl").open("a") as file:
        file.write('\n{"tokens": ["new"], "tags": ["O"]}')
    after = planned()
    assert set(before.trials) == set(after.trials)
    (source, *_) = names(before, "zero-shot")
    changed = {
        language
        for language, data in after.trials[source].evaluate.items()
        if data != before.trials[source].evaluate[language]
    }
    assert changed == {"hu"}


def test_other_weights_of_the_encoder_are_other_trials(planned: Any, encoder: Path) -> None:
    before = planned()
    (encoder / "model.safetensors").write_bytes(b"other weights")
    assert set(before.trials).isdisjoint(planned().trials)


def test_all_targets_are_those_that_the_data_have(planned: Any) -> None:
    made = planned(target_languages="all", methods=["naive-mix-train"])
    assert {trial.config.target_languages for trial in made.trials.values()} == {("fi", "hu", "tr")}
