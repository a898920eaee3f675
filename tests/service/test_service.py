"""The whole service: a real server on a port, a real Ray, real trials, and what happens when parts of it die."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

from service.client import Client, ServiceError
from service.engine import pool, processes
from service.engine.supervisor import Supervisor
from service.settings import Settings
from service.store import Store
from trainers.artifacts.layout import fetched_data, starting_pool_file
from trainers.artifacts.places import place_of
from trainers.data import sample
from trainers.data.shots import draw
from trainers.data.sources import open_data
from trainers.methods import METHODS
from trainers.surgery.rules import RULES
from trainers.trial import DataReference

Fields = dict[str, Any]
StartService = Callable[..., Any]


@pytest.fixture(scope="module")
def calm(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    start_services: StartService,
    place_settings: Callable[[str], dict[str, str]],
) -> Any:
    """A service whose server and pool nothing happens to, for the tests that leave them whole."""
    where = getattr(request, "param", "home")
    return start_services(tmp_path_factory.mktemp("service") / "home", **place_settings(where))


PLACES = pytest.mark.parametrize("calm", ["home", pytest.param("s3", marks=pytest.mark.slow)], indirect=True)


def models_of(service: Any) -> set[str]:
    return set(place_of(service).names(service.home / "models"))


def finished(client: Client, id_: str, state: str = "succeeded") -> Fields:
    experiment = client.wait(id_, progress=False, poll_seconds=0.2)
    assert experiment["state"] == state, experiment["reason"]
    return experiment


@PLACES
def test_an_experiment_from_submission_to_scores(calm: Any, spec: Fields) -> None:
    client = calm.client
    before = models_of(calm)
    id_ = client.submit(spec)
    experiment = finished(client, id_)
    assert experiment["progress"] == 1.0
    assert experiment["trials"]["succeeded"] == 5
    cost = experiment["cost"]
    assert min(cost["planned"], cost["spent"], cost["error"]) > 0
    assert (cost["left"], cost["eta"]) == (0, None)
    scores = calm.scores(id_)
    assert set(scores.index) == {
        (method, 0 if method == "zero-shot" else 5, 1, language)
        for method in spec["methods"]
        for language in ("en", "de", "hi")
    }
    assert scores.between(0, 100).all()
    assert scores["ord-FS", 5, 1, "en"] == scores["zero-shot", 0, 1, "en"]
    rows = client.results(id_)
    assert rows["cut"][rows["split"] == "test"].all()
    assert set(rows["examples"][rows["split"] == "test"]) == {20}
    dev = rows[(rows["split"] == "dev") & (rows["method"] == "gradient-mix-train")]
    assert list(dev["epoch"]) == [1, 2]
    surgery = rows[rows["method"] == "gradient-mix-train"]
    assert set(surgery["alpha"]) == {0.2}
    facts = client.trial(surgery["trial"].iloc[0])["facts"]
    # 64 source examples and 2 x 5 shots are three batches of 32, twice
    assert facts["work"]["training"]["steps"] == 6
    assert {language: len(draw["indices"]) for language, draw in facts["shots"].items()} == {"de": 5, "hi": 5}
    table = client.table(id_)
    assert list(table.columns) == ["en", "de", "hi", "mean"]
    assert table.loc[("ord-FS", 5), "mean"] == pytest.approx(scores["ord-FS", 5, 1][["de", "hi"]].mean())

    german = {
        "and": [{"column": "language", "op": "ne", "value": "en"}, {"column": "language", "op": "lt", "value": "e"}]
    }
    found = client.results(id_, german, split="test", k=[0, 5], sort=["-value"], columns=["language", "value"])
    assert list(found.columns) == ["language", "value"]
    assert found["value"].tolist() == sorted(scores.xs("de", level="language"), reverse=True)
    for where in (None, german):
        assert list(client.results(id_, where, columns="value", sort="-value").columns) == ["value"]
    assert client.results(id_, since=rows.attrs["now"]).empty

    planned = client.plan(spec)
    assert (planned["trials"], planned["reused"], planned["source_trainings_there"], planned["steps"]) == (5, 5, 1, 0)
    more = client.plan({**spec, "seeds": [1, 2]})
    assert (more["trials"], more["reused"], more["source_trainings"], more["source_trainings_there"]) == (10, 5, 2, 1)
    assert more["basis"].startswith("measured: ")
    # the target's test sets and shots, and all of the source's; with the guess for none
    assert "counted by trials in 7 of 7 splits" in more["tokens"]["basis"]

    again = client.submit({**spec, "name": "again", "alpha": 0.2})
    reused = finished(client, again)
    assert reused["trials"]["reused"] == 5
    pd.testing.assert_series_equal(calm.scores(again), scores)

    wider = client.submit({**spec, "methods": ["zero-shot"], "target_languages": ["sw"]})
    assert finished(client, wider)["trials"]["reused"] == 0
    assert calm.scores(wider)["zero-shot", 0, 1, "en"] == scores["zero-shot", 0, 1, "en"]
    assert models_of(calm) - before == set(rows["trial"][~rows["method"].isin(["ord-FS"]) | (rows["language"] == "en")])

    kept = client.submit({**spec, "keep": "all"})  # two trials are done, but not their models
    assert finished(client, kept)["trials"]["reused"] == 3
    pd.testing.assert_series_equal(calm.scores(kept), scores)
    assert models_of(calm) - before == set(rows["trial"]) | set(client.results(wider)["trial"])


@pytest.mark.slow
def test_every_method_on_another_task_its_predictions_its_draws_and_its_model(
    tmp_path: Path, calm: Any, spec: Fields
) -> None:
    client = calm.client
    id_ = client.submit({**spec, "task": "pos", "methods": list(METHODS), "k": [2], "keep": "all", "average": 2})
    experiment = finished(client, id_)
    # zero-shot, mix-FT, naive-mix-train; ord-FS of two targets; each rule's; with shots held out five of their own
    assert experiment["trials"]["succeeded"] == 5 + len(RULES) + 5
    rows = client.results(id_)
    assert set(rows["metric"]) == {"accuracy", "chunk_f1"}
    adapted = rows[(rows["language"] == "de") & (rows["split"] == "test") & (rows["metric"] == "chunk_f1")]
    by_method = adapted.set_index("method")
    assert by_method.loc["ord-FS", "trial"] == by_method.loc["ord-FS+dev", "trial"]
    assert by_method.loc["ord-FS", "selection"] == "last"
    assert by_method.loc["ord-FS+dev", "selection"] == "target-dev"
    selections = adapted.groupby("method")["selection"].first()
    assert selections["gradient-mix-train+dev"] == "target-dev:de"
    assert {selections[name] for name in selections.index if name.endswith("+average")} == {"average:2"}
    on_dev = rows[(rows["method"] == "ord-FS+dev") & (rows["split"] == "dev") & (rows["metric"] == "chunk_f1")]
    assert list(on_dev["language"].value_counts()) == [2, 2]  # two targets, two epochs
    assert on_dev.groupby("language")["selected"].sum().tolist() == [1, 1]
    table = client.table(id_)
    assert table.loc[("ord-FS", 2), "de"] == by_method.loc["ord-FS", "value"]
    accuracy = client.table(id_, "accuracy").loc[("ord-FS", 2), "de"]

    predicted = client.predictions(by_method.loc["ord-FS", "trial"], "de", selection="last")
    words = sum(map(len, predicted["gold"]))
    right = sum((row.gold == row.prediction).sum() for row in predicted.itertuples())
    assert 100 * right / words == pytest.approx(accuracy)
    assert predicted["example"].nunique() == len(predicted) == 20
    corpus = sample.examples("pos", "de", "test")
    assert [list(tokens) for tokens in predicted["tokens"]] == [corpus[n]["tokens"] for n in predicted["example"]]
    on_dev = client.predictions(by_method.loc["ord-FS", "trial"], "de", split="dev", selection="target-dev")
    held_out = client.predictions(by_method.loc["mix-FT+held-out", "trial"], "de", split="train")
    for frame in (on_dev, held_out):
        assert [len(tokens) for tokens in frame["tokens"]] == [len(tags) for tags in frame["gold"]]
    assert len(held_out) == 1
    with pytest.raises(ServiceError, match="no evaluation of hi/test"):
        client.predictions(by_method.loc["ord-FS", "trial"], "hi", selection="last")
    with pytest.raises(ServiceError, match="selection: the trial has several: one of average:2, last, target-dev"):
        client.predictions(by_method.loc["ord-FS", "trial"], "de")

    draws = client.shots(id_).set_index("language")
    assert sorted(draws.index) == ["de", "hi"]
    facts = open_data(DataReference("sample"), "pos", tmp_path).facts("de", "train")
    again = draw(facts.digest, "de", [""] * facts.examples, 2, 1)
    assert (draws.loc["de", "digest"], draws.loc["de", "indices"]) == (again.digest, list(again.indices))

    folder = tmp_path / "model"
    command = [sys.executable, "-m", "service.cli", "export", by_method.loc["ord-FS", "trial"], str(folder)]
    environment = {**os.environ, "ALLASPRAK_HOME": str(calm.home)}
    refused = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert refused.returncode == 1
    assert refused.stderr.strip() == "allasprak: --selection: one of average:2, last, target-dev"
    subprocess.run([*command, "--selection", "target-dev"], env=environment, check=True, capture_output=True)
    card = (folder / "README.md").read_text()
    assert f"{by_method.loc['ord-FS+dev', 'value']:.2f}" in card
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {path.name for path in folder.iterdir()}


@PLACES
def test_a_trial_whose_process_dies_is_tried_again_and_again_and_it_is_told_why(calm: Any, longer: Fields) -> None:
    client = calm.client
    id_ = client.submit({**longer, "seeds": [14], "methods": ["zero-shot"]})
    over = threading.Event()

    def strike() -> None:
        while not over.wait(0.05):
            for worker in calm.workers():
                with contextlib.suppress(psutil.NoSuchProcess):
                    worker.kill()

    striking = threading.Thread(target=strike)
    striking.start()
    reasons = (str(event.get("reason", "")) for event in client.events(id_))
    assert any("died (2 times without progress); it goes on in 5 s" in reason for reason in reasons)
    over.set()
    striking.join()
    assert finished(client, id_)["trials"]["succeeded"] == 1
    [digest] = client.results(id_)["trial"].unique()
    *died, last = client.trial(digest)["attempts"]
    assert last["node"] == socket.gethostname()
    assert {attempt["state"] for attempt in died} <= {"died"}  # one that is killed before it begins is no attempt
    assert last["state"] == "succeeded"
    assert 0 < client.trial(digest)["facts"]["seconds"] <= last["device_seconds"]


# A plan that never ends.
ENDLESS = "import service.planning as planning; planning.preview = lambda *_: all(one < 1 for one in iter(int, 1))"


def begin(url: str, request: str, *headers: str, body: str = "") -> socket.socket:
    """A connection on which a request, or the beginning of one, has been sent."""
    connection = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])))
    lines = (f"{request} HTTP/1.1", "Host: localhost", *headers, "", body)
    connection.sendall("\r\n".join(lines).encode())
    return connection


@pytest.mark.slow
def test_a_busy_server_is_stopped_within_15_seconds_and_goes_on_where_it_was(
    tmp_path: Path, start_service: StartService, longer: Fields
) -> None:
    service = start_service(tmp_path / "home", ENDLESS, ALLASPRAK_CHECKPOINT_SECONDS="100000")
    training = {**longer["training"], "epochs": 40}
    id_ = service.client.submit({**longer, "methods": ["zero-shot"], "training": training})
    service.until(lambda: service.client.experiment(id_)["progress"] > 0)
    plan = ("POST /v1/plans", "Content-Type: application/json", "Content-Length: 2")
    open_ = [
        begin(service.url, f"GET /v1/experiments/{id_}/events"),
        begin(service.url, "POST /v1/datasets?name=mine&task=ner", "Content-Length: 1000"),
        *(begin(service.url, *plan, body="{}") for _ in range(4)),
    ]
    time.sleep(1)
    asked = time.monotonic()
    while service.process.poll() is None:  # asking again changes nothing
        service.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
    assert time.monotonic() - asked < 15
    assert service.process.returncode == 0, service.log.read_text()
    assert not service.processes()
    for connection in open_:
        connection.close()
    service = start_service(tmp_path / "home")
    finished(service.client, id_)
    [trial] = service.client.results(id_)["trial"].unique()
    shown = service.client.trial(trial)
    stopped, succeeded = shown["attempts"]
    said = re.fullmatch(r"the server was stopped; a checkpoint was written after step (\d+)", stopped["reason"])
    assert said, stopped
    assert shown["facts"]["work"]["training"]["steps"] + int(said[1]) == 40 * 7  # 200 examples are 7 batches an epoch
    assert succeeded["state"] == "succeeded"


@pytest.mark.slow
def test_trials_that_do_not_end_when_they_are_asked_to_do_not_keep_a_server_alive(
    tmp_path: Path, start_service: StartService, empty_trials: Callable[..., dict[str, str]], spec: Fields
) -> None:
    service = start_service(tmp_path / "home", **empty_trials(7200))  # as in a long evaluation
    id_ = service.client.submit({**spec, "methods": ["zero-shot"]})
    service.until(lambda: service.client.experiment(id_)["trials"]["running"])
    asked = time.monotonic()
    assert service.stop() == 0
    assert time.monotonic() - asked < 15
    assert not service.processes()
    store = Store(f"sqlite:///{service.home / 'allasprak.sqlite'}")
    [trial] = store.trials.begun(id_)
    [attempt] = store.trials.one(trial)["attempts"]  # type: ignore[index]
    store.close()
    assert (attempt["state"], attempt["reason"]) == ("interrupted", "the server was stopped")


def test_a_killed_server_s_work_goes_on_and_is_taken_over(
    tmp_path: Path, start_service: StartService, longer: Fields
) -> None:
    service = start_service(tmp_path / "home")
    methods, training = ["zero-shot", "naive-mix-train", "gradient-mix-train"], {**longer["training"], "epochs": 24}
    id_ = service.client.submit({**longer, "methods": methods, "training": training})
    service.until(lambda: service.client.experiment(id_)["progress"] > 0)
    service.process.kill()
    service.process.wait()
    drivers = [process.pid for process in service.named("service.engine.driver")]
    service = start_service(tmp_path / "home")
    assert [process.pid for process in service.named("service.engine.driver")] == drivers
    assert not service.named("trainers.encoders.architecture")  # which would take a core from the trials that go on
    finished(service.client, id_)


def test_everything_listens_on_loopback_alone_and_ray_asks_for_a_token(calm: Any, spec: Fields) -> None:
    id_ = calm.client.submit({**spec, "seeds": [13]})
    calm.until(calm.workers)
    addresses = {
        connection.laddr.ip
        for process in calm.processes()
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert addresses <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}
    assert addresses
    assert (calm.home / "ray-token").stat().st_mode & 0o777 == 0o600
    address = json.loads((calm.home / "pool.json").read_text())["address"]
    intruder = {**os.environ, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "token"}
    intruder["RAY_AUTH_TOKEN"] = "0" * 64
    code = f"import ray; ray.init(address={address!r}); print(ray.cluster_resources())"
    answer = subprocess.run([sys.executable, "-c", code], env=intruder, capture_output=True, text=True, timeout=120)
    assert answer.returncode != 0
    assert "token" in answer.stderr.lower()
    finished(calm.client, id_)


def write_sample(root: Path) -> None:
    """The sample's English and German as a folder of data."""
    for language in ("en", "de"):
        folder = root / "ner" / language
        folder.mkdir(parents=True)
        for split in sample.SPLITS:
            lines = map(json.dumps, sample.examples("ner", language, split))
            (folder / f"{split}.jsonl").write_text("\n".join(lines))


