"""What is told while an experiment runs: its events as a stream, its log, the service's metrics and its own log."""

import contextlib
import itertools
import json
import os
import re
import signal
import subprocess
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import httpx2
import pytest
import transformers

from service.client import ServiceError
from service.store import Store
from trainers.artifacts.layout import downloads_folder
from trainers.child_process import python
from trainers.data import sample
from trainers.trial import Split

Fields = dict[str, Any]
Event = tuple[int, str, Fields]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, start_services: Callable[..., Any]) -> Any:
    return start_services(tmp_path_factory.mktemp("live") / "home")


def events(service: Any, id_: str, last: int | None = None) -> Iterator[Event]:
    """The events of a stream, as a browser reads them: number, kind, data."""
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    with httpx2.stream("GET", f"{service.url}/v1/experiments/{id_}/events", headers=headers, timeout=60) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        fields: dict[str, str] = {}
        for line in answer.iter_lines():
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif fields:
                yield int(fields["id"]), fields["event"], json.loads(fields["data"])
                fields = {}


def test_a_stream_tells_all_that_happens_once_and_goes_on_where_it_ended(service: Any, spec: Fields) -> None:
    client = service.client
    id_ = client.submit({**spec, "methods": ["zero-shot", "ord-FS"]})
    first = list(itertools.islice(events(service, id_), 4))  # and the connection is lost
    rest = list(events(service, id_, last=first[-1][0]))  # to the end
    found = first + rest
    assert [number for number, _, _ in found] == list(range(1, len(found) + 1))
    states = [data["state"] for _, kind, data in found if kind == "experiment"]
    assert states[0] == "queued"
    assert states[-2:] == ["running", "succeeded"]
    [source] = client.results(id_, method="zero-shot")["trial"].unique()
    of_source = [data for _, kind, data in found if kind == "trial" and data["trial"] == source]
    assert [(data["state"], data.get("epoch")) for data in of_source] == [
        ("running", 0), ("running", 1), ("running", 2), ("succeeded", None),
    ]  # fmt: skip
    kept = client.trial(source)["saved"]
    assert (kept["models"], kept["checkpoint"]) == (["source-dev"], None)
    assert kept["predictions"] > 0
    dev = client.results(id_, method="zero-shot", split="dev")
    told = [score["value"] for data in of_source for score in data.get("scores", [])]
    assert told == list(dev["value"])

    over = httpx2.get(f"{service.url}/v1/experiments/{id_}/events", headers={"Last-Event-ID": str(found[-1][0])})
    assert over.status_code == 204  # a browser does not connect again
    assert [data["number"] for data in client.events(id_)] == [number for number, _, _ in found]
    with pytest.raises(ServiceError, match="there is no experiment"):
        list(client.events("0123456789ab"))
    wrong = httpx2.get(f"{service.url}/v1/experiments/{id_}/events", headers={"Last-Event-ID": "x"})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "last-event-id")


def test_the_end_of_a_stream_is_no_error_of_the_server(service: Any, spec: Fields) -> None:
    client = service.client
    id_ = client.submit({**spec, "seeds": [40], "methods": ["zero-shot"]})
    client.wait(id_, progress=False)
    events = list(client.events(id_))
    assert list(client.events(id_, after=events[-1]["number"])) == []
    lines = [json.loads(line) for line in service.log.read_text().splitlines()]
    assert [line for line in lines if line["levelname"] == "ERROR"] == []


def test_a_trial_s_log_says_what_it_did_and_why_it_failed(service: Any, spec: Fields) -> None:
    client = service.client
    wanted = {**spec, "seeds": [41], "methods": ["zero-shot"]}
    id_ = client.submit(wanted)
    client.wait(id_, progress=False)
    [trial] = client.results(id_)["trial"].unique()
    said = client.log(trial)
    assert "epoch 2, step" in said
    assert "succeeded" in said.splitlines()[-1]
    assert client.log(trial, lines=1).count("\n") == 1
    client.delete(id_)
    with pytest.raises(ServiceError, match="there is no trial"):
        client.log(trial)
    (service.home / "predictions" / trial).write_text("in the way")
    id_ = client.submit(wanted)
    assert client.wait(id_, progress=False)["state"] == "failed"
    assert "Traceback" in client.log(trial)
    assert "starting on" in client.log(trial)
    assert [attempt["state"] for attempt in client.trial(trial)["attempts"]] == ["failed"]
    driver = httpx2.get(f"{service.url}/v1/experiments/{id_}/log")
    assert (driver.status_code, driver.headers["content-type"]) == (200, "text/plain; charset=utf-8")


