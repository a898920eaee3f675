"""What a client can hold for nothing: connections, turns, streams, downloads; and that /healthz answers meanwhile."""

import asyncio
import contextlib
import io
import json
import os
import re
import shlex
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from math import inf
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
import uvicorn
from fastapi import FastAPI

from children import children
from search_spaces.environment import Environment
from search_spaces.spec import ExperimentSpec
from service import planning, protocol
from service.api import create_app, downloads, events, health, turns
from service.engine.processes import ProcessId, end_rest, started, write_down
from service.store import Store
from service.store.schema import REVISION
from trainers.artifacts.layout import datasets_folder, downloads_folder, export_file, leftovers
from trainers.encoders import examiner

pytestmark = pytest.mark.service

Fields = dict[str, Any]


@pytest.fixture
def spec() -> Fields:
    """An experiment whose encoder nobody looks at here."""
    words = {"task": "ner", "encoder": "nobody/none", "data": "sample", "methods": ["zero-shot"]}
    return {**words, "target_languages": ["de"], "k": [1], "seeds": [1]}


@pytest.fixture
def store(sqlite_store: Store) -> Store:
    return sqlite_store


@pytest.fixture
def app(store: Store, tmp_path: Path) -> FastAPI:
    return create_app(store, lambda: Environment(tmp_path, tmp_path, cpus=2, gpus=0), None)


@pytest.fixture
def port(app: FastAPI) -> Iterator[int]:
    """That of the application, served as `allasprak serve` does, without Ray."""
    config = uvicorn.Config(
        app, port=0, http=protocol.Connection, ws="none", log_config=None, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


@contextlib.contextmanager
def sent(port: int, text: str) -> Iterator[socket.socket]:
    """A connection over which a text was sent."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(text.replace("\n", "\r\n").encode())
        yield connection


def answer(connection: socket.socket) -> tuple[int, Fields]:
    """Status and problem of the answer after which a connection is closed."""
    head, _, body = b"".join(iter(lambda: connection.recv(2**16), b"")).partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def is_closed(connection: socket.socket) -> bool:
    """Whether the other side takes nothing more."""
    try:
        connection.sendall(b" ")
    except ConnectionError:
        return True
    return False


def run_apart(what: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine in a thread of its own: in this one a browser's event loop may be running."""
    with ThreadPoolExecutor(1) as apart:
        apart.submit(asyncio.run, what).result()


HOST = "\nHost: localhost\n"


def test_a_head_that_is_not_sent_whole_is_not_waited_for(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.3)
    with sent(port, "") as silent, sent(port, f"GET /v1/tasks HTTP/1.1{HOST}X: ") as half:
        time.sleep(0.1)
        half.sendall(b"x")  # which gains no time
        status, problem = answer(half)
        assert (status, problem["status"]) == (408, 408)
        assert silent.recv(1) == b""
    with sent(port, "no HTTP\n\n") as wrong:
        assert answer(wrong)[0] == 400
    with sent(port, f"HEAD /v1/tasks HTTP/1.1{HOST}\n") as kept:
        assert b"200 OK" in kept.recv(2**16)
        time.sleep(0.5)  # while it is idle, uvicorn keeps it
        kept.sendall(f"HEAD /v1/tasks HTTP/1.1{HOST}\n".replace("\n", "\r\n").encode())
        assert b"200 OK" in kept.recv(2**16)


def test_a_body_may_be_slow_but_not_without_end(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "BODY_SECONDS", 0.3)
    monkeypatch.setattr(turns, "BYTES_A_SECOND", 10_000)
    head = f"POST /v1/plans HTTP/1.1{HOST}Content-Type: application/json\nContent-Length: 20000\n\n"
    with sent(port, head + "{") as stalled:
        begin = time.monotonic()
        assert b"408" in stalled.recv(2**16)
        assert time.monotonic() - begin < 2
    with sent(port, head) as slow:
        for _ in range(20):  # at 20,000 bytes a second for longer than any silence may last
            time.sleep(0.05)
            slow.sendall(b" " * 1000)
        assert b"422" in slow.recv(2**16)
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.3)
    dataset = head.replace("/v1/plans", "/v1/datasets?name=mine").replace("json", "gzip")
    with sent(port, dataset) as refused:  # answered before the body, which may be large, and is not waited for then
        assert b"415" in refused.recv(2**16)
        until(lambda: is_closed(refused))


