"""An experiment is paused and resumed again and again: memory stays flat. 200 times with `--full`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

Fields = dict[str, Any]

# Until then Python's and SQLite's pools grow to the size that they have from then on.
WARM_UP = 0.2


def memory(service: Any) -> float:
    """MiB that the server's process and the pool's own have for themselves."""
    uss = 0
    for words in ("service.cli serve", "service.engine.pool", "gcs/gcs_server", "raylet/raylet", "Agent"):
        for process in service.named(words):
            uss += process.memory_full_info().uss
    return uss / 2**20


def test_pausing_and_resuming_leaves_nothing_behind(
    tmp_path: Path, start_service: Callable[..., Any], longer: Fields, full: bool
) -> None:
    cycles = 200 if full else 3
    service = start_service(tmp_path / "home")
    client = service.client
    # more epochs than there can be in all cycles, and at most those of one are done again
    training = {**longer["training"], "epochs": 200, "max_source_examples": 2000}
    id_ = client.submit({**longer, "methods": ["zero-shot", "naive-mix-train"], "training": training})
    measured, before = list[float](), 0
    for _ in range(cycles):
        service.until(lambda: client.experiment(id_)["trials"]["running"])
        client.pause(id_)
        service.until(lambda: not service.workers() and not service.named("service.engine.driver"))
        assert client.experiment(id_)["state"] == "paused"
        measured.append(memory(service))
        before = before or len(service.processes())
        assert len(service.processes()) <= before, "processes stay behind"
        client.resume(id_)
    client.cancel(id_)
    after_warm_up = measured[int(WARM_UP * cycles)]
    growth = measured[-1] / after_warm_up - 1
    print(f"\n{cycles} pauses: from {after_warm_up:.0f} MiB after {WARM_UP:.0%} of them {growth:+.1%}")
    assert not full or growth < 0.05
