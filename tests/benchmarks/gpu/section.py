"""A section of the benchmark: what it is told, and how its rows are measured."""

import contextlib
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers
from side_by_side import Spread, round_robin

Cell = str | int | float | None
Row = Mapping[str, Cell]

# What is measured, the most wanted first: autocast's type, and whether float32 products may round factors to TF32.
PRECISIONS = ("bf16", "tf32", "fp16", "fp32")


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where and how much is measured.

    Attributes:
        device: "cpu" or "cuda".
        quick: tiny sizes, which measure nothing.
        until: on the clock `time.monotonic`; no measurement begins later.
        folder: for files that are made on the way.
    """

    device: str
    quick: bool
    until: float
    folder: Path

    @property
    def time_is_up(self) -> bool:
        """Whether what is left has to be left out."""
        return time.monotonic() > self.until

    def synchronize(self) -> None:
        """Wait for what the device still does."""
        if self.device == "cuda":
            torch.cuda.synchronize()

    def in_turn(
        self, alternatives: Mapping[str, Callable[[], object]], rounds: int = 8, warm_up: int = 4
    ) -> dict[str, list[float]]:
        """Seconds of each alternative in each round, all taking turns.

        The loss scale of fp16 takes some updates to fit.
        """
        if self.quick:
            rounds, warm_up = 2, 1
        return round_robin(alternatives, rounds, warm_up=warm_up, synchronize=self.synchronize)

    def seconds(self, do: Callable[[], object]) -> float:
        """Seconds that something takes once."""
        self.synchronize()
        begin = time.perf_counter()
        do()
        self.synchronize()
        return time.perf_counter() - begin


def as_trials_do() -> None:
    """Deterministic algorithms, as `trainers.one_trial` sets them; before the first use of the GPU."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.backends.cuda.enable_mem_efficient_sdp(True)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    warnings.filterwarnings("ignore", category=UserWarning)


@contextlib.contextmanager
def precision(name: str) -> Iterator[None]:
    """Let float32 products be TF32 where it is asked for."""
    torch.set_float32_matmul_precision("high" if name == "tf32" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")


def median(seconds: list[float]) -> float:
    """Of the rounds."""
    return Spread.of(seconds).median
