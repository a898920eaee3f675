"""Long tables scroll below their head and beside their first column, in a wide window and in a narrow one."""

import pytest

from large import fill
from service.store import Store
from web_window import Window


@pytest.fixture
def done(sqlite_store: Store) -> str:
    """An experiment that is over, of more languages than fit a window of 240 pixels."""
    return fill(sqlite_store, "succeeded", ("de", "hi", "ar", "ja", "tl"))


@pytest.mark.service
@pytest.mark.parametrize(("width", "height"), [(1400, 240), (390, 240)])
def test_a_long_table_keeps_its_head_and_its_first_column(window: Window, done: str, width: int, height: int) -> None:
    page = window.page
    page.set_viewport_size({"width": width, "height": height})
    for section, label in {
        "table": "Test scores by language and method",
        "surgery": "Conflict rates by language",
    }.items():
        page.goto(f"{window.address}/experiments/{done}/{section}")
        region = page.get_by_role("region", name=label)
        region.evaluate("one => { one.scrollIntoView(); one.scrollTo(1e6, 1e6); }")
        assert region.evaluate("one => one.scrollTop") > 20
        assert region.evaluate("one => one.scrollLeft") > 20 or width > 1000 or section == "surgery"
        parts = ("thead", "tbody tr:last-child th", "thead tr:last-child th:first-child")
        around, head, name, corner = (one.bounding_box() or {} for one in (region, *map(region.locator, parts)))
        assert around["height"] < height
        assert (round(head["y"]), round(name["x"]), round(corner["x"])) == (
            round(around["y"]),
            *[round(around["x"])] * 2,
        )
        assert name["width"] < 0.6 * around["width"]
        words = "([x, y]) => document.elementFromPoint(x, y).textContent"
        assert page.evaluate(words, [corner["x"] + 9, corner["y"] + 9]) == "Language"
