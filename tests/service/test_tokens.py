"""Tokens by name at the service's doors: who may do what, whose experiments are, and what is said of tokens."""

import json
import logging
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from plans import spec_of
from search_spaces.environment import Environment
from service import serving
from service.api import create_app
from service.api.access import READING
from service.serving import require_token
from service.settings import Settings
from service.store import Store
from stored import plan_of

Fields = dict[str, Any]


@pytest.fixture
def store(sqlite_store: Store) -> Store:
    return sqlite_store


@pytest.fixture
def tokens(store: Store) -> dict[str, str]:
    """Two tokens for everything, and one for reading."""
    return {name: store.tokens.add(name, read_only=name == "grafana") for name in ("ana", "bo", "grafana")}


As = Callable[[str | None], TestClient]


@pytest.fixture
def as_(app_over: Callable[..., FastAPI], store: Store, tmp_path: Path) -> As:
    """A client with a token, or without one."""
    app = app_over(store, Environment(tmp_path, tmp_path / "data", cpus=2, gpus=0))

    def client(token: str | None) -> TestClient:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return TestClient(app, "http://127.0.0.1", raise_server_exceptions=False, headers=headers)

    return client


def operations(client: TestClient) -> Iterator[tuple[str, str, str]]:
    """Method, path and name of each route that is told of."""
    for path, of in client.get("/openapi.json").json()["paths"].items():
        for method, one in of.items():
            yield method.upper(), path, one["operationId"]


def ask(client: TestClient, method: str, path: str, id_: str) -> Any:
    """A request to a route, with what its path needs, and an empty body."""
    place = path.replace("{id}", id_).replace("{name}", "mine")
    headers = {"Content-Type": "application/json"}
    return client.request(method, place, **({} if method == "GET" else {"headers": headers, "content": b"{}"}))


def test_each_route_but_healthz_asks_for_a_token_once_there_is_one(store: Store, as_: As) -> None:
    id_ = store.experiments.add(spec_of(), plan_of())
    nobody = as_(None)
    assert nobody.get("/v1/experiments").status_code == 200
    store.tokens.add("ana", read_only=False)
    for method, path, name in operations(nobody):
        answer = ask(nobody, method, path, id_)
        assert (answer.status_code == 401) == (name != "get_health"), path
    for wrong in ("x", "\u00e9", "", "ana"):
        headers = {"Authorization": f"Bearer {wrong}".encode()}
        answer = nobody.get("/metrics", headers=headers)  # type: ignore[arg-type]  # as it is sent
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert store.control.state(id_) == "queued"


def test_a_read_only_token_is_refused_wherever_something_would_be_changed(
    store: Store, as_: As, tokens: dict[str, str]
) -> None:
    id_ = store.experiments.add(spec_of(), plan_of())
    store.control.move(id_, "cancel")
    before, client, seen = store.experiments.one(id_), as_(tokens["grafana"]), {"changes": 0, "reads": 0}
    for method, path, name in operations(client):
        if name == "follow_experiment":
            continue  # of an experiment that is over; below
        answer = ask(client, method, path, id_)
        is_reading = method == "GET" or name in READING
        seen["reads" if is_reading else "changes"] += 1
        if is_reading:
            assert answer.status_code not in (401, 403, 405, 500), path
            continue
        assert (answer.status_code, answer.headers["content-type"]) == (403, "application/problem+json"), path
        assert answer.json()["detail"] == "the token 'grafana' is read-only, and this changes something"
    assert seen["changes"] >= 10
    assert seen["reads"] >= 20
    assert {name for method, _, name in operations(client) if method != "GET"} >= READING
    assert store.experiments.one(id_) == before
    assert client.head(f"/v1/experiments/{id_}").status_code == 200
    assert client.get("/metrics").status_code == 200
    with client.stream("GET", f"/v1/experiments/{id_}/events") as stream:
        assert '"state":"cancelled"' in "".join(stream.iter_text()).replace(" ", "")


