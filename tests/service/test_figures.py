"""Figures: they show what their frames say, few languages or 48, legibly, in every form. Long: there are eight."""

import itertools
import random
import re
import struct
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import altair
import pandas as pd
import pytest
from starlette.testclient import TestClient

from plans import config_of, result_of, score_of, spec_of, trial_of
from search_spaces.environment import Environment
from search_spaces.plan import Plan
from service.reports import figures
from service.reports.drawing import Drawing
from service.reports.report import Report
from service.reports.series import by_method
from service.store import Store
from trainers import Outcome
from trainers.languages import LANGUAGES
from trainers.methods import METHODS

Rows = list[dict[str, Any]]

SURGERY, RIVAL = "gradient-mix-train", "pcgrad-mix-train"
ALL = [code for code in LANGUAGES if code not in ("en", "wo")]  # 47 targets
FEW = ["de", "hi", "sw"]

# Inches, and units of Vega in one.
COLUMN, PAGE, INCH = 3.3, 6.8, 96


def means(large: bool, methods: list[str], **over: list[Any]) -> pd.DataFrame:
    """Made means of methods at K = 5, or of two tasks at three K, over whatever else; the first of each lacks seeds."""
    draw = random.Random(1)
    tasks, shots = (["ner", "tydiqa"], [1, 5, 10]) if large else (["ner"], [5])
    first = tuple(of[0] for of in over.values())
    return pd.DataFrame(
        {"task": task, "k": k, "method": method, **dict(zip(over, values, strict=True)),
         "mean": draw.uniform(40, 60), "sd": draw.uniform(0, 2), "n": 3 if values == first else 5}
        for task in tasks for k in shots for method in methods for values in itertools.product(*over.values())
    )  # fmt: skip


def alpha(large: bool) -> tuple[Any, pd.DataFrame]:
    found = means(large, [SURGERY, RIVAL] if large else [SURGERY], alpha=[0.1, 0.5, 1.0])
    return figures.alpha_curve(found), found


def conflicts(large: bool) -> tuple[Any, pd.DataFrame]:
    found = means(large, [SURGERY, RIVAL], alpha=[0.1, 0.2, 0.5, 1.0] if large else [1.0], epoch=[*range(1, 11)])
    return figures.conflicts(found), found


def over_epochs(large: bool) -> tuple[Any, pd.DataFrame]:
    methods = list(METHODS)[1:] if large else ["ord-FS", "ord-FS+dev"]
    found = means(large, methods, epoch=[*range(1, 11)])
    chosen = found.groupby(["task", "k", "method"])["epoch"].mean()
    return figures.over_epochs(found, chosen), found


def groupings(large: bool) -> tuple[Any, pd.DataFrame]:
    found = means(
        large, ["ord-FS", "ord-FS+dev", "mix-FT", SURGERY] if large else ["ord-FS", SURGERY], targets=[1.0, 6.5, 47.0]
    )
    return figures.groupings(found), found


def overfitting(large: bool) -> tuple[Any, pd.DataFrame]:
    found = means(large, ["ord-FS+dev"], language=ALL if large else FEW, epoch=[*range(1, 11)])
    best = found.loc[found.groupby(["task", "k", "language"])["mean"].idxmax()]
    return figures.overfitting(found, best), found


def dev_sizes(large: bool) -> tuple[Any, pd.DataFrame]:
    draw = random.Random(2)
    rows = [("ner", code, draw.choice([100, 1000, 10000])) for code in (ALL if large else FEW)]
    rows += [("tydiqa", code, draw.randint(40, 400)) for code in ALL[:9] if large]
    found = pd.DataFrame(rows, columns=["task", "language", "examples"])
    found = found.sort_values(["task", "examples"], ascending=[True, False], ignore_index=True)
    return figures.dev_sizes(found), found


