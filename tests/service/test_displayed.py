"""What a notebook displays of an experiment and of a trial."""

import copy
import json
import pickle
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from large import fill
from search_spaces.environment import Environment
from service.client import Client
from service.store import Store


@pytest.fixture
def interface(sqlite_store: Store, tmp_path: Path, client_over: Any) -> Iterator[TestClient]:
    with client_over(sqlite_store, Environment(tmp_path, tmp_path, None, None, None)) as client:
        yield client


@pytest.fixture
def client(interface: TestClient, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setattr("service.connection.httpx2.Client", lambda **_: interface)
    return Client()


def test_an_experiment_is_its_page_in_a_frame(client: Client, sqlite_store: Store) -> None:
    id_ = fill(sqlite_store, "succeeded", ("de", "hi"))
    found = client.experiment(id_)
    assert found["id"] == id_
    shown = found._repr_html_()  # type: ignore[attr-defined]
    begin, _, rest = shown.partition('srcdoc="')
    page, _, end = rest.partition('"')
    assert begin.startswith("<iframe ")
    assert " sandbox " in end
    assert "<h2>Gradient surgery</h2>" in unescape(page)
    assert "<script" not in unescape(page)


def test_a_trial_is_its_scores_and_curves(client: Client, sqlite_store: Store) -> None:
    id_ = fill(sqlite_store, "succeeded", ("de", "hi"))
    trial = client.trials(id_)["trial"][0]
    found = client.trial(trial)
    shown = found._repr_html_()  # type: ignore[attr-defined]
    rows = client.results(trial=trial, split="test")
    assert len(rows) > 1
    assert all(f"<td>{value:.2f}</td>" in shown for value in rows["value"])
    assert shown.count("<svg") == 1
    assert found["config"]["method"] in shown


def test_an_answer_stays_a_dictionary(client: Client, sqlite_store: Store) -> None:
    found = client.experiment(fill(sqlite_store, "succeeded", ("de",)))
    for other in (json.loads(json.dumps(found)), pickle.loads(pickle.dumps(found)), copy.deepcopy(found), dict(found)):
        assert other == found


def test_without_a_service_it_is_displayed_as_a_dictionary(
    client: Client, interface: TestClient, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = fill(sqlite_store, "succeeded", ("de",))
    found = client.experiment(id_)
    client.delete(id_)
    assert found._repr_html_() is None  # type: ignore[attr-defined]
