"""An experiment is paused and resumed again and again: memory stays flat. 200 times with `--full`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

Fields = dict[str, Any]

# Until then Python's and SQLite's pools grow to the size that they have from then on.
WARM_UP = 0.2


PROCESSES = ("service.cli serve", "service.engine.pool", "gcs/gcs_server", "raylet/raylet", "Agent")


def memory(service: Any) -> dict[str, float]:
    """MiB that the server's process and the pool's own have for themselves."""
    return {
        words: sum(process.memory_full_info().uss for process in service.named(words)) / 2**20 for words in PROCESSES
    }


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
    after_warm_up = measured[int(WARM_UP * cycles)]
    grown = {words: measured[-1][words] - mebibytes for words, mebibytes in after_warm_up.items()}
    total = sum(after_warm_up.values())
    growth = sum(grown.values()) / total
    parts = ", ".join(f"{words} {mebibytes:+.1f}" for words, mebibytes in grown.items())
    print(f"\n{cycles} pauses: from {total:.0f} MiB after {WARM_UP:.0%} of them {growth:+.1%} (MiB: {parts})")
    assert not full or growth < 0.05
