"""What idle streams of events cost the server, and how soon /healthz answers while clients do their worst."""

import contextlib
import json
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
from service.store import Store

sys.path.append(str(Path(__file__).parents[1] / "factories"))

import tiny_encoders

STREAMS, HALF_SENT, PLANNERS = 200, 100, 8

# Of a core, each; and for the slowest hundredth of the answers.
STREAM_PERCENT, HEALTH_MS = 0.05, 100.0

# As `allasprak serve` does it, without Ray.
SERVER = """
import sys, uvicorn
from pathlib import Path
from search_spaces.environment import Environment
from service.api import create_app
from service.serving import keep_threads_short
from service.protocol import Connection
from service.store import Store
keep_threads_short()
home = Path(sys.argv[1])
environment = Environment(home, home, 2, 0, None)
app = create_app(Store(sys.argv[2]), lambda: environment, None)
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
        port, process = stack.enter_context(served(home))
        httpx2.post(f"http://127.0.0.1:{port}/v1/plans", json=spec, timeout=300).raise_for_status()
        idle, calm = share(process, seconds), health(port, seconds)
        hold(stack, port, STREAMS, f"GET /v1/experiments/{id_}/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(2)
        percent = 100 * (share(process, seconds) - idle) / STREAMS
        over = threading.Event()
        planners = [threading.Thread(target=plan, args=(port, spec, over)) for _ in range(PLANNERS)]
        for planner in planners:
            planner.start()
        hold(stack, port, HALF_SENT, "GET /v1/tasks HTTP/1.1\r\nHost: ")
        busy = health(port, seconds)
        over.set()
        for planner in planners:
            planner.join()
    print("--quick: NOT a measurement\n" if arguments.quick else "")
    print_table(
        ["what", "found", "target"],
        [
            [f"an idle stream of {STREAMS}, percent of a core", f"{percent:.4f}",
             at_most(STREAM_PERCENT, percent, arguments.quick)],
            ["/healthz, nothing else: median and 99th percentile, ms", f"{calm[0]:.1f}, {calm[1]:.1f}", ""],
            [f"/healthz, {STREAMS} streams, {HALF_SENT} half-sent requests, {PLANNERS} clients that plan: the same",
             f"{busy[0]:.1f}, {busy[1]:.1f}", at_most(HEALTH_MS, busy[1], arguments.quick)],
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


def hold(stack: contextlib.ExitStack, port: int, count: int, text: str) -> None:
    """So many connections over which a text was sent, and nothing is done any more."""
    for _ in range(count):
        connection = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        connection.sendall(text.encode())


def share(process: psutil.Process, seconds: float) -> float:
    """The share of a core that a process takes."""
    before = process.cpu_times()
    time.sleep(seconds)
    after = process.cpu_times()
    return (after.user + after.system - before.user - before.system) / seconds


def health(port: int, seconds: float) -> tuple[float, float]:
    """Median and 99th percentile of the milliseconds that /healthz takes, over connections of their own."""
    took: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        begin = time.perf_counter()
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        took.append(1e3 * (time.perf_counter() - begin))
        time.sleep(0.05)
    return statistics.median(took), statistics.quantiles(took, n=100)[-1]


def plan(port: int, spec: dict[str, Any], over: threading.Event) -> None:
    """A client that plans again and again."""
    body = json.dumps(spec)
    while not over.is_set():
        httpx2.post(f"http://127.0.0.1:{port}/v1/plans", content=body, headers={"content-type": "application/json"},
                    timeout=300)  # fmt: skip


if __name__ == "__main__":
    main()
