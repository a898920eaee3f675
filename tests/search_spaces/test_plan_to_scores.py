"""A plan and the trials that carry it out agree: every result that is planned is a score that a trial gives."""

import json
from pathlib import Path
from typing import Any

import pytest

import trainers
from search_spaces.checks import accepted
from search_spaces.environment import Environment
from search_spaces.plan import plan
from trainers.data import sample
from trainers.methods import METHODS, PAPER
from trainers.tasks import TASKS
from trainers.trial import Report, Score, Trial


def spec(encoder: Path, task: str, **changed: Any) -> dict[str, Any]:
    examples = 10 if task == "tydiqa" else 24  # of several long windows each
    training = {"epochs": 2, "batch_size": 16, "learning_rate": 1e-2, "max_source_examples": examples,
                "max_test_examples": 5}  # fmt: skip
    whole = {
        "task": task, "encoder": str(encoder), "data": "sample", "target_languages": ["de", "hi"],
        "methods": list(METHODS), "k": [2], "seeds": [1], "training": training, "average": 2,
    }  # fmt: skip
    return {**whole, **changed}


def check(body: dict[str, Any], home: Path, data_root: Path | None = None) -> int:
    """Carry a spec's plan out; how many results it has."""
    inputs = accepted(body, Environment(home, data_root, 1, 0))
    made = plan(inputs.spec, inputs.data, inputs.encoder_digest)
    scores: dict[str, list[Score]] = {}
    selected: dict[str, dict[str, int]] = {}
    for digest, trial in made.trials.items():
        reports: list[Report] = []
        cut = inputs.spec.training.max_test_examples
        outcome = trainers.run(
            Trial(
                config=trial.config,
                source=trial.source,
                data=inputs.reference,
                wanted=trial.wanted,
                max_test_examples=cut,
                home=home,
            ),
            reports.append,
        )
        scores[digest] = [score for report in reports for score in report.scores] + list(outcome.scores)
        selected[digest] = dict(outcome.selected)
        assert set(outcome.selected) == set(trial.wanted.selections)
    for result in made.results:
        step = selected[result.trial][result.selection]
        found = [
            score.metric
            for score in scores[result.trial]
            if (score.language, score.split, score.data, score.step)
            == (result.language, result.split, result.data, step)
        ]
        assert found == list(TASKS[inputs.spec.task].metrics_names), result
    return len(made.results)


@pytest.mark.parametrize(
    "task", ["ner", *(pytest.param(task, marks=pytest.mark.slow) for task in TASKS if task != "ner")]
)
def test_every_method_of_every_task(tiny_encoder_for_all: Path, tmp_path: Path, task: str) -> None:
    # three tests each; the dev set of the source where it selects, also for the source where targets' own select
    on_source = sum(not one.adapts and one.selection in (None, "target-dev") for one in METHODS.values())
    on_targets = sum(one.selection == "target-dev" for one in METHODS.values())
    assert check(spec(tiny_encoder_for_all, task), tmp_path) == 3 * len(METHODS) + on_source + 2 * on_targets


@pytest.mark.parametrize(
    "task", [task if task in ("pos", "tydiqa") else pytest.param(task, marks=pytest.mark.slow) for task in TASKS]
)
def test_the_released_code(tiny_encoder_for_all: Path, tmp_path: Path, task: str) -> None:
    methods = ["zero-shot", "ord-FS", "ord-FS+dev", "gradient-mix-train"]
    training = {"epochs": 1, "max_source_examples": 40, "max_test_examples": 4, "learning_rate": 1e-3}
    check(spec(tiny_encoder_for_all, task, protocol="released-code", methods=methods, training=training), tmp_path)


@pytest.mark.parametrize(
    "grouping",
    ["script", [["de"], ["hi", "sw"]], *(pytest.param(one, marks=pytest.mark.slow) for one in ("single", "family"))],
)
def test_groupings(tiny_encoder_for_all: Path, tmp_path: Path, grouping: Any) -> None:
    methods = ["zero-shot", "mix-FT", "gradient-mix-train"]
    targets = ["de", "hi", "sw"]
    check(spec(tiny_encoder_for_all, "ner", methods=methods, grouping=grouping, target_languages=targets), tmp_path)


def test_tydiqa_with_two_splits(tiny_encoder_for_all: Path, tmp_path: Path) -> None:
    for language in ("en", "de", "hi"):
        for split in ("train", "dev"):
            path = tmp_path / "data" / "mine" / "tydiqa" / language / f"{split}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = [json.dumps(one) for one in sample.examples("tydiqa", language, split)]
            path.write_text("\n".join(lines))
    methods = ["zero-shot", "ord-FS", "ord-FS+dev", "gradient-mix-train"]
    body = spec(tiny_encoder_for_all, "tydiqa", methods=methods, data={"folder": "mine"})
    check(body, tmp_path / "home", tmp_path / "data")


def test_another_source_language_than_english(tiny_encoder_for_all: Path, tmp_path: Path) -> None:
    languages = {"source_language": "de", "target_languages": ["en", "hi"]}
    check(spec(tiny_encoder_for_all, "pos", methods=list(PAPER), **languages), tmp_path)
