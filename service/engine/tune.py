"""Trials on Ray Tune, seen from the driver: which may go, and what comes of them."""

import logging
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import ray
from ray import tune
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.experiment.config_parser import _create_trial_from_spec, _make_parser
from ray.tune.search import SearchAlgorithm

import trainers
from service.engine.schedulers import PerCohort, Populations, digest_of
from service.engine.slot_client import Share
from service.engine.worker import train
from trainers import Outcome, Report, Trial

log = logging.getLogger(__name__)

# Tune looks for result files that we tell it not to write, and warns of each that is not there.
logging.getLogger("ray.tune.analysis.experiment_analysis").setLevel(logging.ERROR)

# How often it is asked whether a trial may go.
WAIT_SECONDS = 0.1

# A trial whose process dies (killed, out of memory, its node gone) is tried again after so many seconds, one for each
# death without progress; the last for all further ones. What a trainer raises is a result, and not tried again.
DELAYS = (0.0, 5.0, 20.0, 60.0, 300.0)


class Listener(Protocol):
    """Who is told what happens, in the driver's process."""

    def started(self, digest: str) -> None:
        """An attempt at a trial begins."""

    def reported(self, digest: str, report: Report) -> None:
        """An epoch is over."""

    def succeeded(self, digest: str, outcome: Outcome) -> bool:
        """A trial is done. False if that comes too late: it has to be asked for again."""

    def stopped(self, digest: str, reason: str) -> None:
        """A trial will not go on, because it is not worth it."""

    def refused(self, digest: str, reason: str) -> None:
        """A trial will not start."""

    def failed(self, digest: str, reason: str) -> None:
        """A trial will not be done."""

    def died(self, digest: str, reason: str) -> None:
        """A trial's process is gone; another one will go on."""


class Work(Protocol):
    """The trials that are to run: known from the start, or proposed while others run.

    Attributes:
        failed_before: those that have failed, and are not tried again.
    """

    failed_before: set[str]

    def more(self) -> Mapping[str, Trial]:
        """Further trials, by digest, in the order in which they should start; none at the moment, or no more ever."""

    def still(self, digest: str) -> Trial | None:
        """A trial as it is needed now; None if it is not needed any more."""

    def ended(self, digest: str) -> None:
        """A trial is not needed any more."""

    def is_complete(self) -> bool:
        """Whether there will never be more."""

    def refused(self, waiting: Mapping[str, Trial]) -> Mapping[str, str]:
        """Which of some trials, by digest, will not start, and why (a budget is used up)."""


def run_trials(work: Work, share: Share, storage: Path, listener: Listener, scheduler: PerCohort | None = None) -> None:
    """Run trials over the pool, which has been joined, until all are done, are stopped or have failed.

    Args:
        work: the trials. One waits until its source training has succeeded, where that is among them.
        share: says which of them may run, and what each takes.
        storage: a folder for Tune's own files; removed in the end, since the store is what counts.
        listener: is told what happens. What it raises ends the run and comes back from here.
        scheduler: stops trials early; each report has `epoch` and, where the trial is judged, `objective`.
    """
    # With a search algorithm of one's own Tune lets one actor at a time start; by then the one before is reused.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = "16"
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = "86400"  # nobody reads Tune's own state, and it takes a third of its time
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # Tune would end as if all were done
    resources = {"cpu": share.room.cpus, "gpu": share.room.gpus, "memory": share.room.memory}
    gate = Gate(work, None if isinstance(scheduler, Populations) else share, listener)
    relay = _Relay(listener, gate)
    tune_config = tune.TuneConfig(
        search_alg=gate, scheduler=scheduler, reuse_actors=True, trial_dirname_creator=lambda trial: trial.trial_id
    )
    kept = tune.CheckpointConfig(num_to_keep=scheduler.keeps if isinstance(scheduler, Populations) else None)
    run_config = tune.RunConfig(
        name=storage.name, storage_path=str(storage.parent), callbacks=[relay], verbose=0, checkpoint_config=kept
    )
    shutil.rmtree(storage, ignore_errors=True)  # what a process that was killed has left
    while not gate.is_done():
        if gate.is_finished():  # others have the pool, or what is to come waits for something
            time.sleep(WAIT_SECONDS)
            continue
        try:
            tune.Tuner(tune.with_resources(train, resources), tune_config=tune_config, run_config=run_config).fit()
        except Exception:
            if relay.error is not None:
                raise relay.error from None  # rather than what Tune makes of it
            raise
        finally:
            shutil.rmtree(storage, ignore_errors=True)
        if relay.error is not None:
            raise relay.error
        gate.end_run()


