"""What a client can send: values of numpy, pandas and pathlib become plain; what JSON does not have is refused."""

import dataclasses
import io
import json
import math
import os
from array import array
from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import Enum
from itertools import islice
from numbers import Integral, Rational, Real
from pathlib import Path
from typing import Any

import numpy as np

from search_spaces.problems import Problem, SpecError
from trainers.json_objects import unique

MOST_DEPTH, MOST_VALUES = 50, 1_000_000

# Of a spec, as the service takes it.
MOST_BYTES = 2**20

# No float is as large as an integer of more bits.
MOST_BITS = 1024

ALLOWED = "allowed: text, numbers, booleans, None, dicts with text as keys, lists, tuples, ranges, sets, arrays, Paths"

# Of numpy's types (`numpy.dtype.kind`) JSON has: booleans, integers, numbers, text, and objects of which it has each.
KINDS = "biufUTO"


def plain(value: Any, field: str = "") -> Any:
    """A value as JSON has it.

    Scalars and arrays of numpy, pandas and torch become numbers and lists; ranges, tuples, sets and whatever else can
    be gone through become lists, those of a set in their order; Paths become text; members of an Enum their values;
    decimals and fractions numbers; dataclasses and pydantic's models dicts. A number of less than 64 bits becomes the
    shortest decimal that is the same number there: `numpy.float32(3e-4)` is 0.0003.

    Args:
        value: to be sent.
        field: its dotted path, for errors.

    Raises:
        SpecError: JSON has no such value, or it is nested in itself, or too large; names its field and its type.
    """
    return _Plain().of(value, field, MOST_DEPTH)