def test_hub_data_that_lie_there_already_need_no_hub_and_those_that_do_not_end_in_a_clear_failure(
    tmp_path: Path, start_service: StartService, spec: Fields
) -> None:
    fetched = fetched_data(tmp_path / "home", "xtreme-r")
    write_sample(fetched)
    (fetched / ".comparisons").mkdir()
    for language in ("en", "de"):
        (fetched / ".comparisons" / f"ner-{language}.json").write_text('{"accepted": [], "warnings": []}')
    service = start_service(tmp_path / "home", HF_HUB_OFFLINE="1")
    client = service.client
    wanted = {**spec, "data": "xtreme-r", "target_languages": ["de"], "methods": ["zero-shot", "ord-FS"]}
    assert client.plan(wanted)["trials"] == 2
    id_ = client.submit(wanted)
    done = finished(client, id_)
    assert done["trials"]["succeeded"] == 2
    assert done["cost"]["planned"] > 0  # estimated by the driver, which has planned it
    assert len(service.scores(id_)) == 4

    missing = finished(client, client.submit({**wanted, "target_languages": ["yo"]}), "failed")
    assert "unimelb-nlp/wikiann, yo" in missing["reason"]


def test_data_that_change_after_they_were_accepted_are_not_trained_on(
    tmp_path: Path, start_service: StartService, spec: Fields, longer: Fields
) -> None:
    root = tmp_path / "data" / "mine"
    write_sample(root)
    service = start_service(tmp_path / "home", ALLASPRAK_DATA_ROOT=str(tmp_path / "data"))
    first = service.client.submit(longer)
    mine = {**spec, "data": {"folder": "mine"}, "target_languages": ["de"]}
    second = service.client.submit(mine)
    third = service.client.submit({**mine, "target_languages": "all", "seeds": [2]})
    with (root / "ner/de/train.jsonl").open("a") as file:
        file.write('\n{"tokens": ["neu"], "tags": ["O"]}')
    for id_ in (second, third):
        assert "changed since" in finished(service.client, id_, "failed")["reason"]
    service.client.cancel(first)
    finished(service.client, service.client.submit(mine))


