"""Looking at examples: gold values and predictions in the text, filtered, in Arabic and Chinese as they are written."""

import re
from html import unescape
from pathlib import Path

import pytest
from playwright.sync_api import expect
from starlette.testclient import TestClient

from predicted import MIXED, ZERO, predicted
from service.store import Store
from trainers.data.sample import SampleData
from trainers.tasks import TASKS
from web_window import Window

# What stands in an element but for the labels of its marks.
WITHOUT_LABELS = """one => {
    const copy = one.cloneNode(true);
    for (const label of copy.querySelectorAll("bdi")) label.remove();
    return copy.textContent;
}"""


def shown(text: str) -> list[int]:
    """The examples of a page."""
    return [int(one) for one in re.findall(r'<li value="(\d+)" class="example"', text)]


def bare(text: str) -> str:
    """A page without its tags, and what they mark labels by."""
    return unescape(re.sub(r"<[^>]+>", "", re.sub(r'<bdi lang="en" class="label">.*?</bdi>', "", text)))


@pytest.mark.parametrize("language", ["ar", "zh"])
@pytest.mark.parametrize("task", ["ner", "pos", "tydiqa", "xnli"])
def test_the_examples_are_those_of_the_interface_with_their_texts(
    pages: TestClient, sqlite_store: Store, tmp_path: Path, task: str, language: str
) -> None:
    _, trials = predicted(sqlite_store, tmp_path, task)
    asked = {"language": language, "against": trials[ZERO], "limit": "1000"}
    found = pages.get(f"/v1/trials/{trials[MIXED]}/examples", params=asked).json()
    text = pages.get(f"/trials/{trials[MIXED]}/examples", params=asked).text
    assert shown(text) == [one["example"] for one in found["examples"]]
    assert f"{found['found']} examples" in text
    words, blank = bare(text), "" if language == "zh" else " "
    data = SampleData(task).examples(language, "test")
    for place in shown(text):
        for part in TASKS[task].parts(data[place]).values():
            if task == "pos":
                assert all(token in words for token in part)
            else:
                assert (part if isinstance(part, str) else blank.join(part)) in words


def test_marks_say_type_and_kind_of_error(pages: TestClient, sqlite_store: Store, tmp_path: Path) -> None:
    _, trials = predicted(sqlite_store, tmp_path)
    found = pages.get(f"/v1/trials/{trials[ZERO]}/examples?language=ar&kind=wrong+boundary").json()
    text = pages.get(f"/trials/{trials[ZERO]}/examples?language=ar&kind=wrong+boundary&limit=50").text
    errors = [error["kind"] for one in found["examples"] for error in one["predictions"][0]["errors"]]
    assert errors.count("wrong boundary")
    for kind in ("wrong boundary", "spurious", "wrong type"):
        assert len(re.findall(rf'class="label">\w+ {kind}</bdi>', text)) == errors.count(kind)
    assert shown(text) == [one["example"] for one in found["examples"]]


def test_without_a_language_those_of_a_target_are_shown(pages: TestClient, sqlite_store: Store, tmp_path: Path) -> None:
    _, trials = predicted(sqlite_store, tmp_path)
    assert "<h1>Examples: Arabic</h1>" in pages.get(f"/trials/{trials[MIXED]}/examples").text


def test_of_a_trial_that_experiments_share_the_languages_of_all_are_there(
    pages: TestClient, sqlite_store: Store, tmp_path: Path
) -> None:
    ids, trials = zip(*(predicted(sqlite_store, tmp_path, languages=(one,)) for one in ("ar", "zh")), strict=True)
    [shared] = {of[ZERO] for of in trials}
    text = pages.get(f"/trials/{shared}/examples?language=zh").text
    assert "<h1>Examples: Mandarin Chinese</h1>" in text
    assert f"<title>Examples of Mandarin Chinese: ner, {ZERO}, seed 1 · allasprak</title>" in text
    assert re.findall(r'<option value="(ar|en|zh)"( selected)?>', text) == [("ar", ""), ("en", ""), ("zh", " selected")]
    assert all(f'href="/experiments/{id_}"' in text for id_ in ids)
    assert f'<option value="{trials[1][MIXED]}"' in text
    assert f'<option value="{trials[0][MIXED]}"' not in text  # it has no score in this language
    assert '<option value="de" selected>' in pages.get(f"/trials/{shared}/examples?language=de").text