def cosines(large: bool) -> tuple[Any, pd.DataFrame]:
    draw, codes = random.Random(3), ["en", *(ALL if large else FEW)]
    families = {code: LANGUAGES[code].family for code in codes}
    found = pd.DataFrame(
        {"task": "ner", "k": 5, "method": method, "language": one, "other": other, "n": 3,
         "mean": 1.0 if one == other else draw.gauss(0.1, 0.2)}
        for method in ("naive-mix-train", SURGERY) for one in codes for other in codes
    )  # fmt: skip
    return figures.cosines(found, sorted(codes, key=lambda code: (families[code], code)), families), found


def sweep_table(large: bool) -> pd.DataFrame:
    draw = random.Random(4)
    rates = [1e-5, 3e-5, 1e-4, 1e-3] if large else [0.1, 0.5, 1.0]
    table = pd.DataFrame(
        {"method": SURGERY, "k": k, "target_languages": ALL if large else FEW, "alpha": rate, "seeds": 3,
         "complete": rate != rates[-1], "chosen": rate == rates[1], "objective_mean": draw.uniform(40, 60),
         "objective_sd": 1.0, "test_mean": draw.uniform(40, 60) if rate != rates[-1] else None, "test_sd": float("nan")}
        for k in ([1, 5, 10] if large else [5]) for rate in rates
    )  # fmt: skip
    table.attrs["objective"] = "source-dev"
    return table


CHARTS: dict[str, Callable[[bool], tuple[Any, pd.DataFrame]]] = {
    one.__name__: one for one in (alpha, conflicts, over_epochs, groupings, overfitting, dev_sizes, cosines)
}
DRAWN = [(name, large) for name in (*CHARTS, "sweep") for large in (False, True)]


def drawing(name: str, large: bool) -> Drawing:
    if name == "sweep":
        return figures.sweep_figure(sweep_table(large), "alpha")
    return Drawing(CHARTS[name](large)[0], "A < title", ("A note & more.",))


def data_of(chart: Any) -> list[Rows]:
    """The data of each part of a chart."""
    return list(chart.to_dict()["datasets"].values())


# What is drawn


@pytest.mark.parametrize(("name", "column"), [("alpha", "alpha"), ("conflicts", "epoch"), ("over_epochs", "epoch")])
@pytest.mark.parametrize("large", [False, True])
def test_curves_have_the_means_and_spreads_of_the_frame(name: str, column: str, large: bool) -> None:
    chart, found = CHARTS[name](large)
    [rows] = data_of(chart)
    drawn = sorted(
        (row["panel"], row[column], row["mean"], row["low"], row["high"], row["few"]) for row in rows if row["mean"]
    )
    means, sd = found["mean"], found["sd"]
    panels = found["task"] + ", K = " + found["k"].astype(str)
    said = zip(panels, found[column], means, means - sd, means + sd, found["n"] < 5, strict=True)
    assert drawn == sorted(said)


def test_what_takes_no_shots_is_beside_every_k_and_marks_stand_where_methods_select() -> None:
    shots = means(True, ["ord-FS"], epoch=[1, 2])
    zero = means(False, ["zero-shot"], epoch=[1, 2]).assign(k=0)
    found = pd.concat([zero, shots], ignore_index=True)
    chosen = pd.Series({("ner", 0, "zero-shot"): 1.5, ("ner", 5, "ord-FS"): 2.0}).rename_axis(["task", "k", "method"])
    [rows] = data_of(figures.over_epochs(found, chosen))
    panels = {row["panel"] for row in rows if row["series"].startswith("zero-shot") and row["mean"]}
    assert panels == {"ner, K = 1", "ner, K = 5", "ner, K = 10"}
    marks = {(row["panel"], row["series"], row["chosen"]) for row in rows if row["chosen"]}
    zero_marks = {(panel, "zero-shot (N = 3–5)", 1.5) for panel in panels}
    assert marks == {*zero_marks, ("ner, K = 5", "ord-FS (N = 3–5)", 2.0)}


def test_points_of_groupings_are_the_means() -> None:
    chart, found = groupings(True)
    [rows] = data_of(chart)
    assert [row["mean"] for row in rows] == found["mean"].tolist()
    assert {row["targets"] for row in rows} == {"1", "6.5", "47"}