@pytest.mark.slow
def test_data_that_change_while_trials_run_are_not_trained_on_under_their_old_name(
    tmp_path: Path, start_service: StartService, spec: Fields, longer: Fields
) -> None:
    root = tmp_path / "data" / "mine"
    write_sample(root)
    service = start_service(tmp_path / "home", ALLASPRAK_DATA_ROOT=str(tmp_path / "data"))
    client = service.client
    methods = ["zero-shot", "naive-mix-train"]
    mine = {"data": {"folder": "mine"}, "target_languages": ["de"]}
    fields = {**longer, **mine, "methods": methods, "resources": spec["resources"]}
    id_ = client.submit(fields)
    service.until(lambda: client.experiment(id_)["trials"]["running"])
    with (root / "ner/de/train.jsonl").open("a") as file:
        file.write('\n{"tokens": ["neu"], "tags": ["O"]}')
    [failure] = finished(client, id_, "failed")["failures"]
    assert failure["method"] == "naive-mix-train"
    assert "changed since" in failure["reason"]
    assert set(client.results(id_)["method"]) == {"zero-shot"}


def test_a_pool_that_was_being_started_when_its_server_was_killed_is_not_doubled(
    tmp_path: Path, start_service: StartService
) -> None:
    home = tmp_path / "home"
    environment = {**pool.environment(home, embedded=True), "ALLASPRAK_HOME": str(home)}
    begun = processes.start(["service.engine.pool", str(home)], environment, tmp_path / "log")
    deadline = time.monotonic() + 30
    while not (home / "pool-starting.json").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    service = start_service(home)
    time.sleep(1)
    assert len(service.named("service.engine.pool")) == 1
    service.stop()
    assert begun.find() is None


