"""What commands print: tables and fields, as a terminal or a pipe takes them, and JSON for scripts."""

import io
import json
import sys
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

# In which color a terminal shows a state, which stands there as a word in any case.
STYLES = {"running": "cyan", "succeeded": "green", "failed": "red", "cancelled": "yellow", "paused": "yellow"}

# What some scripts need within words, though it counts as not printable.
JOINERS = "\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}"

# Characters of a line in a pipe, where nothing is wrapped.
UNBOUNDED = 100_000


def is_terminal(stream: TextIO) -> bool:
    """Whether somebody looks at what is written."""
    try:
        return stream.isatty()
    except ValueError:  # it is closed
        return False


def clean(text: object) -> str:
    """Somebody's text on one line, without what a terminal would obey."""
    return "".join(one if one.isprintable() or one in JOINERS else _replaced(one) for one in str(text))


def print_rows(head: Sequence[str], rows: Iterable[Sequence[object]], right: Collection[str] = ()) -> None:
    """Print a table: with a rule and colors in a terminal, else as aligned text.

    Args:
        head: the names of its columns. A terminal that is too narrow wraps the last one, and is spared empty ones.
        rows: a cell for each of them; states are colored.
        right: the columns of numbers.
    """
    is_seen = is_terminal(sys.stdout)
    cells = [[clean(cell) for cell in row] for row in rows]
    table = Table(box=SIMPLE_HEAD if is_seen else None, show_edge=False, pad_edge=False, header_style="bold")
    places = [place for place, _ in enumerate(head) if not (is_seen and cells) or any(row[place] for row in cells)]
    for place in places:
        justify: Literal["left", "right"] = "right" if head[place] in right else "left"
        table.add_column(head[place], justify=justify, no_wrap=place + 1 < len(head) or not is_seen)
    for row in cells:
        table.add_row(*(Text(row[place], style=STYLES.get(row[place], "")) for place in places))
    _print(table)


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    """Print names and values below each other; those that are empty are left out."""
    table = Table(box=None, show_header=False, show_edge=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(no_wrap=not is_terminal(sys.stdout))
    for name, value in fields:
        if words := clean(value):
            table.add_row(name, Text(words, style=STYLES.get(words.partition(":")[0], "")))
    _print(table)


def print_json(value: Any, indent: int | None = 2) -> None:
    """Print an answer of the service as it is. Without an indent it is a line."""
    print(json.dumps(value, indent=indent), flush=indent is None)


def tell(words: str) -> None:
    """Say something on standard error, where it does not matter whether anybody reads it."""
    with suppress(OSError):
        print("allasprak: " + "\n".join(map(clean, words.split("\n"))), file=sys.stderr, flush=True)


def percent(value: float | None) -> str:
    """A score with a decimal; a dash where there is none."""
    return "–" if value is None else f"{value:.1f}"


def count(number: float, noun: str) -> str:
    """A number of things, such as "1 trial" and "2 trials"."""
    return f"{number:g} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """A time span in the two units that matter most, such as "2 h 10 min"."""
    whole = max(round(seconds), 0)
    parts = [(whole // 86400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "min"), (whole % 60, "s")]
    first = next((place for place, (number, _) in enumerate(parts) if number), len(parts) - 1)
    return " ".join(f"{number} {unit}" for number, unit in parts[first : first + 2] if number) or "0 s"


def moment(text: str | None) -> str:
    """A time of the service in UTC, to the minute; empty if there is none."""
    return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%d %H:%M") if text else ""


def _replaced(control: str) -> str:
    return " " if control.isspace() else "\N{REPLACEMENT CHARACTER}"


def _print(what: RenderableType) -> None:
    is_seen = is_terminal(sys.stdout)
    text = io.StringIO()
    console = Console(
        file=text, force_terminal=is_seen, force_jupyter=False, width=None if is_seen else UNBOUNDED,
        highlight=False, markup=False, emoji=False,
    )  # fmt: skip
    console.print(what)
    for line in text.getvalue().splitlines():  # by `print`: rich would end the process where nobody reads on
        print(line.rstrip())
