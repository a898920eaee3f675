"""Runs trials in a worker process of Ray Tune, one after another."""

import faulthandler
import logging
import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune import Checkpoint

import trainers
from search_spaces.objective import objective
from search_spaces.plan import plugins
from service.owner import UMASK
from trainers import Interrupted, Report, Trial, memory
from trainers.artifacts.layout import checkpoints_of, log_of
from trainers.artifacts.place import Place, PlaceLostError
from trainers.artifacts.places import place_of
from trainers.data.sources import open_data
from trainers.data.splits import training_data
from trainers.encoders.by_name import encoder_digest
from trainers.examples import CHANGED, DataError
from trainers.registry import require_installed
from trainers.tasks import TASKS
from trainers.trial import Change

log = logging.getLogger(__name__)


@cache
def _load() -> None:
    """Load the libraries once per worker, and exempt them from garbage collection: 0.03 instead of 0.1 s each."""
    with memory.growing():
        import trainers.one_trial  # noqa: F401
    memory.freeze()


def train(config: dict[str, Any]) -> None:
    """Run one trial. An exception is a result; for Tune only the death of the process is a failure."""
    os.umask(UMASK)  # a cluster that is not ours was started with another one
    trial: Trial = config["trial"]
    if trial.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # a trial without a GPU would see all of them
    os.environ["TUNE_FUNCTION_THREAD_TIMEOUT_S"] = "60"  # freeing a large model takes longer than Tune's two seconds
    _load()
    memory.release()  # left by a trial that was stopped, which must not clean up itself
    with _log(log_of(trial.home, trial.config.digest)):
        _run(trial, config)


def _run(trial: Trial, config: Mapping[str, Any]) -> None:
    place, checkpoints = place_of(trial), checkpoints_of(trial.home, trial.config.digest)

    def report(one: Report) -> None:
        log.info("epoch %d, step %d: %s", one.epoch, one.step, one.measures)
        known_to_schedulers = {"epoch": one.epoch, "step": one.step, "objective": objective(trial, one.scores)}
        told = {"kind": "report", "value": one.to_dict(), **known_to_schedulers}
        if not trial.checkpoint_every_report:
            tune.report(told)
            return
        with place.reading(checkpoints) as last:
            tune.report(told, checkpoint=Checkpoint.from_directory(last) if last is not None else None)

    try:
        log.info("starting on %s, process %d: %s", platform.node(), os.getpid(), trial.config)
        _check(trial)
        outcome = trainers.run(_resumed(trial, config, place, checkpoints), report, config["end_file"].exists)
    except Interrupted as asked:
        log.info("%s", asked)
        tune.report({"kind": "interrupted", "value": asked.step})
    except PlaceLostError as lost:
        log.warning("%s", lost)
        tune.report({"kind": "postponed", "value": str(lost)})
    except Exception as error:
        log.exception("failed")
        tune.report({"kind": "failed", "value": _reason(error)})
    else:
        log.info("succeeded: %s", outcome.selected)
        tune.report({"kind": "succeeded", "value": outcome.to_dict()})


def _check(trial: Trial) -> None:
    """Refuse a trial whose data, encoder or plugins have changed since it was planned: its digest would be wrong."""
    config = trial.config
    require_installed(config.plugins)
    data = open_data(trial.data, config.task, trial.home)
    shots = TASKS[config.task].under(config.protocol).shots_split
    found = training_data(data, config.source_language, config.target_languages, shots, trial.wanted.selections)
    encoder = encoder_digest(config.encoder, trial.home, config.encoder_revision)
    installed = plugins(config.task, config.method, trial.data.source)
    now = replace(config, data_digest=found, encoder_digest=encoder, plugins=installed)
    if now != config:
        raise DataError(CHANGED)


@contextmanager
def _log(path: Path) -> Iterator[None]:
    """Write what this process logs in the meantime to a file as well, and the traceback if it crashes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    root = logging.getLogger()
    with path.open("a", encoding="utf-8") as file:
        handler = logging.StreamHandler(file)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
        root.addHandler(handler)
        root.setLevel(logging.INFO)
        faulthandler.enable(file)
        try:
            yield
        finally:
            faulthandler.enable()
            root.removeHandler(handler)


def _resumed(trial: Trial, config: Mapping[str, Any], place: Place, checkpoints: Path) -> Trial:
    """The trial; a member of a population continues from its own or another's checkpoint, with new hyperparameters."""
    checkpoint = tune.get_checkpoint() if trial.config.population is not None else None
    if checkpoint is None:
        return trial
    with checkpoint.as_directory() as folder:
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
        with place.writing(checkpoints, size=size) as unfinished:
            shutil.copytree(folder, unfinished, dirs_exist_ok=True)
    return replace(trial, change=Change(config["alpha"], config["learning_rate"]))


def _reason(error: Exception) -> str:
    known = isinstance(error, ValueError | OSError | MemoryError)
    return str(error) if known and str(error) else f"{type(error).__name__}: {error}"