def test_a_kind_that_another_language_has_not_is_left_out(
    pages: TestClient, sqlite_store: Store, tmp_path: Path
) -> None:
    _, trials = predicted(sqlite_store, tmp_path, "pos")
    text = pages.get(f"/trials/{trials[ZERO]}/examples?language=zh&kind=SYM+→+X").text
    assert shown(text)
    assert 'role="alert"' not in text


def test_pages_lead_to_each_other(pages: TestClient, sqlite_store: Store, tmp_path: Path) -> None:
    _, trials = predicted(sqlite_store, tmp_path)
    found: list[int] = []
    address = f"/trials/{trials[ZERO]}/examples?language=ar&which=all"
    while address:
        text = pages.get(address).text
        found += shown(text)
        following = re.search(r'rel="next" href="([^"]+)"', text)
        address = unescape(following[1]) if following else ""
    assert found == list(range(len(SampleData("ner").examples("ar", "test"))))


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("language=de", 404, "no evaluation of de/test"),
        ("language=ar&split=dev", 404, "no evaluation of ar/dev"),
        ("language=ar&against=0000", 200, "there is no trial with this id"),
        ("language=../x", 422, "language"),
        ("color=red", 422, "color"),
    ],
)
def test_what_is_not_there_is_said_on_the_page(
    pages: TestClient, sqlite_store: Store, tmp_path: Path, query: str, status: int, words: str
) -> None:
    _, trials = predicted(sqlite_store, tmp_path)
    answer = pages.get(f"/trials/{trials[ZERO]}/examples?{query}")
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    assert words in answer.text
    assert pages.get(f"/trials/{'0' * 20}/examples").status_code == 404


def test_texts_of_data_are_no_html(pages: TestClient, sqlite_store: Store, tmp_path: Path) -> None:
    class Bad(SampleData):
        def examples(self, language: str, split: str) -> list[dict[str, object]]:  # type: ignore[override]
            return [{"tokens": ["<img", "src=x>", "<b>"], "tags": ["B-PER", "I-PER", "O"]}]

    _, trials = predicted(sqlite_store, tmp_path)
    pages.app.state.examples.behind = lambda *_: Bad("ner").examples("ar", "test") * 1000  # type: ignore[attr-defined]
    text = pages.get(f"/trials/{trials[ZERO]}/examples?language=ar").text
    assert "<img" not in text
    assert "&lt;img" in text


@pytest.mark.service
def test_a_linguist_looks_at_arabic_and_chinese(window: Window, sqlite_store: Store, tmp_path: Path) -> None:
    _, trials = predicted(sqlite_store, tmp_path)
    page = window.page
    page.goto(f"{window.address}/trials/{trials[MIXED]}/examples?language=ar")
    expect(page.get_by_role("heading", name="Examples: Arabic")).to_be_visible()
    page.get_by_label("Beside").select_option(trials[ZERO])
    expect(page.get_by_role("columnheader", name=ZERO)).to_be_visible()
    text = page.locator(".example p").first
    assert text.evaluate("one => getComputedStyle(one).direction") == "rtl"
    page.get_by_role("link", name="wrong boundary", exact=True).click()
    expect(page).to_have_url(re.compile(r"kind=wrong\+boundary"))
    expect(page.locator("mark.wrong", has_text="wrong boundary").first).to_be_visible()
    page.get_by_label("Language").select_option("zh")
    expect(page.get_by_role("heading", name="Examples: Mandarin Chinese")).to_be_visible()
    expect(page).to_have_url(re.compile("language=zh"))
    text = page.locator(".example p").first
    assert text.evaluate("one => getComputedStyle(one).direction") == "ltr"
    place = int(page.locator(".example").first.get_attribute("value") or "")
    tokens = SampleData("ner").examples("zh", "test")[place]["tokens"]
    assert text.evaluate(WITHOUT_LABELS) == "".join(tokens)
