"""One experiment, from its plan to its scores: `python -m service.engine.driver <experiment> <address> <slots>`."""

import logging
import os
import shutil
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType

from search_spaces.candidates import searched
from search_spaces.cost.estimate import estimate
from search_spaces.data_checks import check_data
from search_spaces.plan import PlannedTrial, Planner, plan
from search_spaces.search import PbtScheduler
from search_spaces.spaces import highest
from search_spaces.spec import ExperimentSpec
from service.engine import tune
from service.engine.processes import started
from service.engine.schedulers import Halving, PerCohort, Populations
from service.engine.slot_client import Share
from service.engine.trial_queue import ExperimentWork
from service.settings import Settings
from service.store import Resources, Store, StoreFullError, reserve
from trainers import Outcome, Report, Trial, memory
from trainers.artifacts.layout import checkpoints_of, tune_folder
from trainers.data.source import RemoteSource
from trainers.data.sources import open_data
from trainers.encoders.by_name import encoder_digest, encoder_size, prepare_encoder
from trainers.examples import CHANGED, DataError
from trainers.tasks import TASKS
from trainers.trial import DataReference

# Trials that are proposed ahead where neither the pool nor the spec says how many may run at once.
MOST_AT_ONCE = 16

# A database server that is started anew is waited for.
DATABASE_SECONDS = 60.0

log = logging.getLogger(__name__)


def drive(experiment: str, address: str, slots: int | None, settings: Settings) -> None:
    """Run what an experiment still lacks, to a final state.

    Args:
        experiment: its id.
        address: of the Ray cluster.
        slots: trials that the pool holds at once, if that is known.
        settings: where to read and write.
    """
    store = Store(settings.database_url, patience=DATABASE_SECONDS)
    try:
        if not store.control.set_driver(experiment, os.getpid(), started(os.getpid())):
            log.warning("experiment %s has another driver, or needs none", experiment)
            return
        _run(experiment, address, slots, settings, store)
    except ConnectionError:
        raise  # Ray is gone; the supervisor starts it and another driver again
    except (ValueError, OSError) as error:
        log.exception("experiment %s", experiment)
        if isinstance(error, StoreFullError):
            reserve.release(settings.home)
        store.control.move(experiment, "fail", str(error))
    finally:
        store.close()


def _run(experiment: str, address: str, slots: int | None, settings: Settings, store: Store) -> None:
    stored = store.experiment(experiment)
    assert stored is not None
    spec = ExperimentSpec.model_validate(stored.spec)
    reference = spec.data.locate(settings.home, settings.data_root)
    planned = store.plan_of(experiment)
    if planned is None:
        store.control.note(experiment, "preparing data")
        _fetch(spec, settings)
    data = open_data(reference, spec.task, settings.home)
    current = plan(spec, data, settings.home)
    if planned is None:
        size = encoder_size(spec.encoder, settings.home)
        store.add_plan(experiment, estimate(spec, current, data, size, store.known(spec, current)).plan)
    elif any(planned.get(digest) != trial.wanted.evaluate for digest, trial in current.trials.items()):
        raise DataError(CHANGED)
    planner = Planner(spec, data, encoder_digest(spec.encoder, settings.home))
    made = partial(_trials, spec, reference, settings)
    at_once = min(spec.resources.max_concurrent_trials or MOST_AT_ONCE, slots or MOST_AT_ONCE)
    work = ExperimentWork(experiment, spec, planner, store, made, at_once)
    if work.ready or not work.is_complete():
        store.control.note(experiment, "preparing the encoder")
        prepare_encoder(spec.encoder, settings.home)
        memory.release()
        _run_trials(experiment, work, spec, address, settings, store)
    _conclude(experiment, store)


def _fetch(spec: ExperimentSpec, settings: Settings) -> None:
    """Fetch the data of a remote source, and check them as local data are checked when a spec is POSTed."""
    source, value = spec.data.source, spec.data.value
    if isinstance(source, RemoteSource):
        targets = source.languages(value, spec.task) if spec.target_languages == "all" else spec.target_languages
        source.fetch(value, spec.task, dict.fromkeys([spec.source_language, *targets]), settings.home)
    problems = list(check_data(spec, spec.data.open(spec.task, settings.home, settings.data_root)))
    if problems:
        raise DataError("; ".join(f"{problem.field}: {problem.message}" for problem in problems))


def _trials(
    spec: ExperimentSpec, reference: DataReference, settings: Settings, outstanding: Mapping[str, PlannedTrial]
) -> dict[str, Trial]:
    return {
        digest: Trial(
            config=trial.config,
            source=trial.source,
            data=reference,
            wanted=trial.wanted,
            checkpoint_every_report=trial.config.population is not None,
            max_test_examples=spec.training.max_test_examples,
            home=settings.home,
            checkpoint_seconds=settings.checkpoint_seconds,
            threads=spec.resources.cpus_per_trial,
            device="cuda" if spec.resources.gpus_per_trial else "cpu",
        )
        for digest, trial in outstanding.items()
    }


