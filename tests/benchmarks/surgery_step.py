"""Time of a training step with surgery, against plain steps and against two usual ways of surgery."""

import argparse
from typing import Any

import torch
from side_by_side import add_machine, at_most, device_or_default, parser, print_table, ratio, round_robin, setting
from steps import BOUND, LENGTH, LITERAL, PLAIN, RARE, ROWS, SHOTS, SURGERY, TORCHJD, Shape, precision, stepper

from trainers import memory

SURGERY_AT_MOST = 1.05  # of the lower bound
RARE_AT_MOST = 1.03  # of a plain step
STEPS_OF_RARE, BLOCKS_OF_RARE = 100, 5

VOCABULARY = 250_002  # XLM-R's
OCCURRING = 16_500  # rows of 2,000 English sentences and 12 languages' shots

SIZES: dict[str, Any] = {
    "tiny": {"hidden": 32, "layers": 1, "heads": 2},
    "small": {"hidden": 256, "layers": 6, "heads": 4},
    "base": {"hidden": 768, "layers": 12, "heads": 12},
    "large": {"hidden": 1024, "layers": 24, "heads": 16},
}


def shapes(size: str) -> tuple[Shape, Shape, Shape]:
    """A moderate vocabulary; XLM-R's trimmed to the rows that occur; XLM-R's."""
    moderate, full, occurring = (500, 2000, 400) if size == "tiny" else (20_000, VOCABULARY, OCCURRING)
    return (
        Shape(f"{moderate:,} rows", moderate, occurring, **SIZES[size]),
        Shape(f"{full:,} rows, trimmed", full, occurring, trimmed=True, **SIZES[size]),
        Shape(f"{full:,} rows, all", full, occurring, **SIZES[size]),
    )


class Times:
    """Seconds of several ways to take a step, in turn, with one shape of model."""

    def __init__(self, shape: Shape, ways: list[str], device: str, rounds: int, steps: int = 1) -> None:
        made = {way: stepper(way, shape, device) for way in ways}
        synchronize = torch.cuda.synchronize if device == "cuda" else lambda: None
        alternatives = {way: take_step for way, (_, take_step) in made.items()}
        self.seconds = round_robin(alternatives, rounds, steps, synchronize=synchronize)
        loops = {way: loop for way, (loop, _) in made.items()}
        self.operations = {way: loop.surgery.metrics()["operations"] for way, loop in loops.items() if loop.surgery}
        self.steps = len(loops[ways[0]].losses)
        self.parameters = sum(parameter.numel() for parameter in loops[ways[0]].model.parameters())
        del made, alternatives, loops
        memory.release()


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    device, size, quick = device_or_default(arguments.device), size_of(arguments), arguments.quick
    threads = 1 if quick else arguments.threads
    torch.set_num_threads(threads)
    rounds, blocks, steps = (2, 2, 5) if quick else (arguments.rounds, BLOCKS_OF_RARE, STEPS_OF_RARE)
    print(f"{what_is_trained(size)} Medians and quartiles of the ratios in {rounds} rounds.")
    print(setting(threads, device, precision(device), quick) + "\n", flush=True)
    moderate, trimmed, full = shapes(size)
    rows: list[list[object]] = []
    for shape in (moderate, trimmed, full):
        ways = [PLAIN, BOUND, SURGERY, *([LITERAL, TORCHJD] if shape is moderate else [])]
        rows += _rows(shape, Times(shape, ways, device, rounds), quick)
    print_table(["word embeddings", "step", f"/ {PLAIN}", f"/ {BOUND}", "ms", "target"], rows)

    found = Times(moderate, [PLAIN, RARE], device, blocks, steps)
    spread = ratio(found.seconds[RARE], found.seconds[PLAIN])
    passes = f"{found.operations[RARE]} of {found.steps}"
    print(f"Surgery with alpha = 0.1: {blocks} times {steps} steps, step by step in turn with plain ones.\n")
    print_table(
        ["word embeddings", "oracle passes", f"/ {PLAIN}", "target"],
        [[moderate.name, passes, spread, at_most(RARE_AT_MOST, spread.median, quick)]],
    )


def what_is_trained(size: str) -> str:
    """The training step in words."""
    return (
        f"A token classifier of XLM-R's shape ({size}), trained with AdamW, clipping and schedule on batches of\n"
        f"{ROWS} windows of {LENGTH} tokens, with oracle sets of {SHOTS}. Every operation projects, as if all met\n"
        "a conflict."
    )


def size_of(arguments: argparse.Namespace) -> str:
    """The size that was asked for, or what the device is for."""
    default = "large" if device_or_default(arguments.device) == "cuda" else "small"
    return "tiny" if arguments.quick else arguments.size or default


def parser_with_size(description: str | None) -> argparse.ArgumentParser:
    """The arguments of benchmarks with these models."""
    made = parser(description)
    add_machine(made)
    made.add_argument("--size", choices=SIZES, default=None, help="of the model: small on a CPU, large on a GPU")
    return made


def _rows(shape: Shape, times: Times, quick: bool) -> list[list[object]]:
    rows: list[list[object]] = []
    for way, seconds in times.seconds.items():
        to_plain, to_bound = (ratio(seconds, times.seconds[base]) for base in (PLAIN, BOUND))
        target = at_most(SURGERY_AT_MOST, to_bound.median, quick) if way == SURGERY else ""
        milliseconds = f"{1000 * ratio(seconds, [1.0] * len(seconds)).median:.0f}"
        model = f"{shape.name} ({times.parameters / 1e6:.1f} M parameters)"
        rows.append([model, way, to_plain, to_bound, milliseconds, target])
    return rows


def _arguments() -> argparse.Namespace:
    made = parser_with_size(__doc__)
    made.add_argument("--rounds", type=int, default=40, help="measurements of each step")
    return made.parse_args()


if __name__ == "__main__":
    main()
