"""Experiments on the folder of XTREME's scripts: accepted, read, planned as on the same examples as JSON Lines."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search_spaces.environment import Environment
from search_spaces.problems import SpecError
from service import planning
from service.settings import Settings
from service.store import Store
from trainers.artifacts.layout import fetched_data
from trainers.data import sample
from trainers.examples import Example
from trainers.trial import SPLITS


def write(path: Path, examples: list[Example], labels: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, examples)))
        return
    sentences = [zip(one["tokens"], one["tags"], strict=True) for one in examples]
    path.write_text(
        "\n".join("".join(f"{token}\t{tag}\n" if labels else f"{token}\n" for token, tag in one) for one in sentences)
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data root with the same examples twice; of Hindi XTREME's folder has no labelled test set."""
    for language in ("en", "de", "hi"):
        for split in SPLITS:
            examples = sample.examples("ner", language, split)
            write(tmp_path / f"root/mine/ner/{language}/{split}.jsonl", examples, labels=True)
            labels = (language, split) != ("hi", "test")
            write(tmp_path / f"root/download/panx/{split}-{language}.tsv", examples, labels)
    return tmp_path / "root"


def test_it_is_read_after_it_was_accepted_and_planned_then(tmp_path: Path, root: Path, spec: dict[str, Any]) -> None:
    environment = Environment(tmp_path / "home", root, 2, 0)
    settings = Settings(environment.home, root, "", None, 300.0, None)
    store = Store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    ours = {**spec, "data": {"xtreme": "."}, "target_languages": "all"}
    accepted, plan = planning.accept(ours, environment, store)
    assert plan is None
    inputs = planning.open_experiment(accepted, settings)
    told: list[str] = []
    planning.fetch(inputs, told.append)
    assert told == ["reading ner: en (1 of 2)", "reading ner: de (2 of 2)"]
    theirs = {**spec, "data": {"folder": "mine"}, "target_languages": ["de"]}
    assert planning.price(accepted, inputs, store).plan == planning.accept(theirs, environment, store)[1]
    store.close()


@pytest.mark.parametrize(
    ("changed", "field", "words"),
    [
        ({"target_languages": ["hi"]}, "target_languages", "labels of test sets, which are in panx_dataset/"),
        ({"target_languages": ["sw"]}, "target_languages", "folder download has no ner for 'sw'; allowed: de, en"),
        ({"task": "pos"}, "data", "XTREME's folder download has no pos; XTREME's scripts leave train and dev"),
        ({"task": "pawsx"}, "data", "has no pawsx; XTREME's folder has ner, pos, tydiqa, xnli"),
        ({"data": {"xtreme": "gone"}}, "data", "has no such folder"),
        ({"data": {"xtreme": ".."}}, "data", "is not under the data root"),
    ],
)  # fmt: skip
def test_what_it_lacks_is_said_before_it_is_read(
    tmp_path: Path, root: Path, spec: dict[str, Any], changed: dict[str, Any], field: str, words: str
) -> None:
    store = Store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    with pytest.raises(SpecError) as refused:
        planning.accept({**spec, "data": {"xtreme": "download"}, "target_languages": ["de"], **changed},
                        Environment(tmp_path / "home", root, 2, 0), store)  # fmt: skip
    assert [problem.field for problem in refused.value.problems] == [field]
    assert words in refused.value.problems[0].message
    assert not fetched_data(tmp_path / "home", "xtreme").exists()
    store.close()


def test_what_is_read_and_what_is_odd_about_it_are_events(
    tmp_path: Path, root: Path, spec: dict[str, Any], start_service: Callable[..., Any]
) -> None:
    with (root / "download/panx/test-de.tsv").open("a") as lines:
        lines.write("\nWien\tI-LOC\n")
    client = start_service(tmp_path / "home", ALLASPRAK_DATA_ROOT=str(root)).client
    ours = {**spec, "data": {"xtreme": "download"}, "target_languages": ["de"], "methods": ["zero-shot"]}
    id_ = client.submit(ours)
    assert client.wait(id_, progress=False, poll_seconds=0.2)["state"] == "succeeded"
    told = [event["reason"] for event in client.events(id_) if "reason" in event]
    assert "reading ner: de (2 of 2)" in told
    [warning] = [reason for reason in told if reason.startswith("warning: ")]
    assert warning.startswith("warning: ner/de/test.jsonl, line ")
    assert "an entity begins with I-" in warning
