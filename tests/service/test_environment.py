"""What the environment may be like: homes with odd names, locales, proxies, a reader that goes away."""

import io
import json
import logging
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import select

from service import cli, commands, serving
from service.client import Client
from service.commands import CONTROL
from service.settings import Settings
from service.store import Store, arrow
from service.store.schema import clock
from trainers.artifacts.layout import database_file, downloads_folder
from trainers.child_process import python
from trainers.proxies import spare_loopback

ODD = "h?o%m#e ñ%41+&=;"


class Echo(BaseHTTPRequestHandler):
    """Answers every POST with its body."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    """A service whose plans are their specs."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_home_may_have_any_name(tmp_path: Path) -> None:
    settings = Settings.from_environment({"ALLASPRAK_HOME": str(tmp_path / ODD)})
    settings.home.mkdir()
    store = Store(settings.database_url)
    [batch] = arrow.batches(settings.database_url, select(clock.c.now), {"now": int})
    assert batch.to_pylist() == [{"now": 0}]
    store.close()
    assert {path.name.partition("-")[0] for path in settings.home.iterdir()} == {"allasprak.sqlite"}


@pytest.mark.service
def test_under_an_ascii_locale_specs_are_utf_8_with_a_mark_or_without_and_so_is_what_is_printed(
    tmp_path: Path, url: str
) -> None:
    ascii_ = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    file = tmp_path / "spec.json"
    file.write_text('{"name": "ñ 中文"}', encoding="utf-8-sig")
    command = [sys.executable, "-P", "-m", "service.cli", "plan", str(file), "--url", url]
    done = subprocess.run(command, env=ascii_, capture_output=True)
    assert (done.returncode, done.stderr.decode()) == (0, "")
    assert json.loads(done.stdout) == {"name": "ñ 中文"}
    missing = subprocess.run([*command[:5], "nichts-ñ.json"], env=ascii_, capture_output=True)
    assert missing.stderr.decode() == "allasprak: FILE: there is no 'nichts-ñ.json'\n"


@pytest.mark.service
def test_a_reader_that_goes_away_is_no_error(tmp_path: Path, url: str) -> None:
    file = tmp_path / "spec.json"
    file.write_text(json.dumps({"name": ["x" * 1000] * 1000}), encoding="utf-8")
    command = python("service.cli", "plan", str(file), "--url", url)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


COMMANDS: dict[str, list[str]] = {
    "help": ["--help"], "help of one": ["results", "--help"], "plan": ["plan", "SPEC"], "submit": ["submit", "SPEC"],
    **{name: [name, "1"] for name in CONTROL}, "rows": ["results", "1", "--csv"], "table": ["results", "1"],
    "list": ["list"], "answer": ["list", "--json"], "one": ["show", "1"], "followed": ["follow", "1"],
    "events": ["follow", "1", "--json"], "waited": ["wait", "1"], "log": ["log", "1"],
    "gain": ["compare", "1", "a", "b"], "dataset": ["add-dataset", "mine", "FOLDER"], "version": ["--version"],
    "backup": ["backup", "FILE"], "prune": ["prune", "--dry-run", "--older-than", "0h"],
    "convert": ["convert", "FOLDER"], "help of tokens": ["token", "add", "--help"],
}  # fmt: skip


TRIALS = dict.fromkeys(("total", "succeeded", "stopped", "failed", "cancelled", "running", "queued", "reused"), 0)
ONE: dict[str, Any] = {
    "id": "1", "name": "", "owner": "", "tags": [], "priority": 0, "state": "succeeded", "reason": "", "progress": 1.0,
    "created": "2026-11-28T09:30:00+00:00", "started": None, "finished": None, "trials": TRIALS, "left_out": [],
    "cost": dict.fromkeys(("planned", "spent", "left", "error", "eta")), "differs": [], "failures": [], "numerics": 5,
    "spec": {}, "data_title": "", "disk": None,
}  # fmt: skip
GAIN = {"gain": 1.0, "low": 0.5, "high": 1.5, "p": 0.01, "seeds": 3}
PAGES: dict[str, Any] = {
    "/v1/experiments": {"experiments": [ONE], "next": None},
    "/v1/results/summary": {"summary": []},
    "/v1/results/compare": {
        "unit": "seeds", "overall": GAIN, "languages": [{"language": "de", "p_holm": 0.01, **GAIN}], "differs": {},
        "left_out": [], "missing": 0, "one_label": 0, "surgery_overflow": 0,
    },
}  # fmt: skip


