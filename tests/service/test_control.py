"""What may be done with an experiment: in the store, and with real drivers and trials."""

import itertools
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pandas as pd
import pytest

from search_spaces.spec import ExperimentSpec
from service.client import ServiceError
from service.store import Store
from service.store.states import ACTIVE, FINAL, MOVES, MoveName
from trainers.artifacts.places import place_of

Fields = dict[str, Any]
StartService = Callable[..., Any]

STATES = (*ACTIVE, "paused", *FINAL)

# How an experiment that is queued comes into each state.
WAYS: dict[str, list[MoveName]] = {
    "queued": [], "running": ["start"], "paused": ["pause"], "succeeded": ["succeed"], "failed": ["fail"],
    "cancelled": ["cancel"],
}  # fmt: skip


def test_every_move_has_its_entry_and_every_state_its_way() -> None:
    assert set(MOVES) == set(get_args(MoveName))
    assert {move.to for move in MOVES.values()} == set(STATES) == set(WAYS)
    assert all(set(move.origins) <= set(STATES) for move in MOVES.values())
    assert {name for name, move in MOVES.items() if set(move.origins) & set(FINAL)} == {"retry"}


@pytest.mark.parametrize(("state", "name"), list(itertools.product(STATES, MOVES)))
def test_a_move_is_made_from_its_origins_alone(sqlite_store: Store, state: str, name: MoveName) -> None:
    store = sqlite_store
    fields = {"task": "ner", "encoder": "e", "data": "sample", "target_languages": ["de"], "methods": ["zero-shot"]}
    id_ = store.experiments.add(ExperimentSpec.model_validate({**fields, "k": [1], "seeds": [1]}), None)
    for way in WAYS[state]:
        assert store.control.move(id_, way, "before")
    made = store.control.move(id_, name, "after")
    found = store.experiments.one(id_)
    assert found is not None
    assert made == (state in MOVES[name].origins)
    assert found.state == (MOVES[name].to if made else state)
    assert (found.finished is not None) == (found.state in FINAL)
    if not made:
        assert found.reason == ("before" if WAYS[state] else "")


@pytest.fixture(scope="module")
def service(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    start_services: StartService,
    place_settings: Callable[[str], dict[str, str]],
) -> Any:
    """A service whose trials write a checkpoint only where they are asked to end."""
    settings = {"ALLASPRAK_CHECKPOINT_SECONDS": "100000", **place_settings(getattr(request, "param", "home"))}
    return start_services(tmp_path_factory.mktemp("control") / "home", **settings)


PLACES = pytest.mark.parametrize("service", ["home", pytest.param("s3", marks=pytest.mark.slow)], indirect=True)


def training(service: Any, id_: str) -> Any:
    """Wait until a trial of an experiment is in the middle of its training."""
    return service.until(lambda: service.workers() and 0 < service.client.experiment(id_)["progress"] < 1)


def steps(service: Any, id_: str) -> dict[str, int]:
    """Updates of the last attempt at each trial."""
    trials = service.client.results(id_)["trial"].unique()
    return {trial: service.client.trial(trial)["facts"]["work"]["training"]["steps"] for trial in trials}


def written_after(service: Any, id_: str, why: str = "the experiment was paused") -> dict[str, int]:
    """The step after which each interrupted trial of an experiment has written its checkpoint."""
    found = {}
    for trial in service.client.results(id_)["trial"].unique():
        shown = service.client.trial(trial)
        if shown["attempts"][-1]["state"] == "interrupted":
            said = re.fullmatch(rf"{why}; a checkpoint was written after step (\d+)", shown["attempts"][-1]["reason"])
            assert said, shown["attempts"][-1]
            assert shown["saved"]["checkpoint"]
            found[trial] = int(said[1])
    return found


def test_cancelling_frees_the_workers_at_once_and_keeps_what_is_done(
    service: Any, spec: Fields, longer: Fields
) -> None:
    client = service.client
    id_ = client.submit({**longer, "seeds": [21, 22]})
    behind = client.submit(spec)
    service.until(lambda: client.experiment(id_)["trials"]["succeeded"] > 0)
    training(service, id_)
    workers = {process.pid for process in service.workers()}
    asked = time.monotonic()
    assert client.cancel(id_)["state"] == "cancelled"
    service.until(lambda: not workers & {process.pid for process in service.workers()}, 30)
    assert time.monotonic() - asked < 10  # they would train for a minute
    done = service.until(lambda: (one := client.experiment(id_))["trials"]["cancelled"] and one, 10)
    assert done["trials"]["running"] == done["trials"]["queued"] == 0
    assert done["trials"]["cancelled"] + done["trials"]["succeeded"] == done["trials"]["total"]
    assert len(client.results(id_))
    assert not (service.home / "tune" / id_).exists()
    assert client.wait(behind, progress=False)["state"] == "succeeded"  # the pool is free for others


