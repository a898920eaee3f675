"""Reports as pages: they show what the REST interface answers, and refuse in its words."""

import html
import re

import pytest
from playwright.sync_api import expect
from starlette.testclient import TestClient

from large import fill
from reported import reported
from service.reports.kinds import KINDS
from service.store import Store
from service.web import reports
from web_window import Window


def cells(text: str) -> list[list[str]]:
    """The rows of the table of a page."""
    body = text[text.index('<table class="shaded">') :]
    rows = re.findall(r"<tr>(.*?)</tr>", body[: body.index("</table>")], re.DOTALL)
    return [[html.unescape(one) for one in re.findall(r"<t[hd][^>]*>([^<]*)<", row)] for row in rows]


@pytest.mark.parametrize("name", ["table-1", "table-4", "figure-2", "alpha", "gain-by-family", "gain-by-script"])
def test_a_report_is_shown_as_it_is_answered(pages: TestClient, sqlite_store: Store, name: str) -> None:
    id_ = reported(sqlite_store, range(1, 4))
    found = pages.get(f"/v1/reports/{name}?experiment={id_}").json()
    text = pages.get(f"/reports?report={name}&experiment={id_}").text
    columns, *rows = cells(text)
    assert columns == found["table"]["columns"]
    assert rows == found["table"]["rows"]
    for note in found["notes"]:
        assert note in html.unescape(text)
    assert ('<img src="/v1/reports/' in text) == found["figure"] == ("svg" in found["formats"])


def test_every_form_leads_to_an_answer(pages: TestClient, sqlite_store: Store) -> None:
    id_ = reported(sqlite_store, range(1, 3))
    for name in ("table-4", "alpha"):
        text = pages.get(f"/reports?report={name}&experiment={id_}").text
        addresses = re.findall(r'<a href="(/v1/reports/[^"]+)"', text)
        assert len(addresses) == len(pages.get(f"/v1/reports/{name}?experiment={id_}").json()["formats"]) >= 5
        for address in [*addresses, *re.findall(r'data-copy="([^"]+)"', text)]:
            assert pages.get(html.unescape(address)).status_code == 200, address


def test_gains_and_losses_are_shaded_in_steps(pages: TestClient, sqlite_store: Store) -> None:
    id_ = reported(sqlite_store, range(1, 4))
    shades = pages.get(f"/v1/reports/table-4?experiment={id_}").json()["table"]["shades"]
    text = pages.get(f"/reports?report=table-4&experiment={id_}").text
    classes = re.findall(r'<td class="number ?([\w-]*)">', text)
    flat = [one for row in shades for one in row]
    assert len(classes) == len(flat)
    assert len(set(classes)) > 3
    for one, shade in zip(flat, classes, strict=True):
        assert shade.startswith("" if not one else "more" if one > 0 else "less")
        assert bool(shade) == bool(one)


def test_unlike_results_are_refused_with_what_differs_and_allowed_by_name(
    pages: TestClient, sqlite_store: Store
) -> None:
    ids = [reported(sqlite_store, range(1, 3)), reported(sqlite_store, range(3, 5), "other", learning_rate=1e-4)]
    query = "&".join(["report=table-1", *(f"experiment={id_}" for id_ in ids)])
    [said] = pages.get(f"/v1/reports/table-1?{query.removeprefix('report=table-1&')}").json()["errors"]
    text = html.unescape(pages.get(f"/reports?{query}").text)
    assert said["message"] in text
    assert "learning_rate (2e-05, 0.0001" in text
    assert "learning_rate" in pages.get(f"/reports?{query}&allow=learning_rate").text
    assert cells(pages.get(f"/reports?{query}&allow=learning_rate").text)


