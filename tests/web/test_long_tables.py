"""Long tables scroll below their head and beside their first column, and are whole on paper."""

import pytest
from playwright.sync_api import expect
from starlette.testclient import TestClient

from large import TARGETS, fill
from service.store import Store
from service.web.table import MOST_SEEN
from web_window import Window

# Nothing of an element is cut off.
WHOLE = "one => getComputedStyle(one).overflow == 'visible' || one.scrollWidth <= one.clientWidth"

TOP, BOTTOM = "getBoundingClientRect().top", "getBoundingClientRect().bottom"


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


@pytest.mark.service
@pytest.mark.parametrize("width", [390, 1280])
def test_names_of_languages_are_whole(window: Window, sqlite_store: Store, width: int) -> None:
    id_ = fill(sqlite_store, "succeeded", ("de", "ht", "qu", "zh"))
    window.page.set_viewport_size({"width": width, "height": 900})
    for address in (f"/experiments/{id_}/table", f"/experiments/{id_}/surgery", f"/v1/experiments/{id_}/page"):
        window.page.goto(f"{window.address}{address}")
        names = window.page.locator(".language")
        assert any("Mandarin Chinese" in one for one in names.all_inner_texts())
        assert names.evaluate_all(f"all => all.every({WHOLE})")


@pytest.mark.service
def test_an_experiment_is_whole_on_paper(window: Window, done: str) -> None:
    page = window.page
    page.set_viewport_size({"width": 703, "height": 400})  # A4 without its margins
    page.goto(f"{window.address}/experiments/{done}")
    table = page.get_by_role("table", name="Test scores by language and method")
    expect(table).to_be_attached()  # nobody has scrolled to it
    page.emulate_media(media="print")
    for one in (page.get_by_role("navigation"), page.get_by_role("button", name="Submit again")):
        expect(one).to_be_hidden()
    for shown in (table, page.get_by_role("table", name="Each trial by method, K and seed")):
        assert shown.evaluate("one => getComputedStyle(one.parentElement).overflow") == "visible"  # it is made to fit
    last = table.get_by_role("row").last
    expect(last).to_contain_text("Mean over targets")
    assert last.evaluate(f"one => one.closest('tfoot').{TOP} >= one.closest('table').tBodies[0].{BOTTOM}")


def test_one_with_many_languages_says_that_it_scrolls(pages: TestClient, sqlite_store: Store, done: str) -> None:
    many = fill(sqlite_store, "succeeded", TARGETS[:MOST_SEEN])
    assert f"There are {MOST_SEEN + 1} languages: the table scrolls." in pages.get(f"/experiments/{many}/table").text
    assert "the table scrolls" not in pages.get(f"/experiments/{done}/table").text
