"""Costs of trials: measured, planned, spent and left. In seconds of a trial, however many devices it uses."""

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Float, and_, case, cast, func, select

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


class Group(NamedTuple):
    """Planned trials of an experiment that are in the same state, and reused or not.

    Attributes:
        experiment: its id.
        state: of the trials.
        reused: whether they had been trained before the experiment was submitted.
        number: of trials.
        begun: sum of the fractions of their epochs that are done.
        reached: seconds that were planned for their epochs which are done, and for the next one.
        estimated: seconds that the trials with an estimate were planned to take.
        unknown: number of trials without an estimate.
        seconds: that all attempts at them took.
    """

    experiment: str
    state: str
    reused: bool
    number: int
    begun: float
    reached: float
    estimated: float
    unknown: int
    seconds: float


def groups(connection: Connection, experiments: Collection[str]) -> dict[str, list[Group]]:
    """The planned trials of each experiment."""
    mine, tried = planned_trials.c, ran(experiments)
    key = mine.experiment, mine.state, mine.reused
    sums = (
        func.count(),
        func.sum(cast(tried.epochs, Float) / (trials.c.epochs + 1)),
        func.coalesce(func.sum(mine.estimated * cast(tried.epochs + 1, Float) / (trials.c.epochs + 1)), 0.0),
        func.coalesce(func.sum(mine.estimated), 0.0),
        func.sum(case((mine.estimated.is_(None), 1), else_=0)),
        func.sum(tried.seconds),
    )
    query = select(*key, *sums).select_from(tried.tables).where(mine.experiment.in_(experiments)).group_by(*key)
    found: dict[str, list[Group]] = {id_: [] for id_ in experiments}
    for row in connection.execute(query):
        found[row.experiment].append(Group(*row))
    return found


def cost(of: Sequence[Group], spent: float, spec: Mapping[str, Any]) -> dict[str, float | None]:
    """The `cost` of an `Experiment`.

    Args:
        of: its planned trials.
        spent: seconds of all attempts for it.
        spec: its spec.
    """
    of_trial = devices(ResourcesSpec.model_validate(spec["resources"]))
    is_known = not any(one.unknown for one in of if not one.reused)
    trained = [one for one in of if one.state == "succeeded" and not one.reused]
    taken = sum(one.seconds for one in trained)
    error = sum(one.estimated for one in trained) / taken if is_known and taken else None
    left = _left(of, trained, error)
    return {
        "planned": of_trial * sum(one.estimated for one in of) if is_known else None,
        "spent": of_trial * spent,
        "left": of_trial * left if is_known else None,
        "error": error,
    }


def _left(of: Sequence[Group], trained: Sequence[Group], error: float | None) -> float:
    """Seconds of trials that are outstanding.

    They are as much slower than planned, or faster, as those that are done. Of what runs is known that its epochs take
    no less than what they took so far: where that is longer than planned, what comes later is expected to be slower.
    """
    queued, running = ([one for one in of if one.state == state] for state in ("queued", "running"))
    took, reached = sum(one.seconds for one in running), sum(one.reached for one in running)
    pace = of_running = 1 / (error or 1.0)
    if reached:
        known = sum(one.seconds for one in trained) + took, sum(one.estimated for one in trained) + reached
        pace = max(pace, known[0] / known[1])
        of_running = max(pace, took / reached)
    return pace * sum(one.estimated for one in queued) + max(
        0.0, of_running * sum(one.estimated for one in running) - took
    )
