"""What there is to choose from, and datasets of one's own: checked as a whole, added whole or not at all."""

import io
import json
import os
import shutil
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from search_spaces.environment import Environment
from service.store import Store
from trainers.data import sample, zips
from trainers.languages import LANGUAGES
from trainers.methods import METHODS
from trainers.surgery.rules import RULES
from trainers.tasks import TASKS

ZIP = {"Content-Type": "application/zip"}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def client(home: Path, tmp_path: Path, sqlite_store: Store, client_over: Any) -> Iterator[TestClient]:
    (tmp_path / "root").mkdir()
    home.mkdir()
    with client_over(sqlite_store, Environment(home, tmp_path / "root", 2, 0)) as client:
        yield client


def lines(task: str, language: str, split: Any, count: int = 20) -> str:
    return "\n".join(json.dumps(example) for example in list(sample.examples(task, language, split))[:count])


def files(*tasks: str) -> dict[str, str]:
    return {
        f"{task}/{language}/{split}.jsonl": lines(task, language, split)
        for task in tasks
        for language in ("en", "de")
        for split in ("train", "dev", "test")
    }


def zipped(contents: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in contents.items():
            archive.writestr(name, text)
    return out.getvalue()


def upload(client: TestClient, contents: dict[str, Any] | bytes, name: str = "mine") -> Any:
    content = contents if isinstance(contents, bytes) else zipped(contents)
    return client.post("/v1/datasets", params={"name": name}, content=content, headers=ZIP)


def nothing_is_stored(client: TestClient, home: Path) -> bool:
    there = list((home / "datasets").iterdir()) if (home / "datasets").exists() else []
    return not there and [one["name"] for one in client.get("/v1/datasets").json()["datasets"]] == [
        "sample",
        "xtreme-r",
    ]


def test_what_there_is_to_choose_from(client: TestClient) -> None:
    tasks = client.get("/v1/tasks").json()["tasks"]
    assert [one["task"] for one in tasks] == list(TASKS)
    assert all(one["metric"] in one["metrics"] for one in tasks)
    methods = client.get("/v1/methods").json()["methods"]
    assert [one["method"] for one in methods] == list(METHODS)
    rules = {one["method"]: one["rule"] for one in methods if one["surgery"]}
    assert [name for name in rules if "+" not in name] == [f"{name}-mix-train" for name in RULES]
    assert rules["gradient-mix-train+dev"] == rules["gradient-mix-train"]
    assert all(one["rule"] is None for one in methods if not one["surgery"])
    assert rules["gradient-mix-train"]["description"].startswith("Xu and Murray (2022), Eq. 1")
    assert [rules[f"{name}-mix-train"]["scale"] for name in ("gradient", "pcgrad")] == ["training gradient", "sum"]
    assert "g alone" in rules["pcgrad-mix-train"]["alpha_below_1"]
    languages = client.get("/v1/languages").json()["languages"]
    assert len(languages) == len(LANGUAGES)
    assert {"language": "sw", "name": "Swahili", "script": "Latn", "family": "Niger-Congo",
            "tasks": ["ner", "tydiqa", "xnli"]} in languages  # fmt: skip
    listed = {one["name"]: one["tasks"] for one in client.get("/v1/datasets").json()["datasets"]}
    assert list(listed["sample"]) == list(listed["xtreme-r"]) == list(TASKS)
    assert listed["xtreme-r"]["pawsx"] == {"languages": ["de", "en", "es", "fr", "ja", "ko", "zh"]}
    encoders = client.get("/v1/encoders").json()["encoders"]
    assert {one["encoder"] for one in encoders} >= {"offline/multilingual-e5-small", "xlm-roberta-large"}


@pytest.mark.parametrize("within", ["", "my data/"])
def test_a_zip_is_a_dataset_that_experiments_can_use(
    client: TestClient, home: Path, tiny_encoder_for_all: Path, within: str
) -> None:
    contents = {within + name: text for name, text in files(*TASKS).items()}
    answer = upload(client, {**contents, f"{within}README.md": "mine", "__MACOSX/ner/en/._train.jsonl": b"\0"})
    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"] == "/v1/datasets/mine"
    shown = answer.json()
    assert client.get("/v1/datasets/mine").json() == shown
    assert client.get("/v1/datasets").json()["datasets"][-1] == shown
    assert set(shown["tasks"]) == set(TASKS)
    assert shown["tasks"]["ner"]["languages"]["de"]["dev"]["examples"] == 20
    assert "B-PER" in shown["tasks"]["ner"]["labels"]
    spec = {
        "task": "ner", "encoder": str(tiny_encoder_for_all), "data": {"dataset": "mine"}, "target_languages": "all",
        "methods": ["zero-shot", "ord-FS"], "k": [5], "seeds": [1],
    }  # fmt: skip
    planned = client.post("/v1/plans", json=spec)
    assert planned.status_code == 200, planned.text
    assert planned.json()["trials"] == 2
    refused = client.post("/v1/plans", json={**spec, "data": {"dataset": "yours"}})
    assert refused.status_code == 422
    [error] = refused.json()["errors"]
    assert error["field"].startswith("data")
    assert "there is no dataset 'yours'; there are: mine" in error["message"]


def test_a_zip_may_have_files_of_any_format(client: TestClient) -> None:
    mine = {name: text for name, text in files("ner").items() if "/en/" in name}
    for split in ("train", "test"):
        mine |= {
            f"ner/de/{split}.tsv": f"# from CoNLL\n{split} O\n",
            f"xnli/de/{split}.csv": "premise,hypothesis,label",
        }
        mine[f"xnli/de/{split}.csv"] += "\na,b,neutral\n"
    answer = upload(client, {**mine, "ner/de/README.md": "about", "about/de/notes.json": "{}", "ner/de/._dev.tsv": "?"})
    assert answer.status_code == 201, answer.text
    tasks = answer.json()["tasks"]
    assert {task: list(one["languages"]) for task, one in tasks.items()} == {"ner": ["de", "en"], "xnli": ["de"]}
    assert {split: one["examples"] for split, one in tasks["ner"]["languages"]["de"].items()} == {"train": 1, "test": 1}
    assert answer.json()["warnings"] == []


def test_what_is_odd_about_a_dataset_is_a_warning_and_all_of_it_is_checked(client: TestClient) -> None:
    odd = {**files("ner"), "ner/de/test.jsonl": '{"tokens": ["a"], "tags": ["I-PER"]}'}
    odd |= {"ner/fi/train.jsonl": lines("ner", "fi", "train"), "ner/tlh-x/dev.jsonl": lines("ner", "de", "dev")}
    answer = upload(client, odd)
    assert answer.status_code == 201, answer.text
    languages = answer.json()["tasks"]["ner"]["languages"]
    assert [list(languages[code]) for code in ("fi", "tlh-x")] == [["train"], ["dev"]]
    assert answer.json()["warnings"] == [
        "ner/fi has no test split, only train: nothing can be scored on it",
        "ner/tlh-x has no test split, only dev: nothing can be scored on it",
        "'tlh-x' is no language code that is known, such as 'de' or 'zh-Hant'; it is taken as it is",
        "ner/de/test.jsonl, line 1: an entity begins with I-, where IOB2 has B-; it counts as an entity",
    ]
    assert client.get("/v1/datasets/mine").json() == answer.json()
    unread = upload(client, {**odd, "ner/fi/train.jsonl": '{"tokens": ["a"]}'}, "other")
    assert unread.json()["errors"][0]["message"] == "ner/fi/train.jsonl, line 1: 'tags' is not a list of strings"


def test_without_a_third_split_tydiqa_s_dev_set_is_read_as_its_test_set(client: TestClient) -> None:
    two = {name: text for name, text in files("tydiqa").items() if "test" not in name}
    answer = upload(client, two)
    assert (answer.status_code, answer.json()["warnings"]) == (201, [])
    for language, splits in answer.json()["tasks"]["tydiqa"]["languages"].items():
        assert splits["train"]["digest"] == splits["dev"]["digest"] != splits["test"]["digest"], language
    assert upload(client, {**two, "tydiqa/de/dev.jsonl": "{}"}, "other").status_code == 422


def test_files_of_a_folder_that_are_not_read_are_a_warning(client: TestClient, tmp_path: Path) -> None:
    odd = ("de/validation.jsonl", "de/Test.conll", "fi/test.conll.gz", "zh Hant/test.conll", "fi/README.md")
    for name, text in {**files("ner"), **{f"ner/{path}": "a O" for path in odd}}.items():
        (tmp_path / "root" / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / "mine" / name).write_text(text)
    os.mkfifo(tmp_path / "root" / "mine" / "ner" / "en" / "test.conll")
    answer = client.post("/v1/datasets", json={"name": "mine", "folder": "mine"})
    assert answer.status_code == 201, answer.text
    assert [text.partition(";")[0] for text in answer.json()["warnings"]] == [
        "ner/de/Test.conll, and 1 more, is not read",
        "ner/en/test.conll is not read",
        "ner/fi/test.conll.gz is not read",
        "ner/zh Hant/test.conll is not read",
    ]
    (tmp_path / "root" / "mine" / "ner" / "en").rename(tmp_path / "root" / "mine" / "en")
    shutil.rmtree(tmp_path / "root" / "mine" / "ner" / "de")
    refused = client.post("/v1/datasets", json={"name": "other", "folder": "mine"})
    assert "ner/fi/test.conll.gz is not read" in refused.json()["errors"][0]["message"]


def test_a_folder_stays_where_it_is(client: TestClient, tmp_path: Path) -> None:
    for name, text in files("pos").items():
        path = tmp_path / "root" / "here" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    answer = client.post("/v1/datasets", json={"name": "mine", "folder": "here"})
    assert answer.status_code == 201, answer.text
    assert list(answer.json()["tasks"]) == ["pos"]
    twice = client.post("/v1/datasets", json={"name": "mine", "folder": "here"})
    assert (twice.status_code, twice.json()["errors"][0]["field"]) == (409, "name")
    for folder, words in (("..", "not under the data root"), ("gone", "no such folder")):
        refused = client.post("/v1/datasets", json={"name": "other", "folder": folder})
        assert refused.json()["errors"][0]["field"] == "folder"
        assert words in refused.json()["errors"][0]["message"]


def test_a_hub_that_cannot_be_reached_is_said(client: TestClient, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: Any, **__: Any) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
    answer = client.post("/v1/datasets", json={"name": "mine", "hub": "someone/data"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "hub")
    assert "no route" in answer.json()["errors"][0]["message"]
    assert nothing_is_stored(client, home)


def link(name: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = zipfile.ZipInfo(name)
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    return out.getvalue()


def broken(method: int) -> bytes:
    """A zip in which some bytes of a packed file are others."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr("ner/en/train.jsonl", lines("ner", "en", "train"))
    content = bytearray(out.getvalue())
    begin = 30 + len("ner/en/train.jsonl")
    content[begin + 20 : begin + 40] = b"\xff" * 20
    return bytes(content)


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        (b"no zip", "not a zip"),
        (zipped(files("ner"))[:-200], "not a zip"),
        ({}, "it has no file"),
        ({"README.md": "x"}, "it has no file"),
        ({"../ner/en/train.jsonl": "x"}, "no path out of the zip"),
        ({"a/../../ner/en/train.jsonl": "x"}, "no path out of the zip"),
        ({"/ner/en/train.jsonl": "x"}, "no path out of the zip"),
        (link("ner/en/train.jsonl"), "no path out of the zip, and no link"),
        ({"parsing/en/train.jsonl": "{}"}, "a task of ner, pos"),
        ({"ner/en/validation.jsonl": "{}"}, "a split of train, dev, test"),
        ({"ner/en/train.txt": "a O"}, "an extension of .jsonl, .conll, .tsv"),
        ({**files("ner"), "ner/de/train.conll.gz": b"\x1f\x8b"}, "'ner/de/train.conll.gz' is not <task>"),
        ({**files("ner"), "mine/ner/fi/test.conll": "a O"}, "other files are in ''; allowed: one folder"),
        (zipped(files("ner"))[:60] + zipped(files("ner"))[80:], "not a zip"),
        ({"ner/en/train.json": "{}"}, "an extension of .jsonl, .conll, .tsv"),
        ({"xnli/en/train.conllu": ""}, "an extension of .jsonl, .tsv, .csv"),
        ({**files("ner"), "ner/de/dev.conll": "a O"}, "ner/de/dev.jsonl and ner/de/dev.conll are files of one split"),
        ({"ner/e n/train.jsonl": "{}"}, "a language code"),
        ({**files("ner"), "ner/de/dev.jsonl": '{"tokens": ["a"]}'}, "de/dev.jsonl, line 1"),
        ({**files("ner"), "ner/de/dev.jsonl": lines("ner", "de", "dev") + "\n{"}, "de/dev.jsonl, line 21"),
        ({**files("ner"), "ner/de/dev.jsonl": ""}, "is empty"),
        ({**files("ner"), "ner/de/test.jsonl": '{"tokens": ["a"], "tags": ["B-COLOUR"]}'}, "B-COLOUR"),
        ({f"ner/en/{number}/x.jsonl": "" for number in range(10_001)}, "allowed: 10000"),
        ({f"ner/en/{number}/x.jsonl": "" for number in range(80_000)}, "its directory has"),
        ({**files("ner"), "mine/ner/de/dev.jsonl": lines("ner", "de", "dev", 1)}, "another file ner/de/dev.jsonl"),
        ({**files("ner"), "ner/de/dev.jsonl": " " * (2**22 + 1)}, "de/dev.jsonl, line 1: longer than 4 MiB"),
        *((broken(method), "not a zip") for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)),
    ],
)
def test_a_zip_that_is_none_or_unsafe_or_wrong_is_refused_and_nothing_is_stored(
    client: TestClient, home: Path, contents: Any, words: str
) -> None:
    answer = upload(client, contents)
    assert answer.status_code == 422, answer.text
    [error] = answer.json()["errors"]
    assert error["field"] == "zip"
    assert words in error["message"]
    assert str(home) not in error["message"]
    assert nothing_is_stored(client, home)


def test_a_bomb_is_refused_when_it_is_larger_than_allowed(
    client: TestClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zips, "MAX_BYTES", 10 * 2**20)
    answer = upload(client, {"ner/en/train.jsonl": b" " * 50 * 2**20})
    assert answer.status_code == 422
    assert "larger than" in answer.json()["errors"][0]["message"]
    assert nothing_is_stored(client, home)


@pytest.mark.parametrize("name", ["", "..", "A", "a/b", "-a", "a" * 64, "é", "\0"])
def test_a_name_that_is_none_is_refused(client: TestClient, home: Path, name: str) -> None:
    answer = upload(client, files("ner"), name)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"] == "name"
    assert nothing_is_stored(client, home)


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"name": "a"}, 422, "folder"),
        ({"name": "a", "folder": "x", "hub": "y/z"}, 422, "folder"),
        ({"folder": "x"}, 422, "folder"),
        ({"name": 3, "folder": "x"}, 422, "name"),
        ({"name": "a", "folder": "x", "colour": 1}, 422, "colour"),
        ([], 422, "body"),
    ],
)
def test_a_registration_that_is_none_is_refused(client: TestClient, body: Any, status: int, field: str) -> None:
    answer = client.post("/v1/datasets", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (status, field)


def test_other_bodies_and_large_ones_are_refused(client: TestClient) -> None:
    assert client.post("/v1/datasets", content=b"x", headers={"Content-Type": "text/plain"}).status_code == 415
    huge = b'{"name": "' + b"a" * 2**17 + b'"}'
    assert client.post("/v1/datasets", content=huge, headers={"Content-Type": "application/json"}).status_code == 413
    assert client.get("/v1/datasets/gone").status_code == 404
