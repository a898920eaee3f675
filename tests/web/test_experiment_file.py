"""An experiment as one HTML file: it has what its page has, and loads nothing."""

import re
from base64 import b64decode
from pathlib import Path
from xml.etree import ElementTree

import pytest
from playwright.sync_api import Browser, expect
from starlette.testclient import TestClient

from large import fill
from plans import spec_of
from service.store import Store
from stored import plan_of

FEW = ("de", "hi", "ar", "ja", "tl")


def file_of(pages: TestClient, id_: str) -> str:
    answer = pages.get(f"/v1/experiments/{id_}/page")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert f'filename="{id_}.html"' in answer.headers["content-disposition"]
    return answer.text


def pictures(text: str) -> list[str]:
    """The titles of the charts."""
    found = re.findall(r'<img src="data:image/svg\+xml;base64,([^"]+)" alt="([^"]+)"', text)
    for content, _ in found:
        assert ElementTree.fromstring(b64decode(content)).tag.endswith("svg")
    return [title for _, title in found]


def test_it_has_the_table_and_charts_of_the_page(pages: TestClient, sqlite_store: Store) -> None:
    id_ = fill(sqlite_store, "succeeded", FEW)
    text = file_of(pages, id_)
    section = pages.get(f"/experiments/{id_}/table").text
    cells = re.findall(r'<td class="number.*?</td>', section)
    assert len(cells) > 100
    assert re.findall(r'<td class="number.*?</td>', text)[: len(cells)] == cells
    charts = [pages.get(f"/experiments/{id_}/{name}").text for name in ("curves", "search", "surgery")]
    titles = [title for chart in charts for title in re.findall(r"<section>\s*<h3>(.*?)</h3>\s*<figure", chart)]
    assert len(titles) > 2
    assert pictures(text) == titles
    assert "&#34;seeds&#34;: [1, 2, 3, 4, 5]" in text


def test_nothing_in_it_leads_elsewhere(pages: TestClient, sqlite_store: Store) -> None:
    text = file_of(pages, fill(sqlite_store, "succeeded", FEW))
    assert re.findall(r"<(?:a|form|button|script|link|iframe)\b", text) == []
    assert re.findall(r'(?:src|href|action|hx-\w+)="(?!data:)[^"]*"', text) == []


def test_one_without_scores_says_so_and_words_are_escaped(pages: TestClient, sqlite_store: Store) -> None:
    id_ = sqlite_store.experiments.add(spec_of(name="</style><script>x</script>"), plan_of())
    text = file_of(pages, id_)
    assert "There are no test scores yet." in text
    assert "&lt;/style&gt;&lt;script&gt;x" in text
    assert "<script>x" not in text


def test_one_that_there_is_not_is_refused_as_by_every_route(pages: TestClient) -> None:
    answer = pages.get("/v1/experiments/none/page")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert pages.get("/v1/experiments/none/page?x=1").status_code == 422


@pytest.mark.service
def test_a_browser_shows_it_from_a_disk(
    pages: TestClient, sqlite_store: Store, browser: Browser, tmp_path: Path
) -> None:
    file = tmp_path / "a page.html"
    file.write_text(file_of(pages, fill(sqlite_store, "succeeded", FEW)), encoding="utf-8")
    page = browser.new_page(viewport={"width": 390, "height": 800})
    asked, said = list[str](), list[str]()
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.goto(file.as_uri())
    expect(page.get_by_role("heading", name="Gradient surgery")).to_be_visible()
    sizes = page.eval_on_selector_all("img", "all => all.map(one => one.naturalWidth)")
    assert min(sizes) > 100
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert [url for url in asked if not url.startswith("data:")] == [file.as_uri()]
    assert said == []
    page.close()
