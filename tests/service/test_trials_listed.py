"""The trials of an experiment and its last events over the REST interface, on every database."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, text
from starlette.testclient import TestClient

from plans import config_of, result_of, spec_of, trial_of
from search_spaces.environment import Environment
from search_spaces.plan import Plan
from service.store import Store
from stored import ADAPTED, SOURCE, finish, plan_of, report_of, score


@pytest.fixture
def client(store: Store, client_over: Callable[[Store, Environment], TestClient], tmp_path: Path) -> TestClient:
    return client_over(store, Environment(tmp_path, tmp_path, cpus=2, gpus=0))


def trials(client: TestClient, id_: str, **asked: Any) -> list[dict[str, Any]]:
    """All pages of the trials of an experiment."""
    found, cursor = [], None
    while True:
        page = client.get(f"/v1/experiments/{id_}/trials", params={**asked, **({"cursor": cursor} if cursor else {})})
        assert page.status_code == 200, page.text
        found += page.json()["trials"]
        if (cursor := page.json()["next"]) is None:
            return found


def large_plan(count: int) -> Plan:
    """A plan of trials of a seed each."""
    plan = Plan()
    for seed in range(1, count + 1):
        plan.add(trial_of(config_of(seed=seed), evaluate={"en": "test"}))
        plan.results.append(result_of(config_of(seed=seed), "en"))
    return plan


@contextmanager
def counted() -> Iterator[list[str]]:
    """The statements that are sent to any database meanwhile."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def test_a_trial_says_what_it_is_and_how_far(store: Store, client: TestClient) -> None:
    id_ = store.experiments.add(spec_of(methods=["zero-shot", "ord-FS"]), plan_of())
    first = store.trials.started(id_, SOURCE.digest)
    store.trials.reported(SOURCE.digest, first, report_of(score("en", 1.0, "dev"), epoch=1))
    store.trials.died(id_, SOURCE.digest, "its process was killed")
    second = store.trials.started(id_, SOURCE.digest)
    store.trials.reported(SOURCE.digest, second, report_of(score("en", 1.0, "dev"), epoch=2, step=20))
    source, adapted = trials(client, id_)
    assert source == {
        "trial": SOURCE.digest, "method": "zero-shot", "k": 0, "seed": 1, "candidate": "", "target_languages": [],
        "state": "running", "reason": "", "reused": False, "epoch": 2, "epochs": 3, "loss": 1.0, "attempts": 2,
    }  # fmt: skip
    assert adapted == {
        **source, "trial": ADAPTED.digest, "method": "ord-FS", "k": 5, "target_languages": ["de"], "state": "queued",
        "epoch": 0, "loss": None, "attempts": 0,
    }  # fmt: skip
    store.trials.failed(id_, SOURCE.digest, "no room")
    assert [(one["state"], one["reason"]) for one in trials(client, id_, state="failed")] == [("failed", "no room")]


def test_what_another_experiment_has_trained_is_there_with_its_epochs(store: Store, client: TestClient) -> None:
    before = store.experiments.add(spec_of(), plan_of())
    finish(store, before, SOURCE, score("en", 1.0), score("de", 2.0), score("hi", 3.0))
    id_ = store.experiments.add(spec_of(), plan_of())
    source, adapted = trials(client, id_)
    assert (source["state"], source["reused"], source["attempts"]) == ("succeeded", True, 1)
    assert (adapted["state"], adapted["reused"]) == ("queued", False)


def test_candidates_are_named_as_results_name_them(store: Store, client: TestClient) -> None:
    spec = spec_of(methods=["zero-shot", "gradient-mix-train"], alpha={"grid": [0.1, 0.5]})
    plan, words = Plan(), {}
    plan.add(trial_of(SOURCE))
    for alpha in (0.1, 0.5):
        config = config_of("gradient-mix-train", alpha=alpha)
        words[config.digest] = f"alpha {alpha}"
        plan.add(trial_of(config, sweep="s"))
        plan.results.append(result_of(config, "de", candidate=words[config.digest]))
    id_ = store.experiments.add(spec, plan)
    assert {one["trial"]: one["candidate"] for one in trials(client, id_)} == {SOURCE.digest: "", **words}


def test_pages_have_every_trial_once_in_the_order_of_the_plan(store: Store, client: TestClient) -> None:
    id_ = store.experiments.add(spec_of(), large_plan(23))
    assert [one["seed"] for one in trials(client, id_, limit=5)] == list(range(1, 24))
    other = store.experiments.add(spec_of(), large_plan(23))
    following = client.get(f"/v1/experiments/{other}/trials?limit=5").json()["next"]
    assert client.get(f"/v1/experiments/{id_}/trials?cursor={following}").status_code == 422
    assert client.get(f"/v1/experiments/{'0' * 12}/trials").status_code == 404


def test_the_number_of_statements_does_not_grow_with_the_trials(store: Store, client: TestClient) -> None:
    numbers = set()
    for count in (1, 200):
        id_ = store.experiments.add(spec_of(), large_plan(count))
        with counted() as sent:
            assert len(trials(client, id_)) == count
        numbers.add(len(sent))
    assert len(numbers) == 1
    assert numbers.pop() < 10


def test_a_trial_whose_row_is_broken_is_named(store: Store, client: TestClient) -> None:
    id_ = store.experiments.add(spec_of(), plan_of())
    with store._database.write() as connection:
        connection.execute(text("UPDATE trials SET config = '[]' WHERE digest = :digest"), {"digest": SOURCE.digest})
    answer = client.get(f"/v1/experiments/{id_}/trials")
    assert answer.status_code == 500
    assert SOURCE.digest in answer.json()["detail"]


def test_events_are_listed_the_newest_first(store: Store, client: TestClient) -> None:
    id_ = store.experiments.add(spec_of(), plan_of())
    attempt = store.trials.started(id_, SOURCE.digest)
    store.trials.reported(SOURCE.digest, attempt, report_of(score("en", 1.0, "dev")))
    store.trials.failed(id_, SOURCE.digest, "no room")
    path = f"/v1/experiments/{id_}/history"
    first = client.get(path, params={"limit": 3}).json()
    assert [(one["number"], one["event"], one["state"]) for one in first["events"]] == [
        (4, "trial", "failed"), (3, "trial", "running"), (2, "trial", "running"),
    ]  # fmt: skip
    assert first["events"][0]["reason"] == "no room"
    assert first["events"][1]["scores"][0]["value"] == 1.0
    rest = client.get(path, params={"before": first["next"]}).json()
    assert [(one["number"], one["event"]) for one in rest["events"]] == [(1, "experiment")]
    assert rest["next"] is None
    assert client.get(f"/v1/experiments/{'0' * 12}/history").status_code == 404


def test_a_loss_that_is_no_number_is_none(store: Store, client: TestClient) -> None:
    id_ = store.experiments.add(spec_of(), plan_of())
    attempt = store.trials.started(id_, SOURCE.digest)
    report = report_of(score("en", 1.0, "dev"))
    report.measures["loss"] = float("nan")
    store.trials.reported(SOURCE.digest, attempt, report)
    assert trials(client, id_)[0]["loss"] is None
