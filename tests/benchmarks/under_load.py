"""What idle streams of events cost the server, and how soon /healthz answers while clients do their worst."""

import contextlib
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import psutil
from side_by_side import at_most, parser, print_table

from search_spaces.spec import ExperimentSpec
from service.protocol import MOST_CONNECTIONS
from service.store import Store

sys.path.append(str(Path(__file__).parents[1] / "factories"))

import tiny_encoders

# As many connections as a server has at once. It ends a half-sent request after ten seconds.
STREAMS, PLANNERS = 256, 8
HALF_SENT, AGAIN_SECONDS = MOST_CONNECTIONS - STREAMS - PLANNERS, 8.0

# Of a core, each; and for the slowest hundredth of the answers.
STREAM_PERCENT, HEALTH_MS = 0.05, 100.0

# As `allasprak serve` does it, without Ray; it collects all garbage six times as often.
SERVER = """
import sys, threading, time, uvicorn
from pathlib import Path
from search_spaces.environment import Environment
from service.api import create_app
from service.serving import keep_threads_short
from service.protocol import Connection
from service.store import Store
from trainers import memory
keep_threads_short()
home = Path(sys.argv[1])
environment = Environment(home, home, 2, 0, None)
app = create_app(Store(sys.argv[2]), lambda: environment, None)
app.openapi()
def collect():
    frozen = memory.freeze()
    while True:
        time.sleep(10)
        memory.collect(frozen)
threading.Thread(target=collect, daemon=True).start()
uvicorn.run(app, port=int(sys.argv[3]), http=Connection, ws="none", log_level="warning")
"""


def main() -> None:
    """Measure and print."""
    arguments = parser(__doc__).parse_args()
    seconds = 2.0 if arguments.quick else 30.0
    with tempfile.TemporaryDirectory(prefix="load-") as folder, contextlib.ExitStack() as stack:
        home = Path(folder)
        store = Store(f"sqlite:///{home / 'allasprak.sqlite'}")
        spec: dict[str, Any] = {
            "task": "ner", "encoder": str(tiny_encoders.write_encoder(home / "encoder")), "data": "sample",
            "target_languages": ["de", "hi", "sw"], "methods": ["zero-shot", "ord-FS", "gradient-mix-train"],
            "k": [1, 5, 10], "seeds": list(range(900)), "allow_large": True,
        }  # fmt: skip
        id_ = store.experiments.add(ExperimentSpec.model_validate(spec), None)
        token = f"Bearer {store.tokens.add('somebody', read_only=False)}"
        port, process = stack.enter_context(served(home))
        headers = {"Authorization": token}
        httpx2.post(f"http://127.0.0.1:{port}/v1/plans", json=spec, headers=headers, timeout=300).raise_for_status()
        idle, calm = share(process, seconds), health(port, seconds)
        head = f"GET /v1/experiments/{id_}/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: {token}\r\n\r\n"
        streams = hold(stack, port, STREAMS, head)
        time.sleep(2)
        percent = 100 * (share(process, seconds) - idle) / STREAMS
        over = threading.Event()
        clients = [threading.Thread(target=plan, args=(port, spec, headers, over)) for _ in range(PLANNERS)]
        clients.append(threading.Thread(target=send_half, args=(port, over)))
        for client in clients:
            client.start()
        busy = health(port, seconds)
        over.set()
        for client in clients:
            client.join()
        assert all(stream.recv(4096).startswith(b"HTTP/1.1 200") for stream in streams)
    print("--quick: NOT a measurement\n" if arguments.quick else "")
    print_table(
        ["what", "found", "target"],
        [
            [f"an idle stream of {STREAMS}, with a token by name, percent of a core", f"{percent:.4f}",
             at_most(STREAM_PERCENT, percent, arguments.quick)],
            ["/healthz, nothing else: median, 99th percentile and longest, ms",
             ", ".join(map("{:.1f}".format, calm)), ""],
            [f"/healthz, {STREAMS} streams, {HALF_SENT} half-sent requests, {PLANNERS} clients that plan: the same",
             ", ".join(map("{:.1f}".format, busy)), at_most(HEALTH_MS, busy[1], arguments.quick)],
        ],
    )  # fmt: skip


@contextlib.contextmanager
def served(home: Path) -> Iterator[tuple[int, psutil.Process]]:
    """The REST interface over a database in a process of its own: its port, and the process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(home), f"sqlite:///{home / 'allasprak.sqlite'}", str(port)]
    )
    try:
        while True:
            with contextlib.suppress(httpx2.TransportError):
                httpx2.get(f"http://127.0.0.1:{port}/healthz")
                break
            time.sleep(0.1)
        yield port, psutil.Process(server.pid)
    finally:
        server.kill()
        server.wait()


def hold(stack: contextlib.ExitStack, port: int, count: int, text: str) -> list[socket.socket]:
    """So many connections over which a text was sent, and nothing is done any more."""
    connections = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(count)]
    for connection in connections:
        connection.sendall(text.encode())
    return connections


def send_half(port: int, over: threading.Event) -> None:
    """Requests whose heads never end, again before the server ends them."""
    while not over.is_set():
        with contextlib.ExitStack() as stack:
            hold(stack, port, HALF_SENT, "GET /v1/tasks HTTP/1.1\r\nHost: ")
            over.wait(AGAIN_SECONDS)


def share(process: psutil.Process, seconds: float) -> float:
    """The share of a core that a process takes."""
    before = process.cpu_times()
    time.sleep(seconds)
    after = process.cpu_times()
    return (after.user + after.system - before.user - before.system) / seconds


def health(port: int, seconds: float) -> tuple[float, float, float]:
    """Median, 99th percentile and longest of the milliseconds that /healthz takes, over connections of their own."""
    took: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        begin = time.perf_counter()
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        took.append(1e3 * (time.perf_counter() - begin))
        time.sleep(0.05)
    return statistics.median(took), statistics.quantiles(took, n=100)[-1], max(took)


def plan(port: int, spec: dict[str, Any], headers: dict[str, str], over: threading.Event) -> None:
    """A client that plans again and again."""
    while not over.is_set():
        httpx2.post(f"http://127.0.0.1:{port}/v1/plans", json=spec, headers=headers, timeout=300)


if __name__ == "__main__":
    main()
