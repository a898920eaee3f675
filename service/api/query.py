"""Queries about results as clients send them: JSON, validated before any of it reaches the database."""

from collections.abc import Sequence
from typing import Annotated, Any, get_args

from pydantic import Field, TypeAdapter, ValidationError

from search_spaces.columns import COLUMNS, Column
from search_spaces.messages import unquoted
from search_spaces.problems import Problem, SpecError
from search_spaces.spec import Text
from service.store import RESULT_COLUMNS
from service.store.query import And, By, Condition, Operator, Or, Where

# What conditions may be on.
CONDITIONED = {column.name: column for column in COLUMNS if column.shown or column.filter}

MOST_CONDITIONS, MOST_DEPTH, MOST_VALUES, MOST_VALUES_IN_ALL = 200, 10, 1000, 10_000

FORMS = '{"and": [...]}, {"or": [...]} or {"column": ..., "op": ..., "value": ...}'

VALUES: dict[type, TypeAdapter[Any]] = {
    str: TypeAdapter(Text | None, config={"strict": True}),
    int: TypeAdapter(Annotated[int, Field(ge=-(2**31), lt=2**31)] | None, config={"strict": True}),
    float: TypeAdapter(Annotated[float, Field(allow_inf_nan=False)] | None, config={"strict": True}),
    bool: TypeAdapter(bool | None, config={"strict": True}),
}


def conditions(given: Any, field: str = "where") -> Where:
    """Parse a tree of conditions.

    Args:
        given: JSON of one of FORMS.
        field: name of the field that holds it, for errors.

    Raises:
        SpecError: it is not such a tree, or too large; names the first wrong field.
    """
    found = _tree(given, field, MOST_DEPTH)
    parts, values = _size(found)
    if parts > MOST_CONDITIONS or values > MOST_VALUES_IN_ALL:
        raise _wrong(field, f"more than {MOST_CONDITIONS} conditions, or more than {MOST_VALUES_IN_ALL} values in them")
    return found


def columns(names: Sequence[str], field: str = "columns") -> tuple[str, ...]:
    """The columns of an answer: all of them if none is named. SpecError for an unknown name."""
    for name in names:
        if name not in RESULT_COLUMNS:
            raise _unknown(field, name, RESULT_COLUMNS)
    return tuple(dict.fromkeys(names)) or tuple(RESULT_COLUMNS)


def order(names: Sequence[str], field: str = "sort") -> tuple[By, ...]:
    """The columns to sort by, descending after a minus. SpecError for an unknown name."""
    found = []
    for given in names:
        name = given.removeprefix("-")
        if name not in RESULT_COLUMNS:
            raise _unknown(field, name, RESULT_COLUMNS)
        found.append(By(name, descending=given != name))
    return tuple(found)


def _tree(given: Any, field: str, depth: int) -> Where:
    if depth == 0:
        raise _wrong(field, f"nested more than {MOST_DEPTH} deep")
    match given:
        case {"and": [*parts], **rest} if not rest:
            return And(tuple(_tree(part, f"{field}.and.{n}", depth - 1) for n, part in enumerate(parts)))
        case {"or": [*parts], **rest} if not rest:
            return Or(tuple(_tree(part, f"{field}.or.{n}", depth - 1) for n, part in enumerate(parts)))
        case {"column": column, "op": op, "value": value, **rest} if not rest:
            return _condition(column, op, value, field)
    raise _wrong(field, f"allowed: {FORMS}")


def _condition(column: Any, op: Any, value: Any, field: str) -> Condition:
    known = CONDITIONED.get(column) if isinstance(column, str) else None
    if known is None:
        raise _unknown(f"{field}.column", column, CONDITIONED)
    if op not in (allowed := _operators(known)):
        raise _unknown(f"{field}.op", op, allowed)
    if op != "in":
        found = _value(value, known.type, f"{field}.value")
        _require_possible(known, op, [found], field)
        return Condition(known.name, op, found)
    if not isinstance(value, list) or len(value) > MOST_VALUES:
        raise _wrong(f"{field}.value", f"allowed: a list of at most {MOST_VALUES} values")
    values = tuple(_value(one, known.type, f"{field}.value.{n}") for n, one in enumerate(value))
    _require_possible(known, op, values, field)
    return Condition(known.name, op, values)


def _require_possible(column: Column, op: str, values: Sequence[Any], field: str) -> None:
    """Refuse to look for a value that the column never has."""
    for value in values if op in ("eq", "in") and column.values else ():
        if value is not None and value not in column.values:
            raise _unknown(f"{field}.value", value, column.values)


def _operators(column: Column) -> tuple[str, ...]:
    if column.place == "tags":
        return ("eq", "in")
    return ("eq", "ne", "in") if column.type is bool else get_args(Operator)


def _value(given: Any, type_: type, field: str) -> Any:
    try:
        return VALUES[type_].validate_python(given)
    except ValidationError as error:
        [detail, *_] = error.errors()
        raise _wrong(field, detail["msg"] + unquoted(detail)) from error


def _size(where: Where) -> tuple[int, int]:
    """The number of conditions and groups, and of values to compare with."""
    if isinstance(where, Condition):
        return 1, len(where.value) if where.op == "in" else 1
    parts, values = zip((1, 0), *map(_size, where.of), strict=True)
    return sum(parts), sum(values)


def _unknown(field: str, given: Any, allowed: Any) -> SpecError:
    return _wrong(field, f"{str(given)[:100]!a} is unknown; allowed: {', '.join(allowed)}")


def _wrong(field: str, message: str) -> SpecError:
    return SpecError([Problem(field, message)])