TRIALS = dict.fromkeys(("total", "succeeded", "stopped", "failed", "cancelled", "running", "queued", "reused"), 0)
ONE: dict[str, Any] = {
    "id": "1", "name": "", "owner": "", "tags": [], "priority": 0, "state": "succeeded", "reason": "", "progress": 1.0,
    "created": "2026-11-28T09:30:00+00:00", "started": None, "finished": None, "trials": TRIALS, "left_out": [],
    "cost": dict.fromkeys(("planned", "spent", "left", "error", "eta")), "differs": [], "failures": [], "numerics": 5,
    "spec": {}, "data_title": "", "disk": None,
}  # fmt: skip
GAIN = {"gain": 1.0, "low": 0.5, "high": 1.5, "p": 0.01, "seeds": 3}
PAGES: dict[str, Any] = {
    "/v1/experiments": {"experiments": [ONE], "next": None},
    "/v1/results/summary": {"summary": []},
    "/v1/results/compare": {
        "unit": "seeds", "overall": GAIN, "languages": [{"language": "de", "p_holm": 0.01, **GAIN}], "differs": {},
        "left_out": [], "missing": 0, "one_label": 0, "surgery_overflow": 0,
    },
}  # fmt: skip


class Answers:
    """A client of a service with one experiment."""

    def __init__(self, _: str) -> None:
        pass

    def get(self, path: str, **_: Any) -> dict[str, Any]:
        return dict(PAGES[path])

    def __getattr__(self, name: str) -> Callable[..., Any]:
        answers = {
            "submit": "1", "results": pd.DataFrame({"k": [1]}), "delete": None, "driver_log": "a line",
            "events": [{"event": "experiment", "state": "succeeded"}], "add_dataset": {"name": "mine", "tasks": {}},
        }  # fmt: skip
        return lambda *_, **__: answers.get(name, ONE)


@pytest.fixture
def run(tmp_path: Path, sqlite_tables: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Any, Any], int]:
    """Runs a command in this process with certain streams, as Python does until its end."""
    home, folder = tmp_path / "home", tmp_path / "folder"
    home.mkdir()
    folder.mkdir()
    shutil.copy(sqlite_tables, database_file(home))
    (downloads_folder(home) / "left").mkdir(parents=True)
    os.utime(downloads_folder(home) / "left", (0, 0))
    (tmp_path / "spec.json").write_text("{}")
    monkeypatch.setenv("ALLASPRAK_HOME", str(home))
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr("service.arguments.Client", Answers)
    monkeypatch.setattr(commands, "print_table", lambda *_: print("a table"))
    monkeypatch.setattr("trainers.encoders.pickles.convert", lambda *_: [folder])
    places = {"SPEC": tmp_path / "spec.json", "FILE": tmp_path / "backup.tar", "FOLDER": folder}

    def run(name: str, out: Any, err: Any) -> int:
        words = COMMANDS.get(name, [name])
        monkeypatch.setattr(sys, "argv", ["allasprak", *(str(places.get(word, word)) for word in words)])
        with monkeypatch.context() as streams:
            streams.setattr(sys, "stdout", out)
            streams.setattr(sys, "stderr", err)
            with pytest.raises(SystemExit) as ended:
                cli.main()
        for stream in (out, err):
            if stream is not None:
                stream.flush()  # as Python does when it ends, and complains
        return int(ended.value.code or 0)

    return run


