"""Errors: each is a problem that says what is allowed, and none tells where the service lies."""

import errno
import io
import json
import logging
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from predicted import ZERO, predicted
from search_spaces.environment import Environment
from service.reports.report import _tex
from service.store import Store
from tiny_encoders import write_encoder
from trainers.artifacts.layout import model_of

JSON, ZIP = {"Content-Type": "application/json"}, {"Content-Type": "application/zip"}

FILES = {
    f"ner/{language}/{split}.jsonl": "".join(
        json.dumps({"tokens": [f"{language}{split}{place}"], "tags": ["B-PER"]}) + "\n" for place in range(8)
    )
    for language in ("en", "de")
    for split in ("train", "dev", "test")
}


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in FILES.items():
            archive.writestr(name, content)
    return out.getvalue()


@pytest.fixture
def store(sqlite_store: Store) -> Store:
    return sqlite_store


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    for folder in ("home", "root"):
        (tmp_path / folder).mkdir()
    return Environment(tmp_path / "home", tmp_path / "root", cpus=2, gpus=0)


@pytest.fixture
def client(client_over: Callable[..., TestClient], store: Store, environment: Environment) -> TestClient:
    return client_over(store, environment)


@pytest.fixture
def small(client: TestClient, environment: Environment) -> dict[str, Any]:
    """A spec over the dataset `mine`, without an encoder, so that it is planned at once."""
    assert upload(client, "mine").status_code == 201
    encoder = write_encoder(environment.home / "encoder")
    return {"task": "ner", "encoder": str(encoder), "data": {"dataset": "mine"}, "target_languages": ["de"],
            "methods": ["zero-shot"], "k": [1], "seeds": [1]}  # fmt: skip


def upload(client: TestClient, name: str) -> Any:
    return client.post("/v1/datasets", params={"name": name}, content=zipped(), headers=ZIP)


def problem_of(answer: Any, status: int) -> dict[str, Any]:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    found: dict[str, Any] = answer.json()
    assert found["status"] == status
    return found


def message_of(answer: Any, field: str) -> str:
    errors = {error["field"]: error["message"] for error in problem_of(answer, 422)["errors"]}
    assert field in errors, errors
    return str(errors[field])


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("path", ["/v1/plans", "/v1/experiments", "/v1/results/query"])
def test_a_body_that_is_too_large_is_a_problem(client: TestClient, path: str, is_chunked: bool) -> None:
    body = b'{"name": "' + b"x" * 2**20 + b'"}'
    answer = client.post(path, content=iter([body]) if is_chunked else body, headers=JSON)
    assert "413" in str(problem_of(answer, 413)["status"])


