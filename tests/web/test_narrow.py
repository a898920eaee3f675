"""What one looks for is in the window: on a telephone without scrolling sideways, and beside a long name."""

import json
from pathlib import Path

import pytest

from plans import spec_of
from predicted import predicted
from search_spaces.presets import preset
from service.store import Store
from web_window import Window

PHONE = {"width": 390, "height": 900}

WRONG = {"k": ["x"], "seeds": ["x"], "training": {"epochs": 0, "batch_size": 0, "learning_rate": 2}, "priority": 1000}


def right_edge(window: Window, selector: str) -> float:
    """Where the rightmost of some elements ends."""
    edges = window.page.locator(selector).evaluate_all("all => all.map(one => one.getBoundingClientRect().right)")
    return float(max(edges))


@pytest.mark.service
def test_why_an_experiment_waits(window: Window, sqlite_store: Store) -> None:
    sqlite_store.experiments.add(spec_of(name="first in the afternoon"), None)
    window.page.set_viewport_size(PHONE)
    window.page.goto(f"{window.address}/pool")
    assert window.page.locator(".why", has_text="it has not been started yet").is_visible()
    assert right_edge(window, ".why") <= PHONE["width"]


@pytest.mark.service
def test_whether_a_gain_may_be_noise(window: Window, sqlite_store: Store, tmp_path: Path) -> None:
    id_, _ = predicted(sqlite_store, tmp_path, "ner", ("ar", "de", "zh"), seeds=2)
    window.page.set_viewport_size(PHONE)
    window.page.goto(f"{window.address}/compare?experiment={id_}")
    assert "may be noise" in window.page.locator(".forest").first.inner_text()
    assert right_edge(window, ".forest .verdict") <= PHONE["width"]


@pytest.mark.service
def test_the_languages_of_a_dataset_take_a_few_lines(window: Window) -> None:
    window.page.set_viewport_size(PHONE)
    window.page.goto(f"{window.address}/data")
    box = window.page.locator("#of-xtreme-r").bounding_box()
    assert box is not None
    assert box["height"] < 150


@pytest.mark.service
def test_a_long_name_and_many_errors_in_the_form(window: Window, sqlite_store: Store) -> None:
    sqlite_store.experiments.add(spec_of(name="an experiment of a very long name " * 5), None)
    window.page.set_viewport_size({"width": 1280, "height": 900})
    window.page.goto(f"{window.address}/new")
    window.page.get_by_label("The spec as JSON").fill(json.dumps({**preset("sample"), **WRONG}))
    window.page.get_by_text("6 fields are wrong").wait_for(timeout=30_000)
    assert window.page.evaluate("document.documentElement.scrollWidth") <= 1280
    problems = window.page.locator("#plan .problems")
    assert problems.evaluate("one => one.scrollHeight <= one.clientHeight")
    box = problems.locator("dd").last.bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= 900
