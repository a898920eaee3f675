"""Processes of every kind are killed with SIGKILL at random moments: the scores are those of an undisturbed run.

The supervisor is a thread of the API server's process. With `--full` there are 100 kills.
"""

import contextlib
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
from sqlalchemy import create_engine, func, select

from service.store.schema import attempts, planned_trials

Fields = dict[str, Any]

SLOTS = 2

# How often the service is looked at, struck or not: more often would take from what is measured.
LOOK_SECONDS = 1.0
VICTIMS = {
    "the API server and supervisor": "service.cli serve",
    "a driver": "service.engine.driver",
    "a trial's worker": "ray::ImplicitFunc",
    "the pool": "service.engine.pool",
    "Ray's head": "gcs/gcs_server",
    "Ray's raylet": "raylet/raylet",
}


class Watch(threading.Thread):
    """Adds up the time in which as many trials were at work as could be, and that in which they were not."""

    def __init__(self, url: str, home: Path) -> None:
        super().__init__(daemon=True)
        self.engine, self.logs = create_engine(url), home / "logs" / "trials"
        self.worked = self.waited = 0.0
        self._over = threading.Event()

    def stop(self) -> None:
        self._over.set()
        self.join()
        self.engine.dispose()

    def run(self) -> None:
        before = time.monotonic()
        while not self._over.wait(0.1):
            part = self._at_work()
            now = time.monotonic()
            self.worked += part * (now - before)
            self.waited += (1 - part) * (now - before)
            before = now

    def _at_work(self) -> float:
        """Of the slots that there are trials for, those in which one has data and model and trains: its log says so."""
        running = select(attempts.c.trial, attempts.c.started).filter_by(state="running")
        queued = select(func.count()).select_from(planned_trials).filter_by(state="queued")
        with self.engine.connect() as connection:
            rows, waiting = connection.execute(running).all(), connection.execute(queued).scalar_one()
        trains = sum(self._trains(trial, started) for trial, started in rows)
        wanted = min(SLOTS, len(rows) + waiting)
        return min(trains / wanted, 1.0) if wanted else 0.0

    def _trains(self, trial: str, started: float) -> bool:
        log = self.logs / f"{trial}.log"
        if not log.exists() or log.stat().st_mtime < started:
            return False
        attempt = log.read_text(errors="replace").rpartition("starting on")[2]
        process = re.search(r"process (\d+)", attempt)
        if process is None or not psutil.pid_exists(int(process[1])):
            return False
        return "training from step" in attempt or "its models are kept" in attempt


@contextlib.contextmanager
def watched(url: str, home: Path) -> Iterator[Watch]:
    watch = Watch(url, home)
    watch.start()
    try:
        yield watch
    finally:
        watch.stop()


def rows_of(service: Any, id_: str) -> pd.DataFrame:
    """Every score of an experiment, of every epoch, as a user gets it."""
    wanted = ["trial", "method", "k", "seed", "language", "split", "metric", "epoch", "value"]
    return service.client.results(id_)[wanted].sort_values(wanted, ignore_index=True)


def over(service: Any, id_: str) -> bool:
    """Whether there is nothing left to be killed."""
    return bool(service.client.experiment(id_)["state"] == "succeeded")


def undisturbed(service: Any, url: str, wanted: Fields) -> tuple[pd.DataFrame, float, float]:
    """What comes of an experiment that nothing happens to, and the seconds in which its trials were at work, or not."""
    with watched(url, service.home) as watch:
        id_ = service.client.submit(wanted)
        assert service.client.wait(id_, poll_seconds=LOOK_SECONDS, progress=False)["state"] == "succeeded"
    rows = rows_of(service, id_)
    service.client.delete(id_)  # the database may be the one in which it is to run again
    service.stop()
    return rows, watch.worked, watch.waited


@pytest.mark.parametrize("database", [pytest.param("sqlite", marks=pytest.mark.slow), "postgresql"])
def test_killed_processes_change_no_score_and_leave_nothing_undone(
    tmp_path: Path, request: pytest.FixtureRequest, start_service: Callable[..., Any], longer: Fields, full: bool,
    database: str,
) -> None:  # fmt: skip
    kills = 100 if full else {"sqlite": len(VICTIMS), "postgresql": len(VICTIMS) // 2}[database]
    wanted = {**longer, "seeds": [11]}
    if full:
        wanted |= {"seeds": [1, 2, 3, 4], "k": [1, 5], "training": {**longer["training"], "epochs": 100}}
    home = tmp_path / "struck"
    url = f"sqlite:///{tmp_path / 'one.sqlite'}" if database == "sqlite" else request.getfixturevalue("postgres")
    settings = {"ALLASPRAK_CHECKPOINT_SECONDS": "0", "ALLASPRAK_DATABASE_URL": url}
    rows, worked, waited = undisturbed(start_service(tmp_path / "undisturbed", **settings), url, wanted)

    chance = random.Random(kills)
    victims = list(VICTIMS) * -(-kills // len(VICTIMS))
    chance.shuffle(victims)
    moments = sorted(chance.uniform(0, 0.8) for _ in range(kills))  # of the experiment's own course
    service = start_service(home, **settings)
    begin, struck = time.monotonic(), 0
    id_ = service.client.submit(wanted)
    with watched(url, home) as watch:
        for moment, victim in zip(moments, victims, strict=False):
            service.until(lambda: service.client.experiment(id_)["progress"] >= moment, 600, LOOK_SECONDS)  # noqa: B023
            time.sleep(chance.uniform(0, 1))
            words = VICTIMS[victim]
            found = service.until(lambda: service.named(words) or over(service, id_), 600, LOOK_SECONDS)  # noqa: B023
            if found is True:
                break
            found[0].kill()
            struck += 1
            if victim == "the API server and supervisor":
                service.process.wait()
                service = start_service(home, **settings)
        assert service.client.wait(id_, progress=False)["state"] == "succeeded"
    # an undisturbed experiment waits as well, for its driver, and for each trial's data and model
    restarts, ratio = watch.waited - waited, (watch.worked + waited) / (worked + waited)
    print(
        f"\n{database}: {struck} kills over {rows['trial'].nunique()} trials, {time.monotonic() - begin:.0f} s,"
        f" {restarts:.0f} of them until what was killed was at work again; the rest is {ratio:.2f} x the undisturbed"
        f" run's {worked + waited:.0f} s (at work: {watch.worked:.0f} and {worked:.0f} s)"
    )
    pd.testing.assert_frame_equal(rows_of(service, id_), rows)
    assert struck == kills if full else struck > 0
    assert not full or ratio <= 1.5
