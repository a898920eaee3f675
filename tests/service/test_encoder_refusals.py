"""Encoders that cannot be trained, over the REST interface: 422 on `encoder`, never 500."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from faulty_encoders import CONFIGS, FILES, TOKENIZERS, WEIGHTS, change
from search_spaces.environment import Environment
from service.store import Store
from tiny_encoders import write_encoder


@pytest.fixture
def client(client_over: Callable[..., TestClient], sqlite_store: Store, tmp_path: Path) -> Iterator[TestClient]:
    (tmp_path / "home").mkdir()
    with client_over(sqlite_store, Environment(tmp_path / "home", None, None, None)) as client:
        yield client


def body(folder: Path) -> dict[str, Any]:
    return {
        "task": "ner", "encoder": str(folder), "data": "sample", "target_languages": ["de"], "methods": ["zero-shot"],
        "k": [5], "seeds": [1],
    }  # fmt: skip


@pytest.mark.parametrize("route", ["/v1/experiments", "/v1/plans"])
def test_no_encoder_makes_the_server_stumble(client: TestClient, tmp_path: Path, route: str) -> None:
    for place, (damage, _) in enumerate([*CONFIGS.values(), *WEIGHTS.values(), *TOKENIZERS.values(), *FILES.values()]):
        folder = write_encoder(tmp_path / f"encoder{place}")
        damage(folder)
        answer = client.post(route, json=body(folder))
        assert answer.status_code == 422
        [problem] = answer.json()["errors"]
        assert problem["field"] == "encoder"
    assert client.post(route, json=body(write_encoder(tmp_path / "whole"))).is_success


def test_a_pipe_that_nobody_writes_to_holds_nobody_up(client: TestClient, tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "encoder")
    assert client.post("/v1/plans", json=body(folder)).is_success
    (folder / "tokenizer.json").unlink()
    os.mkfifo(folder / "tokenizer.json")
    assert client.post("/v1/plans", json=body(folder)).status_code == 422


def test_a_plan_says_that_code_of_an_encoder_s_own_is_not_run(client: TestClient, tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "encoder")
    assert client.post("/v1/plans", json=body(folder)).json()["warnings"] == []
    change("config.json", auto_map={"AutoModel": "modeling_mine.Mine"})(folder)
    for route in ("/v1/plans", "/v1/experiments"):
        [warning] = client.post(route, json=body(folder)).json()["warnings"]
        assert "code of its own (auto_map), which is not run: what is trained is the xlm-roberta" in warning
