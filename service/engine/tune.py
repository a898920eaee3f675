"""Runs an experiment's trials on Ray Tune, in the driver's process."""

import contextlib
import logging
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray import tune

from service.engine.gate import WAIT_SECONDS, Gate
from service.engine.recorder import Recorder
from service.engine.schedulers import CohortScheduler, digest_of
from service.engine.slot_client import SlotClient
from service.engine.trial_queue import TrialQueue
from service.engine.worker import train
from trainers import Outcome, Report

log = logging.getLogger(__name__)

# Tune is told to write no result files, and warns of each one that is missing.
logging.getLogger("ray.tune.analysis.experiment_analysis").setLevel(logging.ERROR)


def join(address: str) -> None:
    """Join a Ray cluster. ConnectionError if it is not there."""
    with contextlib.chdir("/"):  # Ray has workers import from the folder in which a driver joins it
        ray.init(address=address, log_to_driver=False, configure_logging=False)


def run_trials(
    queue: TrialQueue,
    slots: SlotClient,
    storage: Path,
    recorder: Recorder,
    scheduler: CohortScheduler | None = None,
) -> None:
    """Run trials over the pool, which has been joined, until all have succeeded, were stopped or have failed.

    Args:
        queue: the trials. A trial waits until its source training has succeeded, where that is among them.
        slots: the experiment's slots of the pool, and what each trial takes.
        storage: a folder for Tune's own files; removed at the end, since the store has everything that counts.
        recorder: receives every event. An exception that it raises ends the run and is raised here.
        scheduler: stops or changes trials by `epoch`, `step` and `objective` (None for a trial that is not judged).
    """
    # With a custom search algorithm Tune starts one actor at a time; by then the previous one could be reused.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = "16"
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = "86400"  # Tune's own state is never read, and takes a third of its time
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # Tune would end as if all trials were done
    resources = {"cpu": slots.resources.cpus, "gpu": slots.resources.gpus, "memory": slots.resources.memory}
    is_gated = scheduler is None or not scheduler.admits_trials
    gate = Gate(queue, slots if is_gated else None, recorder)
    relay = _Relay(recorder, gate)
    tune_config = tune.TuneConfig(
        search_alg=gate, scheduler=scheduler, reuse_actors=True, trial_dirname_creator=lambda trial: trial.trial_id
    )
    kept = tune.CheckpointConfig(num_to_keep=scheduler.kept_checkpoints if scheduler is not None else None)
    run_config = tune.RunConfig(
        name=storage.name, storage_path=str(storage.parent), callbacks=[relay], verbose=0, checkpoint_config=kept
    )
    shutil.rmtree(storage, ignore_errors=True)  # left behind by a process that was killed
    while not gate.is_done():
        if gate.is_finished():  # other experiments have the pool, or the trials that wait are not ready
            time.sleep(WAIT_SECONDS)
            continue
        try:
            tune.Tuner(tune.with_resources(train, resources), tune_config=tune_config, run_config=run_config).fit()
        except Exception:
            if relay.error is not None:
                raise relay.error from None  # rather than Tune's own error about it
            raise
        finally:
            shutil.rmtree(storage, ignore_errors=True)
        if relay.error is not None:
            raise relay.error
        gate.end_run()


@dataclass
class _Relay(tune.Callback):  # type: ignore[misc]
    """Passes Tune's events on to the recorder and the gate.

    An exception in a callback makes Tune abort with an error of its own: the exception is kept in `error`.
    """

    recorder: Recorder
    gate: Gate
    error: Exception | None = field(default=None, init=False)

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self._guarded(self.recorder.started, digest_of(trial.trial_id))

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        digest, kind, value = digest_of(trial.trial_id), result["kind"], result["value"]
        if kind == "failed":
            self._guarded(self.recorder.failed, digest, value)
        elif kind == "interrupted":
            self.gate.note_interruption(digest)
            self._guarded(self.recorder.interrupted, digest, value)
        elif kind == "postponed":
            pass  # it waits again once it has ended: see `on_trial_complete`
        elif kind == "succeeded":
            if not self._guarded(self.recorder.succeeded, digest, Outcome.from_dict(value)):
                self._guarded(self.gate.requeue, digest, trial.config["trial"], "it counted as dead, and came late")
        else:
            self.gate.note_progress(digest, result["epoch"])
            self._guarded(self.recorder.reported, digest, Report.from_dict(value), result["hostname"])

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        digest, kind = digest_of(trial.trial_id), trial.last_result.get("kind")
        if kind == "report":
            reason = f"the scheduler stopped it after epoch {trial.last_result['epoch']}"
            self._guarded(self.recorder.stopped, digest, reason)
        elif kind == "postponed":
            self._guarded(self.gate.requeue, digest, trial.config["trial"], trial.last_result["value"])

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self._guarded(self.gate.requeue, digest_of(trial.trial_id), trial.config["trial"], "its process died")

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return dict, ()  # as for `Gate`

    def _guarded(self, act: Callable[..., Any], *values: Any) -> Any:
        try:
            return act(*values)
        except Exception as error:
            log.exception("%s %s", act.__name__, values[0])
            self.error = self.error or error
            raise
