"""Trials on Ray Tune: the only file that knows Tune's API."""

import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import ray
from ray import tune
from ray.tune.search import BasicVariantGenerator, SearchAlgorithm

import trainers
from search_spaces.spec import ResourcesSpec
from trainers import Outcome, Report, Trial

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

    def failed(self, digest: str, reason: str) -> None:
        """A trial will not be done."""


def run_trials(
    trials: Mapping[str, Trial],
    needs: Mapping[str, str],
    resources: ResourcesSpec,
    address: str,
    slots: int | None,
    storage: Path,
    listener: Listener,
) -> None:
    """Run trials over the pool until all are done or have failed.

    Args:
        trials: by digest, in the order in which they should start.
        needs: per trial the trial that must have succeeded before, where there is one among `trials`.
        resources: what each takes, and how many may run at once.
        address: of the Ray cluster.
        slots: how many trials the pool holds at once, if that is known.
        storage: a folder for Tune's own files; removed in the end, since the store is what counts.
        listener: is told what happens. What it raises ends the run and comes back from here.
    """
    # With a search algorithm of one's own Tune lets one actor at a time start; by then the one before is reused.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(min(slots or 16, 16))
    ray.init(address=address, log_to_driver=False, configure_logging=False)
    gate = Gate(dict(needs), resources.max_concurrent_trials, listener)
    relay = _Relay(listener)
    tuner = tune.Tuner(
        tune.with_resources(
            tune.with_parameters(_train, trials=dict(trials)),
            {"cpu": resources.cpus_per_trial, "gpu": resources.gpus_per_trial},
        ),
        param_space={"trial": tune.grid_search(list(trials))},
        tune_config=tune.TuneConfig(
            search_alg=gate, reuse_actors=True, trial_dirname_creator=lambda trial: trial.config["trial"]
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


def _train(config: dict[str, Any], trials: Mapping[str, Trial]) -> None:
    """What runs in a worker: one trial. An exception is a result; to Tune only the process's death is a failure."""
    digest = config["trial"]

    def report(kind: str, value: object) -> None:
        tune.report({"trial": digest, "kind": kind, "value": value})

    try:
        outcome = trainers.run(trials[digest], lambda one: report("report", one.to_dict()))
    except Exception as error:
        logging.exception("trial %s", digest)
        report("failed", _reason(error))
    else:
        report("succeeded", outcome.to_dict())


def _reason(error: Exception) -> str:
    known = isinstance(error, ValueError | OSError)
    return str(error) if known and str(error) else f"{type(error).__name__}: {error}"


class Gate(SearchAlgorithm):  # type: ignore[misc]
    """Lets a trial go when the one that it needs is done and fewer than `at_once` run.

    Around Tune's own generator, which any other could replace; PBT refuses a `Searcher` in this place.
    """

    def __init__(self, needs: dict[str, str], at_once: int | None, listener: Listener) -> None:
        self.inner = BasicVariantGenerator()
        self.needs, self.at_once, self.listener = needs, at_once, listener
        self.held: list[Any] = []
        self.running: dict[str, str] = {}
        self.done: set[str] = set()
        self.failed: set[str] = set()

    def add_configurations(self, experiments: Any) -> None:
        """Tune's interface."""
        self.inner.add_configurations(experiments)

    @property
    def total_samples(self) -> int:
        """Tune's interface."""
        return int(self.inner.total_samples)

    def next_trial(self) -> Any:
        """A trial that may start now; None if there is none at the moment."""
        while (trial := self.inner.next_trial()) is not None:
            self.held.append(trial)
        if self.at_once is not None and len(self.running) >= self.at_once:
            return None
        for trial in list(self.held):
            digest = trial.config["trial"]
            needed = self.needs.get(digest)
            if needed in self.failed:
                self.held.remove(trial)
                self.failed.add(digest)
                self.listener.failed(digest, f"the source training {needed}, which it starts from, failed")
            elif needed is None or needed in self.done:
                self.held.remove(trial)
                self.running[trial.trial_id] = digest
                return trial
        return None

    def is_finished(self) -> bool:
        """Whether no further trial will come."""
        return bool(self.inner.is_finished()) and not self.held

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A trial has ended: what needs it may start, or never will."""
        self.inner.on_trial_complete(trial_id, result, error)
        digest = self.running.pop(trial_id, None)
        if digest is not None:
            succeeded = not error and result is not None and result.get("kind") == "succeeded"
            (self.done if succeeded else self.failed).add(digest)

    def set_finished(self) -> None:
        """Tune's interface: give up what is held."""
        self.held.clear()
        self.inner.set_finished()

    def save_to_dir(self, *_: Any, **__: Any) -> None:
        """Nothing is saved for Tune: a driver that starts again asks the store what is outstanding."""

    def has_checkpoint(self, _: str) -> bool:
        """There never is one."""
        return False


@dataclass
class _Relay(tune.Callback):  # type: ignore[misc]
    """From Tune's events to the listener. An exception in a callback would abort Tune in its own way: it is kept."""

    listener: Listener
    error: Exception | None = field(default=None, init=False)

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self._tell("started", trial.config["trial"])

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        digest, kind, value = result["trial"], result["kind"], result["value"]
        if kind == "failed":
            self._tell("failed", digest, value)
        elif kind == "succeeded":
            self._tell("succeeded", digest, Outcome.from_dict(value))
        else:
            self._tell("reported", digest, Report.from_dict(value))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self._tell("failed", trial.config["trial"], f"its process died {trial.num_failures} times")

    def _tell(self, event: str, *values: Any) -> None:
        try:
            getattr(self.listener, event)(*values)
        except Exception as error:
            log.exception("%s %s", event, values[0])
            self.error = self.error or error
            raise
