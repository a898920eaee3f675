"""A full disk, and a GPU whose memory runs out: a simulated one, so that no GPU is needed."""

import errno
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from trainers.artifacts import atomic
from trainers.training.loop import Loop
from trainers.training.recorded import Of
from trainers.trial import Trial

Make = Callable[..., Trial]
Train = Callable[[Trial], Any]


@pytest.mark.parametrize("method", ["zero-shot", "ord-FS"])
def test_a_full_disk_ends_a_source_training_and_leaves_no_half_model(
    train: Train, make_trial: Make, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    trial = make_trial(method)
    with monkeypatch.context() as full:
        full.setattr(atomic.shutil, "disk_usage", lambda _: SimpleNamespace(total=1, used=1, free=0))
        with pytest.raises(OSError, match="the disk is full") as caught:
            train(trial)
    assert caught.value.errno == errno.ENOSPC
    assert list((trial.home / "models").rglob("*.safetensors")) == []
    assert list(train(trial).test_scores) == ["en", "de", "hi"]


def runs_out(monkeypatch: pytest.MonkeyPatch, windows: int) -> None:
    """A forward and backward pass over more windows than this is too much."""
    whole = Loop._backward

    def backward(loop: Loop, places: Sequence[int], share: float, of: Of) -> Tensor:
        if len(places) > windows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 80 GiB.")
        return whole(loop, places, share, of)

    monkeypatch.setattr(Loop, "_backward", backward)


@pytest.mark.parametrize("method", ["zero-shot", "gradient-mix-train"])
def test_where_the_memory_runs_out_updates_are_made_in_more_accumulation_steps(
    train: Train, make_trial: Make, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    expected = train(make_trial(method, accumulation=8))
    runs_out(monkeypatch, 4)
    done = train(make_trial(method))
    assert done.outcome.facts["out_of_memory"] == "CUDA out of memory"
    assert done.outcome.facts["accumulation"] == 8
    assert done.losses == expected.losses


def test_where_the_memory_runs_out_again_the_trial_fails_with_advice(
    train: Train, make_trial: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs_out(monkeypatch, 0)
    with pytest.raises(MemoryError, match="CUDA out of memory, also with 8 gradient-accumulation steps; try a smaller"):
        train(make_trial("zero-shot"))
    with pytest.raises(MemoryError, match="CUDA out of memory; try a smaller"):
        train(make_trial("zero-shot", protocol="released-code", batching="micro-batches"))