def test_figure_3_has_each_language_s_points_since_the_first_epoch_and_marks_the_best() -> None:
    chart, found = overfitting(True)
    drawn = pd.DataFrame(itertools.chain.from_iterable(data_of(chart)))
    assert len(drawn) == len(found) == 2 * 3 * 47 * 10
    firsts = found[found["epoch"] == 1].set_index(["task", "k", "language"])["mean"]
    of_rows = pd.MultiIndex.from_frame(found[["task", "k", "language"]])
    changes = found["mean"].to_numpy() - firsts[of_rows].to_numpy()
    assert sorted(drawn["change"]) == pytest.approx(sorted(changes))
    assert drawn["best"].sum() == 2 * 3 * 47
    best = found.loc[found.groupby(["task", "k", "language"])["mean"].idxmax()]
    assert sorted(drawn["mean"][drawn["best"]]) == sorted(best["mean"])
    peaks = best[(best["task"] == "ner") & (best["k"] == 5)]["epoch"]
    assert f"K = 5: {(peaks == 1).sum()} of 47 best after epoch 1 (N = 3–5)" in set(drawn["series"])


def test_bars_are_the_sizes_and_cells_the_cosines() -> None:
    for made in (dev_sizes, cosines):
        chart, found = made(True)
        rows = list(itertools.chain.from_iterable(data_of(chart)))
        columns = ["language", "examples"] if made is dev_sizes else ["language", "other", "mean"]
        assert [[row[name] for name in columns] for row in rows] == found[columns].to_numpy().tolist()


def test_a_sweep_shows_objective_and_test_its_choice_and_what_is_not_complete() -> None:
    table = sweep_table(False)
    figure = figures.sweep_figure(table, "alpha")
    [rows] = data_of(figure.chart)
    for column, words in (("objective", "source-dev"), ("test", "test")):
        drawn = [row["mean"] for row in rows if (row["series"] or "").startswith(words)]
        assert drawn == table[f"{column}_mean"].dropna().tolist()
    assert [(row["series"], row["alpha"]) for row in rows if row["few"]] == [("source-dev (N = 3)", 1.0)]
    assert [row["chosen"] for row in rows if row["chosen"]] == [0.5]
    assert "Hollow: lacks seeds, or was stopped." in figure.notes
    with pytest.raises(ValueError, match="no two candidates of the experiment differ in alpha"):
        figures.sweep_figure(table[:1], "alpha")


# How it looks


@pytest.mark.parametrize(("name", "large"), DRAWN)
def test_no_label_overlaps_another_one(name: str, large: bool) -> None:
    svg = drawing(name, large).svg()
    boxes = list(texts(ET.fromstring(svg)))
    words = {text for text, _ in boxes}
    if large and name in ("overfitting", "dev_sizes", "cosines"):
        assert {*ALL} <= words
    width, height = map(int, re.findall(r'(?:width|height)="(\d+)"', svg)[:2])
    for text, (left, top, right, bottom) in boxes:
        assert min(left, top) > -1, text
        assert right < width + 1, text
        assert bottom < height + 1, text
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        assert apart, f"{one} {a} and {other} {b}"


@pytest.mark.parametrize(
    ("epochs", "ticks"),
    [([1], [1]), ([1, 2], [1, 2]), (range(1, 6), [1, 2, 3, 4, 5]), (range(1, 11), [2, 4, 6, 8, 10]),
     (range(1, 71), [20, 40, 60])],
)  # fmt: skip
def test_each_tick_of_epochs_is_another_whole_number(epochs: Iterable[int], ticks: list[int]) -> None:
    found = means(False, ["ord-FS"], of=["source"], candidate=[""], epoch=list(epochs)).assign(mean=100 / 3, sd=0.0)
    drawn = texts(ET.fromstring(Drawing(figures.dev_curves(found), "title", ()).svg()))
    numbers = [text for text, _ in drawn if re.fullmatch(r"[\d.]+", text)]
    assert numbers == [*map(str, ticks), "33.33"]


