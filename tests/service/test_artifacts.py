"""Artifacts on S3: they are shown, counted, cleared and removed there; and a loss of the connection is outlived."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from starlette.testclient import TestClient

from queried import filled
from s3_server import S3Server
from search_spaces.environment import Environment
from service.cli import main
from service.engine.recorder import Recorder
from service.serving import check_artifacts
from service.settings import Settings
from service.store import Store
from trainers.artifacts import layout, predictions
from trainers.artifacts.folder_place import FolderPlace
from trainers.artifacts.place import Place, PlaceLostError
from trainers.artifacts.places import place_of

Fields = dict[str, Any]
StartService = Callable[..., Any]


@pytest.fixture
def settings(tmp_path: Path, s3_url: str, sqlite_tables: Path) -> Settings:
    """Those of a home with an empty database, and a place on S3."""
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(sqlite_tables, layout.database_file(home))
    return Settings.from_environment({"ALLASPRAK_HOME": str(home), "ALLASPRAK_ARTIFACTS": s3_url})


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    """Its store."""
    store = Store(settings.database_url)
    yield store
    store.close()


@pytest.fixture
def client(client_over: Callable[..., TestClient], settings: Settings, store: Store) -> TestClient:
    """A client of the interface over both."""
    return client_over(store, Environment(settings.home, None, None, None, artifacts=settings.artifacts))


@pytest.fixture
def command(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[Any, str, str]]:
    """Runs a command; returns its exit code, and what it said on standard output and standard error."""

    def run(*arguments: object) -> tuple[Any, str, str]:
        monkeypatch.setenv("ALLASPRAK_HOME", str(settings.home))
        monkeypatch.setenv("ALLASPRAK_ARTIFACTS", str(settings.artifacts))
        monkeypatch.setattr(sys, "argv", ["allasprak", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    return run


def write(place: Place, digest: str) -> None:
    """A model under two names, a checkpoint, two predictions and a log of a trial."""
    model = [layout.model_of(place.home, digest, selection) for selection in ("source-dev", "last")]
    for names in (model, [layout.checkpoints_of(place.home, digest)]):
        with place.writing(*names, size=0) as folder:
            (folder / "tensors.safetensors").write_bytes(bytes(1000))
    for language in ("de", "en"):
        path = layout.predictions_file(place.home, digest, step=2, language=language, split="test", data="test")
        predictions.write(place, path, "xnli", [0, 1], ["neutral"] * 2, ["neutral", "entailment"])
    log = layout.log_of(place.home, digest)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("it began")


@pytest.fixture
def trials(settings: Settings, store: Store) -> list[str]:
    """The trials of an experiment that ended forty days ago, each with files of all kinds."""
    id_ = filled(store, range(1, 2))
    with sqlite3.connect(layout.database_file(settings.home)) as connection:
        connection.execute(
            "UPDATE experiments SET state = 'succeeded', finished = ?, planned = 1", (time.time() - 40 * 86400,)
        )
        connection.execute("UPDATE selections SET kept = 1")
    digests = list(store.keeping.trials_of(id_))
    for digest in digests:
        write(place_of(settings), digest)
    return digests


def experiment_of(store: Store, trial: str) -> str:
    found = store.trials.one(trial)
    assert found is not None
    return str(found["experiments"][0]["id"])


def test_what_is_saved_of_a_trial_and_its_predictions_are_answered_from_there(
    client: TestClient, settings: Settings, trials: list[str]
) -> None:
    saved = client.get(f"/v1/trials/{trials[0]}").json()["saved"]
    assert (saved["models"], saved["predictions"]) == (["last", "source-dev"], 2)
    assert saved["checkpoint"] is not None
    answer = client.get(f"/v1/trials/{trials[0]}/predictions?language=de")
    assert answer.headers["content-type"] == "application/vnd.apache.arrow.file"
    assert 'filename="de.test.test.2.arrow"' in answer.headers["content-disposition"]
    path = settings.home / "downloaded"
    path.write_bytes(answer.content)
    assert predictions.read(FolderPlace(settings.home), path)[1]["prediction"] == ["neutral", "entailment"]
    assert client.get(f"/v1/trials/{trials[0]}/predictions?language=zh-Hant").status_code == 404
    assert {path.name for path in settings.home.iterdir()} & {"models", "predictions", "checkpoints"} == set()


def test_an_experiment_shows_what_its_files_take(
    client: TestClient, store: Store, trials: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.api.disk.WAIT_SECONDS", 20.0)
    disk = client.get(f"/v1/experiments/{experiment_of(store, trials[0])}").json()["disk"]
    assert disk["logs"] == 8 * len(trials)
    assert 1000 * len(trials) < disk["checkpoints"] < 1400 * len(trials)
    assert 2000 * len(trials) < disk["models"] < 2800 * len(trials)  # two names: two copies
    assert disk["bytes"] == sum(disk[kind] for kind in layout.OF_TRIAL)


def test_what_is_old_is_cleared_there_and_nothing_else(
    client: TestClient,
    settings: Settings,
    store: Store,
    trials: list[str],
    command: Callable[..., Any],
    s3_server: S3Server,
) -> None:
    url = str(settings.artifacts)
    before = s3_server.keys(url)
    write(place_of(settings), "0" * 20)  # of no trial; younger than a day
    code, said, _ = command("prune", "--dry-run", "--older-than", "0s")
    assert code == 0
    assert f"{url}/models/{trials[0]}" in said
    assert "0" * 20 not in said
    assert s3_server.keys(url).keys() >= before.keys()
    code, said, _ = command("prune", "models", "logs", "--older-than", "0s")
    assert (code, f"removed {len(trials)} of models" in said) == (0, True)
    left = s3_server.keys(url)
    assert set(left) == {key for key in before if not key.startswith("models/")} | {
        key for key in left if "0" * 20 in key
    }
    assert not layout.log_of(settings.home, trials[0]).exists()
    assert client.get(f"/v1/trials/{trials[0]}").json()["saved"]["models"] == []
    with sqlite3.connect(layout.database_file(settings.home)) as connection:
        assert connection.execute("SELECT sum(kept) FROM selections").fetchone() == (0,)  # whoever wants one trains it
    code, _, error = command("export", trials[0], settings.home / "model")
    assert (code, "pruned on 20" in error) == (1, True)


def test_deleting_an_experiment_removes_its_files_there(
    client: TestClient, settings: Settings, store: Store, trials: list[str], s3_server: S3Server
) -> None:
    write(place_of(settings), "0" * 20)
    assert client.delete(f"/v1/experiments/{experiment_of(store, trials[0])}").status_code == 204
    assert {key.split("/")[1] for key in s3_server.keys(str(settings.artifacts))} == {"0" * 20}


def test_while_the_store_is_gone_what_needs_it_is_refused_for_a_while_and_all_else_is_answered(
    client: TestClient,
    settings: Settings,
    store: Store,
    trials: list[str],
    command: Callable[..., Any],
    s3_server: S3Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    id_ = experiment_of(store, trials[0])
    url = str(settings.artifacts)
    before = s3_server.keys(url)
    with s3_server.lost():
        answer = client.get(f"/v1/trials/{trials[0]}")
        assert (answer.status_code, int(answer.headers["retry-after"]) > 0) == (503, True)
        assert "does not answer" in answer.json()["detail"]
        assert client.get(f"/v1/trials/{trials[0]}/log").text == "it began\n"
        assert client.get(f"/v1/experiments/{id_}").status_code == 200
        assert client.delete(f"/v1/experiments/{id_}").status_code == 204
    assert s3_server.keys(url) == before
    monkeypatch.setattr("service.keeping.LEFTOVER_SECONDS", 0.0)
    filled(store, range(7, 8))  # a database with no experiment at all is taken for that of another home
    code, said, _ = command("prune", "leftovers", "--older-than", "0s")
    assert code == 0, said
    assert s3_server.keys(url) == {}


def test_a_backup_says_where_models_and_predictions_are(
    settings: Settings, trials: list[str], command: Callable[..., Any], tmp_path: Path
) -> None:
    code, said, _ = command("backup", tmp_path / "backup.tar")
    assert code == 0
    assert said.endswith(f"models and predictions are not in it: they lie at {settings.artifacts}\n")
    with tarfile.open(tmp_path / "backup.tar") as archive:
        assert archive.getnames() == ["allasprak.sqlite"]
        archive.extractall(tmp_path / "restored", filter="data")
    with sqlite3.connect(tmp_path / "restored" / "allasprak.sqlite") as connection:
        assert connection.execute("SELECT min(kept) FROM selections").fetchone() == (1,)  # where they were
    code, _, error = command("backup", tmp_path / "other.tar", "--models")
    assert (code, error) == (1, f"allasprak: --models: they lie at {settings.artifacts}, and are backed up there\n")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (
            "s3://no-such-bucket/a",
            r"^ALLASPRAK_ARTIFACTS is 's3://no-such-bucket/a', which cannot be used: .*[Bb]ucket",
        ),
        (
            "file:///proc/nowhere",
            r"^ALLASPRAK_ARTIFACTS is 'file:///proc/nowhere', which cannot be used: .*/proc/nowhere",
        ),
    ],
    ids=["no bucket", "no folder"],
)
def test_a_place_that_cannot_be_used_is_named_with_what_was_answered(
    tmp_path: Path, s3_server: S3Server, url: str, says: str
) -> None:
    settings = Settings.from_environment({"ALLASPRAK_HOME": str(tmp_path), "ALLASPRAK_ARTIFACTS": url})
    with pytest.raises(ValueError, match=says):
        check_artifacts(settings)


def test_a_url_that_names_no_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^ALLASPRAK_ARTIFACTS is 'http://x/y'; allowed: s3://bucket/prefix, "):
        Settings.from_environment({"ALLASPRAK_ARTIFACTS": "http://x/y"})


@pytest.mark.service
def test_a_server_does_not_start_with_a_place_that_it_cannot_use(tmp_path: Path, s3_server: S3Server) -> None:
    home = tmp_path / "home"
    environment = {**os.environ, "ALLASPRAK_HOME": str(home), "ALLASPRAK_ARTIFACTS": "s3://no-such-bucket"}
    command = [sys.executable, "-m", "service.cli", "serve", "--port", "0"]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert (answer.returncode, answer.stderr.count("\n")) == (1, 1)
    assert answer.stderr.startswith("allasprak: ALLASPRAK_ARTIFACTS is 's3://no-such-bucket', which cannot be used: ")
    assert not list(home.iterdir())  # nothing was begun


def test_checkpoints_that_could_not_be_removed_are_removed_with_the_next(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, s3_server: S3Server
) -> None:
    trials: Any = SimpleNamespace(trials=SimpleNamespace(stopped=lambda *_: True))
    queue: Any = SimpleNamespace(ended=lambda _: None)
    recorder = Recorder(store=trials, experiment="e", home=settings.home, queue=queue, artifacts=settings.artifacts)
    for digest in ("first", "second", "third"):
        write(place_of(settings), digest)

    def lost(*_: object) -> None:
        raise PlaceLostError("gone")

    with monkeypatch.context() as patched:
        patched.setattr("trainers.artifacts.url_place.UrlPlace.remove", lost)
        recorder.stopped("first", "by the scheduler")
    recorder.stopped("second", "by the scheduler")
    keys = s3_server.keys(f"{settings.artifacts}/checkpoints")
    assert {key.partition("/")[0] for key in keys} == {"third"}


# The whole service


@pytest.mark.parametrize("seconds", [3.0, pytest.param(60.0, marks=pytest.mark.slow)])
def test_an_experiment_outlives_a_lost_connection_and_a_killed_trial_and_its_models_are_used_later(
    tmp_path: Path, start_service: StartService, longer: Fields, s3_server: S3Server, s3_url: str, seconds: float
) -> None:
    settings = {"ALLASPRAK_ARTIFACTS": s3_url, "ALLASPRAK_CHECKPOINT_SECONDS": "1"}
    service = start_service(tmp_path / "home", **settings)
    client = service.client
    wanted = {**longer, "methods": ["zero-shot", "naive-mix-train"], "keep": "all"}
    id_ = client.submit(wanted)
    service.until(lambda: any("/manifest.json" in key for key in s3_server.keys(f"{s3_url}/checkpoints")))
    for worker in service.workers():
        worker.kill()
    killed = client.experiment(id_)["progress"]
    service.until(lambda: service.workers() and client.experiment(id_)["progress"] > killed)
    with s3_server.lost():  # no trial can end now: its predictions and its model are yet to be written
        time.sleep(seconds)
        assert client.experiment(id_)["state"] == "running"
    experiment = client.wait(id_, progress=False)
    assert experiment["state"] == "succeeded", experiment["reason"]
    trials = client.results(id_)["trial"].unique()
    attempts = [one for trial in trials for one in client.trial(trial)["attempts"]]
    assert any(one["state"] == "died" for one in attempts)
    assert not s3_server.keys(f"{s3_url}/checkpoints")
    assert not [path for name in ("models", "checkpoints", "predictions") for path in service.home.glob(f"{name}/*")]

    undisturbed = start_service(tmp_path / "undisturbed")
    again = undisturbed.client.submit(wanted)
    undisturbed.client.wait(again, progress=False)
    scores = service.scores(id_)
    pd.testing.assert_series_equal(scores, undisturbed.scores(again))

    [zero_shot] = client.results(id_, method="zero-shot", language="de", split="test")["trial"].unique()
    wider = client.submit({**wanted, "methods": ["zero-shot"], "target_languages": ["sw"]})
    assert client.wait(wider, progress=False)["state"] == "succeeded"
    facts = client.trial(zero_shot)["facts"]
    assert facts["work"]["training"]["steps"] == 0  # scored from the model that was kept
    assert service.scores(wider)["zero-shot", 0, 1, "en"] == scores["zero-shot", 0, 1, "en"]

    predicted = client.predictions(zero_shot, "de")
    assert predicted.equals(undisturbed.client.predictions(zero_shot, "de"))
    gains = {"method": "naive-mix-train"}, {"method": "zero-shot"}
    assert client.compare(*gains, experiment=id_, unit="items").equals(
        undisturbed.client.compare(*gains, experiment=again, unit="items")
    )
    folders = [one.model(zero_shot, tmp_path / name) for one, name in ((client, "a"), (undisturbed.client, "b"))]
    weights = [(folder / "model.safetensors").read_bytes() for folder in folders]
    assert weights[0] == weights[1]
    assert json.loads((folders[0] / "config.json").read_text()) == json.loads((folders[1] / "config.json").read_text())
    for one in (wider, id_):
        client.delete(one)
    assert s3_server.keys(s3_url) == {}
