"""Times as they are answered."""

from datetime import UTC, datetime
from typing import Any


def with_times(values: dict[str, Any]) -> dict[str, Any]:
    """The times among the values as ISO 8601."""
    names = [name for name in ("created", "started", "ended", "finished", "checkpoint") if values.get(name) is not None]
    return {**values, **{name: datetime.fromtimestamp(values[name], UTC).isoformat() for name in names}}