def test_a_locked_database_is_said_and_when_to_ask_again(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real lock, met by a connection that does not wait for half a minute."""
    monkeypatch.setattr("service.store.database.BUSY_SECONDS", 0.05)
    url = client.app.state.store.experiments._database.url  # type: ignore[attr-defined]
    impatient = Store(url)
    other = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        client.app.state.store = impatient  # type: ignore[attr-defined]
        answer = client.post("/v1/experiments/000000000000/cancel")
        assert answer.status_code == 404  # reading waits for nobody
        with pytest.raises(Exception, match="locked"):
            impatient.control.set_priority("000000000000", 1)
        monkeypatch.setattr(impatient.control, "state", lambda _: "queued")
        answer = client.patch("/v1/experiments/000000000000", json={"priority": 1})
        assert problem_of(answer, 503)["detail"] == "the database is busy: ask again"
        assert int(answer.headers["retry-after"]) > 0
    finally:
        other.close()
        impatient.close()


# Opens a store, as a server that starts does first.
OPENS = """
import signal, sys
from service.store import Store
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("begins", flush=True)
Store(sys.argv[1], leased=True)
"""


@pytest.mark.service
def test_a_server_that_waits_for_a_locked_database_ends_when_it_is_asked_to(store: Store) -> None:
    """SQLite's own wait, of half a minute, is over before Python looks at a signal."""
    url = store.experiments._database.url
    other = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with closing(other), subprocess.Popen([sys.executable, "-c", OPENS, url], stdout=subprocess.PIPE) as opening:
        assert opening.stdout is not None
        assert opening.stdout.readline() == b"begins\n"
        time.sleep(1)
        opening.terminate()
        assert opening.wait(15) == 0


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_up_during_an_upload_is_507_and_nothing_is_left(
    client: TestClient, environment: Environment, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    class Full(tempfile.SpooledTemporaryFile):  # type: ignore[type-arg]
        def write(self, *_: Any) -> int:
            raise OSError(number, "No space left on device", "/secret/place")

    with monkeypatch.context() as of_upload:
        of_upload.setattr("service.api.catalog.tempfile.SpooledTemporaryFile", Full)
        assert "/secret" not in str(problem_of(upload(client, "mine"), 507))

    def full(*_: Any) -> None:
        raise OSError(number, "No space left on device", "/secret/place")

    monkeypatch.setattr("trainers.data.zips.need_room", full)
    assert "/secret" not in str(problem_of(upload(client, "mine"), 507))
    assert not list((environment.home / "datasets").iterdir())


def test_a_large_upload_leaves_the_reserve_of_the_disk(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/secret/place")

    monkeypatch.setattr("service.api.catalog.need_room", full)
    large = client.post("/v1/datasets?name=mine", content=bytes(2**19), headers={"Content-Type": "application/zip"})
    assert "/secret" not in str(problem_of(large, 507))
    assert upload(client, "mine").status_code == 201  # which stays in memory


def test_a_zip_for_a_name_that_none_can_have_is_not_read(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert upload(client, "mine").status_code == 201

    def read(*_: Any) -> None:
        raise AssertionError("the body was read")

    monkeypatch.setattr("service.api.catalog._add_to", read)
    zipped = {"content": b"zip", "headers": {"Content-Type": "application/zip"}}
    for query, status in (("", 422), ("?name=-", 422), ("?name=sample", 422), ("?name=mine", 409)):
        [wrong] = problem_of(client.post(f"/v1/datasets{query}", **zipped), status)["errors"]  # type: ignore[arg-type]
        assert wrong["field"] == "name"


def test_a_parquet_answer_leaves_the_reserve_of_the_disk(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/secret/place")

    monkeypatch.setattr("service.api.formats.need_room", full)
    monkeypatch.setattr("service.api.results.require_known", lambda *_, **__: None)
    monkeypatch.setattr(
        "service.store.results.Results.whole", lambda *_: (1, iter([pa.record_batch({"value": [1.0]})]))
    )
    assert "/secret" not in str(problem_of(client.get("/v1/results?format=parquet"), 507))


def test_a_disk_that_is_full_is_507_to_who_reads_and_the_description_says_so(
    client: TestClient, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/secret/place")

    monkeypatch.setattr("service.api.downloads.tempfile.mkdtemp", full)
    assert "/secret" not in str(problem_of(client.get(f"/v1/trials/{'0' * 20}/model"), 507))
    told = client.get("/openapi.json").json()["paths"]["/v1/trials/{id}/model"]["get"]["responses"]
    assert "507" in told


@pytest.mark.parametrize(
    ("said", "status", "words"),
    [
        ("allasprak: [Errno 28] the disk is full: '/secret/place'", 507, "the disk or the database"),
        ("allasprak: the package of the task is not installed", 409, "the package of the task is not installed"),
        ("AssertionError: of /secret/place", 500, "an error of the service"),
    ],
)
def test_a_model_that_is_there_and_cannot_be_exported_is_not_said_to_be_missing(
    client: TestClient,
    store: Store,
    environment: Environment,
    monkeypatch: pytest.MonkeyPatch,
    said: str,
    status: int,
    words: str,
) -> None:
    _, trials = predicted(store, environment.home)
    path = f"/v1/trials/{trials[ZERO]}/model"
    monkeypatch.setattr("service.api.downloads.COMMAND", ("sh", "-c", f'echo "{said}" >&2; exit 1'))
    problem_of(client.get(path), 404)  # it was not kept
    model_of(environment.home, trials[ZERO], "source-dev").mkdir(parents=True)
    found = problem_of(client.get(path), status)
    assert words in found["detail"]
    assert "/secret" not in str(found)
    problem_of(client.get(f"{path}?selection=last"), 404)
    monkeypatch.setattr(store.objectives, "by_selection", lambda _: {"last": [], "source-dev": []})
    [wrong] = problem_of(client.get(path), 422)["errors"]
    assert wrong == {"field": "selection", "message": "the trial has several: one of last, source-dev"}


def test_what_nobody_foresaw_is_a_problem_that_the_log_has_by_its_id(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise AssertionError("a secret of /home/me")

    monkeypatch.setattr(client.app.state.store.experiments, "page", broken)  # type: ignore[attr-defined]
    with caplog.at_level(logging.ERROR):
        answer = client.get("/v1/experiments")
    found = problem_of(answer, 500)
    assert "secret" not in answer.text
    id_ = found["detail"].rpartition(" ")[2]
    [record] = [record for record in caplog.records if id_ in record.getMessage()]
    assert record.exc_info is not None


@pytest.mark.parametrize("name", ["sample", "xtreme-r", "dataset", "folder", "conll", "xtreme"])
def test_a_dataset_is_not_called_like_a_source(client: TestClient, name: str) -> None:
    assert "is a source of data itself; allowed: any name but" in message_of(upload(client, name), "name")


@pytest.mark.parametrize("where", [{"folder": ""}, {"hub": ""}])
def test_an_empty_place_of_a_dataset_is_refused(client: TestClient, where: dict[str, str]) -> None:
    answer = client.post("/v1/datasets", json={"name": "mine", **where})
    assert "at least 1 character" in message_of(answer, next(iter(where)))


def test_a_dataset_with_two_names_is_refused(client: TestClient) -> None:
    answer = client.post("/v1/datasets?name=mine", json={"name": "yours", "folder": "mine"})
    assert message_of(answer, "name") == "'mine' as a parameter, and 'yours' in the body; allowed: one name"
    same = client.post("/v1/datasets?name=mine", json={"name": "mine", "folder": "nowhere"})
    assert [one["field"] for one in same.json()["errors"]] == ["folder"]


def test_a_link_out_of_the_data_root_is_refused_by_name(
    client: TestClient, environment: Environment, tmp_path: Path
) -> None:
    root = environment.data_root
    assert root is not None
    for name, content in FILES.items():
        for folder in (root / "mine", tmp_path / "outside"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content)
    (root / "also").symlink_to(root / "mine")  # within the data root
    assert client.post("/v1/datasets", json={"name": "also", "folder": "also"}).status_code == 201
    (root / "mine" / "ner" / "de" / "dev.jsonl").unlink()
    (root / "mine" / "ner" / "de" / "dev.jsonl").symlink_to(tmp_path / "outside" / "ner" / "de" / "dev.jsonl")
    words = "mine/ner/de/dev.jsonl is a link that leads out of the data root"
    answer = client.post("/v1/datasets", json={"name": "mine", "folder": "mine"})
    assert words in message_of(answer, "folder")
    spec = {"task": "ner", "encoder": "/none", "data": {"folder": "also"}, "target_languages": ["de"],
            "methods": ["zero-shot"], "k": [1], "seeds": [1]}  # fmt: skip
    assert words in message_of(client.post("/v1/plans", json=spec), "data")
    (root / "whole").symlink_to(tmp_path / "outside")
    answer = client.post("/v1/datasets", json={"name": "whole", "folder": "whole"})
    assert "not under the data root" in message_of(answer, "folder")
    assert str(tmp_path) not in answer.text


@pytest.fixture
def registered(client: TestClient, environment: Environment, small: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    """A folder under the data root that is the dataset `ours`, and a spec over it that is planned."""
    assert environment.data_root is not None
    folder = environment.data_root / "ours"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    assert client.post("/v1/datasets", json={"name": "ours", "folder": "ours"}).status_code == 201
    spec = {**small, "data": {"dataset": "ours"}}
    assert client.post("/v1/plans", json=spec).status_code == 200
    return folder, spec


def test_a_dataset_that_leads_out_of_the_data_root_by_now_is_refused(
    client: TestClient, environment: Environment, registered: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder, spec = registered
    dev, outside = folder / "ner" / "de" / "dev.jsonl", tmp_path / "outside"
    folder.rename(outside)
    folder.symlink_to(outside)
    assert "ours is not under the data root" in message_of(client.post("/v1/plans", json=spec), "data")
    folder.unlink()
    outside.rename(folder)
    dev.rename(outside)
    dev.symlink_to(outside)  # with the same content, so that its digest stays
    words = "ours/ner/de/dev.jsonl is a link that leads out of the data root"
    assert words in message_of(client.post("/v1/plans", json=spec), "data")
    dev.unlink()
    outside.rename(dev)
    assert client.post("/v1/plans", json=spec).status_code == 200
    for root in (None, environment.home):
        other = Environment(environment.home, root, cpus=2, gpus=0)
        client.app.state.environment = lambda other=other: other  # type: ignore[attr-defined]
        answer = client.post("/v1/plans", json=spec)
        assert "data root" in message_of(answer, "data")
        assert str(tmp_path) not in answer.text


def test_a_dataset_never_changes_under_its_name(client: TestClient, registered: tuple[Path, dict[str, Any]]) -> None:
    folder, spec = registered
    test = folder / "ner" / "de" / "test.jsonl"
    before = test.read_text()

    def refusal() -> str:
        return message_of(client.post("/v1/plans", json=spec), "data")

    test.write_text(before.replace("detest0", "another"))
    assert "ner/de/test has changed since the dataset 'ours' was added" in refusal()
    test.rename(folder / "ner" / "de" / "aside")
    assert "ner/de/test is gone since" in refusal()
    test.write_text(before)
    (folder / "ner" / "fr").mkdir()
    (folder / "ner" / "fr" / "test.jsonl").write_text(before)
    assert "ner/fr/test is new since" in refusal()
    (folder / "ner" / "fr" / "test.jsonl").unlink()
    assert client.post("/v1/plans", json=spec).status_code == 200


ZEROS: list[dict[str, Any]] = [
    {"search": {"budget": {"device_hours": 0}}}, {"search": {"budget": {"trials": 0}}}, {"k": [0]}, {"average": 0},
    {"training": {"epochs": 0}}, {"training": {"batch_size": 0}}, {"training": {"learning_rate": 0}},
    {"training": {"accumulation": 0}}, {"training": {"max_test_examples": 0}}, {"held_out": 0},
    {"resources": {"cpus_per_trial": 0}}, {"resources": {"max_concurrent_trials": 0}}, {"sampling": {"temperature": 0}},
    {"search": {"searcher": {"name": "random", "samples": 0}}}, {"alpha": {"uniform": [0, 1], "samples": 0}},
    {"search": {"scheduler": {"name": "asha", "grace_period": 0}}},
]  # fmt: skip


@pytest.mark.parametrize("fields", ZEROS, ids=str)
def test_a_limit_of_zero_says_what_is_allowed(client: TestClient, fields: dict[str, Any]) -> None:
    spec = {"task": "ner", "encoder": "/none", "data": {"dataset": "none"}, "target_languages": ["de"],
            "methods": ["zero-shot"], "k": [1], "seeds": [1], **fields}  # fmt: skip
    errors = problem_of(client.post("/v1/plans", json=spec), 422)["errors"]
    [message] = [one["message"] for one in errors if one["field"].split(".")[0] in fields]
    assert "allowed: " in message


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"training": {"learning_rate": "3e-4"}}, "training.learning_rate"), ({"alpha": "0.5"}, "alpha"),
        ({"training": {"epochs": "3"}}, "training.epochs"), ({"seeds": ["1"]}, "seeds"),
        ({"priority": "5"}, "priority"), ({"allow_large": "true"}, "allow_large"),
        ({"alpha": {"grid": ["0.1"]}}, "alpha"),
    ],
)  # fmt: skip
def test_a_number_that_is_text_is_to_be_written_without_quotes(
    client: TestClient, fields: dict[str, Any], field: str
) -> None:
    assert ", without quotes; allowed: " in message_of(client.post("/v1/plans", json=fields), field)
    assert "quotes" not in message_of(client.post("/v1/plans", json={"alpha": "low"}), "alpha")
    answer = client.post("/v1/results/query", json={"where": {"column": "k", "op": "eq", "value": "5"}})
    assert "without quotes" in message_of(answer, "where.value")


def test_a_dataset_is_deleted_once_no_unfinished_experiment_needs_it(
    client: TestClient, environment: Environment, small: dict[str, Any]
) -> None:
    id_ = client.post("/v1/experiments", json=small).json()["id"]
    assert id_ in problem_of(client.delete("/v1/datasets/mine"), 409)["detail"]
    assert client.get("/v1/datasets/mine").status_code == 200
    assert client.post(f"/v1/experiments/{id_}/cancel").status_code == 200
    assert (client.delete("/v1/datasets/mine").status_code, client.get("/v1/datasets/mine").status_code) == (204, 404)
    assert not list((environment.home / "datasets").iterdir())
    problem_of(client.delete("/v1/datasets/mine"), 404)
    problem_of(client.delete("/v1/datasets/sample"), 404)
    assert "there is no dataset 'mine'" in message_of(client.post("/v1/plans", json=small), "data")


def test_a_folder_stays_when_its_dataset_is_deleted(client: TestClient, environment: Environment) -> None:
    root = environment.data_root
    assert root is not None
    for name, content in FILES.items():
        (root / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "mine" / name).write_text(content)
    assert client.post("/v1/datasets", json={"name": "mine", "folder": "mine"}).status_code == 201
    assert client.delete("/v1/datasets/mine").status_code == 204
    assert (root / "mine" / "ner" / "de" / "test.jsonl").is_file()


BREAKS = {
    "a spec that is no JSON": "UPDATE experiments SET spec = '{\"task\": ' WHERE id = :id",
    "a spec of another form": "UPDATE experiments SET spec = '[]' WHERE id = :id",
    "no time": "UPDATE experiments SET created = 'yesterday' WHERE id = :id",
    "a state of a trial that is none": "UPDATE planned_trials SET state = 'lost' WHERE experiment = :id",
    "an event that is no JSON": "UPDATE events SET data = '{' WHERE experiment = :id",
    "a spec that no answer can have": "UPDATE experiments SET spec = json_set(spec, '$.k', 1e999) WHERE id = :id",
    "half a letter": """UPDATE experiments SET spec = '{"x": "\\ud800", ' || substr(spec, 2) WHERE id = :id""",
}


@pytest.mark.parametrize("what", BREAKS)
def test_one_broken_row_breaks_no_list(client: TestClient, store: Store, small: dict[str, Any], what: str) -> None:
    whole, broken = (client.post("/v1/experiments", json={**small, "seeds": [seed]}).json()["id"] for seed in (1, 2))
    [before] = [one for one in client.get("/v1/experiments").json()["experiments"] if one["id"] == whole]
    with store.experiments._database.write() as connection:
        connection.execute(text(BREAKS[what]), {"id": broken})
    listed = client.get("/v1/experiments")
    assert listed.status_code == 200, listed.text
    shown = {one["id"]: one for one in listed.json()["experiments"]}
    assert shown.keys() == {whole, broken}
    assert shown[whole] == before
    assert datetime.fromisoformat(shown[broken]["created"])  # 1970 where it is not known
    if "event" not in what:
        assert "cannot be read" in shown[broken]["reason"]
    for path in ("/v1/results", "/v1/results/summary", "/metrics", "/v1/experiments?limit=1"):
        assert client.get(path).status_code == 200, path
    for path in ("", "/sweep"):
        answer = client.get(f"/v1/experiments/{broken}{path}")
        if "event" in what:
            assert answer.status_code == 200
        else:
            assert f"experiment {broken} cannot be read" in problem_of(answer, 500)["detail"]
    if "event" not in what:
        answer = client.post(f"/v1/experiments/{broken}/resubmit")
        assert f"experiment {broken} cannot be read" in problem_of(answer, 500)["detail"]
    assert client.post("/v1/plans", json=small).status_code == 200
    client.post(f"/v1/experiments/{broken}/cancel")
    assert client.delete(f"/v1/experiments/{broken}").status_code == 204


@pytest.mark.parametrize("what", ["json_remove(spec, '$.data')", "json_set(spec, '$.training', 'much')"])
def test_means_name_an_experiment_whose_data_cannot_be_read(
    client: TestClient, store: Store, small: dict[str, Any], what: str
) -> None:
    whole, broken = (client.post("/v1/experiments", json={**small, "seeds": [seed]}).json()["id"] for seed in (1, 2))
    with store.experiments._database.write() as connection:
        connection.execute(text(f"UPDATE experiments SET spec = {what} WHERE id = :id"), {"id": broken})
    for path in ("/v1/results/summary", "/v1/reports/table-1"):
        assert f"experiment {broken} cannot be read" in problem_of(client.get(path), 500)["detail"], path
    assert client.get(f"/v1/results/summary?experiment={whole}").status_code == 200


BREAKS_OF_TRIALS = {
    "a configuration that is no JSON": "UPDATE trials SET config = '{' WHERE digest = :id",
    "a configuration of another form": "UPDATE trials SET config = '[]' WHERE digest = :id",
    "a configuration without its task": "UPDATE trials SET config = json_remove(config, '$.task') WHERE digest = :id",
    "facts that are no JSON": "UPDATE trials SET facts = 'nonsense' WHERE digest = :id",
    "facts of another form": "UPDATE trials SET facts = '[1]' WHERE digest = :id",
    "facts that no answer can have": "UPDATE trials SET facts = '{\"shots\": NaN}' WHERE digest = :id",
    "measures that are no JSON": "UPDATE measures SET \"values\" = '{' WHERE trial = :id",
    "an attempt at no time": "UPDATE attempts SET started = 'noon' WHERE trial = :id",
}


def test_broken_rows_of_trials_are_named_and_break_no_others(
    client: TestClient, store: Store, small: dict[str, Any]
) -> None:
    spec = {**small, "seeds": list(range(len(BREAKS_OF_TRIALS) + 1))}
    id_ = client.post("/v1/experiments", json=spec).json()["id"]
    whole, *broken = list(store.experiments.plan_of(id_) or ())
    for digest in (whole, *broken):
        store.trials.started(id_, digest)
    with store.experiments._database.write() as connection:
        connection.execute(text("""UPDATE trials SET facts = '{"shots": {}, "samples": []}'"""))
        connection.execute(text("""INSERT INTO measures SELECT digest, 1, 1, '{}' FROM trials"""))
        connection.execute(text("UPDATE planned_trials SET state = 'succeeded'"))
    assert client.get(f"/v1/experiments/{id_}/shots").status_code == 200
    with store.experiments._database.write() as connection:
        for statement, digest in zip(BREAKS_OF_TRIALS.values(), broken, strict=True):
            connection.execute(text(statement), {"id": digest})
    for digest in broken:
        for path in ("", "/log", "/predictions?language=de", "/model"):
            answer = client.get(f"/v1/trials/{digest}{path}")
            assert f"trial {digest} cannot be read" in problem_of(answer, 500)["detail"], path
    assert "what the database has of trial" in problem_of(client.get(f"/v1/experiments/{id_}/shots"), 500)["detail"]
    for path in (f"/v1/trials/{whole}", "/v1/experiments", f"/v1/experiments/{id_}", "/v1/results"):
        assert client.get(path).status_code == 200, path
    with store.experiments._database.write() as connection:
        connection.execute(text(BREAKS["a spec that is no JSON"]), {"id": id_})
        connection.execute(text("UPDATE attempts SET ended = started"))
    assert client.get(f"/v1/trials/{whole}").json()["attempts"][0]["device_seconds"] is None


def test_an_event_that_cannot_be_read_keeps_no_later_one_from_being_told(
    client: TestClient, store: Store, small: dict[str, Any]
) -> None:
    id_ = client.post("/v1/experiments", json=small).json()["id"]
    client.post(f"/v1/experiments/{id_}/cancel")
    with store.experiments._database.write() as connection:
        connection.execute(text("UPDATE events SET data = '[]', at = 'noon' WHERE number = 1"))
    told = client.get(f"/v1/experiments/{id_}/events").text
    assert "this event cannot be read" in told
    assert "cancelled" in told


def test_latex_takes_whatever_a_name_has() -> None:
    assert _tex(r"\~^&%_#${}<>|") == (
        r"\textbackslash{}\textasciitilde{}\textasciicircum{}\&\%\_\#\$\{\}\textless{}\textgreater{}\textbar{}"
    )
    assert _tex("a ± b – α†") == r"a $\pm$ b -- $\alpha$$\dagger$"
    assert _tex("one\n\n two\x07\t") == "one two"


SPEC = {"task": "ner", "encoder": "/none", "data": {"dataset": "none"}, "target_languages": ["de"], "k": [1],
        "methods": ["zero-shot"], "seeds": [1], "alpha": {"grid": [0, 1]}, "training": {"epochs": 1}, "grouping": "all",
        "search": {"searcher": {"name": "random", "samples": 2}, "budget": {"trials": 1}}, "tags": ["a"]}  # fmt: skip
QUERY = {"where": {"and": [{"column": "k", "op": "ge", "value": 5}]}, "columns": ["k"], "sort": ["-k"], "limit": 3}
BODIES = {"/v1/plans": SPEC, "/v1/experiments": SPEC, "/v1/results/query": QUERY,
          "/v1/datasets": {"name": "mine", "folder": "none"}}  # fmt: skip
WRONG = [None, True, 0, -1, 1e308, -0.5, 2**63, 10**30, "", "x", "\0", "\ud800", "é" * 300, [], {}, [[]], [None],
         {"": 0}, {"name": "x"}, ["de", "de"], {"grid": []}, {"folder": ".."}, {"folder": "a" * 5000},
         {"dataset": "../x"}]  # fmt: skip


def mutated(value: Any, draw: random.Random) -> Any:
    """A JSON value of which one part, at any depth, is another."""
    if draw.random() < 0.3 or not isinstance(value, dict | list) or not value:
        return draw.choice(WRONG)
    if isinstance(value, list):
        place = draw.randrange(len(value))
        return [mutated(one, draw) if number == place else one for number, one in enumerate(value)]
    key = draw.choice([*value, "unknown"])
    return {**value, key: mutated(value.get(key), draw)}


def sent(client: TestClient, seeds: range) -> None:
    """Malformed bodies by the thousand: none is an error of the service, and no answer has its paths."""
    for seed in seeds:
        draw = random.Random(seed)
        path = draw.choice(sorted(BODIES))
        body = json.dumps(mutated(BODIES[path], draw)).encode()
        if draw.random() < 0.15:
            place = draw.randrange(len(body) + 1)
            body = body[:place] + draw.choice([b"", b"\xff", b"\0", b"[" * 3000, b'"', b"NaN"])
        answer = client.post(path, content=body, headers=JSON)
        assert answer.status_code < 500, (seed, path, body[:300], answer.text)
        assert len(answer.content) < 2**16
        if answer.status_code >= 400:
            problem_of(answer, answer.status_code)


def test_malformed_bodies_are_no_errors_of_the_service(client: TestClient) -> None:
    sent(client, range(150))


@pytest.mark.slow
def test_thousands_of_malformed_bodies_are_no_errors_of_the_service(client: TestClient) -> None:
    sent(client, range(1000, 3000))


LANGUAGES = {"de": {"test": {"examples": 8, "digest": "0"}}}
KNOWN = {"name": "bad", "kind": "zip", "root": "/secret", "created": 0.0, "digest": "0",
         "tasks": {"ner": {"labels": ["B-PER"], "languages": LANGUAGES}}, "warnings": []}  # fmt: skip
BROKEN_FILES: dict[str, tuple[bytes, str]] = {
    "garbage": (b"\x00\xff{", "is no JSON"),
    "no number that JSON has": (json.dumps({**KNOWN, "created": float("nan")}).encode(), "is no JSON"),
    "half a letter": (json.dumps({**KNOWN, "digest": "\ud800"}).encode(), "is no JSON"),
    "nested without end": (b"[" * 100_000, "is no JSON"),
    "another value": (b"[]", "no object"),
    "a key that is missing": (json.dumps({"name": "bad"}).encode(), "'kind' in dataset.json is missing"),
    "another type": (
        json.dumps({**KNOWN, "tasks": {"ner": {"labels": []}}}).encode(),
        "'tasks' in dataset.json is not",
    ),
    "no time": (json.dumps({**KNOWN, "created": 1e300}).encode(), "'created' in dataset.json is not allowed"),
    "no such folder": (json.dumps({**KNOWN, "kind": "folder", "root": "/secret"}).encode(), "its files is gone"),
    "its files are gone": (json.dumps(KNOWN).encode(), "its files is gone"),
}


def test_a_broken_dataset_is_listed_with_its_problem_and_breaks_no_other(
    client: TestClient, environment: Environment, small: dict[str, Any]
) -> None:
    said = {}
    for what, (content, words) in BROKEN_FILES.items():
        name = what.replace(" ", "-").lower()
        said[name] = words
        (environment.home / "datasets" / name).mkdir()
        (environment.home / "datasets" / name / "dataset.json").write_bytes(content)
    (environment.home / "datasets" / "no-file").mkdir()
    (environment.home / "datasets" / "a-folder" / "dataset.json").mkdir(parents=True)
    said |= {"no-file": "No such file", "a-folder": "Is a directory"}
    listed = client.get("/v1/datasets")
    assert listed.status_code == 200
    shown = {one["name"]: one for one in listed.json()["datasets"]}
    assert "problem" not in shown["mine"]
    assert f"there are: {', '.join(sorted([*said, 'mine']))}" in client.get("/v1/datasets/none").json()["detail"]
    for name, words in said.items():
        assert words in shown[name]["problem"]
        assert shown[name]["tasks"] == {}
        one = client.get(f"/v1/datasets/{name}")
        assert words in problem_of(one, 500)["detail"]
        for answer in (listed, one):
            assert "/secret" not in answer.text
            assert str(environment.home) not in answer.text
        assert client.delete(f"/v1/datasets/{name}").status_code == 204
    assert [path.name for path in (environment.home / "datasets").iterdir()] == ["mine"]
    (environment.home / "datasets" / "mine" / "dataset.json").write_text("{")
    assert "'mine' is broken" in message_of(client.post("/v1/plans", json=small), "data")


def test_what_a_later_version_knows_of_a_dataset_does_not_break_it(
    client: TestClient, environment: Environment, small: dict[str, Any]
) -> None:
    file = environment.home / "datasets" / "mine" / "dataset.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "license": "CC0", "name": "another"}))
    assert client.get("/v1/datasets/mine").json()["name"] == "mine"  # as its folder, which DELETE removes
    assert client.post("/v1/plans", json=small).status_code == 200
