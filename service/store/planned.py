"""The trials of an experiment as they stand, a row each."""

from typing import Any, NamedTuple

from sqlalchemy import select

from service.store import costs
from service.store.broken import reading, require
from service.store.database import Database, decode, encode
from service.store.query import BadCursorError, after
from service.store.schema import Readable, measures, planned_trials, trials

# What is told of a trial's configuration.
OF_CONFIG = ("method", "k", "seed", "target_languages")


class Page(NamedTuple):
    """Some trials, each with its `config`, and the cursor of the next page (None after the last)."""

    rows: list[dict[str, Any]]
    next: str | None


class Planned:
    """Read access to the trials that experiments plan.

    Args:
        database: where they are stored.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(self, experiment: str, limit: int, state: str | None = None, cursor: str | None = None) -> Page:
        """A page of an experiment's trials, in the order in which they should run: one query, however many there are.

        Each has `trial`, `state`, `reason`, `reused`, `epoch` (that the last attempt reached), `epochs`, `attempts`,
        `loss` (of the last report; None if there is none) and `config`, as stored.

        Args:
            experiment: its id.
            limit: trials a page at most.
            state: only those in this state.
            cursor: `Page.next` of the page before.

        Raises:
            BadCursorError: no page of this experiment returned it.
            BrokenRowError: what is stored of a trial cannot be read.
        """
        mine, tried = planned_trials.c, costs.ran([experiment])
        last = select(Readable(measures.c["values"])["loss"]).where(measures.c.trial == mine.trial)
        loss = last.order_by(measures.c.step.desc()).limit(1).scalar_subquery()
        query = (
            select(mine.trial, mine.state, mine.reason, mine.reused, mine.position, tried.epochs.label("epoch"))
            .add_columns(trials.c.epochs, trials.c.attempt.label("attempts"), loss.label("loss"), trials.c.config)
            .select_from(tried.tables)
            .where(mine.experiment == experiment)
        )
        if state is not None:
            query = query.where(mine.state == state)
        if cursor is not None:
            match decode(cursor):
                case [of, *last_one] if of == experiment:
                    query = query.where(after([(mine.position, False), (mine.trial, False)], last_one))
                case _:
                    raise BadCursorError("it is of another experiment")
        query = query.order_by(mine.position, mine.trial).limit(limit + 1)
        with self._database.read() as connection:
            rows = [dict(row) for row in connection.execute(query).mappings()]
        for row in rows:
            with reading(f"trial {row['trial']}"):
                require(row["config"], dict)
                row |= {name: row["config"][name] for name in OF_CONFIG}
        page = rows[:limit]
        if len(rows) <= limit:
            return Page(page, None)
        return Page(page, encode(experiment, page[-1]["position"], page[-1]["trial"]))
