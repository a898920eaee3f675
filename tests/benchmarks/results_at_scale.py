"""A million scores: a summary of some, all as a frame, a poll for what is new; then drivers that write at once."""

import argparse
import contextlib
import itertools
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from side_by_side import at_least, at_most, parser, print_table, setting
from sqlalchemy import create_engine, func, insert, make_url, select, update

from service.client import Client
from service.store import Store
from service.store.schema import clock, experiments, planned_results, planned_trials, scores, selections, trials
from trainers.protocols import PAPER
from trainers.trial import TrialConfig

METHODS, KS, SEEDS, LANGUAGES, CANDIDATES = ("mix-FT", "naive-mix-train"), (1, 5, 10), 5, 40, 8
OF_EXPERIMENT = len(METHODS) * len(KS) * SEEDS * LANGUAGES * CANDIDATES  # 9,600 scores of 240 trials

DRIVERS, TRIALS, EPOCHS = 8, 50, 3  # each driver's trials, and how often each reports

SUMMARY_MS, WHOLE_SECONDS, FRAME_SECONDS, FRAME_GB, POLL_MS, WRITTEN = 150.0, 30.0, 5.0, 1.0, 10.0, 2_000.0

SERVER = """
import sys, uvicorn
from pathlib import Path
from search_spaces.checks import Environment
from service.api import create_app
from service.store import Store
environment = Environment(Path(sys.argv[2]), Path(sys.argv[2]), None, None, None)
uvicorn.run(create_app(Store(sys.argv[1]), lambda: environment, None), port=int(sys.argv[3]), log_level="warning")
"""

# The client in a process of its own, so that the memory is its own.
FRAME = """
import resource, sys, time
from service.client import Client
import pyarrow, pandas
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
begin = time.perf_counter()
frame = Client(sys.argv[1]).results()
print(len(frame), time.perf_counter() - begin, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20)
"""

# What a driver stores of its trials, each with 80 test scores.
DRIVER = """
import functools, itertools, sys, time
from service.store import Store
from trainers.trial import Outcome, Report, Score
store, epochs, digests = Store(sys.argv[1]), int(sys.argv[2]), sys.argv[4:]
score = functools.partial(Score, value=50.0, examples=100, data="d" * 20, cut=False)
print("ready", flush=True)
sys.stdin.readline()
begin = time.time()
for digest in digests:
    attempt = store.trials.started(sys.argv[3], digest)
    for epoch in range(1, epochs + 1):
        dev = score(step=epoch, epoch=epoch, language="en", split="dev", metric="f1")
        report = Report(epoch=epoch, step=epoch, scores=(dev,), measures={"steps_per_second": 1.0})
        store.trials.reported(digest, attempt, report)
    of = itertools.product((f"l{number:02d}" for number in range(40)), ["precision", "f1"])
    tests = tuple(
        score(step=epochs, epoch=epochs, language=language, split="test", metric=metric) for language, metric in of
    )
    outcome = Outcome(selected={"source-dev": epochs}, scores=tests, facts={})
    assert store.trials.succeeded(digest, attempt, outcome) == "taken"
print(begin, time.time())
"""


def main() -> None:
    """Measure and print."""
    made = parser(__doc__)
    made.add_argument("--rows", type=int, default=1_000_000)
    made.add_argument("--rounds", type=int, default=20)
    made.add_argument("--database", help="an empty one, that the drivers write into; the same SQLite file if not given")
    arguments = made.parse_args()
    rows = OF_EXPERIMENT if arguments.quick else arguments.rows
    with tempfile.TemporaryDirectory(prefix="scale-") as folder:
        url = f"sqlite:///{Path(folder) / 'allasprak.sqlite'}"
        ids = fill(url, rows)
        with served(url, folder) as base:
            read = measure_reading(base, ids, arguments)
        written = measure_writing(arguments.database or url, 1 if arguments.quick else TRIALS)
    print(setting(1, "cpu", make_url(arguments.database or url).get_backend_name(), arguments.quick) + "\n")
    print_table(
        ["of all", "found", "target"],
        [*read, ["scores written a second", f"{written:,.0f}", at_least(WRITTEN, written, arguments.quick)]],
    )


