"""Filters whose value no experiment has: refused with what there is, since an empty answer would hide the mistake."""

from collections.abc import Iterator
from typing import Any

from search_spaces.columns import COLUMNS
from search_spaces.problems import Problem, SpecError
from service.store import Store
from service.store.column_values import MOST_NAMED
from service.store.query import And, Condition, Or, Where

# Columns of which is known which values there are, and not all from the start.
FILTERS = {
    column.name for column in COLUMNS if (column.filter or column.place == "planned_results") and not column.values
} | {"name"}


def require_known(store: Store, where: Where, of: str = "", field: str | None = None) -> None:
    """Check that experiments have the values that conditions ask for, each in any experiment.

    Args:
        store: with the experiments.
        where: the conditions; those of equality are checked.
        of: what stands before the column in the name of a parameter, such as "better.".
        field: the name of the parameter, if it is not called like the column.

    Raises:
        SpecError: no experiment has a value; names what there is.
    """
    asked: dict[str, list[Any]] = {}
    for column, values in _asked(where):
        asked.setdefault(column, []).extend(values)
    if not asked:
        return
    problems = []
    for column, (absent, there) in store.values.absent(asked).items():
        named = ", ".join(f"{value!a}" for value in absent)
        known = ", ".join(str(value) or "''" for value in there[:MOST_NAMED])
        known += ", ..." if len(there) > MOST_NAMED else ""
        words = f"no experiment has {named}; there {'are: ' + known if there else 'is none yet'}"
        problems.append(Problem(field or of + column, f"{column}: {words}" if field else words))
    if problems:
        raise SpecError(problems)


def _asked(where: Where) -> Iterator[tuple[str, list[Any]]]:
    match where:
        case And(of) | Or(of):
            for part in of:
                yield from _asked(part)
        case Condition(column, "eq", value) if column in FILTERS:
            yield column, [value]
        case Condition(column, "in", values) if column in FILTERS:
            yield column, list(values)
