"""The series of a chart are told apart, also where one method has several."""

import re

import pandas as pd

from service.reports import figures
from service.reports.drawing import Drawing
from service.reports.series import COLORS, by_method

SURGERY = "gradient-mix-train"


def means(methods: list[str], candidates: list[str]) -> pd.DataFrame:
    """Dev scores of two epochs, of each candidate of each method."""
    return pd.DataFrame(
        {"task": "ner", "k": 5, "of": "source", "method": method, "candidate": candidate, "epoch": epoch,
         "mean": 50.0 + epoch, "sd": 1.0, "n": 5}
        for method in methods for candidate in candidates for epoch in (1, 2)
    )  # fmt: skip


def test_several_series_of_a_method_are_shades_of_its_color_in_the_order_of_their_numbers() -> None:
    rates = [5e-6, 1e-5, 3e-5, 1e-4, *(place / 20 for place in range(1, 21))]
    candidates = [f"alpha {rate:g}" for rate in rates]
    chart = figures.dev_curves(means([SURGERY, "ord-FS"], candidates[::-1])).to_dict()
    [rows] = chart["datasets"].values()
    looks = chart["spec"]["layer"][-2]["encoding"]
    names, colors = (looks["color"]["scale"][side] for side in ("domain", "range"))
    assert set(names) == {row["series"] for row in rows}
    ours = [name for name in names if name.startswith(SURGERY)]
    assert [name.partition(", ")[2].partition(" (")[0] for name in ours] == candidates
    assert len(set(zip(colors, looks["shape"]["scale"]["range"], strict=True))) == len(names) == 48
    assert len(set(colors)) == len(names)
    lights = [luminance(color) for color in colors]
    assert lights == sorted(lights[:24]) + sorted(lights[24:])
    for light in lights:  # seen on the pages' paper, light and dark
        assert min(contrast(light, luminance("#ffffff")), contrast(light, luminance("#16181c"))) > 1.9
    _, alone = by_method(means([SURGERY, "ord-FS"], ["alpha 0.5"]))
    assert set(alone.colors) <= set(COLORS)
    two = means([SURGERY], ["", "alpha 1"])
    _, series = by_method(two, two["candidate"])
    assert len(set(series.colors)) == len(set(series.shapes)) == 2


def test_the_lines_of_every_alpha_are_seen_on_light_and_dark_pages() -> None:
    found = (
        means([SURGERY], [""])
        .drop(columns=["candidate", "of"])
        .merge(pd.DataFrame({"alpha": [0.1, 0.2, 0.5, 1]}), "cross")
    )
    svg = Drawing(figures.conflicts(found), "Conflicts").svg()
    drawn = re.findall(r'<path aria-label="[^"]*" role="graphics-symbol"[^>]*fill="(#\w{6}|rgb[^"]+)"', svg)
    assert len(set(drawn)) == 4
    for color in drawn:
        light = luminance(
            color if color[0] == "#" else "#" + "".join(f"{int(part):02x}" for part in re.findall(r"\d+", color))
        )
        assert min(contrast(light, luminance("#ffffff")), contrast(light, luminance("#16181c"))) > 1.7


def luminance(color: str) -> float:
    """The relative luminance of #RRGGBB (WCAG 2.2)."""
    parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: float, other: float) -> float:
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)