def test_the_owner_is_who_submits_and_each_event_says_who_asked(
    store: Store, as_: As, tokens: dict[str, str], spec: Fields
) -> None:
    ana, bo = as_(tokens["ana"]), as_(tokens["bo"])
    mine = ana.post("/v1/experiments", json=spec, headers={"Idempotency-Key": "one"}).json()
    assert (mine["owner"], mine["spec"]["owner"]) == ("ana", "ana")
    assert ana.post("/v1/experiments", json=spec, headers={"Idempotency-Key": "one"}).json()["id"] == mine["id"]
    id_ = mine["id"]
    for name in ("pause", "resume", "pause"):
        assert bo.post(f"/v1/experiments/{id_}/{name}").status_code == 200
    assert ana.patch(f"/v1/experiments/{id_}", json={"priority": 3}).json()["priority"] == 3
    assert bo.patch(f"/v1/experiments/{id_}", json={"priority": 3}).status_code == 200  # it has it
    bo.post(f"/v1/experiments/{id_}/cancel")
    with ana.stream("GET", f"/v1/experiments/{id_}/events") as stream:
        lines = [json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: ")]
    asked = [(one["state"], one["by"]) for one in lines]
    assert asked == [("queued", "ana"), ("paused", "bo"), ("queued", "bo"), ("paused", "bo"), ("paused", "ana"),
                     ("cancelled", "bo")]  # fmt: skip
    assert [one["priority"] for one in lines if "priority" in one] == [3]
    again = bo.post(f"/v1/experiments/{id_}/resubmit").json()
    assert (again["owner"], again["id"] != id_) == ("bo", True)
    assert ana.post(f"/v1/experiments/{id_}/resubmit").json()["id"] == again["id"]
    listed = as_(tokens["grafana"]).get("/v1/experiments?owner=bo").json()["experiments"]
    assert [(one["id"], one["owner"]) for one in listed] == [(again["id"], "bo")]


@pytest.mark.parametrize("owner", ["bo", "Ana", 5, None, ["ana"], "\ud800"], ids=ascii)
def test_nobody_submits_for_somebody_else(as_: As, tokens: dict[str, str], spec: Fields, owner: Any) -> None:
    client = as_(tokens["ana"])
    for path in ("/v1/experiments", "/v1/plans"):
        answer = client.post(path, content=json.dumps({**spec, "owner": owner}), headers={"Content-Type": "text/json"})
        assert answer.status_code == 422
        [error] = answer.json()["errors"]
        assert (error["field"], error["message"].endswith("allowed: 'ana', or none")) == ("owner", True)
        assert client.post("/v1/plans", json={**spec, "owner": "ana"}).status_code == 200


def test_the_token_of_the_settings_has_no_name_and_says_whose_an_experiment_is(
    store: Store, tokens: dict[str, str], tmp_path: Path, spec: Fields
) -> None:
    app = create_app(store, lambda: Environment(tmp_path, None, 2, 0), "s3cret")
    client = TestClient(app, "http://host.example", headers={"Authorization": "Bearer s3cret"})
    found = client.post("/v1/experiments", json={**spec, "owner": "the group"}).json()
    assert found["owner"] == "the group"
    assert "by" not in store.events.after(found["id"], 0)[0].data
    headers = {"Authorization": f"bearer {tokens['ana']}"}
    assert client.post("/v1/experiments", json=spec, headers=headers).json()["owner"] == "ana"


def test_a_dataset_says_who_added_it_and_the_log_who_changed_anything(
    as_: As, tokens: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for split in ("train", "dev", "test"):
        file = tmp_path / "data" / "mine" / "ner" / "de" / f"{split}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text('{"tokens": ["Oslo"], "tags": ["B-LOC"]}')
    client = as_(tokens["ana"])
    with caplog.at_level(logging.INFO):
        answer = client.post("/v1/datasets", json={"name": "mine", "folder": "mine"})
        assert (answer.status_code, answer.json()["owner"]) == (201, "ana")
        assert client.get("/v1/datasets/mine").json()["owner"] == "ana"
        [listed] = [one for one in client.get("/v1/datasets").json()["datasets"] if one["name"] == "mine"]
        assert listed["owner"] == "ana"
        as_(tokens["bo"]).delete("/v1/datasets/mine")
        as_(tokens["grafana"]).post("/v1/results/query", json={})
    said = [record.getMessage() for record in caplog.records if record.name == "service.api.access"]
    assert said == ["POST /v1/datasets by ana", "DELETE /v1/datasets/mine by bo"]
    assert not any(token in caplog.text for token in tokens.values())


def test_a_token_of_another_process_counts_at_once_and_one_that_was_revoked_no_more(
    store: Store, sqlite_url: str, as_: As, tokens: dict[str, str]
) -> None:
    client, other = as_(tokens["bo"]), Store(sqlite_url)
    assert client.get("/v1/experiments").status_code == 200
    other.tokens.revoke("bo")
    assert client.get("/v1/experiments").status_code == 401
    assert as_(other.tokens.add("bo", read_only=True)).get("/v1/experiments").status_code == 200
    for name in ("ana", "bo", "grafana"):
        other.tokens.revoke(name)
    other.close()
    for token in (*tokens.values(), None):
        assert as_(token).get("/v1/experiments").status_code == 401  # nor is it open again


def test_any_name_of_the_machine_is_answered_once_tokens_protect_it(store: Store, as_: As) -> None:
    elsewhere = {"Host": "allasprak.example.org"}
    assert as_(None).get("/healthz", headers=elsewhere).status_code == 400
    token = store.tokens.add("ana", read_only=False)
    assert as_(token).get("/v1/experiments", headers=elsewhere).status_code == 200
    assert as_(None).get("/v1/experiments", headers=elsewhere).status_code == 401
    assert as_(None).get("/healthz", headers=elsewhere).status_code == 200


def test_while_the_database_does_not_say_who_may_ask_nobody_may(
    sqlite_url: str, as_: As, tokens: dict[str, str]
) -> None:
    with sqlite3.connect(sqlite_url.removeprefix("sqlite:///")) as connection:
        connection.execute("DROP TABLE access_tokens")
    for token in (tokens["ana"], None):
        for path in ("/v1/tasks", "/metrics"):
            answer = as_(token).get(path)
            assert (answer.status_code, "no such table" in answer.json()["detail"]) == (503, True)
    assert as_(None).get("/healthz", headers={"Host": "allasprak.example.org"}).status_code == 400


def test_another_address_needs_a_token_that_is_valid(tmp_path: Path) -> None:
    settings = Settings.from_environment({"ALLASPRAK_HOME": str(tmp_path)})
    refused = r"^--host 0\.0\.0\.0 is more .* set ALLASPRAK_TOKEN\(_FILE\) first, or `allasprak token add NAME`$"
    with pytest.raises(ValueError, match=refused):
        require_token("0.0.0.0", settings)
    assert not any(tmp_path.iterdir())
    store = Store(settings.database_url)
    token = store.tokens.add("ana", read_only=False)
    require_token("0.0.0.0", settings)
    store.tokens.revoke("ana")
    with pytest.raises(ValueError, match=refused):
        require_token("0.0.0.0", settings)
    require_token("127.0.0.1", settings)
    for named in ("ALLASPRAK_TOKEN", "ALLASPRAK_TOKEN_FILE"):
        (tmp_path / "token").write_text(token)
        given = {"ALLASPRAK_TOKEN": token, "ALLASPRAK_TOKEN_FILE": str(tmp_path / "token")}[named]
        with pytest.raises(ValueError, match="is a token by name, which clients have") as wrong:
            require_token("127.0.0.1", Settings.from_environment({named: given}))
        assert token not in str(wrong.value)
    store.close()


def test_where_others_can_ask_a_token_is_asked_for_whatever_the_store_says(store: Store, tmp_path: Path) -> None:
    app = create_app(store, lambda: Environment(tmp_path, None, 2, 0), None, always_asks=True)
    assert store.tokens.all() == []
    assert TestClient(app, "http://host.example").get("/v1/experiments").status_code == 401


@pytest.mark.parametrize(
    "query",
    ["token=s3cret", "limit=1&token=s3cret&state=failed", "access_token=s3cret", "next=%2F%3FToken%3Ds3cret%26limit=1"],
)
def test_a_token_that_is_sent_in_an_address_is_not_logged(query: str) -> None:
    asked = ("127.0.0.1:1", "GET", f"/v1/experiments?{query}", "1.1", 401)  # as uvicorn has it
    record = logging.LogRecord("uvicorn.access", logging.INFO, "", 0, '%s - "%s %s HTTP/%s" %d', asked, None)
    assert serving._loggable(record)
    assert record.getMessage() == f'127.0.0.1:1 - "GET {asked[2].replace("s3cret", "...")} HTTP/1.1" 401'
