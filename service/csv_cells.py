"""CSV that spreadsheets take for text where it is text: a cell that would be a formula begins with an apostrophe.

A formula in a name or an id of somebody else's would be run by the spreadsheet of whoever opens the file (OWASP, CSV
Injection). Numbers stay as they are, also where they are negative, and so does text that is a number.
"""

import re
from typing import Any

import pandas as pd

FORMULA = re.compile(r"[=+\-@\t\r\n]")

NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")


def as_cell(value: Any) -> Any:
    """A value as a cell; only text changes."""
    if isinstance(value, str) and FORMULA.match(value) and not NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def as_csv(frame: pd.DataFrame) -> str:
    """A frame as CSV, without its index."""
    cells = frame.rename(columns=as_cell)
    texts = [place for place, type_ in enumerate(cells.dtypes) if not pd.api.types.is_numeric_dtype(type_)]
    cells.isetitem(texts, cells.iloc[:, texts].map(as_cell))
    written = str(cells.to_csv(index=False))
    # csv quotes a carriage return only where lines end with one: unquoted, it would begin a row
    return str(cells.to_csv(index=False, lineterminator="\r\n")) if "\r" in written else written
