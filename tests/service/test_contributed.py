"""A package that brings a task, a conflict rule and a source of data, installed beside allasprak and taken away again;
and beside its experiments those of the built-in task and rules that are not the paper's."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from service.client import ServiceError

PAINT = '''
from trainers.data.facts import facts_of
from trainers.data.source import Source
from trainers.examples import DataError
from trainers.tasks import TASKS

WORDS = {"en": ("the red one", "a blue one"), "de": ("das rote", "ein blaues")}


class Paint(Source):
    """As many texts about colors in each split as a spec asks for."""

    name = "paint"
    takes = "number of texts"

    def parse(self, value):
        if type(value) is not int or value < 8:
            raise ValueError('"paint" takes a whole number from 8')
        return value

    def open(self, reference, task, home):
        if task != "color":
            raise DataError(f"paint has no {task}")
        return PaintData(reference.location)


class PaintData:
    def __init__(self, number):
        self.number = number

    def languages(self):
        return tuple(sorted(WORDS))

    def examples(self, language, split):
        red_and_blue = list(zip(WORDS[language], ("red", "blue")))
        return [
            {"text": f"{text} {n}", "color": color} for n in range(self.number // 2) for text, color in red_and_blue
        ]

    def facts(self, language, split):
        return facts_of(TASKS["color"], self.examples(language, split))

    def place(self, language, split, example):
        return f"paint, {language}/{split}, example {example}"


PAINT = Paint()
'''

POINTS = """[allasprak.tasks]
color = colors:COLOR
[allasprak.rules]
half = halves:Half
[allasprak.sources]
paint = paint:PAINT
"""

PACKAGE = "color-lab 2.0"
PLUGINS = {
    "zero-shot": [["source", "color-lab", "2.0"], ["task", "color-lab", "2.0"]],
    "half-mix-train": [["rule", "color-lab", "2.0"], ["source", "color-lab", "2.0"], ["task", "color-lab", "2.0"]],
}
RIVALS = ["zero-shot", "gradient-mix-train", "gradvac-mix-train", "cagrad-mix-train", "upgrad-mix-train"]


@pytest.fixture(scope="module")
def site(
    write_distribution: Callable[..., Path], colors: str, halves: str, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder in which the package is installed."""
    folder = tmp_path_factory.mktemp("site")
    modules = {"colors": colors, "halves": halves, "paint": PAINT}
    write_distribution(folder, "color-lab-2.0", modules, POINTS)
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("contributed") / "home"


