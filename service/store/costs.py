"""What trials cost: measured, planned, spent and left. In seconds of a trial, however many devices it has."""

import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, func, select

from search_spaces.candidates import Candidate
from search_spaces.clock import Measured
from search_spaces.estimate import devices
from search_spaces.spec import ExperimentSpec, ResourcesSpec
from service.store.schema import planned_trials, trials
from trainers.config import Work
from trainers.methods import METHODS

# Of the trials that tell how fast others will be, the latest.
MAX_MEASURED = 100


def measured(connection: Connection, spec: ExperimentSpec, encoder: str) -> list[Measured]:
    """What the last trials like a spec's took: same encoder, task, precision, threads and kind of device."""
    config, facts, on_cpu = trials.c.config, trials.c.facts, trials.c.facts["device"].as_string().startswith("cpu")
    query = (
        select(config["method"].as_string(), trials.c.finished - trials.c.started, facts["work"])
        .where(
            trials.c.finished.is_not(None),
            config["encoder_digest"].as_string() == encoder,
            config["task"].as_string() == spec.task,
            config[("training", "precision")].as_string() == Candidate().training(spec).precision,
            facts["threads"].as_integer() == spec.resources.cpus_per_trial,
            ~on_cpu if spec.resources.gpus_per_trial else on_cpu,
        )
        .order_by(trials.c.finished.desc())
        .limit(MAX_MEASURED)
    )
    return [
        Measured(METHODS[method].adapts, seconds, Work(**work["training"]), Work(**work["evaluation"]))
        for method, seconds, work in connection.execute(query)
    ]


def last_attempt(digest: str) -> Any:
    """From the start to the end of a trial's last attempt."""
    return select(trials.c.finished - trials.c.started).filter_by(digest=digest).scalar_subquery()


def spent(connection: Connection, experiment: str) -> tuple[int, float]:
    """How many trials were begun for an experiment, and the seconds that they took so far."""
    mine = planned_trials.c
    took = func.coalesce(mine.taken, 0.0) + _running()
    query = select(func.count(), func.coalesce(func.sum(took), 0.0)).select_from(_joined())
    begun, seconds = connection.execute(
        query.where(mine.experiment == experiment, (mine.state == "running") | (mine.taken > 0))
    ).one()
    return int(begun), float(seconds)


def cost(connection: Connection, experiment: str, spec: Mapping[str, Any]) -> dict[str, float | None]:
    """An experiment's `planned`, `spent` and `left` in seconds of a device, and `error`, as in `Experiment`."""
    mine = planned_trials.c
    has_succeeded, is_open = mine.state == "succeeded", mine.state.in_(("queued", "running"))
    sums = {
        "unknown": case((and_(mine.estimated.is_(None), ~mine.reused), 1), else_=0),
        "planned": mine.estimated,
        "open": case((is_open, mine.estimated), else_=0.0),
        "running": _running(),
        "expected": case((and_(has_succeeded, mine.taken.is_not(None)), mine.estimated), else_=0.0),
        "taken": case((has_succeeded, mine.taken), else_=0.0),
    }
    columns = (func.coalesce(func.sum(value), 0).label(name) for name, value in sums.items())
    query = select(*columns).select_from(_joined()).where(mine.experiment == experiment)
    found = connection.execute(query).mappings().one()
    of_trial = devices(ResourcesSpec.model_validate(spec["resources"]))
    is_known = not found["unknown"]
    error = found["expected"] / found["taken"] if is_known and found["taken"] else None
    left = max(0.0, found["open"] / (error or 1.0) - found["running"])
    return {
        "planned": of_trial * found["planned"] if is_known else None,
        "spent": of_trial * spent(connection, experiment)[1],
        "left": of_trial * left if is_known else None,
        "error": error,
    }


def _joined() -> Any:
    return planned_trials.join(trials, trials.c.digest == planned_trials.c.trial)


def _running() -> ColumnElement[float]:
    """Of a trial that runs, for how long."""
    return case((planned_trials.c.state == "running", time.time() - trials.c.started), else_=0.0)
