"""A source of data that another package brings: named in specs, planned, trained on and shown like a built-in one."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from search_spaces.environment import Environment
from search_spaces.spec import ExperimentSpec
from service.store import Store
from trainers.data.sources import SOURCES, open_data
from trainers.examples import DataError
from trainers.trial import DataReference

MODULE = '''
from trainers.data.facts import facts_of
from trainers.data.sample import SampleData
from trainers.data.source import Source
from trainers.tasks import TASKS


class Few(Source):
    """The first examples of each split of the sample corpus."""

    name = "few"
    takes = "number of examples"

    def parse(self, value):
        if value is None:
            return None
        if not isinstance(value, dict) or set(value) != {"examples"} or type(value["examples"]) is not int:
            raise ValueError('"few" takes {"examples": <whole number>}')
        return value

    def open(self, reference, task, home):
        return FewData(task, 50 if reference.location is None else reference.location["examples"])

    def words(self, value):
        return "few" if value is None else f"few: {value['examples']}"


class FewData(SampleData):
    def __init__(self, task, examples):
        super().__init__(task)
        self.number = examples

    def examples(self, language, split):
        return super().examples(language, split)[: self.number]

    def facts(self, language, split):
        return facts_of(TASKS[self.task], self.examples(language, split))


FEW = Few()
TAKEN = Few()
TAKEN.name = "folder"
'''

POINTS = """[allasprak.sources]
broken = few_examples:NOTHING
few = few_examples:FEW
taken = few_examples:TAKEN
"""

FORMS = ["few", {"few": {"examples": 40}}]

Install = Callable[[str], None]


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    return tmp_path / "packages"


@pytest.fixture
def install(
    write_distribution: Callable[..., Path], packages: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Install]:
    """Installs a version of the package as `pip` does, for one test."""

    def installed(version: str) -> None:
        for old in packages.glob("*.dist-info"):
            for file in old.iterdir():
                file.unlink()
            old.rmdir()
        write_distribution(packages, f"few-examples-{version}", {"few_examples": MODULE}, POINTS)
        monkeypatch.syspath_prepend(packages)
        vars(SOURCES).pop("_contributed", None)

    yield installed
    monkeypatch.undo()
    sys.modules.pop("few_examples", None)
    vars(SOURCES).pop("_contributed", None)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    yield store
    store.close()


@pytest.fixture
def client(client_over: Callable[..., TestClient], store: Store, tmp_path: Path) -> Iterator[TestClient]:
    with client_over(store, Environment(tmp_path, None, 2, 0, None)) as client:
        yield client


def trials_of(client: TestClient, store: Store, spec: dict[str, Any], data: Any) -> dict[str, Any]:
    answer = client.post("/v1/experiments", json={**spec, "data": data})
    assert answer.status_code == 201, answer.text
    assert answer.json()["spec"]["data"] == data
    return {digest: one.config for digest, one in store.trials.outstanding(answer.json()["id"]).items()}


@pytest.mark.parametrize("data", FORMS, ids=str)
def test_a_trial_on_its_data_names_the_package_and_another_version_is_another_trial(
    client: TestClient, store: Store, spec: dict[str, Any], install: Install, data: Any
) -> None:
    found = {}
    for version in ("1.0", "1.1"):
        install(version)
        found[version] = trials_of(client, store, spec, data)
        assert {config.plugins for config in found[version].values()} == {(("source", "few-examples", version),)}
    assert found["1.0"].keys().isdisjoint(found["1.1"])
    assert len(found["1.0"]) == len(found["1.1"]) == 5


def test_it_is_listed_and_documented_and_a_package_cannot_replace_a_built_in_source(
    client: TestClient, install: Install
) -> None:
    install("1.0")
    listed = {one["source"]: one for one in client.get("/v1/datasets").json()["sources"]}
    assert listed["few"] == {"source": "few", "form": '{"few": "<number of examples>"}', "package": "few-examples 1.0"}
    assert listed["folder"]["package"] is None
    assert "broken" not in listed
    [forms] = [ExperimentSpec.model_json_schema()["properties"]["data"]["anyOf"]]
    assert any("few" in form.get("properties", ()) for form in forms)


@pytest.mark.parametrize("data", [{"few": 40}, {"few": {"examples": "40"}}, {"fewer": {"examples": 40}}, {"few": None}])
def test_a_wrong_value_is_one_problem_that_names_every_form(
    client: TestClient, spec: dict[str, Any], install: Install, data: Any
) -> None:
    install("1.0")
    answer = client.post("/v1/plans", json={**spec, "data": data})
    assert answer.status_code == 422
    [problem] = answer.json()["errors"]
    assert problem["field"] == "data"
    for source in SOURCES.values():
        assert source.form in problem["message"]


def test_without_its_package_it_is_refused_and_stored_results_still_have_words(
    client: TestClient, store: Store, spec: dict[str, Any], install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    def words() -> set[str]:
        rows = client.get("/v1/results/summary", params={"by": "method,data"}).json()["summary"]
        return {row["data"] for row in rows}

    install("1.0")
    for data in FORMS:
        trials_of(client, store, spec, data)
    assert words() == {"few", "few: 40"}
    monkeypatch.undo()
    vars(SOURCES).pop("_contributed", None)
    assert words() == {"few", "few {'examples': 40}"}
    answer = client.post("/v1/plans", json={**spec, "data": "few"})
    assert "there is no such data source" in answer.json()["errors"][0]["message"]
    with pytest.raises(DataError, match="no installed package brings the data source 'few'"):
        open_data(DataReference("few"), "ner", Path())


@pytest.mark.slow
def test_an_experiment_on_its_data_ends_with_scores_and_the_command_line_shows_them(
    start_service: Any, spec: dict[str, Any], install: Install, packages: Path, tmp_path: Path
) -> None:
    install("1.0")
    path = os.pathsep.join(filter(None, [str(packages), os.environ.get("PYTHONPATH")]))
    folder = tmp_path / "root" / "mine"
    for split in ("train", "dev", "test"):
        for language in ("en", "de", "hi"):
            file = folder / "ner" / language / f"{split}.jsonl"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text('{"tokens": ["Anna"], "tags": ["B-PER"]}\n{"tokens": ["a"], "tags": ["O"]}\n')
    service = start_service(tmp_path / "home", PYTHONPATH=path, ALLASPRAK_DATA_ROOT=str(tmp_path / "root"))
    client = service.client
    client.add_dataset("mine", folder="mine")
    spec = {**spec, "methods": ["zero-shot"], "training": {"epochs": 1}}
    for data, title in (({"few": {"examples": 40}}, "few {'examples': 40}"), ({"dataset": "mine"}, "dataset mine")):
        id_ = client.submit({**spec, "data": data})
        assert client.wait(id_, progress=False)["state"] == "succeeded", client.experiment(id_)["reason"]
        assert set(client.results(id_, split="test")["language"]) == {"en", "de", "hi"}
        command = [sys.executable, "-m", "service.cli", "results", id_, "--url", service.url]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert shown.returncode == 0, shown.stderr
        assert f"; {title}; " in shown.stdout