@pytest.mark.parametrize("path", ["/v1/experiments", "/v1/experiments/0/pause", "/v1/datasets?name=mine"])
def test_a_body_that_is_said_to_be_too_large_is_not_waited_for(port: int, path: str) -> None:
    kind = "Content-Type: application/" + ("zip" if "datasets" in path else "json")
    with sent(port, f"POST {path} HTTP/1.1{HOST}{kind}\nExpect: 100-continue\nContent-Length: {10**19}\n\n") as one:
        assert answer(one)[0] == 413


@pytest.mark.parametrize("path", ["/v1/experiments", "/v1/datasets?name=mine"])
def test_a_client_that_goes_in_the_middle_of_a_body_is_no_error(
    port: int, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    kind = "Content-Type: application/" + ("zip" if "datasets" in path else "json")
    with sent(port, f"POST {path} HTTP/1.1{HOST}{kind}\nContent-Length: 100\n\n{{"):
        time.sleep(0.3)
    assert httpx2.get(f"http://127.0.0.1:{port}/v1/tasks").status_code == 200
    time.sleep(0.3)
    assert not [one for one in caplog.records if one.levelname == "ERROR"]


def test_a_body_in_tiny_chunks_is_taken_piece_by_piece(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two pieces others are answered: a connection with chunks of one byte held /healthz for two seconds."""
    sizes: list[int] = []

    def taken(connection: Any, data: bytes, take: Callable[..., None] = protocol.H11Protocol.data_received) -> None:
        sizes.append(len(data))
        take(connection, data)

    monkeypatch.setattr(protocol.H11Protocol, "data_received", taken)
    head = f"POST /v1/plans HTTP/1.1{HOST}Content-Type: application/json\nTransfer-Encoding: chunked\n\n"
    with sent(port, head + "1\n \n" * 50_000 + "2\n{}\n0\n\n") as chunked:
        assert b"422" in chunked.recv(2**16)
    assert max(sizes) <= protocol.PIECE_BYTES
    assert sum(sizes) > 300_000


def test_an_answer_that_nobody_reads_is_not_kept(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "READ_SECONDS", 0.3)
    process = psutil.Process()
    before = len(process.net_connections())
    with socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        reader.connect(("127.0.0.1", port))
        for _ in range(3):  # a description is larger than the buffers of two sockets once
            reader.sendall(f"GET /docs/swagger-ui-bundle.js HTTP/1.1{HOST}\n".replace("\n", "\r\n").encode())
        time.sleep(1)
        assert len(process.net_connections()) == before + 1  # the client's own end


@pytest.mark.parametrize("path", ["/docs/swagger-ui-bundle.js", "/openapi.json"])
def test_those_who_do_not_read_keep_nobody_waiting(port: int, path: str) -> None:
    """Of what needs no token; each keeps a turn for as long as its answer is sent piece by piece."""
    request = f"GET {path} HTTP/1.1{HOST}\n".replace("\n", "\r\n").encode()
    with contextlib.ExitStack() as stack:
        for _ in range(30):
            reader = stack.enter_context(socket.socket())
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            reader.connect(("127.0.0.1", port))
            reader.sendall(request * 40)
        time.sleep(1)
        begin = time.monotonic()
        assert httpx2.get(f"http://127.0.0.1:{port}/v1/tasks", timeout=20).status_code == 200
        assert time.monotonic() - begin < 10


def test_requests_on_one_connection_are_answered_one_after_the_other(port: int) -> None:
    """Also where the first answer fills the buffers, and is read before the next one begins."""
    large, small = (f"GET {path} HTTP/1.1{HOST}\n" for path in ("/docs/swagger-ui-bundle.js", "/v1/tasks"))
    with sent(port, large * 2 + small * 2) as connection:
        found = b""
        while found.count(b"HTTP/1.1 200") < 4 or not found.endswith(b"}"):
            found += connection.recv(2**16)
    assert found.count(b'{"tasks":') == 2


def test_a_connection_too_many_takes_the_place_of_the_one_that_was_idle_for_longest(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "MOST_CONNECTIONS", 5)
    with contextlib.ExitStack() as stack:
        idle = []
        for _ in range(5):
            idle.append(stack.enter_context(sent(port, "GET")))
            time.sleep(0.02)
        assert httpx2.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
        assert idle[0].recv(1) == b""
        idle[-1].sendall(f" /v1/tasks HTTP/1.1{HOST}\n".replace("\n", "\r\n").encode())
        assert b"200 OK" in idle[-1].recv(2**16)


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"1")], [(b"transfer-encoding", b"chunked")]])
def test_a_body_that_nobody_asks_for_goes_round_no_bound(headers: list[tuple[bytes, bytes]]) -> None:
    at_work, most = 0, 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        await asyncio.sleep(0.01)
        at_work -= 1

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"x"}

    async def send(_: Any) -> None:
        """Of no interest."""

    async def ask() -> None:
        scope = {"type": "http", "method": "GET", "path": "/v1/results/summary", "headers": headers}
        application = turns.Turns(app)
        await asyncio.gather(*(application(scope, receive, send) for _ in range(20)))

    run_apart(ask())
    assert most == 3


def test_requests_that_do_not_end_stop_those_of_their_kind_alone(
    port: int, spec: Fields, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = threading.Event()
    monkeypatch.setattr(planning, "preview", lambda *_: held.wait(20))
    monkeypatch.setattr(turns, "MOST_WAITING", 2)
    lanes = tuple(turns.Lane(asks=lane.asks, most=lane.most, patience=0.5) for lane in turns.LANES)
    monkeypatch.setattr(turns, "LANES", lanes)
    body = json.dumps(spec)
    head = f"POST /v1/plans HTTP/1.1{HOST}Content-Type: application/json\nContent-Length: {len(body)}\n\n"
    with contextlib.ExitStack() as stack:
        for _ in range(10):  # three at work, two that wait, and five too many
            stack.enter_context(sent(port, head + body))
        slow = stack.enter_context(sent(port, head))  # it does not wait while its body is not there
        time.sleep(0.2)
        url = f"http://127.0.0.1:{port}"
        refused = httpx2.post(f"{url}/v1/plans", json=spec)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "10")
        assert refused.headers["content-type"] == "application/problem+json"
        for path in ("/healthz", "/v1/tasks", "/v1/experiments", "/v1/results"):
            begin = time.monotonic()
            assert httpx2.get(url + path).status_code == 200
            assert time.monotonic() - begin < 2
        time.sleep(0.5)
        begin = time.monotonic()
        waited = httpx2.post(f"{url}/v1/plans", json=spec)
        assert waited.status_code == 503
        assert time.monotonic() - begin > 0.4
        held.set()
        slow.sendall(body.encode())
        assert b"HTTP/1.1 500" in slow.recv(2**16)  # what the test's plan is: it had its turn


def test_streams_share_one_query_and_tell_what_happens(
    port: int, store: Store, spec: Fields, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "POLL_SECONDS", 0.1)
    asked: list[int] = []
    latest = store.events.latest
    monkeypatch.setattr(store.events, "latest", lambda ids: asked.append(len(ids)) or latest(ids))
    ids = [store.experiments.add(ExperimentSpec.model_validate(spec), None) for _ in range(2)]
    with contextlib.ExitStack() as stack:
        streams = [
            stack.enter_context(sent(port, f"GET /v1/experiments/{id_}/events HTTP/1.1{HOST}\n"))
            for id_ in ids
            for _ in range(20)
        ]
        for stream in streams:
            while b'"queued"' not in stream.recv(2**16):
                pass
        time.sleep(0.3)
        asked.clear()
        reads: list[str] = []
        monkeypatch.setattr(store.control, "state", lambda id_, ask=store.control.state: reads.append(id_) or ask(id_))
        time.sleep(1)
        assert 5 <= len(asked) <= 11
        assert set(asked) == {2}
        assert not reads  # nothing has happened, and nobody asks for more
        store.control.move(ids[0], "pause")
        store.control.move(ids[1], "cancel")
        for stream in streams[:20]:
            assert b'"paused"' in stream.recv(2**16)
        for stream in streams[20:]:
            assert b'"cancelled"' in stream.recv(2**16)
    until(lambda: len(psutil.Process().net_connections()) < 10)
    time.sleep(0.3)
    asked.clear()
    time.sleep(0.3)
    assert not asked  # without a stream nobody asks


@pytest.mark.parametrize(
    "path", ["/v1/reports/alpha", "/v1/experiments/1b95/page", "/experiments/1b95/curves", "/reports", "/compare"]
)
def test_what_makes_reports_has_their_turns(path: str) -> None:
    of_reports = next(lane for lane in turns.LANES if re.fullmatch(lane.asks, "GET /v1/reports/table-1"))
    assert next(lane for lane in turns.LANES if re.fullmatch(lane.asks, f"GET {path}")) == of_reports
    assert of_reports.most < turns.LANES[-1].most


@pytest.mark.parametrize(
    "path",
    ["/v1/datasets/mine/examples", "/data/mine", "/v1/experiments/1b95/shots/examples", "/experiments/1b95/shots"],
)
def test_what_reads_examples_has_their_turns(path: str) -> None:
    """Of a large split it takes a second and a gigabyte: twelve at once kept all other requests from being answered."""
    of_examples = next(lane for lane in turns.LANES if re.fullmatch(lane.asks, "GET /v1/trials/1b95/examples"))
    assert next(lane for lane in turns.LANES if re.fullmatch(lane.asks, f"GET {path}")) == of_examples
    assert next(lane for lane in turns.LANES if re.fullmatch(lane.asks, "GET /v1/datasets/mine")) == turns.LANES[-1]


# In place of `allasprak export <trial> <folder>`: a folder with two files, once the file `go` is there.
EXPORT = """
import pathlib, sys, time
trial, folder = sys.argv[1], pathlib.Path(sys.argv[2])
while not pathlib.Path("{go}").exists():
    time.sleep(0.02)
if trial == "lost":
    sys.exit("allasprak: no model was kept")
(folder / "in").mkdir(parents=True)
(folder / "config.json").write_text("{{}}")
(folder / "in" / "weights").write_bytes(bytes(range(256)) * 2**16)
"""


@pytest.fixture
def go(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file without which exports do not end."""
    path = tmp_path / "go"
    monkeypatch.setattr(downloads, "COMMAND", (sys.executable, "-c", EXPORT.format(go=path)))
    monkeypatch.setattr(store.trials, "one", lambda id_: {"digest": id_})
    return path


def test_models_are_downloaded_two_at_a_time_and_nothing_is_left(port: int, go: Path, tmp_path: Path) -> None:
    url, ask = f"http://127.0.0.1:{port}/v1/trials", f"GET /v1/trials/a/model HTTP/1.1{HOST}\n"
    before = len(children())
    with sent(port, ask), sent(port, ask):
        until(lambda: len(leftovers(tmp_path)) == 2)
        refused = httpx2.get(f"{url}/b/model")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "10")
        until(lambda: len(children()) == before + 2)
    until(lambda: len(children()) == before)  # the clients have gone, and so have the processes
    until(lambda: not leftovers(tmp_path))
    go.touch()
    lost = httpx2.get(f"{url}/lost/model")
    assert (lost.status_code, lost.json()["detail"]) == (404, "no model was kept")
    with zipfile.ZipFile(io.BytesIO(httpx2.get(f"{url}/c/model").content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["c/config.json", "c/in/weights"]
        assert archive.read("c/in/weights") == bytes(range(256)) * 2**16
    with sent(port, ask) as gone:
        assert b"200 OK" in gone.recv(1000)  # 16 MiB are on their way
    until(lambda: not leftovers(tmp_path))
    with sent(port, ask):
        until(lambda: leftovers(tmp_path))


def test_an_export_that_is_killed_is_no_missing_model(port: int, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store.trials, "one", lambda id_: {"digest": id_})
    monkeypatch.setattr(downloads, "COMMAND", ("sh", "-c", "kill -9 $$"))
    answer = httpx2.get(f"http://127.0.0.1:{port}/v1/trials/a/model")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")


def test_a_zip_is_made_while_it_is_sent(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights").write_bytes(os.urandom(10 * downloads.CHUNK_BYTES))
    assert max(map(len, downloads.zipped(folder))) < downloads.CHUNK_BYTES + 1000


@pytest.mark.parametrize("is_waiting", [False, True])
def test_what_a_server_that_stops_cannot_end_is_asked_again(monkeypatch: pytest.MonkeyPatch, is_waiting: bool) -> None:
    """uvicorn cancels what is at work, and what waits for its turn; by itself it would answer 500."""
    lane = turns.Lane(asks=".*", most=0 if is_waiting else 1)
    monkeypatch.setattr(turns, "LANES", (lane,))
    said: list[Any] = []

    async def endless(*_: Any) -> None:
        await asyncio.sleep(inf)

    async def send(message: Any) -> None:
        said.append(message)

    async def stopped() -> None:
        scope = {"type": "http", "method": "GET", "path": "/v1/results", "headers": []}
        request = asyncio.create_task(turns.Turns(endless)(scope, endless, send))
        await asyncio.sleep(0.01)
        request.cancel()
        await request

    run_apart(stopped())
    assert (said[0]["status"], json.loads(said[1]["body"])["detail"]) == (503, "the service stops: ask again")
    assert dict(said[0]["headers"])[b"retry-after"]


def test_an_examiner_that_was_stopped_says_nothing_of_an_encoder(
    client_over: Any, sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_over(sqlite_store, Environment(tmp_path, None, cpus=2, gpus=0))
    monkeypatch.setattr("service.api.experiments._preview", lambda *_: examiner.ask("{}"))
    examiner.stop()
    try:
        answer = client.post("/v1/plans", json={})
    finally:
        examiner._EXAMINER.is_stopped = False
    assert (answer.status_code, answer.headers.get("retry-after")) == (503, "5"), answer.text


SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def test_a_server_sweeps_what_a_killed_one_has_left(tmp_path: Path) -> None:
    (tmp_path / "models" / "a").mkdir(parents=True)
    (datasets_folder(tmp_path) / "mine").mkdir(parents=True)
    (datasets_folder(tmp_path) / ".0123456789abcdef" / "data").mkdir(parents=True)
    download = downloads_folder(tmp_path) / "model"
    download.mkdir(parents=True)
    still = subprocess.Popen([*SLEEP, str(download / "a")])
    export = ProcessId(still.pid, started(still.pid))
    write_down(export_file(tmp_path, download.name), tmp_path, export)
    downloads.sweep(tmp_path)
    assert export.find() is None
    still.wait()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["datasets", "downloads", "models"]
    assert [path.name for path in datasets_folder(tmp_path).iterdir()] == ["mine"]


@pytest.mark.parametrize("what", ["nobody's", "another", "a copy's", "not Python"])
def test_a_process_that_is_not_known_to_be_an_export_is_left_with_what_it_uses(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    """It names the leftover, as a shell, an editor or a copy would, or another home says that it is its own."""
    home, other = tmp_path / "home", tmp_path / "other"
    download = downloads_folder(home) / "model"
    download.mkdir(parents=True)
    other.mkdir()
    command = ["tail", "-f", "/dev/null"] if what == "not Python" else SLEEP
    process = subprocess.Popen([*command, str(download / "a")], stderr=subprocess.DEVNULL)
    try:
        created = started(process.pid) - (1.0 if what == "another" else 0.0)
        if what != "nobody's":
            of = other if what == "a copy's" else home
            write_down(export_file(home, download.name), of, ProcessId(process.pid, created))
        downloads.sweep(home)
        assert process.poll() is None
        assert download.is_dir()
        assert f"{download} is left where it is: the process {process.pid} uses it" in caplog.text
    finally:
        process.kill()
        process.wait()
    downloads.sweep(home)
    assert not download.exists()


def test_a_session_that_has_got_the_number_of_an_ended_one_is_left(tmp_path: Path) -> None:
    """A daemon, say, whose leader has ended: nothing but its number is that of one of ours."""
    command = f"{shlex.join(SLEEP)} & echo $!"
    leader = subprocess.Popen(["sh", "-c", command], stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert leader.stdout is not None
    daemon = psutil.Process(int(leader.stdout.readline()))
    leader.wait()
    try:
        end_rest(ProcessId(leader.pid, 1.0))
        assert daemon.is_running()
    finally:
        daemon.kill()
        leader.stdout.close()


def healthz(port: int) -> tuple[int, str]:
    answer = httpx2.get(f"http://127.0.0.1:{port}/healthz")
    assert answer.is_success or answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.text


def damage(what: str, home: Path) -> None:
    file = home / "store.sqlite"
    if what == "removed":
        file.unlink()
    elif what == "replaced":
        shutil.copy(file, home / "copy")
        (home / "copy").rename(file)
    elif what == "garbage":
        with file.open("r+b") as pages:
            pages.seek(2 * 4096)
            pages.write(os.urandom(file.stat().st_size - 2 * 4096))
    elif what == "emptied":
        os.truncate(file, 0)
    elif what == "dropped":
        with contextlib.closing(sqlite3.connect(file)) as connection:
            connection.execute("DROP TABLE scores")
    elif what == "foreign":
        with contextlib.closing(sqlite3.connect(home / "other")) as connection:
            connection.execute("CREATE TABLE allasprak_version (version_num VARCHAR(32))")
            connection.execute("INSERT INTO allasprak_version VALUES (?)", [REVISION])
            connection.commit()
        file.write_bytes((home / "other").read_bytes())
    elif what == "overwritten":
        with file.open("r+b") as pages:
            pages.write(os.urandom(file.stat().st_size))
    else:
        shutil.rmtree(home)


@pytest.mark.parametrize(
    "what", ["removed", "replaced", "garbage", "emptied", "dropped", "foreign", "overwritten", "home"]
)
def test_a_lost_database_is_said_and_takes_nothing(
    port: int, store: Store, spec: Fields, tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr("service.store.health.SHARE", inf)  # each look is a new one
    url = f"http://127.0.0.1:{port}/v1/experiments"
    id_ = store.experiments.add(ExperimentSpec.model_validate(spec), None)
    with contextlib.closing(sqlite3.connect(tmp_path / "store.sqlite")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert healthz(port)[0] == 200
    damage(what, tmp_path)
    for method, path in (("POST", ""), ("POST", f"/{id_}/cancel"), ("DELETE", f"/{id_}")):
        refused = httpx2.request(method, url + path, json=spec if path == "" else None)
        assert refused.status_code == 503, (path, refused.text)
        assert refused.headers["content-type"] == "application/problem+json"
    status, text = healthz(port)
    assert status == 503, text
    assert "removed" in text or "broken" in text
    if what == "dropped":
        assert httpx2.get(f"http://127.0.0.1:{port}/v1/results").status_code == 503
    if what == "home":
        assert httpx2.get(f"http://127.0.0.1:{port}/v1/trials/{'0' * 20}/model").status_code == 503


def test_health_is_answered_while_the_database_is_not_and_is_no_more_after_a_while(
    port: int, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs = threading.Event()
    monkeypatch.setattr(health, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(health, "SICK_SECONDS", 0.5)
    assert healthz(port)[0] == 200
    monkeypatch.setattr(store.health, "check", lambda: hangs.wait(20))
    begin = time.monotonic()
    assert healthz(port)[0] == 200
    assert time.monotonic() - begin < 0.4
    time.sleep(0.5)
    status, text = healthz(port)
    assert (status, "has not answered" in text) == (503, True)
    hangs.set()
    until(lambda: healthz(port)[0] == 200)


def until(condition: Callable[[], Any], seconds: float = 20) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    return value
