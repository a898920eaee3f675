"""What datasets have, by language and split, and their examples."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from search_spaces.environment import Environment
from service.store import Store
from trainers.data.sample import SampleData, tasks
from trainers.trial import SPLITS

EXAMPLES = [{"tokens": [str(n), "Berlin"], "tags": ["O", "B-LOC"]} for n in range(12)]


@pytest.fixture
def client(client_over: Callable[..., TestClient], sqlite_store: Store, tmp_path: Path) -> TestClient:
    (tmp_path / "home").mkdir()
    return client_over(sqlite_store, Environment(tmp_path / "home", tmp_path, cpus=2, gpus=0))


def zipped(files: dict[str, list[Any]]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, examples in files.items():
            archive.writestr(name, "\n".join(map(json.dumps, examples)))
    return out.getvalue()


def add(client: TestClient) -> None:
    content = zipped({"ner/de/train.jsonl": EXAMPLES, "ner/de/test.jsonl": EXAMPLES[:3]})
    answer = client.post("/v1/datasets?name=mine", content=content, headers={"Content-Type": "application/zip"})
    assert answer.status_code == 201


def test_a_dataset_that_was_added(client: TestClient) -> None:
    add(client)
    found = client.get("/v1/datasets/mine/splits?task=ner").json()
    assert found == client.get("/v1/datasets/mine").json()["tasks"]["ner"]
    assert {split: of["examples"] for split, of in found["languages"]["de"].items()} == {"train": 12, "test": 3}
    answer = client.get("/v1/datasets/mine/examples?task=ner&language=de&offset=10&limit=5").json()
    assert answer == {"examples": EXAMPLES[10:], "of": 12}
    assert client.get("/v1/datasets/mine/examples?task=ner&language=de&offset=99").json() == {"examples": [], "of": 12}


@pytest.mark.parametrize("task", tasks())
def test_the_sample(client: TestClient, task: str) -> None:
    data = SampleData(task)
    found = client.get(f"/v1/datasets/sample/splits?task={task}").json()
    assert list(found["languages"]) == list(data.languages())
    for language, splits in found["languages"].items():
        assert {split: of["examples"] for split, of in splits.items()} == {
            split: len(data.examples(language, split)) for split in SPLITS
        }
    answer = client.get(f"/v1/datasets/sample/examples?task={task}&language=ar&split=test&limit=2").json()
    assert answer == {"examples": data.examples("ar", "test")[:2], "of": len(data.examples("ar", "test"))}


def test_what_has_not_been_fetched_has_no_splits(client: TestClient) -> None:
    found = client.get("/v1/datasets/xtreme-r/splits?task=ner").json()
    assert len(found["languages"]) > 40
    assert set(map(len, found["languages"].values())) == {0}
    answer = client.get("/v1/datasets/xtreme-r/examples?task=ner&language=de")
    assert (answer.status_code, "does not exist" in answer.json()["detail"]) == (404, True)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("none/splits?task=ner", 404),
        ("mine/splits?task=pos", 404),
        ("mine/splits?task=none", 404),
        ("mine/splits", 422),
        ("folder/splits?task=ner", 404),
        ("mine/examples?task=ner&language=hi", 404),
        ("mine/examples?task=ner&language=de&split=dev", 404),
        ("mine/examples?task=ner&language=../de", 422),
        ("mine/examples?task=ner&language=de&limit=101", 422),
        ("mine/examples?task=ner&language=de&offset=-1", 422),
        ("sample/examples?task=ner&language=xx", 404),
    ],
)
def test_what_there_is_not_is_refused(client: TestClient, path: str, status: int) -> None:
    add(client)
    answer = client.get(f"/v1/datasets/{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


def test_files_that_are_not_those_that_were_added_are_not_shown(client: TestClient, tmp_path: Path) -> None:
    folder = tmp_path / "given" / "ner" / "de"
    folder.mkdir(parents=True)
    (folder / "test.jsonl").write_text(json.dumps(EXAMPLES[0]))
    assert client.post("/v1/datasets", json={"name": "given", "folder": "given"}).status_code == 201
    (folder / "train.jsonl").write_text(json.dumps(EXAMPLES[0]))
    answer = client.get("/v1/datasets/given/examples?task=ner&language=de&split=test")
    assert (answer.status_code, "is new since" in answer.json()["detail"]) == (409, True)


def test_a_broken_dataset_says_so(client: TestClient, tmp_path: Path) -> None:
    add(client)
    (tmp_path / "home" / "datasets" / "mine" / "dataset.json").write_text("{")
    for path in ("splits?task=ner", "examples?task=ner&language=de"):
        answer = client.get(f"/v1/datasets/mine/{path}")
        assert (answer.status_code, "is broken" in answer.json()["detail"]) == (500, True)
