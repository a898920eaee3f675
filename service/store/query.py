"""Queries as SQL: trees of conditions, sort orders, and the rows after a cursor."""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, and_, case, false, func, or_, true

Operator = Literal["eq", "ne", "lt", "le", "gt", "ge", "in"]

ORDERED: dict[str, Any] = {"lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge}

Column = ColumnElement[Any]


@dataclass(frozen=True)
class Condition:
    """A column compared with a value, with several for "in". None equals None, and is neither less nor greater."""

    column: str
    op: Operator
    value: Any


@dataclass(frozen=True)
class And:
    """Each of these holds; true if there is none."""

    of: tuple["Where", ...] = ()


@dataclass(frozen=True)
class Or:
    """At least one of these holds; false if there is none."""

    of: tuple["Where", ...] = ()


Where = Condition | And | Or


EVERYTHING = And()


@dataclass(frozen=True)
class By:
    """A column to sort by. None is last, or first when descending."""

    column: str
    descending: bool = False


def equal(filters: Mapping[str, Sequence[Any]]) -> And:
    """The conditions that each column has one of its values."""
    return And(tuple(Condition(column, "in", tuple(values)) for column, values in filters.items()))


class BadCursorError(ValueError):
    """A cursor that no page returned."""


class Columns:
    """The columns that conditions and orders can name.

    Args:
        columns: each as SQL, by name.
        sets: columns with several values a row, such as tags, each as a query of its values; for "eq" and "in" only.
        ordered: turns a column into one whose text is compared by code points, as in Python.
    """

    def __init__(
        self, columns: Mapping[str, Column], sets: Mapping[str, Select[Any]], ordered: Callable[[Column], Column]
    ) -> None:
        self._columns, self._sets, self._ordered = columns, sets, ordered

    def clause(self, where: Where) -> ColumnElement[bool]:
        """A tree as SQL."""
        match where:
            case And(of):
                return and_(true(), *map(self.clause, of))
            case Or(of):
                return or_(false(), *map(self.clause, of))
            case Condition(name, op, value) if name in self._sets:
                [column] = self._sets[name].selected_columns
                return self._sets[name].where(self._compared(column, op, value)).exists()
            case Condition(name, op, value):
                return self._compared(self._columns[name], op, value)

    def _compared(self, column: Column, op: Operator, value: Any) -> ColumnElement[bool]:
        match op:
            case "eq":
                return column.is_not_distinct_from(value)
            case "ne":
                return column.is_distinct_from(value)
            case "in":
                there = column.in_([one for one in value if one is not None])
                return or_(there, column.is_(None)) if None in value else there
            case _ if value is None:
                return false()
            case _:
                return self._ordered(column).operate(ORDERED[op], value)

    def keys(self, order: Sequence[By]) -> list[tuple[Column, bool]]:
        """The sort keys of an order, each with whether it descends: two keys a column, the first one for None."""
        found: list[tuple[Column, bool]] = []
        for by in order:
            column = self._columns[by.column]
            if column.type.python_type is bool:
                column = case((column, 1), else_=0)
            nothing = "" if column.type.python_type is str else 0
            found.append((case((column.is_(None), 1), else_=0), by.descending))
            found.append((self._ordered(func.coalesce(column, nothing)), by.descending))
        return found


def after(keys: Sequence[tuple[Column, bool]], values: Sequence[Any]) -> ColumnElement[bool]:
    """The condition that a row comes after the row with these values of its sort keys.

    Raises:
        BadCursorError: they are none of these keys.
    """
    if len(keys) != len(values) or not all(_is_of(key, value) for (key, _), value in zip(keys, values, strict=True)):
        raise BadCursorError("not a cursor of this service")
    found: ColumnElement[bool] = false()
    for (key, descending), value in reversed(list(zip(keys, values, strict=True))):
        beyond = key < value if descending else key > value
        found = or_(beyond, and_(key == value, found))
    return found


def _is_of(key: Column, value: object) -> bool:
    """Whether a value that was read from JSON is one of a sort key."""
    match value:
        case bool():
            return False
        case int():
            return key.type.python_type in (int, float) and abs(value) < 2**63
        case float():
            return key.type.python_type is float and isfinite(value)
        case str():
            is_storable = "\0" not in value and value.encode(errors="ignore").decode() == value
            return key.type.python_type is str and is_storable
    return False
