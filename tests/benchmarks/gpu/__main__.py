"""Measure one GPU from a bare checkout with torch and transformers: `python -m tests.benchmarks.gpu [folder]`.

Each section is a process of its own with a time limit. `gpu.json` in the folder is written after every row, `gpu.md` at
the end, and `gpu.log` has what the sections said.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from side_by_side import device_or_default, parser

from tests.benchmarks.gpu import card, correctness, training, trials
from tests.benchmarks.gpu.section import Bench, Row, as_trials_do

Measure = Callable[[Bench], Iterator[Row]]

# In this order; with the seconds after which a section begins no further measurement.
SECTIONS: Mapping[str, tuple[Measure, float]] = {
    "card": (card.measure, 20),
    "correctness": (correctness.measure, 110),
    "steps": (training.steps, 150),
    "start": (trials.start, 40),
    "trials": (trials.trials, 90),
    "costs": (training.costs, 45),
    "evaluation": (trials.evaluation, 40),
    "memory": (training.memories, 40),
}
ALL_SECONDS = 510.0
IN_HAND = 20.0  # beyond its seconds, for a section's imports and its last measurement
MARK = "row: "


def main() -> None:
    """Run the sections and print their tables; with `--section`, be one."""
    arguments = _arguments()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    if arguments.section is not None:
        _be(arguments)
        return
    result: dict[str, Any] = {"quick": arguments.quick, "machine": {}, "sections": {}}
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as work:
        for name in arguments.sections:
            left = arguments.seconds - (time.monotonic() - begin)
            found = result["sections"][name] = {"state": "running", "rows": []}
            run = _here if arguments.quick else _in_a_process
            since = time.monotonic()
            found["state"] = run(name, arguments, Path(work), left, result) if left > IN_HAND else "left out: no time"
            found["seconds"] = time.monotonic() - since
            _write(arguments.folder, result)
    text = report(result)
    (arguments.folder / "gpu.md").write_text(text)
    print(text)


def _in_a_process(name: str, arguments: argparse.Namespace, work: Path, left: float, result: dict[str, Any]) -> str:
    seconds = min(SECTIONS[name][1], left - IN_HAND)
    command = [sys.executable, "-m", "tests.benchmarks.gpu", str(work), "--section", name, "--seconds", str(seconds)]
    command += ["--device", arguments.device] if arguments.device else []
    with (arguments.folder / "gpu.log").open("a") as log:
        process = subprocess.Popen(
            command, cwd=correctness.ROOT, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
        )
        limit = threading.Timer(seconds + IN_HAND, os.killpg, (process.pid, signal.SIGKILL))
        limit.start()
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(MARK):
                _take(name, json.loads(line.removeprefix(MARK)), arguments.folder, result)
            else:
                log.write(line)
                log.flush()
        ended = process.wait()
        limit.cancel()
    return "done" if ended == 0 else "out of time" if ended == -signal.SIGKILL else f"failed: exit status {ended}"


def _here(name: str, arguments: argparse.Namespace, work: Path, left: float, result: dict[str, Any]) -> str:
    """In this process: --quick is to be quick."""
    as_trials_do()
    torch.set_num_threads(1)
    bench = Bench(device=device_or_default(arguments.device), quick=True, until=time.monotonic() + left, folder=work)
    result["machine"] = card.machine(bench.device)
    for row in SECTIONS[name][0](bench):
        _take(name, {"row": dict(row)}, arguments.folder, result)
    return "done"


def _take(name: str, line: dict[str, Any], folder: Path, result: dict[str, Any]) -> None:
    if "machine" in line:
        result["machine"] = line["machine"]
    else:
        result["sections"][name]["rows"].append(line["row"])
    _write(folder, result)


def _write(folder: Path, result: dict[str, Any]) -> None:
    """All that is known so far, complete whenever this process ends."""
    written = folder / "gpu.json.new"
    written.write_text(json.dumps(result, indent=1))
    written.replace(folder / "gpu.json")


def _be(arguments: argparse.Namespace) -> None:
    """Measure a section, and print each row as soon as it is there."""
    as_trials_do()
    device = device_or_default(arguments.device)
    bench = Bench(
        device=device, quick=arguments.quick, until=time.monotonic() + arguments.seconds, folder=arguments.folder
    )
    torch.set_num_threads(min(4, torch.get_num_threads()))
    for row in SECTIONS[arguments.section][0](bench):
        print(MARK + json.dumps({"row": dict(row)}), flush=True)
    print(MARK + json.dumps({"machine": card.machine(device)}), flush=True)  # asking for it is a use of the card


def report(result: Mapping[str, Any]) -> str:
    """The result as Markdown: the machine, and a table for each kind of row of each section."""
    lines = ["# One GPU", "", *(f"- {name}: {value}" for name, value in result["machine"].items()), ""]
    lines += ["--quick: NOT a measurement.", ""] if result["quick"] else []
    for name, section in result["sections"].items():
        lines += [f"## {name}", "", f"{section['state']}, {section.get('seconds', 0.0):.0f} s", ""]
        kinds: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for row in section["rows"]:
            kinds.setdefault(tuple(row), []).append(row)
        for columns, rows in kinds.items():
            lines += ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
            lines += ["| " + " | ".join(_cell(row[column]) for column in columns) + " |" for row in rows]
            lines.append("")
    return "\n".join(lines)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return (
        f"{value:,}"
        if isinstance(value, int) and not isinstance(value, bool)
        else str(value).replace("|", "/").replace("\n", " ")
    )


def _arguments() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("folder", type=Path, nargs="?", default=Path(os.environ.get("OUT", ".")), help="for the results")
    made.add_argument("--device", choices=("cpu", "cuda"), default=None, help="a GPU where there is one, by default")
    made.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="what is measured")
    made.add_argument("--seconds", type=float, default=ALL_SECONDS, help="after which nothing new begins")
    made.add_argument("--section", choices=SECTIONS, default=None, help=argparse.SUPPRESS)
    return made.parse_args()


if __name__ == "__main__":
    main()