def test_metrics_say_what_runs_and_how_long_the_store_takes(service: Any, longer: Fields) -> None:
    def metrics() -> dict[str, float]:
        text = httpx2.get(f"{service.url}/metrics").text
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if line[0] != "#"}

    client = service.client
    before = metrics()
    id_ = client.submit({**longer, "seeds": [42], "methods": ["zero-shot", "naive-mix-train"]})
    running = service.until(lambda: (now := metrics())["allasprak_steps_per_second"] and now)
    assert running['allasprak_experiments{state="running"}'] == 1
    assert running['allasprak_trials{state="running"}'] == running['allasprak_pool_used{resource="cpus"}'] >= 1
    assert running['allasprak_pool_size{resource="cpus"}'] >= 1
    client.wait(id_, progress=False)
    service.until(lambda: metrics()['allasprak_pool_used{resource="cpus"}'] == 0)
    after = metrics()
    name = 'allasprak_attempts{state="succeeded"}'
    assert after[name] == before.get(name, 0) + 2
    assert after['allasprak_store_seconds_count{what="read"}'] > before['allasprak_store_seconds_count{what="read"}']


def test_the_server_s_own_log_is_a_json_object_a_line(service: Any) -> None:
    service.client.experiments()
    lines = [json.loads(line) for line in service.log.read_text().splitlines()]
    assert {"asctime", "levelname", "name", "message"} <= set(lines[-1])
    assert any("GET /v1/experiments" in line["message"] for line in lines)


def test_events_of_simultaneous_writers_are_numbered_without_a_gap(store: Store, spec: Fields) -> None:
    from search_spaces.spec import ExperimentSpec

    id_ = store.experiments.add(ExperimentSpec.model_validate(spec), None)
    seen: list[int] = []

    def follow() -> None:
        while len(seen) < 81:
            seen.extend(event.number for event in store.events.after(id_, seen[-1] if seen else 0))

    def write(writer: int) -> None:
        for number in range(10):
            store.control.note(id_, f"{writer}.{number}")

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(8)]
    follower = threading.Thread(target=follow)
    for thread in [follower, *threads]:
        thread.start()
    for thread in threads:
        thread.join()
    follower.join(30)
    assert seen == list(range(1, 82))


def test_following_shows_what_runs_and_ends_with_the_experiment(
    service: Any, spec: Fields, capsys: pytest.CaptureFixture[str]
) -> None:
    client = service.client
    id_ = client.submit({**spec, "methods": ["zero-shot", "naive-mix-train"], "seeds": [71]})
    assert client.follow(id_)["state"] == "succeeded"
    shown = capsys.readouterr().err.splitlines()
    assert "naive-mix-train K=5 seed 71: succeeded" in shown
    assert shown[-1] == f"{id_}: 2 of 2 trials, succeeded"


