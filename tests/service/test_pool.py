"""What the service says of its pool: what runs, whose turn it is, and why the others wait."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from plans import config_of, result_of, spec_of, trial_of
from search_spaces.environment import Environment
from search_spaces.plan import Plan
from service.store import Resources, Store
from trainers.trial import Report

GIB = 2**30
POOL = Resources(2, 0, 8 * GIB)
ONE = Resources(1, 0, GIB)


@pytest.fixture
def client(client_over: Callable[..., TestClient], store: Store, tmp_path: Path) -> TestClient:
    return client_over(store, Environment(tmp_path, tmp_path, cpus=2, gpus=0, memory=8 * GIB))


def add(store: Store, name: str, seeds: range, priority: int = 0) -> tuple[str, list[str]]:
    """An experiment of a trial for each seed, and these."""
    plan = Plan()
    for seed in seeds:
        config = config_of("gradient-mix-train", seed=seed, alpha=0.1)
        plan.add(trial_of(config, evaluate={"de": "test"}))
        plan.results.append(result_of(config, "de"))
    id_ = store.experiments.add(spec_of(name=name, priority=priority), plan)
    return id_, list(store.trials.outstanding(id_))


def run(store: Store, id_: str, trials: list[str], room: Resources = ONE) -> None:
    """A driver of an experiment, which asks for a place for each of its trials."""
    store.slots.join(id_, room)
    store.control.move(id_, "start")
    for place in range(len(trials)):
        if (trial := store.slots.claim(id_, trials[place:], [], POOL)) is not None:
            store.trials.started(id_, trial)


def by_name(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in found["experiments"]}


def test_an_idle_pool(client: TestClient) -> None:
    assert client.get("/v1/pool").json() == {
        "has": {"cpus": 2, "gpus": 0, "memory": 8 * GIB},
        "in_use": {"cpus": 0, "gpus": 0, "memory": 0},
        "running": [],
        "experiments": [],
    }


def test_it_is_known_where_a_trial_runs_once_it_has_reported(client: TestClient, store: Store) -> None:
    id_, trials = add(store, "two", range(1, 3))
    run(store, id_, trials)
    store.trials.reported(trials[1], 1, Report(epoch=1, step=10, scores=(), measures={}), "gpu7")
    found = client.get("/v1/pool").json()["running"]
    assert {one["trial"]: one["node"] for one in found} == {trials[0]: None, trials[1]: "gpu7"}


def test_what_runs_and_who_waits_for_it(client: TestClient, store: Store) -> None:
    first, trials = add(store, "first", range(1, 4))
    run(store, first, trials)
    second, others = add(store, "second", range(11, 13))
    run(store, second, others)
    third, _ = add(store, "third", range(21, 22))
    found = client.get("/v1/pool").json()
    assert found["in_use"] == {"cpus": 2, "gpus": 0, "memory": 2 * GIB}
    assert [one["trial"] for one in found["running"]] == trials[:2]
    for one in found["running"]:
        assert (one["experiment"], one["name"], one["method"]) == (first, "first", "gradient-mix-train")
        assert (one["k"], one["target_languages"], one["epoch"], one["epochs"]) == (5, ["de"], 0, 3)
        assert 0 <= one["seconds"] < 60
        assert one["takes"] == {"cpus": 1, "gpus": 0, "memory": GIB}
    shares = by_name(found)
    assert [one["name"] for one in found["experiments"] if one["place"]] == ["second", "first"]
    assert (shares["first"]["running"], shares["first"]["queued"]) == (2, 1)
    assert (shares["second"]["running"], shares["second"]["queued"]) == (0, 2)
    assert shares["second"]["why"] == (
        "the pool is full: a trial takes 1 CPU and 1.0 GiB of memory; free: 6.0 GiB of memory"
    )
    assert shares["third"] | {"used": 0} == {
        "experiment": third, "name": "third", "owner": "", "priority": 0, "state": "queued", "running": 0, "queued": 1,
        "why": "it has not been started yet", "waiting": None, "place": None, "used": 0, "takes": None,
    }  # fmt: skip


def test_a_higher_priority_goes_first_and_the_others_are_told(client: TestClient, store: Store) -> None:
    low, trials = add(store, "low", range(1, 4))
    run(store, low, trials)
    high, others = add(store, "high", range(11, 13), priority=5)
    run(store, high, others)
    shares = by_name(client.get("/v1/pool").json())
    assert (shares["high"]["place"], shares["low"]["place"]) == (1, 2)
    assert shares["low"]["why"] == "experiments of a higher priority go first: high"


def test_equals_take_turns(client: TestClient, store: Store) -> None:
    """The pool has room again, and the one that has had less has not asked yet."""
    first, trials = add(store, "first", range(1, 5))
    run(store, first, trials)
    second, others = add(store, "second", range(11, 13))
    run(store, second, others)
    store.slots.claim(first, trials[2:], trials[:1], POOL)
    shares = by_name(client.get("/v1/pool").json())
    assert shares["second"]["why"] == "it is next"
    assert shares["first"]["why"] == "others that have had less of the pool go first: second"


def test_what_was_paused_waits_for_a_person(client: TestClient, store: Store) -> None:
    id_, _ = add(store, "paused", range(1, 2))
    store.control.move(id_, "pause", "the disk is needed")
    [one] = client.get("/v1/pool").json()["experiments"]
    assert (one["state"], one["why"]) == ("paused", "the disk is needed")
    store.control.move(id_, "cancel")
    assert client.get("/v1/pool").json()["experiments"] == []


def test_of_a_cluster_that_grows_nothing_is_said_to_be_full(
    client_over: Callable[..., TestClient], store: Store, tmp_path: Path
) -> None:
    id_, trials = add(store, "one", range(1, 4))
    run(store, id_, trials)
    found = client_over(store, Environment(tmp_path, tmp_path, cpus=None, gpus=None)).get("/v1/pool").json()
    assert found["has"] == {"cpus": None, "gpus": None, "memory": None}
    assert found["experiments"][0]["why"] == "it is next"