def fill(url: str, rows: int) -> list[str]:
    """Write so many score rows, of as many experiments as that takes; returns their ids."""
    Store(url).close()
    engine, chance, ids = create_engine(url), random.Random(0), list[str]()
    with engine.begin() as connection:
        for number in range(-(-rows // OF_EXPERIMENT)):
            ids.append(f"{number:012x}")
            written = list(itertools.islice(_scores(number), max(0, rows - number * OF_EXPERIMENT)))
            digests = sorted({row["trial"] for row in written})
            connection.execute(insert(experiments), [_experiment(ids[-1])])
            connection.execute(insert(trials), [_trial(digest) for digest in digests])
            connection.execute(insert(planned_trials), [_planned(ids[-1], digest) for digest in digests])
            chosen = {"selection": "source-dev", "step": 10, "at": number + 1}
            connection.execute(insert(selections), [{"trial": digest, **chosen} for digest in digests])
            common = {"experiment": ids[-1], "selection": "source-dev", "judged_on": "", "data": "d" * 20}
            connection.execute(insert(planned_results), [{**common, **row, "at": number + 1} for row in written])
            values = {"step": 10, "metric": "f1", "epoch": 3, "attempt": 1, "examples": 1000, "cut": False}
            connection.execute(
                insert(scores),
                [
                    {**values, "data": "d" * 20, "at": number + 1, "value": chance.uniform(20, 90)}
                    | {name: row[name] for name in ("trial", "language", "split")}
                    for row in written
                ],
            )
        connection.execute(update(clock).values(now=len(ids)))
    engine.dispose()
    return ids


def _scores(number: int) -> Iterator[dict[str, Any]]:
    """What an experiment asks: a row for each score."""
    parts = itertools.product(METHODS, KS, range(SEEDS), range(CANDIDATES), range(LANGUAGES))
    for place, (method, k, seed, candidate, language) in enumerate(parts):
        trial = f"{number:08x}{place // LANGUAGES:012x}"
        code = "en" if language == 0 else f"l{language:02d}"
        yield {
            "method": method, "k": k, "seed": seed, "alpha": None, "candidate": f"learning_rate {candidate}e-5",
            "language": code, "split": "test", "trial": trial,
        }  # fmt: skip


def _experiment(id_: str) -> dict[str, Any]:
    spec = {"task": "ner", "source_language": "en", "encoder": "e", "protocol": "paper", "data": "xtreme-r"}
    texts = {"name": "scale", "owner": "", "state": "succeeded", "reason": ""}
    numbers = {"priority": 0, "created": 0.0, "driver_deaths": 0, "events": 0}
    return {"id": id_, "spec": spec, "planned": True, "driver_unwanted": False, **texts, **numbers}


def _trial(digest: str) -> dict[str, Any]:
    """A trial, of one of CANDIDATES learning rates and one of SEEDS, in a model of all languages."""
    place = int(digest[8:], 16)
    targets = tuple(f"l{language:02d}" for language in range(1, LANGUAGES))
    rate = (1 + place % CANDIDATES) * 1e-5
    config = TrialConfig(
        task="ner", method=METHODS[0], source_language="en", target_languages=targets, k=5,
        seed=place // CANDIDATES % SEEDS, alpha=None, protocol="paper", encoder="e", encoder_digest="e" * 20,
        training=replace(PAPER.defaults.training, learning_rate=rate), data_digest="d" * 20,
    )  # fmt: skip
    return {"digest": digest, "config": config.to_dict(), "source": None, "attempt": 1, "epochs": 3, "facts": {}}


def _planned(experiment: str, digest: str) -> dict[str, Any]:
    needed = {"selections": ["source-dev"], "evaluate": {}, "judge": {}, "sweep": None, "test_every_report": False}
    state = {"state": "succeeded", "reason": "", "reused": False, "estimated": None}
    return {"experiment": experiment, "trial": digest, "position": 0, **needed, **state}


@contextlib.contextmanager
def served(url: str, home: str) -> Iterator[str]:
    """The REST interface over a database, in a process of its own; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-c", SERVER, url, home, str(port)])
    try:
        base = f"http://127.0.0.1:{port}"
        while not Client(base).is_up():
            time.sleep(0.1)
        yield base
    finally:
        process.terminate()
        process.wait()


def measure_reading(base: str, ids: list[str], arguments: argparse.Namespace) -> list[list[str]]:
    """What a server over the database takes for its answers, as rows of the table."""
    client, middle = Client(base), ids[len(ids) // 2]
    now = client.results(middle, limit=1).attrs["now"]
    summary = median_ms(lambda: client.summary(by=["method", "k", "candidate"], experiment=middle), arguments.rounds)
    whole = median_ms(lambda: client.summary(by=["method", "k", "candidate"]), 1) / 1e3
    poll = median_ms(lambda: client.results(since=now), arguments.rounds)
    answer = subprocess.run([sys.executable, "-c", FRAME, base], capture_output=True, text=True, check=True)
    rows, seconds, gigabytes = (float(value) for value in answer.stdout.split())
    return [
        [f"summary of one experiment's {OF_EXPERIMENT:,} scores by method, K and candidate", f"{summary:.0f} ms",
         at_most(SUMMARY_MS, summary, arguments.quick)],
        [f"summary of all {rows:,.0f} by method, K and candidate", f"{whole:.1f} s",
         at_most(WHOLE_SECONDS, whole, arguments.quick)],
        [f"all {rows:,.0f} as a frame", f"{seconds:.1f} s", at_most(FRAME_SECONDS, seconds, arguments.quick)],
        ["memory that the frame's process takes for it", f"{gigabytes:.2f} GiB",
         at_most(FRAME_GB, gigabytes, arguments.quick)],
        ["poll for what is new, where nothing is", f"{poll:.1f} ms", at_most(POLL_MS, poll, arguments.quick)],
    ]  # fmt: skip


def measure_writing(url: str, of_each: int) -> float:
    """Scores a second that drivers store, all at once; each is a process with an experiment of its own."""
    Store(url).close()
    engine, drivers = create_engine(url), list[subprocess.Popen[str]]()
    for number in range(DRIVERS):
        id_, digests = f"f{number:011x}", [f"f{number:07x}{place:012x}" for place in range(of_each)]
        with engine.begin() as connection:
            connection.execute(insert(experiments), [_experiment(id_)])
            connection.execute(insert(trials), [_trial(digest) | {"attempt": 0} for digest in digests])
            connection.execute(
                insert(planned_trials), [_planned(id_, digest) | {"state": "queued"} for digest in digests]
            )
        command = [sys.executable, "-c", DRIVER, url, str(EPOCHS), id_, *digests]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        drivers.append(subprocess.Popen(command, text=True, **pipes))
    for driver in drivers:
        assert driver.stdout
        assert driver.stdout.readline() == "ready\n"
    for driver in drivers:
        assert driver.stdin
        driver.stdin.write("go\n")
        driver.stdin.flush()
    ended = [driver.communicate()[0] for driver in drivers]
    assert all(driver.returncode == 0 for driver in drivers), "a driver lost a row, or met a locked database"
    begins, ends = zip(*(map(float, line.split()) for line in ended), strict=True)
    mine = select(func.count()).select_from(scores).where(scores.c.trial.like("f%"))
    with engine.begin() as connection:
        stored = connection.execute(mine).scalar_one()
    assert stored == DRIVERS * of_each * (EPOCHS + 80), "a row is missing"
    return float(stored / (max(ends) - min(begins)))


def median_ms(act: Callable[[], object], rounds: int) -> float:
    """The median of some rounds, after one to warm up."""
    act()
    taken = []
    for _ in range(rounds):
        begin = time.perf_counter()
        act()
        taken.append(time.perf_counter() - begin)
    return 1e3 * statistics.median(taken)


if __name__ == "__main__":
    main()
