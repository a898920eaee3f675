"""Costs of trials: measured, planned, spent and left. In seconds of a trial, however many devices it uses."""

import time
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, case, func, select

from search_spaces.cost.estimate import devices
from search_spaces.cost.timing import Measured
from search_spaces.method_space import Candidate
from search_spaces.spec import ExperimentSpec, ResourcesSpec
from service.store.broken import FAULTS
from service.store.clocks import elapsed
from service.store.schema import Readable, attempts, planned_trials, trials
from trainers.methods import METHODS
from trainers.trial import Work

# How many of the latest trials estimates are based on.
MAX_MEASURED = 100


def measured(connection: Connection, spec: ExperimentSpec, encoder: str) -> list[Measured]:
    """Measurements of the latest trials with the encoder, task, precision, threads and kind of device of a spec."""
    config, facts = Readable(trials.c.config), Readable(trials.c.facts)
    on_cpu = facts["device"].as_string().startswith("cpu")
    query = (
        select(config["method"].as_string(), elapsed(attempts.c.started, attempts.c.ended), facts["work"])
        .join(attempts, and_(attempts.c.trial == trials.c.digest, attempts.c.number == trials.c.attempt))
        .where(
            attempts.c.state == "succeeded",
            attempts.c.ended > attempts.c.started,  # otherwise the clock was set back in between
            config["encoder_digest"].as_string() == encoder,
            config["task"].as_string() == spec.task,
            config["method"].as_string().in_(list(METHODS)),  # not those of a package that is gone
            config[("training", "precision")].as_string() == Candidate().training(spec).precision,
            facts["threads"].as_integer() == spec.resources.cpus_per_trial,
            ~on_cpu if spec.resources.gpus_per_trial else on_cpu,
        )
        .order_by(attempts.c.ended.desc())
        .limit(MAX_MEASURED)
    )
    return [
        Measured(
            adapts=METHODS[method].adapts,
            seconds=seconds,
            training=Work(**work["training"]),
            evaluation=Work(**work["evaluation"]),
        )
        for method, seconds, work in connection.execute(query)
    ]


def card(connection: Connection) -> str | None:
    """The GPU that the latest trial on one ran on; None if there was none."""
    device = trials.c.facts["device"].as_string()
    query = select(device).join(
        attempts, and_(attempts.c.trial == trials.c.digest, attempts.c.number == trials.c.attempt)
    )
    on_gpu = query.where(attempts.c.state == "succeeded", ~device.startswith("cpu"))
    return connection.execute(on_gpu.order_by(attempts.c.ended.desc()).limit(1)).scalar()


class Ran(NamedTuple):
    """The attempts at planned trials, for their own experiment or else for another one.

    Attributes:
        tables: `planned_trials`, `trials` and attempts, joined.
        seconds: of all attempts at a trial, up to now if one is running.
        epochs: that the last attempt reached.
    """

    tables: Any
    seconds: ColumnElement[float]
    epochs: ColumnElement[int]


def ran(experiments: Collection[str]) -> Ran:
    """The attempts at the planned trials of some experiments."""
    took = elapsed(attempts.c.started, func.coalesce(attempts.c.ended, time.time()))
    key = attempts.c.trial, attempts.c.experiment
    mine = select(*key, func.max(attempts.c.number).label("number"), func.sum(took).label("took"))
    mine = mine.where(attempts.c.experiment.in_(experiments)).group_by(*key)
    own, last = mine.subquery("own"), attempts.alias("last")
    of_own = and_(own.c.trial == planned_trials.c.trial, own.c.experiment == planned_trials.c.experiment)
    number = func.coalesce(own.c.number, trials.c.attempt)
    tables = (
        planned_trials.join(trials, trials.c.digest == planned_trials.c.trial)
        .outerjoin(own, of_own)
        .outerjoin(last, and_(last.c.trial == planned_trials.c.trial, last.c.number == number))
    )
    seconds = func.coalesce(own.c.took, elapsed(last.c.started, last.c.ended), 0.0)
    return Ran(tables, seconds, func.coalesce(last.c.epoch, 0))


def spent(connection: Connection, experiments: Collection[str]) -> dict[str, tuple[int, float]]:
    """For each experiment the number of trials that were started for it, and the seconds of all attempts so far."""
    took = elapsed(attempts.c.started, func.coalesce(attempts.c.ended, time.time()))
    mine = attempts.c.experiment
    query = select(mine, func.count(attempts.c.trial.distinct()), func.sum(took)).where(mine.in_(experiments))
    found = {id_: (begun, seconds) for id_, begun, seconds in connection.execute(query.group_by(mine))}
    return dict.fromkeys(experiments, (0, 0.0)) | found


def with_device_seconds(attempt: Mapping[Any, Any]) -> dict[str, Any]:
    """An attempt with its device-seconds in place of its experiment's spec; None until it ends, or if that is none."""
    known = dict(attempt)
    spec, ended = known.pop("spec"), known["ended"]
    is_known = spec is not None and ended is not None
    try:
        of_trial = devices(ResourcesSpec.model_validate(spec["resources"])) if is_known else None
    except FAULTS:
        of_trial = None
    return {**known, "device_seconds": of_trial and of_trial * max(0.0, ended - known["started"])}


def cost(connection: Connection, specs: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float | None]]:
    """The `cost` of each `Experiment`, given the specs by id."""
    mine, tried = planned_trials.c, ran(specs)
    is_open, trained = mine.state.in_(("queued", "running")), and_(mine.state == "succeeded", ~mine.reused)
    sums = {
        "unknown": case((and_(mine.estimated.is_(None), ~mine.reused), 1), else_=0),
        "planned": mine.estimated,
        "open": case((is_open, mine.estimated), else_=0.0),
        "running": case((mine.state == "running", tried.seconds), else_=0.0),
        "expected": case((trained, mine.estimated), else_=0.0),
        "taken": case((trained, tried.seconds), else_=0.0),
    }
    columns = [func.coalesce(func.sum(value), 0).label(name) for name, value in sums.items()]
    query = select(mine.experiment, *columns).select_from(tried.tables).where(mine.experiment.in_(specs))
    rows = connection.execute(query.group_by(mine.experiment)).mappings()
    found = dict.fromkeys(specs, dict.fromkeys(sums, 0.0)) | {row["experiment"]: dict(row) for row in rows}
    begun = spent(connection, specs)
    return {id_: _cost(found[id_], begun[id_][1], spec) for id_, spec in specs.items()}


def _cost(sums: Mapping[str, float], seconds: float, spec: Mapping[str, Any]) -> dict[str, float | None]:
    of_trial = devices(ResourcesSpec.model_validate(spec["resources"]))
    is_known = not sums["unknown"]
    error = sums["expected"] / sums["taken"] if is_known and sums["taken"] else None
    left = max(0.0, sums["open"] / (error or 1.0) - sums["running"])
    return {
        "planned": of_trial * sums["planned"] if is_known else None,
        "spent": of_trial * seconds,
        "left": of_trial * left if is_known else None,
        "error": error,
    }
