"""Queries over the REST interface: JSON and parameters ask the same, forms agree, and what is no query is refused."""

import base64
import json
import math
from hashlib import sha256
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient

from queried import filled
from service.store import Store
from service.store.database import decode


def test_a_tree_and_plain_parameters_ask_the_same(store: Store, client: TestClient) -> None:
    id_ = filled(store, range(1, 4))
    plain = client.get(
        f"/v1/results?experiment={id_}&k=5&language=de&language=en&owner=owner-3&sort=-value&columns=value"
    )
    where = {
        "and": [
            {"column": "experiment", "op": "eq", "value": id_},
            {"column": "k", "op": "gt", "value": 0},
            {"or": [{"column": "language", "op": "eq", "value": one} for one in ("de", "en")]},
        ]
    }
    tree = client.post("/v1/results/query", json={"where": where, "sort": ["-value"], "columns": ["value"]})
    assert tree.json() == plain.json()
    values = [row["value"] for row in tree.json()["results"]]
    assert values == sorted(values, reverse=True)
    assert len(values) == 3 * 2 * 3
    table = client.post(
        "/v1/results/query", json={"where": where, "format": "csv", "columns": ["value", "k"], "limit": 2.0}
    )
    assert table.text.splitlines()[0] == "value,k"
    assert "Next-Cursor" in table.headers
    assert int(table.headers["Now"]) == tree.json()["now"]


def test_parquet_and_arrow_come_whole_and_typed(store: Store, client: TestClient) -> None:
    id_ = filled(store, range(1, 4))
    rows = client.get("/v1/results").json()["results"]
    for format_, read in (("arrow", pa.ipc.open_stream), ("parquet", pq.ParquetFile)):
        answer = client.get("/v1/results", params={"format": format_})
        table = read(pa.BufferReader(answer.content))
        table = table.read_all() if format_ == "arrow" else table.read()
        assert table.to_pylist() == rows
        assert int(answer.headers["Now"]) > 0
        assert [str(table.schema.field(name).type) for name in ("k", "alpha", "cut", "language")] == [
            "int64", "double", "bool", "string",
        ]  # fmt: skip
        some = client.post("/v1/results/query", json={"format": format_, "limit": 3, "columns": ["value", "alpha"]})
        found = read(pa.BufferReader(some.content))
        assert (found.read_all() if format_ == "arrow" else found.read()).to_pylist() == [
            {"value": row["value"], "alpha": row["alpha"]} for row in rows[:3]
        ]
        cursor = client.get("/v1/results?limit=2").json()["next"]
        refused = client.get("/v1/results", params={"format": format_, "cursor": cursor})
        assert refused.json()["errors"][0]["field"] == "cursor"
    empty = client.get("/v1/results?format=arrow&k=0&method=gradient-mix-train")
    assert pa.ipc.open_stream(empty.content).read_all().num_rows == 0
    refused = client.get("/v1/results?format=parquet&k=0&method=gradient-mix-train")
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "format")
    assert "allowed" in refused.json()["errors"][0]["message"]
    assert client.get(f"/v1/results?experiment={id_}&format=arrow&since={answer.headers['Now']}").status_code == 200


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({"where": 3}, "where", "allowed"),
        ({"where": {"and": [{"or": 1}]}}, "where.and.0", "allowed"),
        ({"where": {"and": [], "or": []}}, "where", "allowed"),
        ({"where": {"column": "colour", "op": "eq", "value": 1}}, "where.column", "allowed: experiment"),
        ({"where": {"column": [], "op": "eq", "value": 1}}, "where.column", "allowed: experiment"),
        ({"where": {"column": "\ud800", "op": "eq", "value": 1}}, "where.column", "ud800"),
        ({"where": {"column": "k", "op": "like", "value": 1}}, "where.op", "allowed: eq"),
        ({"where": {"column": "tags", "op": "lt", "value": "a"}}, "where.op", "allowed: eq, in"),
        ({"where": {"column": "cut", "op": "ge", "value": True}}, "where.op", "allowed: eq, ne, in"),
        ({"where": {"column": "k", "op": "eq", "value": "5"}}, "where.value", "integer"),
        ({"where": {"column": "k", "op": "eq", "value": True}}, "where.value", "integer"),
        ({"where": {"column": "k", "op": "eq", "value": 2**63}}, "where.value", "less than"),
        ({"where": {"column": "value", "op": "eq", "value": "x"}}, "where.value", "number"),
        ({"where": {"column": "cut", "op": "eq", "value": 1}}, "where.value", "boolean"),
        ({"where": {"column": "language", "op": "eq", "value": "a\0"}}, "where.value", "NUL"),
        ({"where": {"column": "language", "op": "in", "value": "de"}}, "where.value", "list"),
        ({"where": {"column": "language", "op": "in", "value": ["de", 1]}}, "where.value.1", "string"),
        ({"where": {"column": "k", "op": "in", "value": [1] * 1001}}, "where.value", "1000"),
        ({"where": {"or": [{"column": "k", "op": "eq", "value": 1}] * 201}}, "where", "200"),
        ({"sort": ["colour"]}, "sort", "allowed: experiment"),
        ({"sort": ["--k"]}, "sort", "allowed: experiment"),
        ({"columns": ["1; DROP TABLE scores"]}, "columns", "allowed: experiment"),
        ({"limit": 10**9}, "limit", "less than or equal to 10000"),
        ({"limit": True}, "limit", "integer"),
        ({"limit": "5"}, "limit", "without quotes"),
        ({"since": True}, "since", "integer"),
        ({"format": "xml"}, "format", "json"),
        ({"since": -1}, "since", "greater"),
        ({"cursor": "WzEsMl0x"}, "cursor", "not a cursor"),
        ({"cursor": "ñ"}, "cursor", "not a cursor"),
        ({"colour": 1}, "colour", "no such"),
    ],
)
def test_a_question_that_is_none_is_refused(client: TestClient, body: dict[str, Any], field: str, words: str) -> None:
    headers = {"Content-Type": "application/json"}
    answer = client.post("/v1/results/query", content=json.dumps(body), headers=headers)  # a lone surrogate as \\ud800
    assert answer.status_code == 422, answer.text
    [error] = answer.json()["errors"]
    assert error["field"] == field
    assert words in error["message"]


