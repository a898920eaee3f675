"""The columns of results as SQL, and the values that stored experiments have in them."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import JSON, ColumnElement, Connection, bindparam, false, func, select

from search_spaces.columns import COLUMNS, Column
from service.store import marks
from service.store.database import Database
from service.store.schema import experiments, planned_results, scores, selections, tags, trials
from service.store.states import FINAL
from trainers.tasks import TASKS

COLUMN = {column.name: column for column in COLUMNS}

# How many values are named.
MOST_NAMED = 20


class Absent(NamedTuple):
    """Values that no experiment has in a column; values that some have, of more than MOST_NAMED the first ones."""

    absent: list[Any]
    there: list[Any]


class Values:
    """The values that experiments have, by column.

    Args:
        database: where they are stored.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def absent(self, asked: Mapping[str, Iterable[Any]]) -> dict[str, Absent]:
        """The columns of which a value is asked for that no experiment has. Null is not looked for.

        An experiment has the values of its plan, scored or not. While one has no plan yet, since its data are being
        fetched, it may have any value that its spec does not exclude.
        """
        with self._database.read() as connection:
            found = {
                name: missing
                for name, values in asked.items()
                if (missing := _missing(connection, name, values)[:MOST_NAMED])
            }
            waiting = _unplanned(connection) if found else []
            absent = {name: [one for one in missing if not any(_may_have(spec, name, one) for spec in waiting)]
                      for name, missing in found.items()}  # fmt: skip
            return {name: Absent(missing, _there(connection, name)) for name, missing in absent.items() if missing}


def as_sql(column: Column) -> ColumnElement[Any]:
    """A column of COLUMNS where `planned_results`, `scores`, `selections` and `experiments` are joined."""
    match column.place:
        case "planned_results":
            return planned_results.c[column.name]
        case "scores":
            return scores.c[column.name]
        case "experiments":
            return experiments.c[column.name]
        case "spec":
            # in the SQL itself: other drivers do not know how SQLAlchemy writes paths as parameters
            path = bindparam(None, column.name, type_=JSON.JSONStrIndexType(), literal_execute=True)
            text: ColumnElement[str] = experiments.c.spec[path].as_string()
            return text
        case "computed" if column.name == "selected":
            return func.coalesce(scores.c.step == selections.c.step, false())
        case "marks":
            return marks.is_marked(column.name)
    raise ValueError(f"{column.name}: no single value in {column.place}")


def _stored(name: str) -> ColumnElement[Any]:
    """The column of one table that has all values of a column of COLUMNS."""
    named: dict[str, ColumnElement[Any]] = {
        "experiment": experiments.c.id, "trial": trials.c.digest, "tags": tags.c.tag,
    }  # fmt: skip
    return named[name] if name in named else as_sql(COLUMN[name])


def _unplanned(connection: Connection) -> list[dict[str, Any]]:
    """The specs of unfinished experiments without a plan."""
    waiting = select(experiments.c.spec).where(~experiments.c.planned, experiments.c.state.not_in(FINAL))
    return list(connection.execute(waiting).scalars())


def _may_have(spec: Mapping[str, Any], name: str, value: Any) -> bool:
    """Whether the plan of a spec may have a value in a column."""
    if name in ("method", "seed"):
        return value in spec[f"{name}s"]
    return (COLUMN[name].place == "planned_results" and name != "experiment") or name == "epoch"


def _missing(connection: Connection, name: str, values: Iterable[Any]) -> list[Any]:
    wanted = [value for value in dict.fromkeys(values) if value is not None]
    if name == "epoch":  # one up to that of the longest trial will be scored
        longest = _longest(connection)
        return [value for value in wanted if value > longest]
    if name == "metric":
        known = _metrics(connection)
        wanted = [value for value in wanted if value not in known]
    column = _stored(name)
    # with the limit SQLite stops at the last of them, which is early where rows are many
    found = select(column).where(column.in_(wanted)).distinct().limit(len(wanted))
    there = set(connection.execute(found).scalars()) if wanted else set()
    return [value for value in wanted if value not in there]


def _there(connection: Connection, name: str) -> list[Any]:
    """The values of a column in their order, experiments from the newest on: MOST_NAMED and one more at most."""
    if name == "metric":
        return sorted(_metrics(connection))
    if name == "epoch":
        return list(range(1, min(_longest(connection), MOST_NAMED + 1) + 1))
    column = _stored(name)
    query = select(column).where(column.is_not(None)).distinct().order_by(column)
    if name == "experiment":
        query = select(column).order_by(experiments.c.created.desc())
    return list(connection.execute(query.limit(MOST_NAMED + 1)).scalars())


def _longest(connection: Connection) -> int:
    """The epochs of the longest trial."""
    return connection.execute(select(func.max(trials.c.epochs))).scalar() or 0


def _metrics(connection: Connection) -> set[str]:
    """The metrics by which the tasks of experiments are scored."""
    tasks = connection.execute(select(as_sql(COLUMN["task"])).distinct()).scalars()
    return {metric for task in tasks if task in TASKS for metric in TASKS[task].metrics_names}
