"""Real parts for the service's tests: a PostgreSQL server, a running service on a port."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

from service.client import Client


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a PostgreSQL server of our own, on a socket in a temporary folder."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("no PostgreSQL server is installed (Debian's package postgresql)")
    binaries = found[-1].parent
    root = Path(f"/tmp/allasprak-postgres-{os.getpid()}")
    root.mkdir(mode=0o700)
    as_user: list[str] = []
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        shutil.chown(root, "postgres")
        as_user = ["runuser", "-u", "postgres", "--"]
    data = root / "data"
    quiet: dict[str, Any] = {"check": True, "stdout": subprocess.DEVNULL, "cwd": "/"}
    subprocess.run([*as_user, binaries / "initdb", "-D", data, "-A", "trust", "-U", "tester"], **quiet)
    options = f"-c listen_addresses='' -k {root}"
    control = [*as_user, binaries / "pg_ctl", "-D", data, "-w"]
    subprocess.run([*control, "-o", options, "-l", root / "log", "start"], **quiet)
    try:
        yield f"postgresql+psycopg://tester@/postgres?host={root}"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], **quiet)
        shutil.rmtree(root)


@dataclass
class Service:
    """A service in a process of its own."""

    process: "subprocess.Popen[bytes]"
    home: Path
    url: str
    log: Path

    @property
    def client(self) -> Client:
        return Client(self.url)

    def scores(self, id_: str) -> "pd.Series[float]":
        """An experiment's test scores by method, K, seed and language."""
        rows = self.client.results(id_, split="test")
        return rows.set_index(["method", "k", "seed", "language"])["value"].sort_index()

    def stop(self) -> int:
        """SIGTERM, as an operator would; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def processes(self) -> list[psutil.Process]:
        """Every process that was started with this service's home."""
        return _processes_of(self.home)

    def named(self, words: str) -> list[psutil.Process]:
        """Those of its processes whose command line has these words."""
        found = []
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                if words in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def workers(self) -> list[psutil.Process]:
        """Those that trials run in."""
        return self.named("ray::ImplicitFunc")

    @staticmethod
    def until(condition: Callable[[], Any], seconds: float = 180) -> Any:
        """The first true value of a condition."""
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.05)
        return value


StartService = Callable[..., Service]


def _processes_of(home: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("ALLASPRAK_HOME") == str(home) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


@pytest.fixture
def processes_of() -> Callable[[Path], list[psutil.Process]]:
    """Every process that was started with a home."""
    return _processes_of


@pytest.fixture
def start_service() -> Iterator[StartService]:
    """Starts services, and sees at the end that each is stopped and has left no process behind."""
    yield from _services()


@pytest.fixture(scope="module")
def start_services() -> Iterator[StartService]:
    """The same for tests that share one."""
    yield from _services()


def _services() -> Iterator[StartService]:
    services: list[Service] = []

    def start(home: Path, **settings: str) -> Service:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        home.mkdir(parents=True, exist_ok=True)
        log = home.parent / f"{home.name}.log"
        clean = {name: value for name, value in os.environ.items() if not name.startswith("ALLASPRAK_")}
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "service.cli", "serve", "--port", str(port)],
                env={**clean, "ALLASPRAK_HOME": str(home), **settings},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        service = Service(process, home, f"http://127.0.0.1:{port}", log)
        services.append(service)
        deadline = time.monotonic() + 60
        while not service.client.is_up():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        return service

    yield start
    for service in services:
        service.stop()
    deadline = time.monotonic() + 5  # what has been told to end may take a moment
    while (
        left := [process for service in services for process in service.processes()]
    ) and time.monotonic() < deadline:
        time.sleep(0.1)
    for process in left:
        process.kill()
    assert not left, f"left running: {left}"


@pytest.fixture
def spec(tiny_encoder: Path) -> dict[str, Any]:
    """A small experiment over the sample corpus with a tiny encoder: some seconds of work."""
    text = json.dumps(
        {
            "name": "small",
            "task": "ner",
            "encoder": str(tiny_encoder),
            "data": "sample",
            "target_languages": ["de", "hi"],
            "methods": ["zero-shot", "ord-FS", "naive-mix-train", "gradient-mix-train"],
            "k": [5],
            "seeds": [1],
            "training": {"epochs": 2, "learning_rate": 1e-3, "max_source_examples": 64, "max_test_examples": 20},
            "resources": {"max_concurrent_trials": 1},
        }
    )
    return dict(json.loads(text))


@pytest.fixture
def longer(spec: dict[str, Any]) -> dict[str, Any]:
    """The same with some seconds more to be interrupted in, and scores that are not all zero."""
    training = {**spec["training"], "epochs": 12, "learning_rate": 1e-2, "max_source_examples": 200}
    return {**spec, "training": training, "resources": {"max_concurrent_trials": 2}}