def test_nesting_has_an_end(client: TestClient) -> None:
    tree: dict[str, Any] = {"column": "k", "op": "eq", "value": 1}
    for _ in range(11):
        tree = {"and": [tree]}
    answer = client.post("/v1/results/query", json={"where": tree})
    assert (answer.status_code, "10 deep" in answer.text) == (422, True)
    body = b'{"where": ' + b'{"and": [' * 50_000 + b"]}" * 50_000 + b"}"
    answer = client.post("/v1/results/query", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "body")
    for number in ("NaN", "1e400", "9" * 400):
        body = b'{"where": {"column": "value", "op": "eq", "value": %s}}' % number.encode()
        answer = client.post("/v1/results/query", content=body, headers={"Content-Type": "application/json"})
        assert 400 <= answer.status_code < 500, number


@pytest.mark.parametrize(
    "where",
    [
        {"and": [{"and": []}] * 1100},
        {"and": [{"or": []}] * 60_000},
        {"or": [{"column": "k", "op": "in", "value": [1] * 1000}] * 11},
    ],
)
def test_empty_groups_and_long_lists_count_too(client: TestClient, where: dict[str, Any]) -> None:
    answer = client.post("/v1/results/query", json={"where": where})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "where")


@pytest.mark.parametrize(
    "path", ["/v1/results?sort=value,method", "/v1/experiments?sort=-created", "/v1/experiments/{id}/trials"]
)
def test_a_forged_cursor_is_none(store: Store, client: TestClient, path: str) -> None:
    """Its checksum has no secret: whoever reads the code can make one."""
    ids = [filled(store, range(seed, seed + 1)) for seed in (1, 2)]
    path = path.format(id=ids[0])
    real = decode(client.get(path, params={"limit": 1}).json()["next"])
    values = [None, True, 1, 2**70, 0.5, math.nan, math.inf, "", "a\0b", "\ud800", [], {}, [None], [True]]
    made = [[*real[:place], value, *real[place + 1 :]] for place in range(len(real)) for value in values]
    last = real[-1] if isinstance(real[-1], list) else []
    made += [[*real[:-1], [*last[:place], value, *last[place + 1 :]]] for place in range(len(last)) for value in values]
    texts = [json.dumps(one).encode() for one in made] + [b"null", b"1", b"[1", b"\xff", b"", b"[" * 5000]
    for text in texts:
        checked = base64.urlsafe_b64encode(sha256(b"allasprak cursor " + text).digest()[:8] + text).decode()
        answer = client.get(path, params={"limit": 1, "cursor": checked})
        assert answer.status_code in (200, 422), text[:100]  # a value of the right type may be one


def test_a_cursor_is_of_its_own_query(store: Store, client: TestClient) -> None:
    filled(store, range(1, 3))
    following = client.get("/v1/results?limit=2&k=5").json()["next"]
    assert client.get("/v1/results", params={"limit": 3, "k": 5, "cursor": following}).status_code == 200
    experiments = client.get("/v1/experiments?limit=1").json()
    assert experiments["next"] is None
    for path in ("/v1/results", "/v1/results?k=0", "/v1/results?k=5&sort=value", "/v1/experiments"):
        answer = client.get(
            path,
            params={"limit": 2, "cursor": following}
            | dict(pair.split("=") for pair in path.partition("?")[2].split("&") if pair),
        )
        assert answer.status_code == 422
        assert answer.json()["errors"] == [{"field": "cursor", "message": "it is of another query"}]