@PLACES
def test_a_paused_experiment_goes_on_from_its_checkpoints_with_equal_scores(service: Any, longer: Fields) -> None:
    client = service.client
    methods = ["zero-shot", "naive-mix-train"]
    wanted = {**longer, "seeds": [23], "methods": methods, "training": {**longer["training"], "epochs": 24}}
    id_ = client.submit(wanted)
    training(service, id_)
    asked = time.monotonic()
    assert client.pause(id_)["state"] == "paused"
    service.until(lambda: not service.workers(), 30)
    assert time.monotonic() - asked < 10  # they would train for a minute
    paused = service.until(lambda: not (one := client.experiment(id_))["trials"]["running"] and one, 10)
    time.sleep(1)
    assert {**client.experiment(id_), "disk": None} == {**paused, "disk": None}
    interrupted = written_after(service, id_)
    assert interrupted
    client.resume(id_)
    assert client.wait(id_, progress=False)["state"] == "succeeded"
    scores = service.scores(id_)
    assert scores.max() > 5
    resumed = steps(service, id_)

    client.delete(id_)
    undisturbed = client.submit(wanted)
    assert client.wait(undisturbed, progress=False)["trials"]["reused"] == 0
    pd.testing.assert_series_equal(service.scores(undisturbed), scores)
    whole = steps(service, undisturbed)
    assert {trial: whole[trial] - resumed[trial] for trial in interrupted} == interrupted  # no step was lost


@pytest.mark.slow
def test_pause_and_resume_at_once_is_no_harm(service: Any, longer: Fields) -> None:
    client = service.client
    id_ = client.submit({**longer, "seeds": [24], "methods": ["zero-shot", "naive-mix-train"]})
    training(service, id_)
    for _ in range(5):
        client.pause(id_)
        client.resume(id_)
    done = client.wait(id_, progress=False)
    assert (done["state"], done["trials"]["succeeded"]) == ("succeeded", 2), done["reason"]
    said = [event["reason"] for event in client.events(id_) if event["event"] == "experiment"]
    assert "it was resumed, and goes on from its checkpoints" in said
    assert "the experiment was paused" not in said


@PLACES
def test_deleting_takes_what_nobody_else_asks_for(service: Any, spec: Fields, longer: Fields) -> None:
    client = service.client
    shared = client.submit({**spec, "seeds": [25], "methods": ["zero-shot"]})
    id_ = client.submit({**spec, "seeds": [25], "methods": ["zero-shot", "naive-mix-train"]})
    for one in (shared, id_):
        assert client.wait(one, progress=False)["state"] == "succeeded"
    scores = service.scores(shared)
    by_method = client.results(id_).groupby("method")["trial"].first()

    def files_of(trial: str) -> list[str]:
        place = place_of(service)
        return [kind for kind in ("models", "predictions") if place.complete(service.home / kind / trial)]

    assert len(files_of(by_method["zero-shot"])) == len(files_of(by_method["naive-mix-train"])) == 2
    client.delete(id_)
    assert len(files_of(by_method["zero-shot"])) == 2
    assert not files_of(by_method["naive-mix-train"])
    pd.testing.assert_series_equal(service.scores(shared), scores)
    for gone in (lambda: client.experiment(id_), lambda: client.trial(by_method["naive-mix-train"])):
        with pytest.raises(ServiceError, match="there is no"):
            gone()
    again = client.submit({**spec, "seeds": [25], "methods": ["naive-mix-train"]})
    assert client.wait(again, progress=False)["trials"]["reused"] == 0

    running = client.submit({**longer, "seeds": [26]})
    training(service, running)
    client.cancel(running)
    client.delete(running)  # waits for its driver
    with pytest.raises(ServiceError, match="there is no"):
        client.experiment(running)