def test_of_a_search_the_chosen_candidates_are_asked_for_and_what_waits_is_named(
    pages: TestClient, sqlite_store: Store
) -> None:
    id_ = fill(sqlite_store, "running", ("de", "ja"))
    address = f"/v1/reports/dev-curves?experiment={id_}"
    every, alone = (pages.get(f"{address}&chosen={chosen}").json() for chosen in ("false", "true"))
    assert pages.get(address).json() == every
    found = pages.get(f"/v1/experiments/{id_}/sweep").json()["chosen"]
    chosen = {(one["method"], one["k"], one["candidate"]) for one in found if one["candidate"]}
    waiting = [f"{one['method']} at K = {one['k']}" for one in found if not one["candidate"]]
    assert len(chosen) == 2
    rows = [{(row["method"], row["k"], row["candidate"]) for row in one["data"]} for one in (every, alone)]
    assert rows[1] == {key for key in rows[0] if not key[2]} | chosen
    assert len(rows[0]) > len(rows[1])
    assert alone["notes"][-1] == f"No candidate is chosen yet of {', '.join(waiting)}."
    text = html.unescape(pages.get(f"/reports?report=dev-curves&experiment={id_}&chosen=true").text)
    assert alone["notes"][-1] in text
    assert 'name="chosen" value="true" checked' in text
    refused = pages.get(f"{address}&chosen=true&method=gradient-mix-train&k=10")
    assert refused.status_code == 422
    assert alone["notes"][-1] in refused.json()["errors"][0]["message"]


def test_a_title_and_a_box_name_the_experiments_that_are_chosen(
    pages: TestClient, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was older than those that are offered had no name."""
    old, new = (reported(sqlite_store, seeds, name) for seeds, name in ((range(1, 3), "<old>"), (range(3, 5), "new")))
    monkeypatch.setattr(reports, "MOST_OFFERED", 1)
    text = pages.get(f"/reports?report=table-1&experiment={old}").text
    assert "<title>table-1 of &lt;old&gt; · Reports · allasprak</title>" in text
    assert re.search(rf'value="{old}" checked> <span>&lt;old&gt; <small>ner, \w+, ', text)
    assert f'value="{new}">' in text
    gone = pages.get("/reports?report=table-1&experiment=0123456789ab").text
    assert 'value="0123456789ab" checked> <span>0123456789ab</span>' in gone
    assert "<title>Reports · allasprak</title>" in pages.get("/reports").text


def test_nothing_is_computed_before_results_are_chosen(pages: TestClient, sqlite_store: Store) -> None:
    id_ = reported(sqlite_store, range(1, 2), "named so")
    further = ("&metric=", "&published=true", "&chosen=true")
    for query in ("", "?report=table-1", *(f"?report=table-1{one}" for one in further)):
        text = pages.get(f"/reports{query}").text
        assert "Choose a report and experiments." in text
    assert all(f'<option value="{name}"' in text for name in KINDS)
    assert f'value="{id_}"' in text
    assert "named so" in text
    assert pages.get("/reports?report=none&experiment=x").status_code == 404
    assert "no experiment has" in pages.get("/reports?report=table-1&experiment=x").text
    assert pages.get("/reports?colour=red").status_code == 422


@pytest.mark.service
def test_choosing_results_and_copying_a_table(window: Window, sqlite_store: Store) -> None:
    reported(sqlite_store, range(1, 4), "mine")
    window.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    window.page.goto(f"{window.address}/reports")
    window.page.get_by_label("Report", exact=True).select_option("table-4")
    window.page.get_by_role("checkbox", name="mine").check()
    report = window.page.locator("#report")
    expect(report.get_by_role("rowheader", name="gradient-mix-train")).to_be_visible(timeout=15_000)
    expect(window.page).to_have_url(re.compile("report=table-4.*experiment="))
    window.page.get_by_role("button", name="Copy as LaTeX").click()
    expect(report.get_by_role("status")).to_have_text("Copied.")
    assert r"\begin{tabular}" in window.page.evaluate("navigator.clipboard.readText()")
    window.page.get_by_label("Report", exact=True).select_option("alpha")
    figure = report.get_by_role("img")
    expect(figure).to_be_visible(timeout=15_000)
    assert figure.evaluate("async (image) => { await image.decode(); return image.naturalWidth; }") > 100


@pytest.mark.service
@pytest.mark.parametrize("width", [390, 1400])
def test_long_names_stay_beside_the_report(window: Window, sqlite_store: Store, width: int) -> None:
    reported(sqlite_store, range(1, 3), name="a_name_without_blanks" * 5)
    window.page.set_viewport_size({"width": width, "height": 900})
    window.page.goto(f"{window.address}/reports")
    offered, form = (window.page.locator(one).bounding_box() for one in (".offered", "#of"))
    assert offered is not None
    assert form is not None
    assert offered["x"] + offered["width"] <= form["x"] + form["width"]