def texts(
    node: ET.Element, x: float = 0.0, y: float = 0.0, turned: bool = False
) -> Iterator[tuple[str, tuple[float, ...]]]:
    """The texts of an SVG, each with its box: left, top, right, bottom."""
    moved = node.get("transform", "")
    if found := re.match(r"translate\(([-\d.e]+),\s*([-\d.e]+)\)", moved):
        x, y = x + float(found[1]), y + float(found[2])
    turned = turned or "rotate(-90)" in moved or "rotate(270)" in moved
    if node.tag.endswith("}text") and node.text:
        size = float(node.get("font-size", "").removesuffix("px"))
        length = len(node.text) * size * 0.45
        start = {"middle": -length / 2, "end": -length}.get(node.get("text-anchor", ""), 0.0)
        if turned:  # upwards
            yield node.text, (x - 0.7 * size, y - start - length, x, y - start)
        else:
            yield node.text, (x + start, y - 0.7 * size, x + start + length, y)
    for child in node:
        yield from texts(child, x, y, turned)


def test_methods_are_told_apart_by_color_and_shape_and_look_the_same_in_every_figure() -> None:
    found = pd.DataFrame({"task": "ner", "k": 5, "method": list(METHODS), "n": 5})
    _, series = by_method(found)
    assert [name.rpartition(" (")[0] for name in series.names] == list(METHODS)
    looks = list(zip(series.colors, series.shapes, strict=True))
    assert len(set(looks)) == len(METHODS) > 20
    assert (
        len(
            {
                looks[list(METHODS).index(name)][0]
                for name in ("zero-shot", "ord-FS", "mix-FT", "naive-mix-train", SURGERY)
            }
        )
        == 5
    )
    _, some = by_method(found[::-4])
    for name, look in zip(some.names, zip(some.colors, some.shapes, strict=True), strict=True):
        assert looks[list(series.names).index(name)] == look


@pytest.mark.parametrize(
    ("name", "large"), [pytest.param(*one, marks=[pytest.mark.slow] if one[1] else []) for one in DRAWN]
)
def test_each_form_is_valid_as_wide_as_a_column_or_a_page_and_the_same_each_time(name: str, large: bool) -> None:
    figure = drawing(name, large)
    spec = figure.vega_lite()
    altair.Chart.from_dict({**spec, "datasets": {}})  # raises an error that names what is not in the schema
    assert spec["$schema"].startswith("https://vega.github.io/schema/vega-lite/v6")
    assert not re.findall(r'"(?:url|href)"', str(spec).replace("'", '"')), "something would be loaded"
    svg = figure.svg()
    addresses = set(re.findall(r"\w+://[^\"'<> ]*", svg))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    title, description = ET.fromstring(svg)[:2]
    assert (title.text, description.text) == (figure.title, " ".join(figure.notes))
    assert spec["description"] == figure.description
    wide = float(ET.fromstring(svg).attrib["width"]) / INCH
    assert wide <= (PAGE if wide > COLUMN + 0.1 else COLUMN) + 0.1
    if large:  # which takes seconds
        return
    again = drawing(name, large)
    assert again.vega_lite() == spec
    pdf, png = figure.pdf(), figure.png()
    assert pdf.startswith(b"%PDF-")
    assert b"/ToUnicode" in pdf, "its text is no text"
    assert max(map(float, re.findall(rb"/MediaBox \[0 0 ([\d.]+)", pdf))) / 72 == pytest.approx(wide, abs=0.01)
    dots, place = struct.unpack(">I", png[16:20])[0], png.index(b"pHYs")
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert round(struct.unpack(">I", png[place + 4 : place + 8])[0] * 0.0254) == 300
    assert dots / 300 == pytest.approx(wide, abs=0.01)
    assert (again.svg(), again.png(), again.pdf()) == (svg, png, pdf)