@pytest.fixture
def unread() -> Iterator[io.TextIOWrapper]:
    """A pipe whose reader has gone."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w", encoding="utf-8") as stream:
        yield stream


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_ends_silently_where_nobody_reads(
    run: Callable[[str, Any, Any], int], unread: io.TextIOWrapper, name: str
) -> None:
    said, complaint = io.StringIO(), io.StringIO()
    assert run(name, said, complaint) == 0
    assert said.getvalue()
    assert run(name, unread, complaint) == 0
    assert run(name, None, complaint) == 0
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        assert complaint.getvalue() == ""
        assert run(name, full, complaint) == 1
    assert complaint.getvalue() == "allasprak: [Errno 28] No space left on device\n"


@pytest.mark.parametrize("name", ["prune", "nonsense"])
def test_what_is_wrong_is_said_on_standard_error_alone(
    run: Callable[[str, Any, Any], int], unread: io.TextIOWrapper, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("ALLASPRAK_HOME", "/nowhere")
    status, out, complaint = 2 if name == "nonsense" else 1, io.StringIO(), io.StringIO()
    for err in (complaint, None, unread):
        assert run(name, out, err) == status
    assert (out.getvalue(), "allasprak: " in complaint.getvalue()) == ("", True)


@pytest.mark.slow
def test_a_shell_closes_streams(tmp_path: Path, sqlite_tables: Path) -> None:
    """With real ones: files of the command, such as the database, do not get the number of a closed one."""
    shutil.copy(sqlite_tables, database_file(tmp_path))
    before = database_file(tmp_path).read_bytes()
    command = f"{shlex.join(python('service.cli'))} backup {tmp_path / 'b.tar'}"
    for words, status in ((">&-", 0), ("2>&-", 0), (">&- 2>&- <&-", 0), ("| true", 0), ("--x 2>&-", 2)):
        done = subprocess.run(
            ["bash", "-c", f"{command} {words}; exit ${{PIPESTATUS[0]}}"],
            env={**os.environ, "ALLASPRAK_HOME": str(tmp_path)}, capture_output=True,
        )  # fmt: skip
        said = done.stdout.decode().startswith(str(tmp_path)) if words == "2>&-" else done.stdout == b""
        assert (done.returncode, done.stderr, said) == (status, b"", True), words
        with tarfile.open(tmp_path / "b.tar") as archive:
            assert archive.getnames() == [database_file(Path()).name]
    assert database_file(tmp_path).read_bytes() == before


def test_a_server_whose_log_nobody_reads_goes_on(unread: io.TextIOWrapper, capsys: pytest.CaptureFixture[str]) -> None:
    handler = serving.Lines(unread)
    for _ in range(3):
        handler.emit(logging.makeLogRecord({"msg": "x" * 10_000}))
    assert capsys.readouterr().err == ""
    handler.stream = io.StringIO()
    handler.emit(logging.makeLogRecord({"msg": "%d", "args": ("no number",)}))
    assert "Logging error" in capsys.readouterr().err


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "socks5://127.0.0.1:9", "socks4://[::1]:9", "socks://x:9"])
def test_proxies_are_not_for_this_machine_and_socks_is_named(
    url: str, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy)
    assert Client(url).plan({"name": "x"}) == {"name": "x"}
    if proxy.startswith("socks"):
        with pytest.raises(ConnectionError, match=r"names a SOCKS proxy .* not supported; allowed: an HTTP proxy"):
            Client("http://service.invalid")


@pytest.mark.parametrize("proxy", ["http://proxy:port", "http://ana:secret/x@proxy:9", "ftp://proxy:9"])
def test_a_proxy_or_a_service_by_what_is_no_url_is_a_line(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(ConnectionError, match=r"names a proxy by what is no URL of one \(ALL_PROXY,") as refused:
        Client("http://service.invalid")
    assert "secret" not in str(refused.value)
    for url in ("http://leda:port", "http://[::1", "http://-\u00e4.de"):
        with pytest.raises(ValueError, match="is no address of a service"):
            Client(url)


def test_a_file_of_certificates_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    for name in ("/nowhere.pem", os.devnull):
        monkeypatch.setenv("SSL_CERT_FILE", name)
        with pytest.raises(ConnectionError, match=f"SSL_CERT_FILE is '{name}': "):
            Client("http://service.invalid")
        assert Client(url).plan({"name": "x"}) == {"name": "x"}


@pytest.mark.parametrize("before", [{}, {"NO_PROXY": "a.b,localhost"}, {"no_proxy": "a.b", "NO_PROXY": "other"}])
def test_no_library_asks_a_proxy_for_this_machine(before: dict[str, str]) -> None:
    environment = dict(before)
    spare_loopback(environment)
    spare_loopback(environment)
    names = environment["no_proxy"].split(",")
    assert environment["NO_PROXY"] == environment["no_proxy"]
    assert sorted(names) == sorted({"127.0.0.1", "localhost", "::1"} | ({"a.b"} if before else set()))


@pytest.mark.service
def test_a_service_that_uv_runs_has_workers_of_its_own_environment(
    start_service: Callable[..., Any], spec: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").write_text('"$@" & trap "kill $!" TERM; wait; wait\n', encoding="utf-8")
    as_uv = ["bash", "-c", 'exec -a uv bash run "$@"', "uv"]  # its command line is `uv run ...`, which Ray looks at
    service = start_service(tmp_path / "home", within=as_uv)
    id_ = service.client.submit({**spec, "methods": ["zero-shot"]})
    service.until(lambda: service.client.experiment(id_)["state"] == "succeeded", seconds=90)
