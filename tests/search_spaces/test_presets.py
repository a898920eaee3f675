"""Every preset is a spec that plans, and asks for what its table or figure needs."""

import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from search_spaces.checks import accepted
from search_spaces.environment import Environment
from search_spaces.plan import Plan, plan
from search_spaces.presets import names, preset
from tiny_encoders import write_encoder
from trainers.tasks import TASKS

LABELS = ("entailment", "neutral", "contradiction")


@cache
def example(task: str, place: int) -> str:
    made: dict[str, Any] = {
        "ner": {"tokens": [str(place)], "tags": ["B-PER"]},
        "pos": {"tokens": [str(place)], "tags": ["NOUN"]},
        "xnli": {"premise": str(place), "hypothesis": "x", "label": LABELS[place % 3]},
        "tydiqa": {
            "id": str(place), "context": "a b", "question": "?", "answers": {"text": ["b"], "answer_start": [2]},
        },
    }[task]  # fmt: skip
    return json.dumps(made)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All languages of all four tasks, with as many examples as presets need, and an encoder."""
    root = tmp_path_factory.mktemp("data")
    for task in ("ner", "pos", "tydiqa", "xnli"):
        for language in TASKS[task].languages:
            folder = root / "all" / task / language
            folder.mkdir(parents=True)
            for split in ("train", "dev", "test"):
                (folder / f"{split}.jsonl").write_text("\n".join(example(task, place) for place in range(36)))
    write_encoder(root / "encoder")
    return root


def planned(root: Path, name: str) -> Plan:
    """The plan of a preset, with data and encoder that are at hand and a pool that is large enough."""
    here = {"data": {"folder": "all"}, "encoder": str(root / "encoder")}
    inputs = accepted({**preset(name), **here}, Environment(root / "home", root, 8, 8))
    return plan(inputs.spec, inputs.data, inputs.encoder_digest)


@pytest.mark.parametrize("name", names())
def test_every_preset_plans(root: Path, name: str) -> None:
    made = planned(root, name)
    assert made.trials
    assert made.results
    assert preset(name)["name"]


@pytest.mark.parametrize("task", ["ner", "pos", "tydiqa", "xnli"])
def test_table_1_shares_what_it_can(root: Path, task: str) -> None:
    found = Counter(trial.config.method for trial in planned(root, f"table-1-{task}").trials.values())
    targets = len(TASKS[task].languages) - 1
    assert found == {
        "zero-shot": 5,  # a source training per seed
        "ord-FS": 5 * 3 * targets,  # one trajectory for ord-FS and ord-FS+dev per seed, K and language
        "mix-FT": 15,
        "naive-mix-train": 15,
        "gradient-mix-train": 15,
    }


@pytest.mark.parametrize(
    ("name", "alphas"), [("figure-2a-single", {0.1}), ("figure-2a-subset", {0.4}), ("figure-2a-all", {1.0}),
                         ("figure-2b-single", {0.1}), ("figure-2b-subset", {0.1}), ("figure-2b-all", {0.1})],
)  # fmt: skip
def test_figure_2_has_the_alpha_of_each_grouping(root: Path, name: str, alphas: set[float]) -> None:
    trials = planned(root, name).trials.values()
    assert {trial.config.alpha for trial in trials if trial.config.method == "gradient-mix-train"} == alphas


@pytest.mark.parametrize(
    ("name", "targets", "alpha"), [("figure-5-single", 1, 0.1), ("figure-5-all", len(TASKS["ner"].languages) - 1, 1.0)]
)
def test_figure_5_has_test_scores_of_every_epoch_of_a_model_of_arabic_or_of_all(
    root: Path, name: str, targets: int, alpha: float
) -> None:
    trials = [trial for trial in planned(root, name).trials.values() if trial.config.k]
    assert {trial.wanted.test_every_report for trial in trials} == {True}
    [alphas] = {
        (len(trial.config.target_languages), trial.config.alpha) for trial in trials if trial.config.alpha is not None
    }
    assert alphas == (targets, alpha)


def test_the_alpha_sweep_compares_alphas_of_one_seed_on_the_source_dev_set(root: Path) -> None:
    made = planned(root, "alpha-sweep")
    compared = [trial for trial in made.trials.values() if trial.wanted.sweep]
    assert len(compared) == 8 * 5
    assert len({trial.wanted.sweep for trial in compared}) == 1
    assert {tuple(trial.wanted.judge) for trial in compared} == {("en",)}