def test_a_retry_runs_the_failed_trials_again_and_no_other(service: Any, spec: Fields) -> None:
    client = service.client
    wanted = {**spec, "seeds": [27], "methods": ["zero-shot", "naive-mix-train"]}
    first = client.submit(wanted)
    client.wait(first, progress=False)
    done, failing = (client.results(first, method=method)["trial"][0] for method in wanted["methods"])
    client.delete(first)
    in_the_way = service.home / "predictions" / failing
    in_the_way.write_text("no folder")
    id_ = client.submit(wanted)
    experiment = client.wait(id_, progress=False)
    assert experiment["state"] == "failed"
    [failure] = experiment["failures"]
    assert failure["trial"] == failing
    assert str(in_the_way) in failure["reason"]
    in_the_way.unlink()
    attempts = {trial: client.trial(trial)["attempt"] for trial in (done, failing)}
    assert client.retry(id_)["state"] in ACTIVE
    experiment = client.wait(id_, progress=False)
    assert (experiment["state"], experiment["trials"]["failed"]) == ("succeeded", 0)
    assert client.trial(done)["attempt"] == attempts[done]
    assert client.trial(failing)["attempt"] == attempts[failing] + 1


@PLACES
def test_what_comes_late_because_its_process_counted_as_dead_is_run_again(service: Any, longer: Fields) -> None:
    client, store = service.client, Store(f"sqlite:///{service.home / 'allasprak.sqlite'}")
    id_ = client.submit({**longer, "seeds": [32], "methods": ["zero-shot"]})
    training(service, id_)
    [trial] = client.results(id_)["trial"].unique()
    store.trials.started(id_, trial)  # as a second driver would
    store.close()
    assert client.wait(id_, progress=False)["state"] == "succeeded"
    assert [one["state"] for one in client.trial(trial)["attempts"]] == ["interrupted", "died", "succeeded"]
    assert len(client.results(id_, split="test")) == 3


@pytest.mark.slow
def test_what_an_outranked_experiment_has_trained_is_not_lost(
    tmp_path: Path, start_service: StartService, spec: Fields, longer: Fields
) -> None:
    changed = "import service.engine.supervisor as supervisor; supervisor.MAX_DRIVERS = 1"
    service = start_service(tmp_path / "home", changed=changed)
    client = service.client
    wanted = {**longer, "seeds": [61], "methods": ["naive-mix-train"]}
    low = client.submit({**wanted, "training": {**longer["training"], "epochs": 24}})
    training(service, low)
    high = client.submit({**spec, "seeds": [62], "methods": ["zero-shot"], "priority": 1})
    service.until(lambda: client.experiment(high)["state"] == "running")
    assert client.experiment(low)["state"] == "queued"
    interrupted = written_after(service, low, "experiments of a higher priority go first")
    assert interrupted
    for id_ in (high, low):
        assert client.wait(id_, progress=False)["state"] == "succeeded"
    assert client.experiment(high)["finished"] < client.experiment(low)["finished"]
    assert {len(client.trial(trial)["attempts"]) for trial in interrupted} == {2}


@pytest.mark.slow
def test_experiments_share_the_pool_and_that_of_the_higher_priority_goes_first(
    service: Any, spec: Fields, longer: Fields
) -> None:
    client = service.client
    endless = {**longer, "training": {**longer["training"], "epochs": 1000}, "resources": {"max_concurrent_trials": 1}}
    blocking, staying = (client.submit({**endless, "seeds": [seed]}) for seed in (28, 128))  # a slot each, of the two
    for id_ in (blocking, staying):
        service.until(lambda: client.experiment(id_)["trials"]["running"])  # noqa: B023
    later = client.submit({**spec, "seeds": [29], "methods": ["zero-shot"]})
    first = client.submit({**spec, "seeds": [30], "methods": ["zero-shot"], "priority": 1})
    for id_ in (first, later):
        service.until(lambda: "free slot" in client.experiment(id_)["reason"])  # noqa: B023
    client.cancel(blocking)
    for id_ in (first, later):
        assert client.wait(id_, progress=False)["state"] == "succeeded"
    assert client.experiment(staying)["state"] == "running"
    assert client.experiment(first)["started"] < client.experiment(later)["started"]
    client.cancel(staying)


def test_a_trial_that_two_experiments_want_is_run_once(service: Any, spec: Fields) -> None:
    client = service.client
    wanted = {**spec, "seeds": [31], "methods": ["zero-shot", "ord-FS"]}
    both = [client.submit(wanted), client.submit({**wanted, "methods": ["zero-shot", "mix-FT"]})]
    for id_ in both:
        assert client.wait(id_, progress=False)["state"] == "succeeded"
    [shared] = {trial for id_ in both for trial in client.results(id_, method="zero-shot")["trial"]}
    assert [attempt["state"] for attempt in client.trial(shared)["attempts"]] == ["succeeded"]
    assert sum(client.experiment(id_)["trials"]["reused"] for id_ in both) == 1
