"""What the benchmarks share: alternatives timed in turn, ratios with quartiles, the machine in words, tables."""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

SHARED_DATA = Path(__file__).parents[3] / "shared" / "data"


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of several measurements."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of one value or more."""
        if len(values) < 2:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


def round_robin(
    alternatives: Mapping[str, Callable[[], object]],
    rounds: int,
    steps: int = 1,
    warm_up: int = 2,
    synchronize: Callable[[], object] = lambda: None,
) -> dict[str, list[float]]:
    """Seconds that each alternative takes in each round, all taking turns step by step.

    What else happens on the machine meets all of them alike, and none always follows the same other.

    Args:
        alternatives: by name, what takes one step.
        rounds: measurements of each.
        steps: of each in a round.
        warm_up: steps of each before the first round.
        synchronize: waits for what the device still does.
    """
    for _ in range(warm_up):
        for take_step in alternatives.values():
            take_step()
    names = list(alternatives)
    seconds = {name: [0.0] * rounds for name in names}
    for place in range(rounds * steps):
        first = place % len(names)
        for name in names[first:] + names[:first]:
            synchronize()
            begin = time.perf_counter()
            alternatives[name]()
            synchronize()
            seconds[name][place // steps] += time.perf_counter() - begin
    return seconds


def ratio(values: Sequence[float], baseline: Sequence[float]) -> Spread:
    """Of the ratios within each round."""
    return Spread.of([value / base for value, base in zip(values, baseline, strict=True)])


def at_most(target: float, found: float, quick: bool = False) -> str:
    """A target in words, and whether what a table shows meets it."""
    return f"at most {target:g}: {_met(round(found, 2) <= target, quick)}"


def at_least(target: float, found: float, quick: bool = False) -> str:
    """A target in words, and whether what a table shows meets it."""
    return f"at least {target:g}: {_met(round(found, 2) >= target, quick)}"


def _met(met: bool, quick: bool) -> str:
    return "not measured" if quick else "met" if met else "MISSED"


def print_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A Markdown table."""
    lines = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for place, line in enumerate(lines):
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |")
        if place == 0:
            print("|" + "|".join("-" * (width + 2) for width in widths) + "|")
    print(flush=True)


def parser(description: str | None) -> argparse.ArgumentParser:
    """The arguments that every benchmark takes."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    made.add_argument("--quick", action="store_true", help="tiny sizes: tries the benchmark out and measures nothing")
    return made


def add_machine(to: argparse.ArgumentParser) -> None:
    """The arguments for benchmarks that compute."""
    to.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="CPU threads")
    to.add_argument("--device", choices=("cpu", "cuda"), default=None, help="a GPU where there is one, by default")


def add_home(to: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The argument for benchmarks that need the offline encoder; returns what it was added to."""
    home = Path(tempfile.gettempdir()) / "allasprak-benchmarks"
    to.add_argument("--home", type=Path, default=home, help="where encoders are converted and trials work")
    return to


def device_or_default(asked: str | None) -> str:
    """A GPU where there is one and nothing else was asked for."""
    import torch

    return asked or ("cuda" if torch.cuda.is_available() else "cpu")


def setting(threads: int, device: str, precision: str, quick: bool) -> str:
    """The packages and the machine, in a line."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers"))
    line = f"{packages}; {_device_name(device)}; threads: {threads}; {precision}."
    return f"{line} --quick: NOT a measurement." if quick else line


def _device_name(device: str) -> str:
    if device == "cuda":
        import torch

        return f"GPU {torch.cuda.get_device_name()}"
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    return "CPU " + next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def need_shared_data(*tasks: str) -> None:
    """End here, saying so, where the data beside the project are not there."""
    missing = [task for task in tasks if not (SHARED_DATA / task).is_dir()]
    if missing:
        print(f"skipped: {SHARED_DATA} has no data for {', '.join(missing)}")
        sys.exit(0)


def offline_encoder(home: Path) -> Path:
    """The folder with the offline encoder; ends here, saying so, without the package that has its weights."""
    from trainers.encoders.by_name import prepare_encoder
    from trainers.encoders.offline import NAME, OfflineEncoderError

    try:
        return prepare_encoder(NAME, home)
    except OfflineEncoderError as error:
        print(f"skipped: {error}")
        sys.exit(0)
