"""Trials on Ray Tune: the only file that knows Tune's API."""

import gc
import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import ray
from ray import tune
from ray.tune import Checkpoint
from ray.tune.experiment.config_parser import _create_trial_from_spec, _make_parser
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import SearchAlgorithm

import trainers
from search_spaces.judging import objective
from search_spaces.spec import ResourcesSpec
from service.engine.schedulers import Populations
from trainers import Outcome, Report, Trial, memory
from trainers.config import Change

log = logging.getLogger(__name__)

# Tune looks for result files that we tell it not to write, and warns of each that is not there.
logging.getLogger("ray.tune.analysis.experiment_analysis").setLevel(logging.ERROR)

# A process that dies (killed, out of memory, its node gone) is tried again so often; what a trainer raises never is.
MAX_DEATHS = 3


class Listener(Protocol):
    """Who is told what happens, in the driver's process."""

    def started(self, digest: str) -> None:
        """An attempt at a trial begins."""

    def reported(self, digest: str, report: Report) -> None:
        """An epoch is over."""

    def succeeded(self, digest: str, outcome: Outcome) -> None:
        """A trial is done."""

    def stopped(self, digest: str, reason: str) -> None:
        """A trial will not go on, or not start, because it is not worth it."""

    def failed(self, digest: str, reason: str) -> None:
        """A trial will not be done."""


class Work(Protocol):
    """The trials that are to run: known from the start, or proposed while others run."""

    def more(self) -> Mapping[str, Trial]:
        """Further trials, by digest, in the order in which they should start; none at the moment, or no more ever."""

    def is_complete(self) -> bool:
        """Whether there will never be more."""

    def refusal(self) -> str | None:
        """Why no further trial may start (a budget that is used up), if so."""


def run_trials(
    work: Work,
    resources: ResourcesSpec,
    address: str,
    slots: int | None,
    storage: Path,
    listener: Listener,
    scheduler: TrialScheduler | None = None,
) -> None:
    """Run trials over the pool until all are done, are stopped or have failed.

    Args:
        work: the trials. One waits until its source training has succeeded, where that is among them.
        resources: what each takes, and how many may run at once.
        address: of the Ray cluster.
        slots: how many trials the pool holds at once, if that is known.
        storage: a folder for Tune's own files; removed in the end, since the store is what counts.
        listener: is told what happens. What it raises ends the run and comes back from here.
        scheduler: stops trials early; each report has `epoch` and, where the trial is judged, `objective`.
    """
    # With a search algorithm of one's own Tune lets one actor at a time start; by then the one before is reused.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(min(slots or 16, 16))
    ray.init(address=address, log_to_driver=False, configure_logging=False)
    takes_turns = isinstance(scheduler, Populations)  # all of a population are let go, and it says who runs
    gate = Gate(work, None if takes_turns else resources.max_concurrent_trials, listener)
    relay = _Relay(listener)
    tuner = tune.Tuner(
        tune.with_resources(_train, {"cpu": resources.cpus_per_trial, "gpu": resources.gpus_per_trial}),
        tune_config=tune.TuneConfig(
            search_alg=gate, scheduler=scheduler, reuse_actors=True, trial_dirname_creator=lambda trial: trial.trial_id
        ),
        run_config=tune.RunConfig(
            name=storage.name,
            storage_path=str(storage.parent),
            callbacks=[relay],
            failure_config=tune.FailureConfig(max_failures=MAX_DEATHS),
            verbose=0,
        ),
    )
    try:
        tuner.fit()
    except Exception:
        if relay.error is not None:
            raise relay.error from None  # rather than what Tune makes of it
        raise
    finally:
        shutil.rmtree(storage, ignore_errors=True)


@cache
def _load() -> None:
    """Load what trials need, once in a worker; then leave it out when memory is collected: 0.03 instead of 0.1 s."""
    import trainers.trial  # noqa: F401

    gc.freeze()


def _train(config: dict[str, Any]) -> None:
    """What runs in a worker: one trial. An exception is a result; to Tune only the process's death is a failure."""
    trial: Trial = config["trial"]
    _load()
    memory.release()  # what a trial that was stopped has left: it must not clean up itself
    checkpoints = trial.home / "checkpoints" / trial.config.digest

    def report(one: Report) -> None:
        tune.report(
            {"kind": "report", "value": one.to_dict(), "epoch": one.epoch, "objective": objective(trial, one.scores)},
            checkpoint=Checkpoint.from_directory(checkpoints) if trial.checkpoint_every_report else None,
        )

    try:
        outcome = trainers.run(_taken_over(trial, config, checkpoints), report)
    except Exception as error:
        logging.exception("trial %s", trial.config.digest)
        tune.report({"kind": "failed", "value": _reason(error)})
    else:
        tune.report({"kind": "succeeded", "value": outcome.to_dict()})


