"""What is wrong with a spec or a request: one problem per field, all reported together."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Problem:
    """One wrong field: its dotted path, and a message that says what is wrong and what is allowed."""

    field: str
    message: str


# Of a list in a message: enough to see what is meant.
MOST_LISTED = 50


def listed(names: Sequence[object], most: int = MOST_LISTED) -> str:
    """Names with commas between; of more than `most` the first ones, and how many more there are."""
    shown = ", ".join(map(str, names[:most]))
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"


# Of an answer: what is wrong is said in a few kilobytes, however much of it there is.
MOST_PROBLEMS, MOST_CHARACTERS = 100, 2000


class SpecError(ValueError):
    """A spec or a request is refused.

    Attributes:
        problems: what is wrong: the first `MOST_PROBLEMS`, with the middle of long messages left out.
        count: the number of all problems.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.count = len(problems)
        self.problems = [
            Problem(shortened(one.field, 200), shortened(one.message, MOST_CHARACTERS))
            for one in problems[:MOST_PROBLEMS]
        ]
        super().__init__("; ".join(f"{problem.field}: {problem.message}" for problem in self.problems))


def unquoted(detail: Mapping[str, Any]) -> str:
    """What to add to pydantic's words about a number or a truth value that is given as text; empty for others."""
    given = detail["input"]
    if not isinstance(given, str) or detail["type"] not in ("float_type", "int_type", "bool_type"):
        return ""
    try:
        json.loads(given)
    except (ValueError, RecursionError):
        return ""
    return ", without quotes"


def shortened(text: str, most: int) -> str:
    """A text without its middle if it is longer than `most` characters."""
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-most // 2 :]}"
