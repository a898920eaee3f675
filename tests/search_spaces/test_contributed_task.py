"""A task of somebody else's package: a minimal one plans and trains, and is part of its trials' names."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# What a user does, in a process of its own: packages are looked for once in each.
USE = """
import json, sys
from pathlib import Path

import trainers
from search_spaces.checks import accepted
from search_spaces.environment import Environment
from search_spaces.plan import plan
from search_spaces.problems import SpecError
from service.reports import published
from trainers.data import sample
from trainers.protocols import PROTOCOLS
from trainers.tasks import TASKS
from trainers.trial import Trial

home, encoder, train = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
training = {"epochs": 20, "batch_size": 8, "learning_rate": 1e-2}
body = {
    "task": "color", "encoder": encoder, "data": {"folder": "mine"}, "target_languages": ["de"],
    "methods": ["zero-shot", "gradient-mix-train"], "k": [2], "seeds": [1], "training": training,
}
environment = Environment(home / "home", home / "data", 1, 0)
inputs = accepted(body, environment)
made = plan(inputs.spec, inputs.data, inputs.encoder_digest)
scores = {}
for digest, one in made.trials.items() if train else ():
    trial = Trial(config=one.config, source=one.source, data=inputs.reference, wanted=one.wanted,
                  max_test_examples=None, home=environment.home)
    outcome = trainers.run(trial, lambda _: None)
    scores[one.config.method] = {score.language: score.value for score in outcome.scores}
refused = {}
for data in ("sample", "xtreme-r"):
    try:
        accepted({**body, "data": data}, environment)
    except SpecError as error:
        refused[data] = [problem.message for problem in error.problems if problem.field == "data"]
defaults = [TASKS["color"].under(name) == protocol.defaults for name, protocol in PROTOCOLS.items()]
print(json.dumps({
    "tasks": list(TASKS), "sample": sample.tasks(), "defaults": defaults, "refused": refused, "scores": scores,
    "published": published.published_of("color"),
    "trials": {digest: one.config.to_dict() for digest, one in made.trials.items()},
}))
"""


@pytest.fixture
def use(
    make_distribution: Callable[..., Path], colors: str, tiny_encoder: Path, tmp_path: Path
) -> Callable[..., dict[str, Any]]:
    """What USE prints with a version of the package installed."""
    for language, (red, blue) in {"en": ("the red one", "a blue one"), "de": ("das rote", "ein blaues")}.items():
        folder = tmp_path / "data" / "mine" / "color" / language
        folder.mkdir(parents=True)
        for split in ("train", "dev", "test"):
            pairs = [(f"{red} {n}", "red") for n in range(8)] + [(f"{blue} {n}", "blue") for n in range(8)]
            lines = [json.dumps({"text": text, "color": color}) for text, color in pairs]
            (folder / f"{split}.jsonl").write_text("\n".join(lines))

    def run(version: str, train: bool = False) -> dict[str, Any]:
        site = make_distribution("allasprak.tasks", "colors:COLOR", colors, version)
        paths = os.pathsep.join([str(site), *filter(None, sys.path)])
        answer = subprocess.run(
            [sys.executable, "-c", USE, tmp_path, tiny_encoder, json.dumps(train)],
            env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True,
        )  # fmt: skip
        assert answer.returncode == 0, answer.stderr
        found: dict[str, Any] = json.loads(answer.stdout)
        return found

    return run


@pytest.mark.service
def test_a_contributed_task_plans_and_trains_and_its_version_is_part_of_its_trials_names(
    use: Callable[..., dict[str, Any]],
) -> None:
    found = use("1.0", train=True)
    assert found["tasks"][-1] == "color"
    assert [config["plugins"] for config in found["trials"].values()] == [[["task", "colors", "1.0"]]] * 2
    assert found["scores"]["zero-shot"]["en"] == 100.0
    assert set(found["scores"]["gradient-mix-train"]) == {"en", "de"}

    assert found["defaults"] == [True, True]
    assert "color" not in found["sample"]
    assert found["refused"] == {
        "sample": [f"the sample corpus has no examples of color; it has those of {', '.join(found['sample'])}"],
        "xtreme-r": ["XTREME-R has no color"],
    }
    assert found["published"] is None

    later = use("1.1")
    assert len(later["trials"]) == 2
    assert set(later["trials"]).isdisjoint(found["trials"])
