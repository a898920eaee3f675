"""One experiment, from its plan to its scores: `python -m service.engine.driver <experiment> <address> <slots>`."""

import logging
import os
import signal
import sys
from dataclasses import dataclass, field
from types import FrameType

from search_spaces.checks import check_data, data_reference
from search_spaces.estimate import estimate
from search_spaces.plan import plan
from search_spaces.spec import ExperimentSpec
from service.settings import Settings
from service.store import OutstandingTrial, Store, StoreFullError, reserve
from trainers import Outcome, Report, Trial, memory
from trainers.config import DataReference
from trainers.data import XTREME_R, hub, open_data, xtreme_r_folder
from trainers.encoders import encoder_size, prepare_encoder
from trainers.examples import DataError
from trainers.languages import languages_of

log = logging.getLogger(__name__)


def drive(experiment: str, address: str, slots: int | None, settings: Settings) -> None:
    """Run what an experiment still lacks, to a final state.

    Args:
        experiment: its id.
        address: of the Ray cluster.
        slots: trials that the pool holds at once, if that is known.
        settings: where to read and write.
    """
    store = Store(settings.database_url)
    try:
        _run(experiment, address, slots, settings, store)
    except ConnectionError:
        raise  # Ray is gone; the supervisor starts it and another driver again
    except (ValueError, OSError) as error:
        log.exception("experiment %s", experiment)
        if isinstance(error, StoreFullError):
            reserve.release(settings.home)
        store.set_state(experiment, "failed", str(error))
    finally:
        store.close()


def _run(experiment: str, address: str, slots: int | None, settings: Settings, store: Store) -> None:
    stored = store.experiment(experiment)
    assert stored is not None
    spec = ExperimentSpec.model_validate(stored.spec)
    reference = data_reference(spec, settings.data_root)
    planned = store.plan_of(experiment)
    if planned is None:
        store.set_state(experiment, "queued", "preparing data")
        _fetch(spec, settings)
    data = open_data(reference, spec.task, settings.home)
    current = plan(spec, data, settings.home)
    if planned is None:
        size = encoder_size(spec.encoder, settings.home)
        store.add_plan(experiment, current, estimate(spec, current, data, size, store.known(spec, current)).seconds)
    elif planned != {digest: trial.evaluate for digest, trial in current.trials.items()}:
        raise DataError("the data, the encoder or our numerics have changed since it was accepted: submit it again")
    outstanding = store.outstanding(experiment)
    if outstanding:
        store.set_state(experiment, "queued", "preparing the encoder")
        prepare_encoder(spec.encoder, settings.home)
        memory.release()
        store.set_state(experiment, "running")
        _run_trials(experiment, _trials(spec, reference, outstanding, settings), spec, address, slots, settings, store)
    _conclude(experiment, store)


def _fetch(spec: ExperimentSpec, settings: Settings) -> None:
    """XTREME-R from the hub, checked as a folder is when it is POSTed."""
    targets = languages_of(spec.task) if spec.target_languages == "all" else spec.target_languages
    languages = dict.fromkeys([spec.source_language, *targets])
    hub.fetch(spec.task, languages, xtreme_r_folder(settings.home))
    data = open_data(DataReference(XTREME_R), spec.task, settings.home)
    problems = list(check_data(spec, data))
    if problems:
        raise DataError("; ".join(f"{problem.field}: {problem.message}" for problem in problems))


def _trials(
    spec: ExperimentSpec, reference: DataReference, outstanding: dict[str, OutstandingTrial], settings: Settings
) -> dict[str, Trial]:
    return {
        digest: Trial(
            config=trial.config,
            source=trial.source,
            data=reference,
            selections=trial.selections,
            evaluate=trial.evaluate,
            max_test_examples=spec.training.max_test_examples,
            home=settings.home,
            keep=spec.keeps(trial.config.method),
            checkpoint_seconds=settings.checkpoint_seconds,
            threads=spec.resources.cpus_per_trial,
            device="cuda" if spec.resources.gpus_per_trial else "cpu",
        )
        for digest, trial in outstanding.items()
    }


def _run_trials(
    experiment: str,
    trials: dict[str, Trial],
    spec: ExperimentSpec,
    address: str,
    slots: int | None,
    settings: Settings,
    store: Store,
) -> None:
    from service.engine.tune import run_trials

    needs = {
        digest: trial.source.digest
        for digest, trial in trials.items()
        if trial.source is not None and trial.source.digest in trials
    }
    storage = settings.home / "tune" / experiment
    run_trials(trials, needs, spec.resources, address, slots, storage, Recorder(store, experiment))


def _conclude(experiment: str, store: Store) -> None:
    stored = store.experiment(experiment)
    assert stored is not None
    if not stored.failures:
        store.set_state(experiment, "succeeded")
        return
    first = stored.failures[0]
    store.set_state(
        experiment,
        "failed",
        f"{len(stored.failures)} of {stored.trials['total']} trials failed; the first, {first['method']}"
        f" {first['trial']}: {first['reason']}",
    )


@dataclass
class Recorder:
    """Writes what happens to the store, under the number of the attempt that it happens in."""

    store: Store
    experiment: str
    attempts: dict[str, int] = field(default_factory=dict)

    def started(self, digest: str) -> None:
        """An attempt begins."""
        self.attempts[digest] = self.store.trial_started(self.experiment, digest)

    def reported(self, digest: str, report: Report) -> None:
        """An epoch is over."""
        self.store.record(digest, self.attempts[digest], report)

    def succeeded(self, digest: str, outcome: Outcome) -> None:
        """A trial is done."""
        self.store.trial_succeeded(digest, self.attempts[digest], outcome)

    def failed(self, digest: str, reason: str) -> None:
        """A trial will not be done."""
        self.store.trial_failed(self.experiment, digest, reason)

    def __reduce__(self) -> tuple[type, tuple[()]]:
        # Tune pickles its callbacks with its own state, which nothing ever reads: a store stays where it is.
        return dict, ()


def _exit(_signal: int, _frame: FrameType | None) -> None:
    os._exit(128 + signal.SIGTERM)  # the store is consistent at any moment, and Ray ends the workers of a dead driver


def main() -> None:
    """Run the experiment that the command line names."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    signal.signal(signal.SIGTERM, _exit)
    experiment, address, slots = sys.argv[1:]
    drive(experiment, address, int(slots) or None, Settings.from_environment())


if __name__ == "__main__":
    main()