@pytest.fixture(scope="module")
def with_package(start_services: Any, site: Path, home: Path) -> Any:
    """A service beside which the package is installed."""
    return start_services(home, PYTHONPATH=os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")])))


@pytest.fixture(scope="module")
def colored(tiny_encoder: Path) -> dict[str, Any]:
    """A spec with all that the package brings."""
    return {
        "name": "colored", "task": "color", "encoder": str(tiny_encoder), "data": {"paint": 16},
        "target_languages": ["de"], "methods": ["zero-shot", "half-mix-train"], "k": [2], "seeds": [1],
        "training": {"epochs": 20, "batch_size": 8, "learning_rate": 1e-2}, "resources": {"max_concurrent_trials": 1},
    }  # fmt: skip


@pytest.fixture(scope="module")
def done(with_package: Any, colored: dict[str, Any]) -> str:
    """The experiment of that spec, which has succeeded."""
    client = with_package.client
    id_ = str(client.submit(colored))
    ended = client.wait(id_, progress=False)
    assert ended["state"] == "succeeded", ended["reason"]
    return id_


def require_shown(service: Any, id_: str) -> None:
    """Every view of the experiment has its scores, whether the package is installed or not."""
    client = service.client
    shown = client.experiment(id_)
    assert (shown["state"], shown["spec"]["data"]) == ("succeeded", {"paint": 16})
    assert [one["id"] for one in get(service, "experiments", name="colored")["experiments"]][-1] == id_

    rows = client.results(id_, split="test")
    assert set(zip(rows["method"], rows["language"], strict=True)) == {
        (method, language) for method in PLUGINS for language in ("en", "de")
    }
    assert set(rows["metric"]) == {"accuracy"}
    scores = service.scores(id_)
    assert scores["zero-shot", 0, 1, "en"] == 100.0
    for method, plugins in PLUGINS.items():
        [trial] = rows[rows["method"] == method]["trial"].unique()
        assert client.trial(trial)["config"]["plugins"] == plugins

    # The client runs without the package in either case.
    table = client.table(id_)
    assert list(table.index.get_level_values("method")) == list(PLUGINS)
    assert table.loc[("zero-shot", 0), "en"] == 100.0
    for method, k in (("zero-shot", 0), ("half-mix-train", 2)):
        assert table.loc[(method, k), "mean"] == scores[method, k, 1, "de"]
    command = [sys.executable, "-m", "service.cli", "results", id_, "--url", service.url]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert printed.returncode == 0, printed.stderr
    assert "color, accuracy on the test sets" in printed.stdout
    assert "half-mix-train" in printed.stdout

    [mixed] = [
        row
        for row in get(service, "results/summary", experiment=id_, by="task,method,k,data,metric")["summary"]
        if row["method"] == "half-mix-train"
    ]
    assert (mixed["task"], mixed["metric"], mixed["data"]) == ("color", "accuracy", "paint 16")
    assert mixed["mean"] == scores["half-mix-train", 2, 1, "de"]
    beside = get(service, "results/summary", experiment=id_, published=True)["summary"]
    assert [(row["published"], row["differs"]) for row in beside] == [(None, ["task color (paper: none)"])] * 2
    assert set(client.report("table-1", id_).data["method"]) == set(PLUGINS)
    assert len(client.shots(id_)) == 1


def get(service: Any, path: str, **asked: Any) -> Any:
    answer = httpx2.get(f"{service.url}/v1/{path}", params=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_what_a_package_brings_is_listed_with_its_version(with_package: Any) -> None:
    for path, key, name in (("tasks", "task", "color"), ("methods", "method", "half-mix-train")):
        packages = {one[key]: one["package"] for one in get(with_package, path)[path]}
        assert packages.pop(name) == PACKAGE
        assert set(packages.values()) == {None}
    sources = {one["source"]: one["package"] for one in get(with_package, "datasets")["sources"]}
    assert sources.pop("paint") == PACKAGE
    assert set(sources.values()) == {None}


def test_an_experiment_with_its_task_rule_and_source_ends_with_scores(with_package: Any, done: str) -> None:
    require_shown(with_package, done)


def test_pawsx_with_every_rule_that_is_not_the_papers_ends_with_scores(with_package: Any, spec: dict[str, Any]) -> None:
    client = with_package.client
    id_ = client.submit({**spec, "task": "pawsx", "methods": RIVALS})
    ended = client.wait(id_, progress=False)
    assert ended["state"] == "succeeded", ended["reason"]
    scores = with_package.scores(id_)
    assert set(scores.index) == {
        (method, 0 if method == "zero-shot" else 5, 1, language)
        for method in RIVALS
        for language in ("en", "de", "hi")
    }  # fmt: skip
    assert scores.between(0, 100).all()
    rows = client.results(id_, split="test")
    assert set(rows["metric"]) == {"accuracy"}
    for method in RIVALS[1:]:
        facts = client.trial(rows[rows["method"] == method]["trial"].iloc[0])["facts"]
        assert facts["training"]["surgery"]["operations"] > 0
    assert list(client.table(id_).index.get_level_values("method")) == RIVALS


def test_without_its_package_what_was_found_is_shown_and_nothing_new_is_accepted(
    start_services: Any, with_package: Any, home: Path, done: str, colored: dict[str, Any], spec: dict[str, Any]
) -> None:
    unfinished = with_package.client.submit({**colored, "seeds": list(range(2, 100))})
    with_package.until(lambda: with_package.client.experiment(unfinished)["trials"]["running"])
    assert with_package.stop() == 0
    service = start_services(home)
    client = service.client

    stopped = client.wait(unfinished, progress=False)
    assert stopped["state"] == "failed"
    assert "the package color-lab 2.0" in stopped["reason"]
    assert "is not installed" in stopped["reason"]

    require_shown(service, done)
    swept = httpx2.get(f"{service.url}/v1/experiments/{done}/sweep")
    assert swept.status_code == 422
    assert {one["field"] for one in swept.json()["errors"]} == {"task", "methods", "data"}
    with pytest.raises(ServiceError) as refused:
        client.submit(colored)
    messages = {one["field"]: one["message"] for one in refused.value.errors}
    assert "'color' is not one of the tasks; allowed: one of ner, pos, tydiqa, xnli, pawsx" in messages["task"]
    assert "'half-mix-train' is not one of the methods" in messages["methods"]
    assert "there is no such data source" in messages["data"]

    id_ = client.submit({**spec, "methods": ["zero-shot"], "training": {**spec["training"], "epochs": 1}})
    ended = client.wait(id_, progress=False)
    assert ended["state"] == "succeeded", ended["reason"]
