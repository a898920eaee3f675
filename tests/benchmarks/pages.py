"""Pages of large experiments in a browser: the server's time, until it is visible, scripts, memory over an hour."""

import argparse
import gzip
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
from playwright.sync_api import Page, sync_playwright
from side_by_side import at_most, parser, print_table

from large import TARGETS, fill
from queried import planned
from service.store import Store
from trainers import Report

LISTED, EXPERIMENT_MS, VISIBLE_MS, LIST_MS, SCRIPTS_KB, GROWTH_MB, MINUTES = 10_000, 200, 1000, 300, 400, 20, 60
CURVES_MS = 1500

SERVER = """
import sys, uvicorn
from pathlib import Path
from search_spaces.environment import Environment
from service.api import create_app
from service.store import Store
from service.web import add_pages
environment = Environment(Path(sys.argv[2]), Path(sys.argv[2]), cpus=2, gpus=0)
app = create_app(Store(sys.argv[1]), lambda: environment, None)
add_pages(app)
uvicorn.run(app, port=int(sys.argv[3]), log_level="warning")
"""


@contextmanager
def serving(url: str, home: Path) -> Iterator[str]:
    """The address of a server of its own over a store."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with subprocess.Popen([sys.executable, "-c", SERVER, url, str(home), str(port)]) as server:
        address = f"http://127.0.0.1:{port}"
        while True:
            try:
                httpx2.get(f"{address}/healthz")
                break
            except httpx2.TransportError:
                time.sleep(0.1)
        try:
            yield address
        finally:
            server.kill()  # it would wait for the ends of streams


def answered_in(address: str, times: int = 1) -> float:
    """Median of the milliseconds until an answer is whole."""
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        httpx2.get(address, timeout=60).raise_for_status()
        taken.append(1000 * (time.perf_counter() - begin))
    return statistics.median(taken)


def visible_in(page: Page, address: str, what: str, times: int) -> float:
    """Median of the milliseconds from the request until something is visible; it is scrolled to."""
    taken = []
    for _ in range(times + 1):
        begin = time.perf_counter()
        page.goto(address, wait_until="commit")
        page.locator(what).first.scroll_into_view_if_needed()
        taken.append(1000 * (time.perf_counter() - begin))
    return statistics.median(taken[1:])


def scripts_kb(page: Page, address: str) -> float:
    """Kilobytes of all scripts that a page loads, packed."""
    page.goto(address)
    page.wait_for_load_state("networkidle")
    found = page.evaluate("performance.getEntriesByType('resource').map(one => one.name)")
    scripts = {name for name in found if ".js" in name}
    return sum(len(gzip.compress(httpx2.get(name).content)) for name in scripts) / 1000


def heap_mb(page: Page) -> float:
    """Megabytes of a page's JavaScript after a garbage collection, and of its nodes."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    found = session.send("Runtime.getHeapUsage")
    session.detach()
    return float(found["usedSize"] + found.get("embedderHeapUsedSize", 0)) / 1e6


def grown(page: Page, address: str, store: Store, id_: str, minutes: float) -> float:
    """Megabytes by which a page of a running experiment grows, with a report of a trial each second."""
    page.goto(f"{address}/experiments/{id_}")
    page.locator(".map").wait_for()
    running = store.planned.page(id_, 1, "running").rows[0]["trial"]
    report = Report(epoch=1, step=1, measures={"loss": 1.0}, scores=())
    before, end = None, time.monotonic() + 60 * minutes
    while (now := time.monotonic()) < end:
        store.trials.reported(running, 1, report)
        page.wait_for_timeout(1000)
        if before is None and now > end - 54 * minutes:  # what it takes at first is no growth
            before = heap_mb(page)
    return heap_mb(page) - (before or 0.0)


def measure(arguments: argparse.Namespace) -> None:
    """Fill a store, and look at it."""
    quick = arguments.quick
    times, targets = (1, TARGETS[:2]) if quick else (5, TARGETS)
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/pages.sqlite"
        store = Store(url)
        over, running = fill(store, "succeeded", targets), fill(store, "running", targets[1:])
        spec, plan = planned(range(1, 2))
        for number in range(20 if quick else LISTED):
            store.experiments.add(spec.model_copy(update={"name": f"run {number}"}), plan)
        with serving(url, Path(folder)) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=arguments.browser, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1400, "height": 900})
            of_one, of_all = f"{address}/experiments/{over}", f"{address}/"
            table = f"{of_one}/table"
            answered_in(of_all), answered_in(of_one)  # what the server loads at the first request
            first, curves = answered_in(table), answered_in(f"{of_one}/curves")
            server, list_ = answered_in(of_one, times), answered_in(of_all, times)
            rows = [
                ("an experiment of 1,745 trials: the server", *_ms(server, EXPERIMENT_MS, quick)),
                ("its map is visible", *_ms(visible_in(page, of_one, ".map", times), VISIBLE_MS, quick)),
                (
                    "its table is visible",
                    *_ms(visible_in(page, table, "table.scores", times), VISIBLE_MS, quick),
                ),
                ("its table when nobody has looked yet: the server", f"{first:.0f} ms", ""),
                ("its curves when nobody has looked yet: the server", *_ms(curves, CURVES_MS, quick)),
                (f"the list of {LISTED:,}: the server", *_ms(list_, LIST_MS, quick)),
            ]
            scripts = scripts_kb(page, of_one)
            rows.append(("scripts, packed", f"{scripts:.0f} kB", at_most(SCRIPTS_KB, scripts, quick)))
            minutes = 0.05 if quick else arguments.minutes
            growth = grown(page, address, store, running, minutes)
            words = f"a page left open for {minutes:g} min of an event each second grows by"
            rows.append((words, f"{growth:.1f} MB", at_most(GROWTH_MB, growth, quick or minutes < MINUTES)))
            version = f"Chromium {browser.version}"
            browser.close()
        print(f"{version}.{' --quick: NOT a measurement.' if quick else ''}\n")
        print_table(("what", "found", "target"), rows)
        store.close()


def _ms(found: float, target: float, quick: bool) -> tuple[str, str]:
    return f"{found:.0f} ms", at_most(target, found, quick)


if __name__ == "__main__":
    made = parser(__doc__)
    made.add_argument("--browser", default="/usr/bin/chromium", help="the browser")
    made.add_argument("--minutes", type=float, default=MINUTES, help="how long a page is left open")
    measure(made.parse_args())
