"""Two clocks: the wall's, for people, which may be set anew at any time, and the machine's, for what must not jump."""

import time
from typing import Any

from sqlalchemy import ColumnElement, case


def moment() -> float:
    """Seconds since the machine was started: one clock for all of its processes. It starts anew with the machine."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def elapsed(begin: ColumnElement[Any], end: ColumnElement[Any] | float) -> ColumnElement[float]:
    """Seconds between two times of the wall's clock, which was set back in between if they are negative: then 0."""
    return case((end > begin, end - begin), else_=0.0)