@pytest.mark.slow
def test_a_driver_whose_pool_died_together_with_the_server_is_followed_by_another(
    tmp_path: Path, start_service: StartService, longer: Fields
) -> None:
    service = start_service(tmp_path / "home")
    id_ = service.client.submit({**longer, "methods": ["zero-shot"]})
    [driver] = service.until(lambda: service.named("service.engine.driver"))
    driver.suspend()  # one that is about to join the pool would wait for it without end
    service.process.kill()
    service.process.wait()
    for process in service.named("service.engine.pool") + service.named("gcs_server") + service.named("raylet"):
        process.kill()
    service = start_service(tmp_path / "home")
    finished(service.client, id_)
    assert not driver.is_running()


@pytest.mark.slow
def test_a_pool_that_has_served_many_drivers_is_renewed_once_nothing_runs(
    tmp_path: Path, start_service: StartService, spec: Fields
) -> None:
    changed = "import service.engine.supervisor as supervisor; supervisor.RENEW_DRIVERS = 2"
    service = start_service(tmp_path / "home", changed)
    client, pools = service.client, set[int]()
    for seed in (1, 2, 3):
        client.wait(client.submit({**spec, "methods": ["zero-shot"], "seeds": [seed]}), progress=False)
        pools |= {process.pid for process in service.until(lambda: service.named("service.engine.pool"))}
    assert len(pools) == 2  # the second's driver was the last of the first pool
    assert client.results(split="test")["seed"].nunique() == 3
    assert len(service.named("service.engine.pool")) == 1


