"""How messages say what they say: lists that end, text without its middle, and values that need no quotes."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

# Of a list in a message: enough to see what is meant.
MOST_LISTED = 50


# The time left of an experiment that was expected to be done by now.
LONGER = "longer than planned"


def listed(names: Sequence[object], most: int = MOST_LISTED) -> str:
    """Names with commas between; of more than `most` the first ones, and how many more there are."""
    shown = ", ".join(map(str, names[:most]))
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"


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
