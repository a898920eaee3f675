"""Result columns over the REST interface: what clients rely on stays; a further column comes at the end."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from starlette.testclient import TestClient

from search_spaces.environment import Environment
from service.store import Store

FROZEN = json.loads((Path(__file__).parent / "frozen" / "result_parameters.json").read_text())

# Columns in the order of the answers, with their Arrow types.
FROZEN_COLUMNS = {
    "experiment": "string", "trial": "string", "method": "string", "k": "int64", "seed": "int64", "alpha": "double",
    "candidate": "string", "language": "string", "split": "string", "metric": "string", "epoch": "int64",
    "value": "double", "examples": "int64", "cut": "bool", "selected": "bool", "selection": "string",
    "judged_on": "string",
}  # fmt: skip

FROZEN_GROUPS = {
    "task", "method", "k", "alpha", "candidate", "language", "seed", "metric", "experiment", "encoder", "protocol",
    "data", "source_language", "judged_on", "name", "owner",
}  # fmt: skip


@pytest.fixture
def client(tmp_path: Path, sqlite_store: Store, client_over: Any) -> Iterator[TestClient]:
    with client_over(sqlite_store, Environment(tmp_path, tmp_path, None, None, None)) as client:
        yield client


def without_words(schema: Any) -> Any:
    """A schema without its descriptions and examples."""
    match schema:
        case dict():
            return {
                name: without_words(part) for name, part in schema.items() if name not in ("description", "examples")
            }
        case list():
            return [without_words(part) for part in schema]
    return schema


@pytest.mark.parametrize("path", FROZEN)
def test_parameters_keep_their_names_order_and_schemas(client: TestClient, path: str) -> None:
    description = client.get("/openapi.json").json()
    if path == "/v1/results/query":
        found = description["components"]["schemas"]["ResultBody"]
        assert without_words(found) == FROZEN[path]
        return
    found = without_words(description["paths"][path]["get"]["parameters"])
    known = {one["name"] for one in FROZEN[path]}
    assert [one for one in found if one["name"] in known] == FROZEN[path]


def test_answers_keep_their_columns_with_further_ones_at_the_end(client: TestClient) -> None:
    schema = pa.ipc.open_stream(client.get("/v1/results?format=arrow").content).schema
    types = {field.name: str(field.type) for field in schema}
    assert list(types.items())[: len(FROZEN_COLUMNS)] == list(FROZEN_COLUMNS.items())
    header = client.get("/v1/results?format=csv").text.splitlines()[0]
    assert header == ",".join(types)


def test_summaries_are_by_the_columns_that_they_were_by(client: TestClient) -> None:
    for name in FROZEN_GROUPS:
        assert client.get(f"/v1/results/summary?by={name}").status_code == 200, name
    for name in ("trial", "split", "epoch", "value", "examples", "cut", "selected", "selection", "tags"):
        assert client.get(f"/v1/results/summary?by={name}").status_code == 422, name