def test_a_server_that_stops_while_its_pool_is_renewed_starts_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, begun = pool.Pool("nowhere", 2, 0, 1, processes.this(), tmp_path / "ray"), list[Path]()
    is_ending, may_end = threading.Event(), threading.Event()

    def ensure(home: Path, _: threading.Event) -> pool.Pool:
        begun.append(home)
        return running

    def close(*_: object) -> None:
        if threading.current_thread().name == "supervisor":
            is_ending.set()
            may_end.wait(10)

    monkeypatch.setattr(pool, "ensure", ensure)
    monkeypatch.setattr(pool, "close", close)
    monkeypatch.setattr("service.engine.supervisor.RENEW_DRIVERS", 0)
    monkeypatch.setattr("service.engine.supervisor.LOOK_SECONDS", 0.0)  # a stop does not wait for what it is at
    settings = Settings.from_environment({"ALLASPRAK_HOME": str(tmp_path)})
    store = Store(settings.database_url, leased=True)
    supervisor = Supervisor(settings, store)
    supervisor.start()
    assert is_ending.wait(10)
    supervisor.close()
    may_end.set()
    supervisor.join(10)
    store.close()
    assert begun == [tmp_path]


def test_closing_a_pool_stops_another_that_is_being_started(tmp_path: Path) -> None:
    starting = processes.start(["http.server", "0", "--bind", "127.0.0.1"], os.environ, tmp_path / "log")
    processes.write_down(starting_pool_file(tmp_path), tmp_path, starting)
    dead = processes.ProcessId(2**22 + 1, 1.0)  # no pid is as large
    pool.close(pool.Pool("nowhere", 2, 0, 1, dead, tmp_path / "ray"), tmp_path, patience=0)
    assert starting.find() is None


