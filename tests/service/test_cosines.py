"""Cosines between gradients take long: they are computed once, and the client waits for them."""

import json
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from service.client import Client
from service.reports.cosines import cosines
from trainers.artifacts.layout import cosines_file

SECONDS = 0.4


def test_who_asks_while_they_are_computed_waits_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def compute(command: list[str], **_: Any) -> "subprocess.CompletedProcess[str]":
        commands.append(command[command.index("service.reports.cosines") + 1 :])
        time.sleep(SECONDS)
        for model in commands[-1]:
            path = cosines_file(tmp_path, *model.split(":"))
            path.write_text(json.dumps({"languages": ["en"], "cosines": [[1.0]]}))
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", compute)
    models = [("a", "last"), ("b", "last")]
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda _: cosines(tmp_path, models), range(3)))
    assert commands == [["a:last", "b:last"]]
    assert found == [[{"languages": ["en"], "cosines": [[1.0]]}] * 2] * 3
    assert cosines(tmp_path, [*models, ("c", "last")])
    assert commands[1:] == [["c:last"]]


@pytest.fixture
def slow_service() -> Iterator[str]:
    """An address where every answer takes a while."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(SECONDS)
            body = b'{"title": "Cosines", "notes": [], "figure": true, "data": []}'
            with suppress(ConnectionError):  # who asked may have given up
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_client_waits_for_reports_alone(slow_service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.connection.TIMEOUT", SECONDS / 4)
    monkeypatch.setattr("service.connection.RETRIES", ())
    client = Client(slow_service)
    assert client.report("figure-1").title == "Cosines"
    with pytest.raises(ConnectionError, match="no service answers"):
        client.experiment("x")
