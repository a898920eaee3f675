"""What a client can send: values of numpy, pandas and pathlib become plain; what JSON does not have is refused."""

import json
import math
import os
from collections.abc import Iterable, Mapping
from itertools import islice
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from search_spaces.problems import Problem, SpecError

MOST_DEPTH, MOST_VALUES = 50, 1_000_000

ALLOWED = "allowed: text, numbers, booleans, None, dicts with text as keys, lists, tuples, ranges, sets, arrays, Paths"


def plain(value: Any, field: str = "", depth: int = MOST_DEPTH) -> Any:
    """A value as JSON has it.

    Scalars and arrays of numpy, pandas and torch become numbers and lists, ranges, tuples and sets become lists, those
    of a set in their order, and Paths become text.

    Args:
        value: to be sent.
        field: its dotted path, for errors.
        depth: how deeply it may be nested.

    Raises:
        SpecError: JSON has no such value; names its field.
    """
    if depth == 0:
        raise _wrong(field, f"nested more than {MOST_DEPTH} deep")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(str(value), field)
    if isinstance(value, os.PathLike):
        return plain(os.fspath(value), field, depth - 1)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return _number(float(value), field)
    if isinstance(value, Mapping):
        return {_key(key, field): plain(one, _below(field, key), depth - 1) for key, one in value.items()}
    if isinstance(value, set | frozenset):
        return _sorted([plain(one, field, depth - 1) for one in value])
    if hasattr(value, "tolist"):
        return plain(value.tolist(), field, depth - 1)
    if isinstance(value, Iterable) and not isinstance(value, bytes | bytearray | memoryview):
        first = list(islice(value, MOST_VALUES + 1))
        if len(first) > MOST_VALUES:
            raise _wrong(field, f"more than {MOST_VALUES:,} values")
        return [plain(one, _below(field, place), depth - 1) for place, one in enumerate(first)]
    raise _wrong(field, f"{type(value).__name__} is nothing that JSON has; {ALLOWED}")


def several(value: Any, field: str) -> list[Any]:
    """One value or several, as a list of plain ones.

    Raises:
        SpecError: a value is neither text nor a number nor true or false, or there is none; names the field.
    """
    found = plain(value, field)
    values = found if isinstance(found, list) else [found]
    for one in values:
        if isinstance(one, dict | list):
            raise _wrong(field, f"{one!r} is no single value; allowed: one or several texts or numbers")
        if one is None:
            raise _wrong(field, "None is no value to filter by; leave it out, or ask for null in `where`")
    return values


def parameters(given: Mapping[str, Any], optional: Iterable[str] = ()) -> dict[str, list[Any]]:
    """Query parameters, each a list of plain values.

    Args:
        given: by name, one value or several.
        optional: those that may be None or empty, and are left out then. An empty filter would be taken for none.

    Raises:
        SpecError: as `several`, or a filter has no value.
    """
    found = {name: several(value, name) for name, value in given.items() if value is not None or name not in optional}
    if empty := sorted(name for name, values in found.items() if not values and name not in optional):
        raise SpecError([Problem(name, "there is no value in it; allowed: one or several") for name in empty])
    return {name: values for name, values in found.items() if values}


def spec_of(given: Mapping[str, Any] | str | Path) -> dict[str, Any]:
    """A spec to be sent: a mapping, or the JSON object in the file of a path.

    Raises:
        ValueError: the file has no JSON object.
        SpecError: a field has a value that JSON has not.
        OSError: the file cannot be read.
    """
    if isinstance(given, Mapping):
        return dict(plain(given))
    if not isinstance(given, str | os.PathLike):
        raise ValueError(f"a spec is a dict, or the path of a JSON file, not {type(given).__name__}")
    if isinstance(given, str) and given.lstrip().startswith("{"):
        raise ValueError("a spec as text is the path of a JSON file; for JSON itself give json.loads(text)")
    try:
        spec = json.loads(Path(given).read_text(encoding="utf-8-sig"))  # with or without a byte order mark
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{given} is not JSON: {error}") from error
    if not isinstance(spec, dict):
        raise ValueError(f"{given} is no JSON object")
    return dict(plain(spec))


def _key(key: Any, field: str) -> str:
    if isinstance(key, str):
        return _text(str(key), field)
    raise _wrong(field, f"{key!r} is no name of a field; allowed: text")


def _text(text: str, field: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _wrong(field, f"{text[:100]!a} is no Unicode text: it has a lone surrogate") from None
    return text


def _number(number: float, field: str) -> float:
    if math.isfinite(number):
        return number
    raise _wrong(field, f"{number} is nothing that JSON has; allowed: a finite number")


def _sorted(values: list[Any]) -> list[Any]:
    try:
        return sorted(values)
    except TypeError:  # of several types
        return sorted(values, key=str)


def _below(field: str, name: object) -> str:
    return f"{field}.{name}" if field else str(name)


def _wrong(field: str, message: str) -> SpecError:
    return SpecError([Problem(field or "spec", message)])