def _taken_over(trial: Trial, config: Mapping[str, Any], checkpoints: Path) -> Trial:
    """A member of a population that goes on with weights, its own or another's, and given hyperparameters."""
    checkpoint = tune.get_checkpoint() if trial.config.population is not None else None
    if checkpoint is None:
        return trial
    with checkpoint.as_directory() as folder:
        shutil.rmtree(checkpoints, ignore_errors=True)
        shutil.copytree(folder, checkpoints)
    return replace(trial, change=Change(config["alpha"], config["learning_rate"]))


def _reason(error: Exception) -> str:
    known = isinstance(error, ValueError | OSError)
    return str(error) if known and str(error) else f"{type(error).__name__}: {error}"


class Gate(SearchAlgorithm):  # type: ignore[misc]
    """Lets a trial go when its source training is done and fewer than `at_once` run. Tune's id of it is its digest."""

    def __init__(self, work: Work, at_once: int | None, listener: Listener) -> None:
        self.work, self.at_once, self.listener = work, at_once, listener
        self.spec: dict[str, Any] = {}
        self.parser = _make_parser()
        self.waiting: dict[str, Trial] = {}
        self.running: set[str] = set()
        self.failed: set[str] = set()
        self.taken = 0

    def add_configurations(self, experiments: Any) -> None:
        """Tune's interface."""
        [experiment] = experiments if isinstance(experiments, list) else [experiments]
        self.spec = experiment.spec

    def next_trial(self) -> Any:
        """A trial that may start now; None if there is none at the moment."""
        if self.at_once is not None and len(self.running) >= self.at_once:
            return None
        self._take(self.work.more())
        if self.waiting and (reason := self.work.refusal()):
            for digest in self.waiting:
                self.listener.stopped(digest, reason)
            self.waiting.clear()
        for digest, trial in list(self.waiting.items()):
            needed = trial.source.digest if trial.source is not None else None
            if needed in self.failed:
                del self.waiting[digest]
                self.failed.add(digest)
                self.listener.failed(digest, f"the source training {needed}, which it starts from, failed")
            elif needed not in self.waiting and needed not in self.running:
                del self.waiting[digest]
                self.running.add(digest)
                return self._made(digest, trial)
        return None

    def _take(self, more: Mapping[str, Trial]) -> None:
        self.waiting.update(more)
        self.taken += len(more)

    @property
    def total_samples(self) -> int:
        """Tune's interface."""
        return self.taken

    def _made(self, digest: str, trial: Trial) -> Any:
        config = {"trial": trial, "alpha": trial.config.alpha, "learning_rate": trial.config.training.learning_rate}
        if trial.config.population is not None and (now := trainers.goes_on_with(trial)) is not None:
            config |= {"alpha": now.alpha, "learning_rate": now.learning_rate}
        spec = {**self.spec, "config": config}
        return _create_trial_from_spec(spec, self.parser, trial_id=digest, experiment_tag=digest)

    def is_finished(self) -> bool:
        """Whether no further trial will come."""
        return not self.waiting and self.work.is_complete()

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A trial has ended: what needs it may start, or never will."""
        if trial_id in self.running:
            self.running.remove(trial_id)
            if error or result is None or result.get("kind") == "failed":
                self.failed.add(trial_id)

    def set_finished(self) -> None:
        """Tune's interface: give up what waits."""
        self.waiting.clear()

    def save_to_dir(self, *_: Any, **__: Any) -> None:
        """Nothing is saved for Tune: a driver that starts again asks the store what is outstanding."""

    def has_checkpoint(self, _: str) -> bool:
        """There never is one."""
        return False

    def __reduce__(self) -> tuple[type, tuple[()]]:
        # Tune pickles its parts with its own state, which nothing ever reads: a store stays where it is.
        return dict, ()


@dataclass
class _Relay(tune.Callback):  # type: ignore[misc]
    """From Tune's events to the listener. An exception in a callback would abort Tune in its own way: it is kept."""

    listener: Listener
    error: Exception | None = field(default=None, init=False)

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self._tell("started", trial.trial_id)

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        digest, kind, value = trial.trial_id, result["kind"], result["value"]
        if kind == "failed":
            self._tell("failed", digest, value)
        elif kind == "succeeded":
            self._tell("succeeded", digest, Outcome.from_dict(value))
        else:
            self._tell("reported", digest, Report.from_dict(value))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        if trial.last_result.get("kind") == "report":
            epoch = trial.last_result["epoch"]
            self._tell("stopped", trial.trial_id, f"the scheduler stopped it after epoch {epoch}")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self._tell("failed", trial.trial_id, f"its process died {trial.num_failures} times")

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return dict, ()  # as `Gate`

    def _tell(self, event: str, *values: Any) -> None:
        try:
            getattr(self.listener, event)(*values)
        except Exception as error:
            log.exception("%s %s", event, values[0])
            self.error = self.error or error
            raise
