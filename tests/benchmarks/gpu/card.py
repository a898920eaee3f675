"""The card: what it is, and what it reaches in products of large matrices and in copies."""

import contextlib
import platform
import subprocess
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version

import torch

from tests.benchmarks.gpu.section import PRECISIONS, Bench, Row, median, precision

SIDE = 8192  # of square matrices
TYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def machine(device: str) -> dict[str, str | int | None]:
    """The card, its driver, the packages and the processor."""
    on_card = device == "cuda"
    return {
        "card": torch.cuda.get_device_name() if on_card else f"none: {platform.processor() or platform.machine()}",
        "memory_bytes": torch.cuda.get_device_properties(0).total_memory if on_card else None,
        "driver": _driver() if on_card else None,
        "cuda": torch.version.cuda if on_card else None,
        "torch": torch.__version__,
        "transformers": version("transformers"),
        "python": platform.python_version(),
        "cpu_threads": torch.get_num_threads(),
    }


def _driver() -> str | None:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.split("\n")[0]
    return None


def measure(bench: Bench) -> Iterator[Row]:
    """The peak of each precision, and of copying."""
    for name in PRECISIONS:
        yield {"what": f"product of matrices, {name}", "TFLOP/s": peak(bench, name) / 1e12}
    source = torch.empty(2**20 if bench.quick else 2**30, dtype=torch.uint8, device=bench.device).random_()
    target = torch.empty_like(source)
    seconds = median(bench.in_turn({"copy": lambda: target.copy_(source)})["copy"])
    yield {"what": "copy on the card, read and written", "TB/s": 2 * source.numel() / seconds / 1e12}


@cache
def peak(bench: Bench, name: str) -> float:
    """FLOP/s that products of random matrices of 8,192 rows and columns reach: the peak that shares are of."""
    side = 64 if bench.quick else SIDE
    one, other = (torch.randn(side, side, device=bench.device).to(TYPES[name]) for _ in range(2))
    with precision(name):
        seconds = median(bench.in_turn({name: lambda: one @ other})[name])
    return 2 * side**3 / seconds
