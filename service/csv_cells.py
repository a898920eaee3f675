"""CSV that spreadsheets take for text where it is text: a cell that would be a formula begins with an apostrophe.

A formula in a name or an id of somebody else's would be run by the spreadsheet of whoever opens the file (OWASP, CSV
Injection, owasp.org/www-community/attacks/CSV_Injection). Numbers stay as they are, also where they are negative, and
so does text that is a number.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from numbers import Number
from typing import Any

import pandas as pd

SIGNS = "=+-@\N{MINUS SIGN}"

# What some spreadsheets drop before they look for a sign: controls, what has no width, and space of every kind.
DROPPED = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"}

# What OWASP and ASVS 1.2.10 call dangerous at the beginning of a cell, whatever follows.
DANGEROUS = tuple("\t\r\n\0")

# Where a cell ends in countries whose comma is a decimal one, in tables of tabs, and for readers that know no quotes.
ENDS = re.compile(r"([;\t\r\n])")

NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")

QUOTED = re.compile(r'[",;\t\r\n\v\f\0]')

# A line of one cell that is empty; readers pass over one without anything.
EMPTY = '""'


def as_cell(value: Any) -> Any:
    """A value as a cell; only text changes."""
    if not isinstance(value, str):
        return value
    first = f"'{value}" if value.startswith(DANGEROUS) or _is_formula(value) else value
    begin, *rest = ENDS.split(first)
    return "".join([begin, *(f"'{part}" if _is_formula(part) else part for part in rest)])


def as_csv(frame: pd.DataFrame) -> str:
    """A frame as CSV, without its index."""
    return rows_as_csv([str(name) for name in frame.columns], frame.itertuples(index=False, name=None))


def rows_as_csv(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A header and rows as CSV (RFC 4180, but lines end as on Unix)."""
    lines = (",".join(map(_written, row)) for row in (names, *rows))
    return "".join(f"{line or EMPTY}\n" for line in lines)


def _is_formula(text: str) -> bool:
    """Whether a spreadsheet may take a text for a formula, also in its full-width or otherwise decorated form."""
    if NUMBER.fullmatch(text.strip(" ")):
        return False
    first = next((one for one in text if one != '"' and unicodedata.category(one) not in DROPPED), "")
    return unicodedata.normalize("NFKC", first)[:1] in tuple(SIGNS)


def _written(value: Any) -> str:
    if isinstance(value, str):
        return _text(value)
    if value is None or value is pd.NA or value is pd.NaT or value != value:
        return ""
    return str(value) if isinstance(value, Number) else _text(str(value))


@lru_cache(10_000)  # most columns have few values, many times
def _text(text: str) -> str:
    cell = str(as_cell(text))
    return '"' + cell.replace('"', '""') + '"' if QUOTED.search(cell) else cell
