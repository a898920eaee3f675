"""Many users at once, at a bounded rate: they submit, cancel, poll and follow. 30 minutes with `--full`."""

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

Fields = dict[str, Any]

READERS, FOLLOWERS = 16, 4
READS_A_SECOND = 2.0  # of each reader
SUBMIT_SECONDS = 6.0
MOST_ACTIVE = 6


class Load:
    """Users of a service, each a thread, until `over`."""

    def __init__(self, service: Any, spec: Fields) -> None:
        self.service, self.spec = service, spec
        self.ids: list[str] = []
        self.took: dict[str, list[float]] = {}
        self.errors: list[str] = []
        self.followed = 0
        self.over = threading.Event()

    def run(self, seconds: float) -> None:
        users = [self._submits, *[self._reads] * READERS, *[self._follows] * FOLLOWERS]
        threads = [threading.Thread(target=self._use, args=(user, number)) for number, user in enumerate(users)]
        for thread in threads:
            thread.start()
        self.over.wait(seconds)
        self.over.set()
        for thread in threads:
            thread.join()

    def _use(self, user: Callable[[random.Random], None], number: int) -> None:
        try:
            user(random.Random(number))
        except Exception as error:
            self.errors.append(f"{user.__name__}: {error!r}")
            self.over.set()

    def _submits(self, chance: random.Random) -> None:
        client = self.service.client
        for seed in range(10**6):
            if self.over.wait(SUBMIT_SECONDS):
                return
            active = [id_ for id_ in self.ids[-50:] if client.experiment(id_)["state"] in ("queued", "running")]
            if len(active) < MOST_ACTIVE:
                self.ids.append(client.submit({**self.spec, "seeds": [seed]}))
            if active and chance.random() < 0.3:
                client.cancel(chance.choice(active))

    def _reads(self, chance: random.Random) -> None:
        with httpx2.Client(base_url=self.service.url, timeout=60) as http:
            while not self.over.wait(chance.uniform(0, 2 / READS_A_SECOND)):
                id_ = chance.choice(self.ids[-50:]) if self.ids else None
                paths = ["/healthz", "/metrics", "/v1/experiments", "/v1/results?limit=100"]
                if id_ is not None:
                    paths += [f"/v1/experiments/{id_}", f"/v1/results?experiment={id_}&split=test"]
                    paths += [f"/v1/experiments/{id_}/log"]
                path = chance.choice(paths)
                begin = time.perf_counter()
                answer = http.get(path)
                route = path if id_ is None else path.replace(id_, "ID")
                self.took.setdefault(route, []).append(time.perf_counter() - begin)
                answer.raise_for_status()

    def _follows(self, chance: random.Random) -> None:
        client = self.service.client
        while not self.over.wait(1):
            if self.ids:
                for _ in client.events(chance.choice(self.ids[-5:])):
                    self.followed += 1
                    if self.over.is_set():
                        return


def memory(service: Any) -> float:
    """MiB that the server's process has for itself."""
    [server] = service.named("service.cli serve")
    return float(server.memory_full_info().uss / 2**20)


@pytest.mark.slow
def test_mixed_load_meets_no_error_and_needs_no_more_memory(
    tmp_path: Path,
    start_service: Callable[..., Any],
    empty_trials: Callable[..., dict[str, str]],
    spec: Fields,
    full: bool,
) -> None:
    seconds = 1800.0 if full else 10.0
    service = start_service(tmp_path / "home", **empty_trials(1))
    load = Load(service, {**spec, "methods": ["zero-shot", "ord-FS", "naive-mix-train"], "resources": {}})
    for seed in range(100 if full else 1):  # as many as a page lists: it would grow until there are
        service.client.cancel(service.client.submit({**load.spec, "seeds": [10**6 + seed]}))
    grown: list[float] = []
    warm = threading.Timer(0.2 * seconds, lambda: grown.append(memory(service)))
    warm.start()
    load.run(seconds)
    warm.join()
    grown.append(memory(service))
    slowest = {route: float(np.quantile(took, 0.99)) for route, took in load.took.items()}
    print(
        f"\n{seconds / 60:.1f} minutes: {len(load.ids)} experiments, {sum(map(len, load.took.values()))} reads,"
        f" {load.followed} events; memory {grown[0]:.0f} MiB after a fifth, then {grown[-1] / grown[0] - 1:+.1%}"
    )
    for route, worst in sorted(slowest.items()):
        print(f"  {route}: median {1e3 * np.median(load.took[route]):.0f} ms, p99 {1e3 * worst:.0f} ms")
    assert not load.errors
    assert load.ids
    assert not full or grown[-1] / grown[0] < 1.05
    assert not full or max(slowest.values()) < 0.1