@pytest.fixture
def command(service: Any) -> Callable[..., Any]:
    """Starts the command line in a process of its own; `out` is where it prints."""

    def start(*words: str, out: Any = subprocess.PIPE) -> "subprocess.Popen[bytes]":
        settings = {"ALLASPRAK_URL": service.url, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"}
        environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
        command = python("service.commands", *words)
        return subprocess.Popen(command, env=environment | settings, stdout=out, stderr=subprocess.PIPE)

    return start


def ended(process: "subprocess.Popen[bytes]") -> tuple[int, str, str]:
    """The exit code of a command, and what it has printed."""
    out, err = process.communicate(timeout=180)
    return process.returncode, (out or b"").decode(), err.decode()


def read_to_end(terminal: int) -> str:
    """All that is written to a terminal, until its writer has closed it."""
    found = b""
    with contextlib.suppress(OSError):  # the end
        while more := os.read(terminal, 65536):
            found += more
    return found.decode()


def test_the_command_line_follows_waits_and_shows_what_has_come_of_it(
    service: Any, command: Callable[..., Any], longer: Fields
) -> None:
    client = service.client
    wanted = {**longer, "methods": ["zero-shot", "naive-mix-train"], "seeds": [73, 74], "name": "[bold]three[/bold]"}
    id_ = client.submit(wanted)
    ours, theirs = os.openpty()
    waiting, interrupted = command("wait", id_, "--json"), command("follow", id_)
    following = command("follow", id_[:9], out=theirs)
    os.close(theirs)
    seen = read_to_end(ours)
    assert ended(following) == (0, "", "")
    assert "naive-mix-train K=5 seed 73" in seen
    assert re.search(r"[1-9]\d?/12 epochs +.{0,40}en f1 \d", seen), seen[-2000:]
    assert "4 of 4 trials" in seen
    assert seen.rstrip().endswith("\x1b[?25h")
    code, out, err = ended(waiting)
    assert (code, err, json.loads(out)["state"]) == (0, "", "succeeded")
    code, out, err = ended(interrupted)
    assert (code, err, out.splitlines()[-1]) == (0, "", f"{id_}: 4 of 4 trials, succeeded")
    code, out, err = ended(command("show", id_))
    assert (code, err) == (0, "")
    assert "[bold]three[/bold]" in out
    mean = client.summary(["method"], experiment=id_).set_index("method").loc["naive-mix-train"]
    assert re.search(rf"naive-mix-train +5 +{mean['mean']:.1f} ± {mean['sd']:.1f} +2", out)
    [trial, *_] = client.results(id_)["trial"].unique()
    code, out, err = ended(command("log", trial, "--follow"))
    assert (code, err) == (0, "")
    assert out == client.log(trial)


def test_ctrl_c_and_a_closed_pipe_end_commands_silently_and_the_experiment_goes_on(
    service: Any, command: Callable[..., Any], longer: Fields
) -> None:
    client = service.client
    id_ = client.submit({**longer, "methods": ["zero-shot"], "seeds": [75]})
    client.pause(id_)
    watching = [command(name, id_) for name in ("follow", "wait")] + [command("follow", id_, "--json")]
    assert watching[0].stdout.readline()
    assert watching[2].stdout.readline()
    time.sleep(1)
    for process in watching[:2]:
        process.send_signal(signal.SIGINT)
        code, _, err = ended(process)
        assert (code, err) == (130, "")
    watching[2].stdout.close()
    watching[2].stdout = None
    client.cancel(id_)
    assert ended(watching[2]) == (0, "", "")
    assert ended(command("wait", id_))[0] == 3


@pytest.mark.slow
def test_a_kept_model_is_downloaded_and_loads_and_one_that_was_not_kept_is_said(
    service: Any, spec: Fields, tmp_path: Path
) -> None:
    client = service.client
    id_ = client.submit({**spec, "methods": ["zero-shot", "ord-FS"], "seeds": [72]})
    assert client.wait(id_, progress=False)["state"] == "succeeded"
    by_method = client.results(id_, language="de", split="test").groupby("method")["trial"].first()
    folder = client.model(by_method["zero-shot"], tmp_path)
    model = transformers.AutoModelForTokenClassification.from_pretrained(folder)
    assert model.config.id2label[0]
    assert not list(downloads_folder(service.home).glob("*"))
    with pytest.raises(ServiceError, match='"keep": "all" keeps every one'):
        client.model(by_method["ord-FS"], tmp_path)
    assert not list(downloads_folder(service.home).glob("*"))


def test_a_dataset_is_added_from_a_notebook(service: Any, spec: Fields, tmp_path: Path) -> None:
    client = service.client
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        for language in ("en", "de"):
            for split in get_args(Split):
                lines = "\n".join(map(json.dumps, sample.examples("ner", language, split)))
                archive.writestr(f"ner/{language}/{split}.jsonl", lines)
        archive.writestr("ner/zzz/test.jsonl", lines)
    with pytest.warns(UserWarning, match="'zzz' is no language code that is known"):
        assert client.add_dataset("mine", tmp_path / "mine.zip")["kind"] == "zip"
    assert client.datasets()["name"].tolist() == ["sample", "xtreme-r", "mine"]
    mine = {"data": {"dataset": "mine"}, "target_languages": ["de"], "methods": ["zero-shot"]}
    id_ = client.submit({**spec, **mine})
    assert client.wait(id_, progress=False)["state"] == "succeeded"
    assert set(client.results(id_)["language"]) == {"en", "de"}
    with pytest.raises(ServiceError, match="there is a dataset 'mine'"):
        client.add_dataset("mine", tmp_path / "mine.zip")
