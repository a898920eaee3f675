"""Values in words: times, sizes, differences, and what leads to trials."""

import re
from collections.abc import Collection
from datetime import UTC, datetime

from markupsafe import Markup

from search_spaces.messages import LONGER
from trainers.digests import DIGEST_LENGTH


def duration(seconds: float | None) -> str:
    """A time in its two largest units, such as "3 h 20 min"; a dash for None."""
    if seconds is None:
        return "–"
    whole = round(seconds)
    for unit, small, name, smaller in ((86_400, 3600, "d", "h"), (3600, 60, "h", "min"), (60, 1, "min", "s")):
        if whole >= unit:
            rest = whole % unit // small
            return f"{whole // unit} {name} {rest} {smaller}" if rest else f"{whole // unit} {name}"
    return f"{whole} s" if whole or not seconds else "less than 1 s"


def left(eta: str | None) -> str | None:
    """The time until an experiment is expected to be done, in words; None if that is not known."""
    if eta is None:
        return None
    seconds = (datetime.fromisoformat(eta) - datetime.now(UTC)).total_seconds()
    return duration(max(1.0, seconds)) if seconds > 0 else LONGER


def hours(value: float | None) -> str:
    """Hours to two or three digits, such as "0.042" or "1,234"; a dash for None."""
    if value is None:
        return "–"
    if 0 < value < 0.001:
        return "< 0.001"
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}" if value < 10 else f"{value:.1f}"


def size(count: float | None) -> str:
    """Bytes in the largest unit that gives at least one; a dash for None."""
    if count is None:
        return "–"
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count:.0f} B"


def minute(time: str | None) -> str:
    """A time of the REST interface to the minute; a dash for None. live.js turns UTC into the reader's own time."""
    return datetime.fromisoformat(time).strftime("%Y-%m-%d %H:%M UTC") if time else "–"


def signed(value: float) -> str:
    """A difference with its sign; what is rounded to zero has no minus."""
    return f"{round(value, 1) + 0.0:+.1f}".replace("-", "−")


def linked(text: str, trials: Collection[str]) -> Markup:
    """A text in which the ids of some trials lead to their pages."""
    parts = re.split(rf"\b([0-9a-f]{{{DIGEST_LENGTH}}})\b", text)
    return Markup("").join(
        Markup('<a href="/trials/{0}">{0}</a>').format(part) if part in trials else part for part in parts
    )
