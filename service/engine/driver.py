"""The driver of one experiment, from its plan to its scores.

`python -m service.engine.driver <experiment> <address of the Ray cluster> <slots of the pool, 0 if unknown>`
"""

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from functools import partial

from search_spaces.plan import Planner, plan
from search_spaces.problems import SpecError
from search_spaces.spec import ExperimentSpec
from service import planning
from service.engine import tune
from service.engine.processes import this
from service.engine.recorder import Recorder
from service.engine.schedulers import build_scheduler
from service.engine.slot_client import SlotClient
from service.engine.trial_queue import TrialQueue
from service.owner import UMASK
from service.settings import Settings
from service.store import Resources, Store, StoreFullError, reserve
from trainers import memory
from trainers.artifacts.atomic import write_text
from trainers.artifacts.layout import end_file, tune_folder
from trainers.examples import CHANGED, DataError
from trainers.registry import require_installed
from trainers.trial import NUMERICS

# Trials that are proposed ahead where neither the pool nor the spec limits how many may run at once.
MOST_AT_ONCE = 16

# Seconds to wait for a database server that restarts.
DATABASE_SECONDS = 60.0

# Seconds that the checkpoints of running trials may take when the driver is told to end, if nobody kills it before.
CHECKPOINT_SECONDS = 60.0

# Seconds between two looks whether the experiment is still this driver's.
LOOK_SECONDS = 2.0

log = logging.getLogger(__name__)


def drive(experiment: str, address: str, slots: int | None, settings: Settings) -> None:
    """Run the outstanding trials of an experiment and bring it to a final state.

    Args:
        experiment: its id.
        address: the address of the Ray cluster.
        slots: the number of trials that the pool runs at once; None if unknown.
        settings: where to read and write.
    """
    store, over = Store(settings.database_url, patience=DATABASE_SECONDS), threading.Event()
    try:
        if not store.control.set_driver(experiment, this().pid, this().created):
            log.warning("experiment %s has another driver, or needs none", experiment)
            return
        end_file(settings.home, experiment).unlink(missing_ok=True)  # was meant for an earlier driver
        threading.Thread(target=_watch, args=(experiment, store, over), name="watch", daemon=True).start()
        _run(experiment, address, slots, settings, store)
    except ConnectionError:
        raise  # Ray is gone; the supervisor restarts it and starts another driver
    except (ValueError, OSError) as error:
        log.exception("experiment %s", experiment)
        if isinstance(error, StoreFullError):
            reserve.release(settings.home)
        said = error.strerror if isinstance(error, OSError) else None  # without the folder, which is the server's
        store.control.move(experiment, "fail", said or str(error))
    finally:
        over.set()
        store.close()


def _watch(experiment: str, store: Store, over: threading.Event) -> None:
    """End this process once the experiment is not its any more: a server of another home has the database."""
    me = (this().pid, this().created)
    while not over.wait(LOOK_SECONDS):
        with contextlib.suppress(Exception):  # the database may be restarting
            if store.control.drivers().get(experiment) != me:
                log.warning("experiment %s has been taken from this driver", experiment)
                os._exit(1)


def _run(experiment: str, address: str, slots: int | None, settings: Settings, store: Store) -> None:
    stored = store.experiments.one(experiment)
    assert stored is not None
    if stored.numerics not in (None, NUMERICS):
        raise ValueError(planning.outdated(stored.numerics))
    try:
        spec = planning.accepted_before(stored.spec)
    except SpecError:
        for one in store.trials.outstanding(experiment).values():
            require_installed(one.config.plugins)  # its message names the package
        raise
    inputs = planning.open_experiment(spec, settings)
    planned = store.experiments.plan_of(experiment)
    if planned is None:
        store.control.note(experiment, "preparing data")
        differs = planning.fetch(inputs, partial(store.control.note, experiment))
        store.control.fetched(experiment, differs)
        priced = planning.price(spec, inputs, store).plan
        for warning in priced.warnings:
            store.control.note(experiment, f"warning: {warning}")
        store.experiments.add_plan(experiment, priced)
    else:
        current = plan(spec, inputs.data, inputs.encoder_digest).trials
        if any(planned.get(digest) != trial.wanted.evaluate for digest, trial in current.items()):
            raise DataError(CHANGED)
    planner = Planner(spec, inputs.data, inputs.encoder_digest)
    at_once = min(spec.resources.max_concurrent_trials or MOST_AT_ONCE, slots or MOST_AT_ONCE)
    build = partial(planning.build_trials, inputs, settings)
    queue = TrialQueue(experiment, spec, planner, store, build, at_once)
    if queue.ready or not queue.is_complete():
        store.control.note(experiment, "preparing the encoder")
        inputs.encoder.prepare(partial(store.control.note, experiment))
        memory.release()
        _run_trials(experiment, queue, spec, address, settings, store)
    _conclude(experiment, store)


def _run_trials(
    experiment: str, queue: TrialQueue, spec: ExperimentSpec, address: str, settings: Settings, store: Store
) -> None:
    tune.join(address)
    wanted = spec.resources
    resources = Resources(wanted.cpus_per_trial, wanted.gpus_per_trial, wanted.memory_per_trial * 2**30)
    slots = SlotClient(store, experiment, resources, wanted.max_concurrent_trials)
    recorder = Recorder(
        store=store, experiment=experiment, home=settings.home, queue=queue, artifacts=settings.artifacts
    )
    storage = tune_folder(settings.home, experiment)
    signal.signal(signal.SIGTERM, lambda _signal, _frame: _end(recorder, slots))
    tune.run_trials(queue, slots, storage, recorder, build_scheduler(spec, queue, slots))


def _conclude(experiment: str, store: Store) -> None:
    stored = store.experiments.one(experiment)
    assert stored is not None
    if left := stored.trials["queued"] + stored.trials["running"]:
        raise RuntimeError(f"{left} trials have not ended")  # another driver will run them
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


def _end(recorder: Recorder, slots: SlotClient) -> None:
    """Ask the running trials to write a checkpoint and end, and end this process with the last of them."""
    slots.close()
    with contextlib.suppress(OSError):  # on a full disk there is no room for a checkpoint either
        if not recorder.end_file.exists():
            write_text(recorder.end_file, "its driver was told to end")
    deadline = time.monotonic() + CHECKPOINT_SECONDS

    def wait() -> None:
        while recorder.running & slots.held and time.monotonic() < deadline:
            time.sleep(0.05)
        _exit()

    threading.Thread(target=wait, name="end", daemon=True).start()


def _exit(*_: object) -> None:
    os._exit(128 + signal.SIGTERM)  # the store is always consistent, and Ray ends the workers of a dead driver


def main() -> None:
    """Drive the experiment that the command line names."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for signal_ in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_, _exit)
    os.umask(UMASK)
    experiment, address, slots = sys.argv[1:]
    drive(experiment, address, int(slots) or None, Settings.from_environment())


if __name__ == "__main__":
    main()
