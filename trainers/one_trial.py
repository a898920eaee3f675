"""One trial from its configuration to its scores."""

import logging
import os
import platform
import random
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import torch

from trainers import memory
from trainers.artifacts import checkpoints, kept_models
from trainers.artifacts.atomic import lock
from trainers.artifacts.kept_models import Model
from trainers.artifacts.layout import checkpoints_of, lock_of
from trainers.artifacts.places import place_of
from trainers.methods import METHODS
from trainers.tasks import TASKS
from trainers.training.bench import TrialBench
from trainers.trial import Change, Outcome, Report, Trial, TrialConfig, Wanted

log = logging.getLogger(__name__)

# A trial that ran out of GPU memory is retried with this many times as many gradient-accumulation steps.
FURTHER_ACCUMULATION = 8


def run(trial: Trial, report: Callable[[Report], None], is_asked_to_end: Callable[[], bool] = lambda: False) -> Outcome:
    """Train one model by its method and score it.

    An interrupted attempt is resumed from its last checkpoint, to the bit; a model that was kept is not trained again.
    Two processes with the same trial run it one after the other, and the second finds the model of the first. A trial
    that runs out of GPU memory is tried once more, with more gradient-accumulation steps; the facts say so.
    Checkpoints stay: the caller removes them once it has stored the outcome
    (`trainers.artifacts.layout.checkpoints_of`).

    Args:
        trial: what to train and to score, and where.
        report: called at every evaluation.
        is_asked_to_end: called after every update; once it is true, a checkpoint is written and `Interrupted` raised.

    Returns:
        The scores of the weights that each selection chooses, on the test splits.

    Raises:
        Interrupted: as asked for.
        ValueError: the trial is of another NUMERICS.
        DataError: a split is missing or malformed.
        EncoderError: the encoder is not available.
        OSError: the disk is full.
        PlaceLostError: the place of its artifacts was waited for in vain.
        MemoryError: the trial ran out of GPU memory again.
    """
    trial.config.require_current()
    try:
        return _run(trial, report, is_asked_to_end)
    except torch.OutOfMemoryError as error:
        too_much = str(error).partition(". ")[0]
    memory.release()  # outside of the block, whose exception refers to the tensors that were in use
    training = trial.config.training
    if training.batching != "micro-batches":  # whose gradient depends on how an update is divided
        steps = min(training.batch_size, FURTHER_ACCUMULATION * training.accumulation)
        log.warning("%s: retrying with %d gradient-accumulation steps", too_much, steps)
        try:
            outcome = _run(replace(trial, accumulation=steps), report, is_asked_to_end)
            return replace(outcome, facts={**outcome.facts, "out_of_memory": too_much, "accumulation": steps})
        except torch.OutOfMemoryError:
            too_much += f", also with {steps} gradient-accumulation steps"
    raise MemoryError(
        f"{too_much}; try a smaller batch_size, precision bf16, a larger share of a GPU, or a smaller encoder"
    )


def _run(trial: Trial, report: Callable[[Report], None], is_asked_to_end: Callable[[], bool]) -> Outcome:
    with lock(lock_of(trial.home, trial.config.digest)):
        begin = time.monotonic()
        _set_up(trial)
        bench = TrialBench(trial, report, lambda source: _source_model(trial, source, is_asked_to_end), is_asked_to_end)
        place = place_of(trial)
        kept = {selection: kept_models.load(place, trial.config, selection) for selection in trial.wanted.selections}
        found = {selection: model for selection, model in kept.items() if model is not None}
        if len(found) == len(kept) and not trial.wanted.test_every_report:
            bench.reuse(found)
        else:
            METHODS[trial.config.method].train(bench)
        outcome = bench.outcome()
        del bench
        memory.release()
    facts = {
        "seconds": time.monotonic() - begin,
        "device": torch.cuda.get_device_name() if trial.device == "cuda" else f"cpu ({platform.machine()})",
        "threads": trial.threads,
        "packages": {name: _version(name) for name in ("allasprak", "torch", "transformers", "tokenizers")},
    }
    return replace(outcome, facts={**outcome.facts, **facts})


def _version(package: str) -> str:
    """The version of a package; that of a checkout which is not installed is unknown."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def resumed_hyperparameters(trial: Trial) -> Change | None:
    """Alpha and learning rate with which a member of a population resumes; None if it has no checkpoint."""
    state = checkpoints.load(place_of(trial), checkpoints_of(trial.home, trial.config.digest), tensors=False)
    if state is None:
        return None
    _, alpha, learning_rate = state["history"][-1]
    return Change(alpha, learning_rate)


def _source_model(trial: Trial, source: TrialConfig, is_asked_to_end: Callable[[], bool]) -> Model:
    """The model of a source training, which is trained if it is not kept."""
    selection = TASKS[source.task].under(source.protocol).selection
    place = place_of(trial)
    model = kept_models.load(place, source, selection)
    if model is None:
        of_source = replace(trial, config=source, source=None, wanted=Wanted(selections=(selection,)))
        run(of_source, lambda _: None, is_asked_to_end)
        place.remove(checkpoints_of(trial.home, source.digest))  # no longer needed: its model is kept
        _set_up(trial)
        model = kept_models.load(place, source, selection)
    assert model is not None
    return model


def _set_up(trial: Trial) -> None:
    """Set threads and random generators: a trial gives the same bits in any process."""
    import transformers  # here, so that `fresh_model` is the first to load it

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # on a GPU attention has a deterministic form only where what has none is an error
    torch.use_deterministic_algorithms(True, warn_only=trial.device == "cpu")
    # what is allocated is written before it is read, and filling it too was two fifths of a GPU's kernels
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.set_num_threads(trial.threads)
    random.seed(trial.config.seed)
    np.random.seed(trial.config.seed)
    torch.manual_seed(trial.config.seed)
