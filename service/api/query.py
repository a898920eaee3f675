"""Questions about results as they are asked: JSON, checked before any of it comes near the database."""

from collections.abc import Sequence
from typing import Annotated, Any, get_args

from pydantic import Field, TypeAdapter, ValidationError

from search_spaces.problems import Problem, SpecError
from search_spaces.spec import Text
from service.store import RESULT_COLUMNS
from service.store.query import And, By, Condition, Operator, Or, Where

# What conditions may be on: the columns of a row, and of its experiment.
ASKED: dict[str, type] = {**RESULT_COLUMNS, "owner": str, "tags": str}

MOST_CONDITIONS, MOST_DEPTH, MOST_VALUES, MOST_VALUES_IN_ALL = 200, 10, 1000, 10_000

FORMS = '{"and": [...]}, {"or": [...]} or {"column": ..., "op": ..., "value": ...}'

VALUES: dict[type, TypeAdapter[Any]] = {
    str: TypeAdapter(Text | None, config={"strict": True}),
    int: TypeAdapter(Annotated[int, Field(ge=-(2**31), lt=2**31)] | None, config={"strict": True}),
    float: TypeAdapter(Annotated[float, Field(allow_inf_nan=False)] | None, config={"strict": True}),
    bool: TypeAdapter(bool | None, config={"strict": True}),
}


def conditions(given: Any, field: str = "where") -> Where:
    """A tree of conditions.

    Args:
        given: FORMS.
        field: its name, for errors.

    Raises:
        SpecError: it is none, or too large; the first wrong field is named.
    """
    found = _tree(given, field, MOST_DEPTH)
    parts, values = _size(found)
    if parts > MOST_CONDITIONS or values > MOST_VALUES_IN_ALL:
        raise _wrong(field, f"more than {MOST_CONDITIONS} conditions, or {MOST_VALUES_IN_ALL} values in them")
    return found


def columns(names: Sequence[str], field: str = "columns") -> tuple[str, ...]:
    """The columns to tell of, all if none are named. SpecError if there is no such."""
    for name in names:
        if name not in RESULT_COLUMNS:
            raise _unknown(field, name, RESULT_COLUMNS)
    return tuple(dict.fromkeys(names)) or tuple(RESULT_COLUMNS)


def order(names: Sequence[str], field: str = "sort") -> tuple[By, ...]:
    """Columns to sort by, each descending where its name has a minus before it. SpecError if there is no such."""
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
    if column not in list(ASKED):
        raise _unknown(f"{field}.column", column, ASKED)
    if op not in get_args(Operator):
        raise _unknown(f"{field}.op", op, get_args(Operator))
    for columns_of, operators in (({"tags"}, ("eq", "in")), ({"cut", "selected"}, ("eq", "ne", "in"))):
        if column in columns_of and op not in operators:
            raise _unknown(f"{field}.op", op, operators)
    if op != "in":
        return Condition(column, op, _value(value, ASKED[column], f"{field}.value"))
    if not isinstance(value, list) or len(value) > MOST_VALUES:
        raise _wrong(f"{field}.value", f"allowed: a list of at most {MOST_VALUES} values")
    return Condition(column, op, tuple(_value(one, ASKED[column], f"{field}.value.{n}") for n, one in enumerate(value)))


def _value(given: Any, type_: type, field: str) -> Any:
    try:
        return VALUES[type_].validate_python(given)
    except ValidationError as error:
        raise _wrong(field, error.errors()[0]["msg"]) from error


def _size(where: Where) -> tuple[int, int]:
    """How many conditions and groups of them there are, and values to compare with."""
    if isinstance(where, Condition):
        return 1, len(where.value) if where.op == "in" else 1
    parts, values = zip((1, 0), *map(_size, where.of), strict=True)
    return sum(parts), sum(values)


def _unknown(field: str, given: Any, allowed: Any) -> SpecError:
    return _wrong(field, f"{str(given)[:100]!a} is none; allowed: {', '.join(allowed)}")


def _wrong(field: str, message: str) -> SpecError:
    return SpecError([Problem(field, message)])
