"""What becomes of an experiment while its data are fetched, up to its first trial: no Ray, no hub but our own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import xtreme_r_hub
from hub_server import Fault, Hub
from search_spaces.spec import parse
from service.engine import driver
from service.settings import Settings
from service.store import Store
from trainers.data.published_counts import ACCEPT_VARIABLE
from trainers.data.treebanks import URL_VARIABLE


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The treebanks."""
    with Hub({}, xtreme_r_hub.treebanks()) as server:
        monkeypatch.setenv(URL_VARIABLE, f"{server.endpoint}/UniversalDependencies")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv(ACCEPT_VARIABLE, "1")
        yield server


class Experiment:
    """One in pos whose data are not there yet, and its driver, which ends before the first trial."""

    def __init__(self, store: Store, settings: Settings, encoder: Path) -> None:
        self.store, self.settings, self.encoder = store, settings, encoder
        body = {
            "task": "pos", "encoder": str(encoder), "data": "xtreme-r", "target_languages": ["el"], "k": [1],
            "methods": ["ord-FS"], "seeds": [1],
        }  # fmt: skip
        spec, problems = parse(body)
        assert not problems
        self.id = store.experiments.add(spec, None)

    def drive(self) -> Any:
        driver.drive(self.id, "nowhere", None, self.settings)
        self.store.control.release_driver(self.id, "it was stopped")
        return self.store.experiments.one(self.id)

    def events(self) -> list[dict[str, Any]]:
        return [event.data for event in self.store.events.after(self.id, 0)]


@pytest.fixture
def experiment(
    server: Hub, url: str, store: Store, tmp_path: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> Experiment:
    def ended(*_: object) -> None:
        raise OSError("no trial is run here")

    monkeypatch.setattr(driver, "_run_trials", ended)
    return Experiment(store, Settings(tmp_path / "home", None, url, None, 300.0, None), tiny_encoder)


def test_what_is_fetched_is_the_reason_and_an_event(experiment: Experiment) -> None:
    found = experiment.drive()
    assert (found.state, found.reason) == ("failed", "no trial is run here")
    assert found.trials["total"] == 2
    reasons = [event["reason"] for event in experiment.events()]
    assert reasons[:3] == ["", "preparing data", "fetching pos: en (1 of 2)"]
    assert "fetching pos: el (2 of 2): el_gdt-ud-train.conllu (3 of 3)" in reasons
    assert reasons.index("preparing the encoder") > reasons.index("fetching pos: el (2 of 2)")


def test_data_that_are_there_are_not_fetched_again(server: Hub, experiment: Experiment) -> None:
    experiment.drive()
    asked = len(server.requests)
    again = Experiment(experiment.store, experiment.settings, experiment.encoder)
    again.drive()
    assert len(server.requests) == asked
    assert not [event for event in again.events() if "fetching" in event["reason"]]


def test_what_cannot_be_fetched_fails_the_experiment_and_retry_goes_on(server: Hub, experiment: Experiment) -> None:
    fault = Fault(path="*/el_gdt-ud-test.conllu", status=404, times=None)
    server.order(fault)
    found = experiment.drive()
    assert found.state == "failed"
    assert found.reason.endswith("UD_Greek-GDT/r2.5/el_gdt-ud-test.conllu: HTTP 404")
    fault.times = 0
    asked = len(server.requests)
    assert experiment.store.control.move(experiment.id, "retry")
    assert experiment.drive().trials["total"] == 2
    names = [request.path.split("/")[-1] for request in server.requests[asked:]]
    assert names == ["el_gdt-ud-test.conllu", "el_gdt-ud-train.conllu"]


def test_an_experiment_says_in_what_its_data_differ(experiment: Experiment, client: TestClient) -> None:
    assert client.get(f"/v1/experiments/{experiment.id}").json()["differs"] == []
    experiment.drive()
    differs = client.get(f"/v1/experiments/{experiment.id}").json()["differs"]
    assert [text.split(":")[0] for text in differs] == ["pos, en", "pos, en", "pos, el", "pos, el"]
    assert differs[3].startswith("pos, el: train has 15 examples instead of 1,662, dev has 6 examples instead of 403")
    [told] = [event for event in experiment.events() if "differs" in event]
    assert told["differs"] == differs


def test_data_that_differ_fail_the_experiment_where_that_is_not_accepted(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(ACCEPT_VARIABLE)
    found = experiment.drive()
    assert found.state == "failed"
    assert found.reason.startswith("not as published: http://127.0.0.1:")
    assert "ALLASPRAK_ACCEPT_COUNTS=1 accepts the data as they are" in found.reason
    assert found.differs == []
