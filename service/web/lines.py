"""Small drawings of a series: a line whose points the server places, with its first and last value in words."""

from collections.abc import Sequence
from typing import Any

WIDTH, HEIGHT, MARGIN = 280, 72, 4


def line(words: str, series: Sequence[tuple[float, float | None]], form: str) -> dict[str, Any] | None:
    """A series as points of a drawing WIDTH by HEIGHT; None where it has fewer than two.

    Args:
        words: what it shows.
        series: pairs of x and y; those without y are left away.
        form: how a value is written.
    """
    known = [(x, y) for x, y in series if y is not None]
    if len(known) < 2:
        return None
    xs, ys = [x for x, _ in known], [y for _, y in known]
    wide, high = (max(xs) - min(xs)) or 1.0, (max(ys) - min(ys)) or 1.0
    points = [
        (
            round(MARGIN + (WIDTH - 2 * MARGIN) * (x - min(xs)) / wide, 1),
            round(HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * (y - min(ys)) / high, 1),
        )
        for x, y in known
    ]
    return {
        "words": words,
        "points": " ".join(f"{x},{y}" for x, y in points),
        "last": points[-1],
        "from": form.format(ys[0]),
        "to": form.format(ys[-1]),
        "least": form.format(min(ys)),
        "most": form.format(max(ys)),
        "width": WIDTH,
        "height": HEIGHT,
    }