def test_a_process_is_known_by_a_time_that_no_clock_changes(tmp_path: Path) -> None:
    process = processes.start(["this"], os.environ, tmp_path / "log")
    assert process.created == pytest.approx(time.clock_gettime(time.CLOCK_BOOTTIME), abs=5)
    assert processes.ProcessId(process.pid, process.created + 1).find() is None
    processes.stop(process, patience=5)
    assert process.find() is None


@pytest.mark.slow
def test_a_database_server_that_is_started_anew_is_waited_for(
    tmp_path: Path, start_service: StartService, postgres: str, postgres_server: Any, longer: Fields
) -> None:
    service = start_service(tmp_path / "home", ALLASPRAK_DATABASE_URL=postgres)
    client = service.client
    id_ = client.submit({**longer, "methods": ["zero-shot", "naive-mix-train"], "resources": {}})
    service.until(lambda: client.experiment(id_)["trials"]["running"])
    drivers = [process.pid for process in service.named("service.engine.driver")]
    postgres_server.run("-m", "fast", "stop")
    time.sleep(5)
    assert [process.pid for process in service.named("service.engine.driver")] == drivers
    postgres_server.run("start")
    finished(client, id_)
    assert len(client.results(id_, split="test")) == 6
    trials = client.results(id_)["trial"].unique()
    assert [len(client.trial(trial)["attempts"]) for trial in trials] == [1, 1]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 100 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small disk needs the right to mount one")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.slow
def test_a_full_disk_ends_in_a_clear_state_with_what_was_stored_still_there(
    small_disk: Path, start_service: StartService, spec: Fields
) -> None:
    service = start_service(small_disk / "home")
    client = service.client
    first = client.submit(spec)
    finished(client, first)
    scores = service.scores(first)

    filler = small_disk / "filler"
    free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    filler.write_bytes(b"x" * (free - 20 * 2**20))  # less than the reserve, more than nothing
    other = {**spec, "seeds": [2], "methods": ["zero-shot", "ord-FS"]}
    experiment = finished(client, client.submit(other), "failed")
    assert "the disk is full" in experiment["reason"]
    dependent = [failure["reason"] for failure in experiment["failures"] if failure["method"] == "ord-FS"]
    assert all("source training" in reason for reason in dependent)
    assert dependent

    fill(filler)
    with pytest.raises(ServiceError, match="nothing was stored"):
        submit_until_refused(client, {**spec, "seeds": list(range(1000))})
    pd.testing.assert_series_equal(service.scores(first), scores)

    filler.unlink()
    service.until(lambda: (small_disk / "home" / "reserve").exists(), 10)  # for the next time
    service.stop()
    service = start_service(small_disk / "home")
    pd.testing.assert_series_equal(service.scores(first), scores)