class _Plain:
    """Makes one value plain, of at most `MOST_VALUES` values in all: what is named twice is sent twice."""

    def __init__(self) -> None:
        self._left = MOST_VALUES

    def of(self, value: Any, field: str, depth: int) -> Any:
        if depth == 0:
            raise _wrong(field, f"nested more than {MOST_DEPTH} deep")
        self._count(1, field)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, Enum):
            return self.of(value.value, field, depth - 1)
        if isinstance(value, str):
            return _text(value, field)
        if isinstance(value, os.PathLike):
            return self.of(os.fspath(value), field, depth - 1)
        if isinstance(value, Mapping):
            return self._dict(value, field, depth)
        if _is_nothing_of_json(value):
            raise _wrong(field, f"{type(value).__name__} is nothing that JSON has; {ALLOWED}")
        if hasattr(value, "__array__"):
            return self._array(value, field, depth)
        if isinstance(value, Real | Decimal):
            return _number(value, field)
        if isinstance(value, set | frozenset):
            return _sorted([self.of(one, field, depth - 1) for one in value])
        if dataclasses.is_dataclass(value):
            return self._dict({one.name: getattr(value, one.name) for one in dataclasses.fields(value)}, field, depth)
        if hasattr(value, "model_dump"):  # pydantic's
            return self.of(value.model_dump(), field, depth - 1)
        if isinstance(value, array):
            return self._array(np.asarray(value), field, depth)
        if isinstance(value, Iterable):
            return self._list(value, field, depth)
        raise _wrong(field, f"{type(value).__name__} is nothing that JSON has; {ALLOWED}")

    def _dict(self, value: Mapping[Any, Any], field: str, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, one in value.items():
            name = _key(key, field)
            if name in found:
                raise _wrong(field, f"{name!r} is the name of two fields")
            found[name] = self.of(one, _below(field, name), depth - 1)
        return found

    def _list(self, value: Iterable[Any], field: str, depth: int) -> list[Any]:
        first = list(islice(value, self._left + 1))
        if len(first) > self._left:
            self._count(len(first), field)
        return [self.of(one, _below(field, place), depth - 1) for place, one in enumerate(first)]

    def _array(self, value: Any, field: str, depth: int) -> Any:
        """Of numpy, or of what becomes such an array: a scalar, pandas' columns, torch's tensors."""
        if np.ma.is_masked(value):
            raise _wrong(field, f"{type(value).__name__} has masked values; allowed: arrays without")
        try:
            if hasattr(value, "detach"):
                value = value.detach().cpu()
                value = value.float() if "bfloat16" in str(value.dtype) else value  # which numpy does not have
            found = np.asarray(value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise _wrong(field, f"{type(value).__name__} is no array: {error}") from error
        if found.dtype.kind not in KINDS:
            raise _wrong(field, f"{type(value).__name__} of type {found.dtype} is nothing that JSON has; {ALLOWED}")
        if found.size > self._left:
            self._count(found.size, field)
        if found.dtype.kind == "f" and found.dtype != np.float64:
            found = np.array([_shortest(number) for number in found.flat], dtype=float).reshape(found.shape)
        values = found.tolist()
        return self._list(values, field, depth) if found.ndim else self.of(values, field, depth - 1)

    def _count(self, number: int, field: str) -> None:
        self._left -= number
        if self._left < 0:
            raise _wrong(field, f"more than {MOST_VALUES:,} values")


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


def single_parameters(given: Mapping[str, Any]) -> dict[str, list[Any]]:
    """As `parameters`, of routes that take one value for each name: of several they would take the last.

    Raises:
        SpecError: as `parameters`, or a name has several values.
    """
    found = parameters(given)
    counts = {name: len(values) for name, values in found.items() if len(values) > 1}
    if counts:
        raise SpecError([Problem(name, f"there are {count} values; allowed: one") for name, count in counts.items()])
    return found


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
        content = _read(Path(given))
        spec = json.loads(content, object_pairs_hook=unique)  # of bytes: with or without a byte order mark
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{given} is not JSON: {error}") from error
    if not isinstance(spec, dict):
        raise ValueError(f"{given} is no JSON object")
    return dict(plain(spec))


def _read(path: Path) -> bytes:
    with path.open("rb") as file:  # which may be a pipe, or have no end
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"it is larger than {MOST_BYTES // 2**20} MiB, and no service takes it")
    return content


def _is_nothing_of_json(value: object) -> bool:
    """Whether a value could be gone through, but not as a list of what it is: bytes, files, tables, classes."""
    is_table = hasattr(type(value), "columns")  # those of pandas, polars and Arrow are lists of columns, or of names
    is_class = isinstance(value, type) and not issubclass(value, Enum)
    return is_table or is_class or isinstance(value, bytes | bytearray | memoryview | io.IOBase)


def _key(key: Any, field: str) -> str:
    key = key.value if isinstance(key, Enum) else key
    if isinstance(key, str):
        return _text(key, field)
    raise _wrong(field, f"{key!r} is no name of a field but {type(key).__name__}; allowed: text")


def _text(text: str, field: str) -> str:
    text = str.__str__(text)  # what it is, whatever its class says
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _wrong(field, f"{text[:100]!a} is no Unicode text: it has a lone surrogate") from None
    return text


def _number(value: Real | Decimal, field: str) -> int | float:
    """An integer where that is what is meant, as by Decimal("5") and Fraction(10, 2), but not by 5.0."""
    if isinstance(value, Integral):
        if (number := int(value)).bit_length() <= MOST_BITS:
            return number
        raise _wrong(field, f"an integer of {number.bit_length():,} bits; allowed: at most {MOST_BITS:,}")
    try:
        close = float(value)
    except (OverflowError, ValueError):  # a fraction beyond all floats, a signaling NaN
        close = math.nan
    if not math.isfinite(close):
        raise _wrong(field, f"{value} is nothing that JSON has; allowed: a finite number")
    if isinstance(value, Rational) and value.denominator == 1:
        return int(value.numerator)
    if isinstance(value, Decimal) and int(value.as_tuple().exponent) >= 0:  # without a point
        return int(value)
    return close


def _shortest(number: np.floating[Any]) -> float:
    """The shortest decimal that is the same number in its own precision; the nearest float for more than 64 bits."""
    return float(np.format_float_scientific(number))


def _sorted(values: list[Any]) -> list[Any]:
    try:
        return sorted(values)
    except TypeError:  # of several types
        return sorted(values, key=str)


def _below(field: str, name: object) -> str:
    return f"{field}.{name}" if field else str(name)


def _wrong(field: str, message: str) -> SpecError:
    return SpecError([Problem(field or "spec", message)])