def join(address: str) -> None:
    """Join a Ray cluster. ConnectionError if it is not there."""
    ray.init(address=address, log_to_driver=False, configure_logging=False)


class Gate(SearchAlgorithm):  # type: ignore[misc]
    """Lets a trial go when its source training is done and it has a slot. Tune's id of it begins with its digest.

    Where no trial may go Tune is told that there will be none: then it does not keep a worker for one, and the slot is
    another experiment's. A run that ends so is followed by another.

    Args:
        work: the trials.
        share: gives slots. None: all trials that are ready are let go, paused, and the scheduler says who runs.
        listener: is told of trials that will not run.
    """

    def __init__(self, work: Work, share: Share | None, listener: Listener) -> None:
        self.work, self.share, self.listener = work, share, listener
        self.spec: dict[str, Any] = {}
        self.parser = _make_parser()
        self.waiting: dict[str, Trial] = {}
        self.running: dict[str, Trial] = {}
        self.failed = set(work.failed_before)
        self.deaths: dict[str, int] = {}
        self.due: dict[str, float] = {}
        self.admitted: Any = None
        self.taken = 0
        self.far: dict[str, int] = {}
        self.looked = 0.0

    def add_configurations(self, experiments: Any) -> None:
        """Tune's interface."""
        [experiment] = experiments if isinstance(experiments, list) else [experiments]
        self.spec = experiment.spec

    def is_done(self) -> bool:
        """Whether all trials have ended."""
        return self.is_finished() and not self.waiting and self.work.is_complete()

    def is_finished(self) -> bool:
        """Whether no trial may go at the moment."""
        if self.admitted is None and time.monotonic() - self.looked >= WAIT_SECONDS:
            self.admitted = self._admit()
            self.looked = 0.0 if self.admitted is not None else time.monotonic()
        return self.admitted is None

    def next_trial(self) -> Any:
        """A trial that may start now; None if there is none at the moment."""
        if self.is_finished():
            return None
        digest, trial = self.admitted
        self.admitted = None
        return self._made(digest, trial)

    def _admit(self) -> tuple[str, Trial] | None:
        """The next trial that has all it needs: its source training, and a slot."""
        self._take(self.work.more())
        for refused, reason in self.work.refused(self.waiting).items() if self.waiting else ():
            del self.waiting[refused]
            self.listener.refused(refused, reason)
        while True:
            ready = self._ready()
            digest = next(iter(ready), None) if self.share is None else self.share.claim(ready)
            if digest is None:
                return None
            del self.waiting[digest]
            trial = self.work.still(digest)
            if trial is not None:
                self.running[digest] = trial
                return digest, trial
            self._leave(digest)  # another experiment has done it since
            self.work.ended(digest)

    def _ready(self) -> list[str]:
        """The waiting trials whose source training is done, and that have not just died."""
        ready = []
        for digest, trial in list(self.waiting.items()):
            needed = trial.source.digest if trial.source is not None else None
            if needed in self.failed:
                del self.waiting[digest]
                self.failed.add(digest)
                self.listener.failed(digest, f"the source training {needed}, which it starts from, failed")
            elif needed not in self.waiting and needed not in self.running and self._is_due(digest):
                ready.append(digest)
        return ready

    def _is_due(self, digest: str) -> bool:
        return self.due.get(digest, 0.0) <= time.monotonic()

    def _leave(self, digest: str) -> None:
        if self.share is not None:
            self.share.leave([digest])

    def _take(self, more: Mapping[str, Trial]) -> None:
        self.waiting.update(more)
        self.taken += len(more)

    @property
    def total_samples(self) -> int:
        """Tune's interface."""
        return self.taken

    def _made(self, digest: str, trial: Trial) -> Any:
        config = {"trial": trial, "alpha": trial.config.alpha, "learning_rate": trial.config.training.learning_rate}
        if trial.config.population is not None and (now := trainers.resumed_hyperparameters(trial)) is not None:
            config |= {"alpha": now.alpha, "learning_rate": now.learning_rate}
        again = f"{digest}.{self.taken}"  # Tune wants another name for a trial that died
        made = _create_trial_from_spec(
            {**self.spec, "config": config},
            self.parser,
            trial_id=again if digest in self.due else digest,
            experiment_tag=digest,
        )
        if self.share is None:
            made.set_status(TuneTrial.PAUSED)  # Tune would run one that is pending, whatever its scheduler says
        return made

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A trial has ended, or its process has: what needs it may start, or never will."""
        digest = digest_of(trial_id)
        if digest not in self.running:
            return
        del self.running[digest]
        self._leave(digest)
        self.looked = 0.0
        if result is not None and result.get("kind") == "failed":
            self.failed.add(digest)

    def put_back(self, digest: str, trial: Trial, why: str) -> None:
        """A trial has to go on in another process: it waits again, the longer the more often."""
        self.deaths[digest] = self.deaths.get(digest, 0) + 1
        delay = DELAYS[min(self.deaths[digest], len(DELAYS)) - 1]
        self.due[digest] = time.monotonic() + delay
        self._take({digest: trial})
        reason = f"{why} ({self.deaths[digest]} times without progress); it goes on in {delay:g} s"
        self.listener.died(digest, reason)

    def end_run(self) -> None:
        """Tune has ended. What it lost on its way (an actor that could not be reused: nobody is told) waits again."""
        lost, self.running = self.running, {}
        for digest, trial in lost.items():
            self._leave(digest)
            self.put_back(digest, trial, "Ray Tune has lost it")

    def came_to(self, digest: str, epoch: int) -> None:
        """A trial has come to the end of an epoch; if it was never so far, its deaths are forgotten."""
        if epoch > self.far.get(digest, 0):
            self.far[digest] = epoch
            self.deaths.pop(digest, None)

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
    gate: Gate
    error: Exception | None = field(default=None, init=False)

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self._tell("started", digest_of(trial.trial_id))

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        digest, kind, value = digest_of(trial.trial_id), result["kind"], result["value"]
        if kind == "failed":
            self._tell("failed", digest, value)
        elif kind == "succeeded":
            if not self._tell("succeeded", digest, Outcome.from_dict(value)):
                self._guarded(self.gate.put_back, digest, trial.config["trial"], "it counted as dead, and came late")
        else:
            self.gate.came_to(digest, result["epoch"])
            self._tell("reported", digest, Report.from_dict(value))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        if trial.last_result.get("kind") == "report":
            epoch = trial.last_result["epoch"]
            self._tell("stopped", digest_of(trial.trial_id), f"the scheduler stopped it after epoch {epoch}")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self._guarded(self.gate.put_back, digest_of(trial.trial_id), trial.config["trial"], "its process died")

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return dict, ()  # as `Gate`

    def _tell(self, event: str, *values: Any) -> Any:
        return self._guarded(getattr(self.listener, event), *values)

    def _guarded(self, act: Callable[..., Any], *values: Any) -> Any:
        try:
            return act(*values)
        except Exception as error:
            log.exception("%s %s", act.__name__, values[0])
            self.error = self.error or error
            raise
