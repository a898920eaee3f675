"""What browsers may do: who changes something, which host is asked, and what every answer carries."""

import re
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from search_spaces.environment import Environment
from search_spaces.spec import ExperimentSpec
from service.store import Store

HEADERS = {
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
}

# Every method and path that changes something or costs much.
CHANGES = [
    ("POST", "/v1/experiments"),
    ("POST", "/v1/plans"),
    ("POST", "/v1/results/query"),
    ("POST", "/v1/datasets?name=csrf"),
    *[("POST", f"/v1/experiments/ID/{name}") for name in ("pause", "resume", "cancel", "retry", "resubmit")],
    ("PATCH", "/v1/experiments/ID"),
    ("DELETE", "/v1/experiments/ID"),
]

FOREIGN = [
    {"Origin": "http://["},
    {"Origin": "http://a]b"},
    {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
    {"Origin": "https://evil.example"},  # a browser that knows no fetch metadata
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:8888"},  # another port: another program's pages
    {"Origin": "http://127.0.0.1:8888"},
    {"Origin": "http://localhost"},  # which the request's own host is not
    {"Origin": "null"},  # a sandbox, or a file
    {"Origin": ""},
    {"Origin": "http://127.0.0.1@evil.example"},
    {"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"},
    {"Origin": "https://evil.example", "Sec-Fetch-Site": "none"},
]

OWN = [
    {},  # a program
    {"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "same-origin"},
    {"Origin": "https://127.0.0.1"},  # behind a proxy with TLS
    {"Sec-Fetch-Site": "none"},  # a person, in the address bar
]


@pytest.fixture
def id_(sqlite_store: Store) -> str:
    """An experiment."""
    words = {"task": "ner", "encoder": "nobody/none", "data": "sample", "methods": ["zero-shot"]}
    spec = {**words, "target_languages": ["de"], "k": [1], "seeds": [1]}
    return sqlite_store.experiments.add(ExperimentSpec.model_validate(spec), None)


@pytest.fixture
def store(sqlite_store: Store) -> Store:
    return sqlite_store


@pytest.fixture
def client(store: Store, tmp_path: Path, client_over: Any) -> TestClient:
    found: TestClient = client_over(store, Environment(tmp_path, tmp_path, cpus=2, gpus=0))
    return found


@pytest.fixture
def with_token(app_over: Any, store: Store, tmp_path: Path) -> TestClient:
    app = app_over(store, Environment(tmp_path, tmp_path, cpus=2, gpus=0), "secret")
    return TestClient(app, base_url="http://host.example", headers={"Authorization": "Bearer secret"})


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_no_page_elsewhere_changes_anything(client: TestClient, id_: str, headers: dict[str, str]) -> None:
    before = client.get("/v1/experiments").json()
    for method, path in CHANGES:
        for type_ in ("text/plain", "application/json"):
            answer = client.request(
                method, path.replace("ID", id_), headers={**headers, "Content-Type": type_}, content=b"{}"
            )
            assert (answer.status_code, answer.headers["content-type"]) == (403, "application/problem+json"), path
    assert client.get("/v1/experiments").json() == before
    assert [one["id"] for one in client.get("/v1/experiments", headers=headers).json()["experiments"]] == [id_]


@pytest.mark.parametrize("headers", OWN, ids=str)
def test_pages_of_the_service_and_programs_may_change_something(
    client: TestClient, id_: str, headers: dict[str, str]
) -> None:
    assert client.post("/v1/results/query", json={}, headers=headers).status_code == 200
    assert client.post(f"/v1/experiments/{id_}/cancel", headers=headers).json()["state"] == "cancelled"
    assert client.delete(f"/v1/experiments/{id_}", headers=headers).status_code == 204


def test_a_token_makes_no_page_elsewhere_welcome(with_token: TestClient) -> None:
    for headers, status in (
        ({}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "http://host.example"}, 200),
    ):
        assert with_token.post("/v1/results/query", json={}, headers=headers).status_code == status


ELSEWHERE = [
    "evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example", "127.0.0.1@evil.example",
    "evil.example@127.0.0.1", "evil@127.0.0.1", "user:word@localhost", "localhost#.evil.example", "localhost, evil",
    "127.1", "0x7f.1", "2130706433", "0.0.0.0", "::1", "[evil.example]", "[::1", "127.0.0.1 evil", "localhost:abc",
    "evil.example/127.0.0.1", "a.localhost", "127.0.0.1\\evil.example", "%31%32%37.0.0.1", "192.168.1.1", "",
]  # fmt: skip


@pytest.mark.parametrize("path", ["/v1/experiments", "/healthz", "/metrics", "/docs", "/openapi.json", "/nothing"])
def test_another_host_is_refused_on_every_path_where_there_is_no_token(
    client: TestClient, with_token: TestClient, path: str
) -> None:
    for host in ELSEWHERE:
        answer = client.get(path, headers={"Host": host})
        assert answer.status_code == 400, host
        assert "Host" in answer.json()["detail"]
        assert with_token.get(path, headers={"Host": host}).status_code == (404 if path == "/nothing" else 200)
    for host in ("localhost", "LOCALHOST:8000", "127.0.0.1:1", "127.9.9.9", "[::1]", "[::1]:8000"):
        assert client.get(path, headers={"Host": host}).status_code == (404 if path == "/nothing" else 200), host


def test_every_answer_carries_the_headers_that_protect_it(
    client: TestClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(type(store.experiments), "page", broken)
    answers = {
        200: client.get("/v1/tasks"),
        400: client.get("/healthz", headers={"Host": "evil.example"}),
        403: client.post("/v1/plans", headers={"Origin": "null"}),
        404: client.get("/nothing"),
        405: client.put("/v1/plans"),
        415: client.post("/v1/plans", content=b"{}"),
        422: client.get("/v1/experiments?limit=0"),
        500: client.get("/v1/experiments"),
    }
    for status, answer in answers.items():
        assert answer.status_code == status
        assert HEADERS.items() <= dict(answer.headers).items()
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "access-control-allow-origin" not in answer.headers


def test_the_page_of_the_interface_needs_no_other_host_and_no_inline_script(client: TestClient) -> None:
    page = client.get("/docs")
    policy = page.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "//" not in page.text.replace("<!doctype html>", "")
    assert not re.search(r"<script>|<style|style=|\son\w+=", page.text)
    parts = re.findall(r'(?:src|href)="(docs/[^"]+)"', page.text)
    assert len(parts) == 3
    for part in parts:
        answer = client.get(f"/{part}")
        assert answer.headers["content-type"].startswith("text/css" if part.endswith("css") else "text/javascript")
        assert answer.content
    assert "SwaggerUIBundle" in client.get("/docs/swagger-ui-bundle.js").text
    assert client.get("/docs/oauth2-redirect").status_code == client.get("/redoc").status_code == 404


def test_head_is_answered_wherever_get_is(client: TestClient, id_: str) -> None:
    paths = [path for path, operations in client.get("/openapi.json").json()["paths"].items() if "get" in operations]
    assert len(paths) > 20
    for path in [*paths, "/docs", "/openapi.json", "/nothing"]:
        asked = path.replace("/experiments/{id_}", f"/experiments/{id_}").replace("{id_}", "0").replace("{name}", "x")
        head = client.head(asked)  # also of a stream that does not end
        assert head.content == b"", path
        if not path.endswith("/events"):
            get = client.get(asked)
            assert head.status_code == get.status_code, path
            assert head.headers.get("content-type") == get.headers.get("content-type")
    assert client.head("/v1/plans").status_code == 405