def _run_trials(
    experiment: str, work: ExperimentWork, spec: ExperimentSpec, address: str, settings: Settings, store: Store
) -> None:
    tune.join(address)
    wanted = spec.resources
    room = Resources(wanted.cpus_per_trial, wanted.gpus_per_trial, wanted.memory_per_trial * 2**30)
    share = Share(store, experiment, room, wanted.max_concurrent_trials)
    recorder = Recorder(store, experiment, settings.home, work)
    storage = tune_folder(settings.home, experiment)
    tune.run_trials(work, share, storage, recorder, _scheduler(experiment, work, spec, store, share))


def _scheduler(
    experiment: str, work: ExperimentWork, spec: ExperimentSpec, store: Store, share: Share
) -> PerCohort | None:
    """What stops or changes trials, with what was known before."""
    scheduler = spec.search.scheduler
    if isinstance(scheduler, PbtScheduler):
        spaces = {name: space for method in spec.methods for name, space in searched(spec, method).items()}
        return Populations(scheduler, work.cohorts, spaces, share)
    if scheduler is None:
        return None
    epochs = spec.training.epochs or TASKS[spec.task].under(spec.protocol).training.epochs
    judged = store.results.objectives(experiment, work.metric)
    past = {
        digest: ((one.sweep, one.config.seed), [(epoch, value) for epoch, _, value in one.history])
        for digest, one in judged.items()
    }
    return Halving(scheduler, work.cohorts, int(highest(epochs)), past)


def _conclude(experiment: str, store: Store) -> None:
    stored = store.experiment(experiment)
    assert stored is not None
    if left := stored.trials["queued"] + stored.trials["running"]:
        raise RuntimeError(f"{left} trials have not ended")  # another driver goes on with them
    if not stored.failures:
        store.control.move(experiment, "succeed")
        return
    first = stored.failures[0]
    store.control.move(
        experiment,
        "fail",
        f"{len(stored.failures)} of {stored.trials['total']} trials failed; the first, {first['method']}"
        f" {first['trial']}: {first['reason']}",
    )


@dataclass
class Recorder:
    """Writes what happens to the store, under the number of the attempt that it happens in."""

    store: Store
    experiment: str
    home: Path
    work: ExperimentWork
    attempts: dict[str, int] = field(default_factory=dict)

    def started(self, digest: str) -> None:
        """An attempt begins."""
        if not self.attempts:
            self.store.control.move(self.experiment, "start")
        self.attempts[digest] = self.store.trials.started(self.experiment, digest)

    def reported(self, digest: str, report: Report) -> None:
        """An epoch is over."""
        self.store.trials.reported(digest, self.attempts[digest], report)

    def succeeded(self, digest: str, outcome: Outcome) -> bool:
        """A trial is done. Now that all is stored nobody needs its checkpoints."""
        found = self.store.trials.succeeded(digest, self.attempts[digest], outcome)
        if found == "refused":
            return False
        if found == "incomplete":
            self.store.trials.failed(self.experiment, digest, f"it lacks scores that were planned: {CHANGED}")
        self._remove_checkpoints(digest)
        self.work.ended(digest)
        return True

    def stopped(self, digest: str, reason: str) -> None:
        """A trial is not worth going on with. Its scores stay; its checkpoints, if others go on with them."""
        if self.store.trials.stopped(self.experiment, digest, reason):
            self._remove_checkpoints(digest)
        self.work.ended(digest)

    def refused(self, digest: str, reason: str) -> None:
        """A trial will not start."""
        self.store.trials.stopped(self.experiment, digest, reason)
        self.work.ended(digest)

    def _remove_checkpoints(self, digest: str) -> None:
        shutil.rmtree(checkpoints_of(self.home, digest), ignore_errors=True)

    def failed(self, digest: str, reason: str) -> None:
        """A trial will not be done."""
        self.store.trials.failed(self.experiment, digest, reason)
        self.work.ended(digest)

    def died(self, digest: str, reason: str) -> None:
        """A trial's process is gone; another one will go on."""
        self.store.trials.died(self.experiment, digest, reason)


def _exit(_signal: int, _frame: FrameType | None) -> None:
    os._exit(128 + signal.SIGTERM)  # the store is consistent at any moment, and Ray ends the workers of a dead driver


def main() -> None:
    """Run the experiment that the command line names."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for signal_ in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_, _exit)
    experiment, address, slots = sys.argv[1:]
    drive(experiment, address, int(slots) or None, Settings.from_environment())


if __name__ == "__main__":
    main()
