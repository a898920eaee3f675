"""Experiments as they stand: how far they are, what they cost, and what failed."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from service.store import costs
from service.store.broken import FAULTS, BrokenRowError, require_json, require_times
from service.store.events import differences, left_out
from service.store.schema import experiments, planned_results, planned_trials, tags, trials
from service.store.states import TRIAL_STATES

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """An experiment as it stands.

    Attributes:
        priority: experiments of higher priority run first; among equals, the one that was queued first.
        progress: from 0 to 1.
        trials: number of trials by state, `total` and `reused` ones.
        cost: in seconds of a GPU, or of a CPU thread where no GPU is asked for. `planned`; `spent`, failed trials
            included; `left`, scaled by how much longer than planned the finished trials took; `error`, planned over
            actual. None where unknown.
        left_out: the targets that methods leave out, since the data lack splits that these need: `method`, `language`,
            and `lacks`, those splits; known once the experiment is planned.
        differs: in what its data differ from those that were published, although that was accepted
            (`ALLASPRAK_ACCEPT_COUNTS`).
        failures: failed trials with their reasons.
        numerics: the NUMERICS that it was planned under; None as long as it has no plan.
    """

    id: str
    name: str
    owner: str
    tags: list[str]
    priority: int
    state: str
    reason: str
    created: float
    started: float | None
    finished: float | None
    progress: float
    trials: dict[str, int]
    cost: dict[str, float | None]
    left_out: list[dict[str, Any]]
    differs: list[str]
    failures: list[dict[str, Any]]
    numerics: int | None
    spec: dict[str, Any]

    def require_whole(self) -> None:
        """BrokenRowError if its row cannot be read, and so most of this is not known."""
        if not self.spec:
            raise BrokenRowError(f"experiment {self.id}")


def shown(connection: Connection, rows: Sequence[Mapping[Any, Any]]) -> list[Experiment]:
    """Rows of `experiments` with trials, cost and failures: in a constant number of queries, however many rows.

    A row that cannot be read, since something else has changed it, says so and keeps no other from being shown.
    """
    try:
        return _shown(connection, rows)
    except FAULTS as error:
        if len(rows) > 1:
            return [one for row in rows for one in shown(connection, [row])]
        [row] = rows
        log.error("the experiment %s cannot be read", row["id"], exc_info=error)
        return [_unreadable(row)]


def _unreadable(row: Mapping[Any, Any]) -> Experiment:
    """What is shown of a row that cannot be read."""
    created = row["created"] if isinstance(row["created"], int | float) else 0.0
    return Experiment(
        id=row["id"],
        name=str(row["name"]),
        owner=str(row["owner"]),
        tags=[],
        priority=0,
        state=str(row["state"]),
        reason="what the database has of this experiment cannot be read; the service's log says more",
        created=created,
        started=None,
        finished=None,
        progress=0.0,
        trials=dict.fromkeys(("total", *TRIAL_STATES, "reused"), 0),
        cost={"planned": None, "spent": None, "left": None, "error": None},
        left_out=[],
        differs=[],
        failures=[],
        numerics=None,
        spec={},
    )


def _shown(connection: Connection, rows: Sequence[Mapping[Any, Any]]) -> list[Experiment]:
    ids = [row["id"] for row in rows]
    for row in rows:
        require_times(row["created"], row["started"], row["finished"])
        require_json(row["spec"])
    of, spent = costs.groups(connection, ids), costs.spent(connection, ids)
    mine = planned_trials.c.experiment
    failed = (
        select(mine, planned_trials.c.trial, planned_trials.c.reason, trials.c.config)
        .join(trials, trials.c.digest == planned_trials.c.trial)
        .where(mine.in_(ids), planned_trials.c.state == "failed")
        .order_by(planned_trials.c.position)
    )
    failures: dict[str, list[dict[str, Any]]] = {id_: [] for id_ in ids}
    for id_, digest, reason, config in connection.execute(failed):
        named = {name: config[name] for name in ("method", "seed", "k", "target_languages")}
        failures[id_].append({"trial": digest, **named, "reason": reason})
    tagged: dict[str, list[str]] = {id_: [] for id_ in ids}
    for id_, tag in connection.execute(select(tags).where(tags.c.experiment.in_(ids)).order_by(tags.c.tag)):
        tagged[id_].append(tag)
    first = select(planned_results.c.numerics).where(planned_results.c.experiment == experiments.c.id).limit(1)
    planned_under = select(experiments.c.id, first.scalar_subquery()).where(experiments.c.id.in_(ids))
    numerics = {id_: number for id_, number in connection.execute(planned_under)}  # noqa: C416  (mypy: rows, no pairs)
    specs = {row["id"]: row["spec"] for row in rows}
    differs = differences(connection, specs)
    without = left_out(connection, experiments.c.id.in_(ids))
    columns = ("id", "name", "owner", "priority", "state", "reason", "created", "started", "finished", "spec")
    return [
        Experiment(
            **{name: row[name] for name in columns},
            tags=tagged[row["id"]],
            progress=_progress(of[row["id"]], row),
            trials=_counted(of[row["id"]]),
            cost=costs.cost(of[row["id"]], spent[row["id"]][1], row["spec"]),
            left_out=without[row["id"]],
            differs=differs[row["id"]],
            failures=failures[row["id"]],
            numerics=numerics[row["id"]],
        )
        for row in rows
    ]


def _counted(of: Sequence[costs.Group]) -> dict[str, int]:
    """The number of an experiment's trials by state."""
    counts = dict.fromkeys(("total", *TRIAL_STATES, "reused"), 0)
    for one in of:
        counts["total"] += one.number
        counts[one.state] += one.number
        counts["reused"] += one.number if one.reused else 0
    return counts


def _progress(of: Sequence[costs.Group], row: Mapping[Any, Any]) -> float:
    """How far an experiment is."""
    if not of:
        return float(row["state"] == "succeeded")
    done = sum({"running": one.begun, "queued": 0, "cancelled": 0}.get(one.state, one.number) for one in of)
    return done / sum(one.number for one in of)
