"""Times as they are answered."""

from datetime import UTC, datetime
from typing import Any


def with_times(values: dict[str, Any]) -> dict[str, Any]:
    """The times among the values as ISO 8601."""
    times = {name: values[name] for name in ("created", "started", "ended", "finished", "checkpoint") if name in values}
    return {**values, **{name: at and datetime.fromtimestamp(at, UTC).isoformat() for name, at in times.items()}}
