"""An experiment is paused and resumed again and again: memory stays flat. 200 times with `--full`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Fields = dict[str, Any]

PROCESSES = ("service.cli serve", "service.engine.pool", "gcs/gcs_server", "raylet/raylet", "Agent")


def memory(service: Any) -> dict[str, float]:
    """MiB that the server's process and the pool's own have for themselves."""
    return {
        words: sum(process.memory_full_info().uss for process in service.named(words)) / 2**20 for words in PROCESSES
    }


@pytest.mark.slow
def test_pausing_and_resuming_leaves_nothing_behind(
    tmp_path: Path, start_service: Callable[..., Any], longer: Fields, full: bool
) -> None:
    cycles = 200 if full else 3
    service = start_service(tmp_path / "home")
    client = service.client
    # more epochs than there can be in all cycles, and at most those of one are done again
    training = {**longer["training"], "epochs": 200, "max_source_examples": 2000}
    id_ = client.submit({**longer, "methods": ["zero-shot", "naive-mix-train"], "training": training})
    measured, before = list[dict[str, float]](), 0
    for _ in range(cycles):
        service.until(lambda: client.experiment(id_)["trials"]["running"])
        client.pause(id_)
        service.until(lambda: not service.workers() and not service.named("service.engine.driver"))
        assert client.experiment(id_)["state"] == "paused"
        measured.append(memory(service))
        before = before or len(service.processes())
        service.until(lambda: len(service.processes()) <= before, 10)  # noqa: B023  (a worker may have been on its way)
        client.resume(id_)
    client.cancel(id_)
    # a quarter is as many drivers as a pool serves before it is started anew: each has a peak
    quarter = max(1, cycles // 4)
    first, last = (max(part, key=lambda of: sum(of.values())) for part in (measured[:quarter], measured[-quarter:]))
    total = sum(first.values())
    growth = (sum(last.values()) - total) / total
    parts = ", ".join(f"{words} {last[words] - mebibytes:+.1f}" for words, mebibytes in first.items())
    print(f"\n{cycles} pauses: the last quarter's peak is {growth:+.1%} of the first's {total:.0f} MiB (MiB: {parts})")
    assert not full or growth < 0.05