def fill(path: Path) -> None:
    """Let a file take all that is left of its disk."""
    with path.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 2**16):
            pass


def submit_until_refused(client: Client, spec: Fields) -> None:
    """Experiments until the room that the database has in its own files is used up."""
    for _ in range(200):
        client.submit(spec)


def test_a_second_server_on_the_same_home_is_refused(tmp_path: Path, start_service: StartService) -> None:
    service = start_service(tmp_path / "home")
    environment = {**os.environ, "ALLASPRAK_HOME": str(service.home)}
    command = [sys.executable, "-m", "service.cli", "serve", "--port", "0"]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert answer.returncode == 1
    assert f"uses {service.home}" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert service.client.is_up()


@pytest.mark.service
def test_another_address_than_loopback_needs_a_token(tmp_path: Path) -> None:
    environment = {**os.environ, "ALLASPRAK_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "service.cli", "serve", "--host", "0.0.0.0"]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert answer.returncode == 1
    assert "ALLASPRAK_TOKEN" in answer.stderr
    assert "Traceback" not in answer.stderr
    environment |= {"ALLASPRAK_TOKEN": "s3cret", "ALLASPRAK_TOKEN_FILE": str(tmp_path / "token")}
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert answer.returncode == 1
    assert answer.stderr == "allasprak: ALLASPRAK_TOKEN and ALLASPRAK_TOKEN_FILE are both set; allowed: one of them\n"


@pytest.mark.service
def test_a_port_that_is_taken_is_found_before_anything_is_started(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        command = [sys.executable, "-m", "service.cli", "serve", "--port", str(taken.getsockname()[1])]
        environment = {**os.environ, "ALLASPRAK_HOME": str(home)}
        answer = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert answer.returncode == 1
    assert answer.stderr == f"allasprak: --host 127.0.0.1 --port {command[-1]}: Address already in use\n"
    assert not home.exists()  # nothing was begun


def test_the_command_line_submits_and_shows_results(tmp_path: Path, start_service: StartService, spec: Fields) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    service = start_service(tmp_path / "home", ALLASPRAK_TOKEN_FILE=str(token))
    environment = {**os.environ, "ALLASPRAK_TOKEN": "s3cret"}

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "service.cli", *arguments, "--url", service.url]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    file = tmp_path / "spec.json"
    file.write_text(json.dumps({**spec, "methods": ["zero-shot"]}))
    assert json.loads(run("plan", str(file)).stdout)["trials"] == 1
    assert json.loads(run("plan", str(file), "--preset", "sample").stdout)["trials"] == 1
    assert json.loads(run("plan", "--preset", "sample").stdout)["trials"] > 1
    environment = {**os.environ, "ALLASPRAK_TOKEN_FILE": str(token)}
    assert "give a file, --preset or both" in run("plan").stderr
    id_ = run("submit", str(file)).stdout.strip()
    finished(Client(service.url, "s3cret"), id_)
    shown = run("results", id_).stdout
    assert "zero-shot" in shown
    assert "sample corpus (artificial" in shown
    assert run("results", id_, "--csv").stdout.startswith("experiment,trial,method")
    file.write_text(json.dumps({**spec, "methods": ["gradient-mix-train"], "training": {"epochs": 1000}}))
    under_way = run("submit", str(file)).stdout.strip()
    service.until(lambda: len(Client(service.url, "s3cret").results(under_way)))  # a dev score of a trial that trains
    assert "no test scores yet: it is running" in run("results", under_way).stdout
    file.write_text("[1, 2]")
    assert "is no JSON object" in run("submit", str(file)).stderr
    file.write_text(json.dumps({**spec, "k": [0], "task": "parsing"}))
    refused = run("submit", str(file))
    assert refused.returncode == 1
    assert "k: " in refused.stderr
    assert "task: " in refused.stderr
    assert "Traceback" not in refused.stderr
    with pytest.raises(ServiceError, match="token"):
        Client(service.url, "wrong").experiments()
    service.process.send_signal(signal.SIGINT)
    service.process.wait(30)
    gone = run("results", id_)
    assert gone.returncode == 1
    with pytest.raises(ConnectionError, match="no service answers"):
        next(Client(service.url, "s3cret").events(id_, patience=0))
    assert "Traceback" not in gone.stderr