@pytest.mark.parametrize(("name", "is_band"), [("alpha", True), ("over_epochs", True), ("groupings", False)])
def test_a_line_has_a_band_of_its_sd_and_points_side_by_side_have_bars(name: str, is_band: bool) -> None:
    spec = drawing(name, large=False).vega_lite()
    layers = spec["spec"]["layer"]
    marks = [layer["mark"]["type"] for layer in layers]
    assert ("area" in marks, "line" in marks, "rule" in marks[:1]) == (is_band, is_band, not is_band)
    assert [layers[0]["encoding"][side]["field"] for side in ("y", "y2")] == ["low", "high"]
    rows = [row for row in spec["datasets"][spec["data"]["name"]] if row["sd"] is not None and row["mean"] is not None]
    assert rows
    for row in rows:
        assert (row["low"], row["high"]) == pytest.approx((row["mean"] - row["sd"], row["mean"] + row["sd"]))


def test_panels_of_one_task_and_k_are_a_column_wide() -> None:
    for name in ("alpha", "conflicts", "over_epochs", "groupings", "overfitting", "sweep"):
        [width] = re.findall(r'<svg[^>]* width="(\d+)"', drawing(name, large=False).svg())
        assert int(width) / INCH == pytest.approx(COLUMN, abs=0.06), name


def test_a_notebook_displays_a_figure_and_a_table() -> None:
    figure = drawing("alpha", large=False)
    shown = figure._repr_mimebundle_()
    assert shown["application/vnd.vegalite.v6+json"] == figure.vega_lite()
    assert shown["image/svg+xml"] == figure.svg()
    table = pd.DataFrame({"a": [1]})
    report = Report("A title", table, table)
    assert report._repr_mimebundle_() == {"text/html": report.html()}
    assert Report(figure.title, table, table, figure.notes, draw=lambda: figure.chart)._repr_mimebundle_() == shown
    for form in (report.vega_lite, report.svg, report.png, report.pdf):
        with pytest.raises(ValueError, match="it is a table"):
            form()


# What the service sends


@pytest.fixture
def client(tmp_path: Path, sqlite_store: Store, client_over: Any) -> Iterator[TestClient]:
    """Of a service with an experiment at two values of α."""
    plan = Plan()
    for seed, value in itertools.product((1, 2), (0.5, 1.0)):
        config = config_of(SURGERY, seed=seed, alpha=value, target_languages=("de", "hi"))
        plan.add(trial_of(config, evaluate={"de": "test", "hi": "test"}))
        plan.results.extend(result_of(config, language) for language in ("de", "hi"))
    id_ = sqlite_store.experiments.add(spec_of(methods=[SURGERY], seeds=[1, 2]), plan)
    for digest, trial in sqlite_store.trials.outstanding(id_).items():
        attempt = sqlite_store.trials.started(id_, digest)
        scores = tuple(score_of(language, 50.0 + trial.config.seed) for language in ("de", "hi"))
        sqlite_store.trials.succeeded(
            digest, attempt, Outcome(selected={"source-dev": 10}, scores=scores, facts={"shots": {}})
        )
    with client_over(sqlite_store, Environment(tmp_path, tmp_path, None, None, None)) as client:
        yield client


def test_a_figure_is_sent_in_every_form_and_a_table_in_none_of_them(client: TestClient) -> None:
    sent = {
        "svg": ("image/svg+xml", b"<svg"),
        "png": ("image/png", b"\x89PNG"),
        "pdf": ("application/pdf", b"%PDF-"),
        "vega-lite": ("application/vnd.vegalite.v6+json", b'{"description":"Scores by \xce\xb1.'),
    }
    assert client.get("/v1/reports/alpha").json()["figure"] is True
    assert client.get("/v1/reports/table-1?alpha=1").json()["figure"] is False
    for form, (media_type, begins) in sent.items():
        answer = client.get("/v1/reports/alpha", params={"format": form})
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == media_type
        assert answer.content.startswith(begins)
        refused = client.get("/v1/reports/table-1", params={"alpha": 1, "format": form})
        assert refused.status_code == 422
        [error] = refused.json()["errors"]
        assert error == {"field": "format", "message": "it is a table; allowed: json, csv, markdown, latex, html"}
    described = client.get("/openapi.json").json()["paths"]["/v1/reports/{name}"]["get"]["responses"]["200"]["content"]
    assert {media_type for media_type, _ in sent.values()} <= set(described)
