"""JSON objects with each name once: `json` takes the last value of a name that stands twice, and says nothing."""

from collections import Counter
from typing import Any


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of its pairs, as `object_pairs_hook` of `json.loads`. ValueError names a key that stands twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        times = Counter(name for name, _ in pairs)
        raise ValueError(f"the key {next(name for name in times if times[name] > 1)[:200]!r} stands twice in an object")
    return found
