"""A comparison as a forest plot: gains with intervals, what they say in words, and where they lie on one axis."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from service.api.comparisons import GROUPS
from service.web.words import signed
from trainers.languages import LANGUAGES

# What is more than noise has a corrected p below this.
LEVEL = 0.05

# The least p that is written out.
SHOWN_P = 0.001

# Ticks of an axis at most.
TICKS = 6

VERDICTS = {"gain": "gains", "loss": "loses", "noise": "may be noise", "unknown": "cannot be told"}


def forest(found: Mapping[str, Any], looks: Mapping[tuple[str, int], str]) -> dict[str, Any]:
    """The tables of a comparison.

    Args:
        found: the answer of `service.api.comparisons`.
        looks: addresses of examples, by language and seed.

    Returns:
        `tables`, one, or with test examples as the unit one a seed: `title`, `rows` of languages, `overall`, and
        `counts` of rows by what they say; `groups`, the rows of scripts and families; `axis`, that of all rows.
    """
    groups = {name: found.get(name, []) for name in GROUPS.values()}
    overall = found["overall"] if isinstance(found["overall"], list) else [found["overall"]]
    axis = Axis([*overall, *found["languages"], *(row for rows in groups.values() for row in rows)])
    first = min((seed for _, seed in looks), default=None)
    tables = []
    for of_all in overall:
        seed = of_all.get("seed")
        languages = [one for one in found["languages"] if one.get("seed") == seed]
        rows = [
            {**_row(one, axis), **_named(one["language"]), "look": looks.get((one["language"], one.get("seed", first)))}
            for one in languages
        ]
        counts = {kind: sum(row["kind"] == kind for row in rows) for kind in VERDICTS}
        mean = _row({**of_all, "p_holm": of_all["p"]}, axis)
        title = None if seed is None else f"Seed {seed}"
        tables.append({"title": title, "rows": rows, "overall": mean, "counts": counts})
    in_groups = {
        name: [{**_row(one, axis), "name": one["group"], "languages": one["languages"]} for one in rows]
        for name, rows in groups.items()
        if rows
    }
    return {"tables": tables, "groups": in_groups, "axis": axis}


class Axis:
    """Gains as places in percent of an axis's width; zero lies on it."""

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        values = [0.0, *(row[name] for row in rows for name in ("gain", "low", "high") if row[name] is not None)]
        least, greatest = min(values), max(values)
        margin = 0.06 * (greatest - least) or 1.0
        self.least, self.greatest = least - margin, greatest + margin
        self.zero = self.place(0.0)

    def place(self, value: float) -> str:
        """Where a value lies."""
        return f"{100 * (value - self.least) / (self.greatest - self.least):.2f}%"

    @property
    def ticks(self) -> list[tuple[str, str]]:
        """Round values with their places."""
        rough = (self.greatest - self.least) / TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
        digits = max(0, -math.floor(math.log10(step)))
        numbers = range(math.ceil(self.least / step), math.floor(self.greatest / step) + 1)
        return [(self.place(number * step), f"{number * step:+.{digits}f}".replace("-", "−") if number else "0")
                for number in numbers]  # fmt: skip


def _row(one: Mapping[str, Any], axis: Axis) -> dict[str, Any]:
    """A gain in words and places."""
    has_interval = one["low"] is not None
    kind = _kind(one)
    return {
        "gain": signed(one["gain"]),
        "at": axis.place(one["gain"]),
        "low": axis.place(one["low"]) if has_interval else None,
        "high": axis.place(one["high"]) if has_interval else None,
        "interval": f"{signed(one['low'])} to {signed(one['high'])}" if has_interval else "–",
        "p": _p(one["p"]),
        "p_words": f"p {_p(one['p'])}" if one["p"] is not None and one["p"] < SHOWN_P else f"p = {_p(one['p'])}",
        "p_holm": _p(one["p_holm"]),
        "kind": kind,
        "verdict": VERDICTS[kind],
        **{name: int(one[name]) for name in ("wins", "ties", "losses", "seeds", "examples") if name in one},
        "smallest_p": None if one.get("smallest_p", 0) < LEVEL else f"{one['smallest_p']:.3g}",
    }


def _kind(one: Mapping[str, Any]) -> str:
    """Whether a gain is more than noise."""
    if one["p_holm"] is None:
        return "unknown"
    if one["p_holm"] >= LEVEL:
        return "noise"
    return "gain" if one["gain"] > 0 else "loss"


def _p(value: float | None) -> str:
    if value is None:
        return "–"
    return f"< {SHOWN_P}" if value < SHOWN_P else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def _named(code: str) -> dict[str, str]:
    """A language by its code and its English name."""
    return {"code": code, "name": LANGUAGES[code].name if code in LANGUAGES else code}
