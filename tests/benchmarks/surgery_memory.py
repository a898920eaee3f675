"""Extra peak memory of training with surgery, in multiples of the parameters' bytes, against plain training."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import torch
from side_by_side import Spread, at_most, device_or_default, print_table, setting
from steps import LITERAL, PLAIN, SURGERY, TORCHJD, Shape, precision, stepper
from surgery_step import parser_with_size, shapes, size_of, what_is_trained

AT_MOST = 0.1  # times the parameters' bytes
STEPS = 5

# Freed memory goes back at once, so that the peak is that of what is in use.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_ARENA_MAX": "1"}

Measure = dict[str, float]


def main() -> None:
    """Measure every way in fresh processes and print; with `--way`, be such a process."""
    arguments = _arguments()
    device, size = device_or_default(arguments.device), size_of(arguments)
    threads = 1 if arguments.quick else arguments.threads
    if arguments.way is not None:
        torch.set_num_threads(threads)
        print(json.dumps(peak(arguments.way, shapes(size)[arguments.shape], device)))
        return
    measure = _in_this_process if arguments.quick else _in_fresh_process
    ways, rounds = ([PLAIN, SURGERY], 1) if arguments.quick else ([PLAIN, SURGERY, LITERAL, TORCHJD], arguments.rounds)
    rows: list[list[object]] = []
    for place, shape in enumerate(shapes(size)[: 1 if arguments.quick else None]):
        found = [{way: measure(arguments, way, place) for way in ways} for _ in range(rounds)]
        rows += [_row(shape.name, way, found, arguments.quick) for way in ways]
    kind = "allocated on the GPU" if device == "cuda" else "resident, of the whole process"
    print(f"{what_is_trained(size)} Peak memory ({kind}): medians and")
    print(f"quartiles; processes of each: {rounds}.")
    print(setting(threads, device, precision(device), arguments.quick) + "\n")
    print_table(["word embeddings", "step", "peak, MB", f"more than a {PLAIN} / parameters", "target"], rows)


def peak(way: str, shape: Shape, device: str) -> Measure:
    """Bytes at the peak of a few steps, and of the parameters."""
    loop, take_step = stepper(way, shape, device)
    for _ in range(STEPS):
        take_step()
    parameters = sum(parameter.numel() * parameter.element_size() for parameter in loop.model.parameters())
    used = torch.cuda.max_memory_allocated() if device == "cuda" else _peak_resident()
    return {"peak": used, "parameters": parameters}


def _peak_resident() -> int:
    """Not getrusage's, which begins with that of the process that started this one."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024


def _in_this_process(arguments: argparse.Namespace, way: str, shape: int) -> Measure:
    """No measurement: the peak is that of all that the process has done."""
    return peak(way, shapes(size_of(arguments))[shape], device_or_default(arguments.device))


def _in_fresh_process(arguments: argparse.Namespace, way: str, shape: int) -> Measure:
    command = [sys.executable, __file__, "--way", way, "--shape", str(shape), "--threads", str(arguments.threads)]
    command += ["--device", arguments.device] if arguments.device else []
    command += ["--size", arguments.size] if arguments.size else []
    answer = subprocess.run(command, env={**os.environ, **ALLOCATOR}, check=True, stdout=subprocess.PIPE, text=True)
    measure: Measure = json.loads(answer.stdout)
    return measure


def _row(model: str, way: str, found: list[dict[str, Measure]], quick: bool) -> list[object]:
    parameters = found[0][way]["parameters"]
    extra = Spread.of([(one[way]["peak"] - one[PLAIN]["peak"]) / parameters for one in found])
    megabytes = Spread.of([one[way]["peak"] for one in found]).median / 1e6
    target = at_most(AT_MOST, extra.median, quick) if way == SURGERY else ""
    shown = "" if way == PLAIN else extra
    return [f"{model} ({parameters / 1e6:.0f} MB of parameters)", way, f"{megabytes:.0f}", shown, target]


def _arguments() -> argparse.Namespace:
    made = parser_with_size(__doc__)
    made.add_argument("--rounds", type=int, default=3, help="processes of each way")
    made.add_argument("--way", default=None, help=argparse.SUPPRESS)
    made.add_argument("--shape", type=int, default=0, help=argparse.SUPPRESS)
    return made.parse_args()


if __name__ == "__main__":
    main()
