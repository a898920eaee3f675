"""Correctness on the card before any time: the suite's tests of trainings there, and equal bits at XLM-R's size."""

import importlib.util
import os
import re
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from steps import ROWS, SHOTS

from tests.benchmarks.gpu.section import Bench, Row, median
from tests.benchmarks.gpu.subjects import Windows, loop, mixed_lengths, shape
from trainers import memory

ROOT = Path(__file__).parents[3]
# bf16, fp16, resuming, accumulation and repetition: of the loop, and of whole trials.
TESTS = ("loop", "recorded", "resume", "finite", "trial")
UPDATES = 6
WITHOUT_TORCHJD = "not pcgrad"  # which the rule PCGrad needs

DONE = re.compile(
    r"^(?:\[gw\d+\] \[ *\d+%\] )?(PASSED|FAILED|ERROR|SKIPPED)? ?(tests/\S+::.*?)(?: (PASSED|FAILED|ERROR|SKIPPED).*)?$"
)
SAID = re.compile(r"^(?:FAILED|ERROR) (tests/.+?::.+?) - (.*)$")


def measure(bench: Bench) -> Iterator[Row]:
    """The suite's tests, and meanwhile whether trainings of XLM-R's size repeat themselves."""
    log = bench.folder / "pytest.log"
    begin = time.monotonic()
    with log.open("w") as output:
        unbuffered = {**os.environ, "PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(_tests(bench), cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, env=unbuffered)
        try:
            yield from _determinism(replace(bench, until=bench.until - 20))
        finally:
            ended = _end(process, max(1.0, bench.until - time.monotonic()))
    said = log.read_text(errors="replace")
    counts, failures = read(said)
    yield {"what": "tests of trainings", "exit status": ended, "seconds": time.monotonic() - begin, **counts}
    for name, message in failures.items():
        yield {"what": "a failed test", "test": name, "said": message}
    if not counts["passed"]:
        yield {"what": "no test passed", "said": said[-1500:]}
    if failures or not counts["passed"]:
        print(said[-20_000:], file=sys.stderr)  # with tracebacks, for gpu.log


def _tests(bench: Bench) -> list[str]:
    """The suite's tests of trainings, on the device."""
    selected = WITHOUT_TORCHJD if importlib.util.find_spec("torchjd") is None else "test"
    files = [f"tests/trainers/test_{name}.py" for name in TESTS]
    if bench.quick:
        files, selected = files[:1], "learns_where and bf16"
    command = [sys.executable, "-m", "pytest", "-o", "addopts=--import-mode=importlib", "-v", "--tb=short", "-rfE"]
    command += ["-p", "no:cacheprovider", "--device", bench.device, "-k", selected, *files]
    parallel = importlib.util.find_spec("xdist") is not None and not bench.quick
    return command + (["-n", "8", "--dist", "load"] if parallel else [])


def _end(process: "subprocess.Popen[bytes]", seconds: float) -> int:
    """Its exit status, at the latest after these seconds, and as many as pytest takes to say what it has."""
    for wait, end in ((seconds, process.terminate), (10.0, process.kill)):
        try:
            return process.wait(wait)
        except subprocess.TimeoutExpired:
            end()
    return process.wait()


def read(log: str) -> tuple[dict[str, int], dict[str, str]]:
    """Tests by outcome, and what those that failed said, from the output of `pytest -v`, also of one that was ended."""
    outcomes: dict[str, str] = {}
    said: dict[str, str] = {}
    for line in map(str.rstrip, log.splitlines()):
        if match := SAID.match(line):
            said[match[1]] = match[2][:300]
        elif (match := DONE.match(line)) and (match[1] or match[3]):
            outcomes[match[2]] = (match[1] or match[3]).lower()
    counts = {
        kind: sum(found == kind for found in outcomes.values()) for kind in ("passed", "failed", "skipped", "error")
    }
    bad = [name for name, found in outcomes.items() if found in ("failed", "error")]
    return counts, {name: said.get(name, "") for name in [*bad, *said]}


def _determinism(bench: Bench) -> Iterator[Row]:
    """Trainings of XLM-R base with surgery, twice each."""
    for name in ("bf16",) if bench.quick else ("bf16", "fp16", "fp32"):
        if bench.time_is_up:
            return
        yield {"precision": name, **_repeated(bench, name)}


def _repeated(bench: Bench, name: str) -> Row:
    """Whether both trainings on padded parts, with dropout, have the same bits."""
    of = shape("base", quick=bench.quick)
    windows = Windows.of(of, mixed_lengths(UPDATES * ROWS + SHOTS, bench.quick), bench.device)
    weights, seconds = [], []
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for _ in range(2):
            made = loop(of, windows, name, ROWS, surgery=True)
            try:
                for update in range(UPDATES):
                    if bench.time_is_up:
                        return {"equal": None, "said": "no time"}
                    batch = range(ROWS * update, ROWS * (update + 1))
                    seconds.append(bench.seconds(partial(made._update, batch)))
            except RuntimeError as error:
                return {"equal": None, "said": str(error).partition("\n")[0][:300]}
            weights.append(torch.cat([one.detach().flatten().cpu() for one in made.model.parameters()]))
            del made
            memory.release()
    one, other = weights
    return {
        "equal": torch.equal(one, other),
        "weights that differ": int((one != other).sum()),
        "largest difference": float((one - other).abs().max()),
        "ms an update": 1000 * median(seconds[UPDATES:]),
        "warned": "; ".join(sorted({str(one.message)[:150] for one in warned if "determin" in str(one.message)})),
    }
