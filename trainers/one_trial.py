"""One trial from its configuration to its scores."""

import logging
import os
import platform
import random
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version

import numpy as np
import torch

from trainers import memory
from trainers.artifacts import checkpoints
from trainers.artifacts import kept_models as models
from trainers.artifacts.atomic import checkpoints_of, lock
from trainers.artifacts.kept_models import Model
from trainers.methods import METHODS
from trainers.protocols import PROTOCOLS
from trainers.tasks import TASKS
from trainers.training.bench import TrialBench
from trainers.trial import Change, Outcome, Report, Trial, TrialConfig, Wanted

log = logging.getLogger(__name__)

# A trial that has run out of the GPU's memory is tried again with so many times the passes an update.
FURTHER_PASSES = 8


def run(trial: Trial, report: Callable[[Report], None]) -> Outcome:
    """Train one model by its method and score it.

    An attempt that was interrupted is gone on with from its last checkpoint, to the bit; a model that was kept is not
    trained again. Two processes that want the same trial run it one after the other, and the second finds the model
    of the first. Where the GPU's memory runs out it is tried once more, each update in more passes; the facts say so.
    Checkpoints stay: whoever has stored the outcome removes them (`trainers.artifacts.atomic.checkpoints_of`).

    Args:
        trial: what to train and to score, and where to work.
        report: called at every evaluation.

    Returns:
        The scores on the test splits, of the weights that each selection chooses.

    Raises:
        DataError: a split is missing or malformed.
        EncoderError, OfflineEncoderError: the encoder can't be had.
        OSError: the disk is full.
        MemoryError: the GPU's memory ran out again.
    """
    try:
        return _run(trial, report)
    except torch.OutOfMemoryError as error:
        too_much = str(error).partition(". ")[0]
    memory.release()  # outside of the block, whose exception holds on to what was in use
    training, passes = trial.config.training, 0
    if not PROTOCOLS[trial.config.protocol].released_surgery:  # there it would be another training
        passes = min(training.batch_size, FURTHER_PASSES * training.accumulation)
        log.warning("%s: once more, with %d passes an update", too_much, passes)
        try:
            outcome = _run(replace(trial, accumulation=passes), report)
            return replace(outcome, facts={**outcome.facts, "out_of_memory": too_much, "accumulation": passes})
        except torch.OutOfMemoryError:
            too_much += f", also with {passes} passes an update"
    raise MemoryError(f"{too_much}; what helps: a smaller batch_size, precision bf16, more of a GPU, a smaller encoder")


def _run(trial: Trial, report: Callable[[Report], None]) -> Outcome:
    with lock(trial.home / "locks" / trial.config.digest):
        begin = time.monotonic()
        _set_up(trial)
        bench = TrialBench(trial, report, lambda source: _source_model(trial, source))
        kept = {selection: models.load(trial.home, trial.config, selection) for selection in trial.wanted.selections}
        found = {selection: model for selection, model in kept.items() if model is not None}
        if len(found) == len(kept) and not trial.wanted.test_every_report:
            bench.take_up(found)
        else:
            METHODS[trial.config.method].train(bench)
        outcome = bench.outcome()
        del bench
        memory.release()
    facts = {
        "seconds": time.monotonic() - begin,
        "device": torch.cuda.get_device_name() if trial.device == "cuda" else f"cpu ({platform.machine()})",
        "threads": trial.threads,
        "packages": {name: version(name) for name in ("allasprak", "torch", "transformers", "tokenizers")},
    }
    return replace(outcome, facts={**outcome.facts, **facts})


def resumed_hyperparameters(trial: Trial) -> Change | None:
    """Alpha and learning rate of the last checkpoint of a member of a population; None if it has none."""
    state = checkpoints.load(checkpoints_of(trial.home, trial.config.digest), tensors=False)
    if state is None:
        return None
    _, alpha, learning_rate = state["history"][-1]
    return Change(alpha, learning_rate)


def _source_model(trial: Trial, source: TrialConfig) -> Model:
    """The model of a source training, which is trained if nobody has."""
    selection = TASKS[source.task].under(source.protocol).selection
    model = models.load(trial.home, source, selection)
    if model is None:
        run(replace(trial, config=source, source=None, wanted=Wanted(selections=(selection,))), lambda _: None)
        shutil.rmtree(checkpoints_of(trial.home, source.digest), ignore_errors=True)  # its model is kept
        _set_up(trial)
        model = models.load(trial.home, source, selection)
    assert model is not None
    return model


def _set_up(trial: Trial) -> None:
    """Threads and random generators: the same trial gives the same bits in whatever process it runs."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_num_threads(trial.threads)
    random.seed(trial.config.seed)
    np.random.seed(trial.config.seed)
    torch.manual_seed(trial.config.seed)
