"""Comparing on a page: the same figures and refusals as the REST interface has, in words, and what differs."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect
from starlette.testclient import TestClient

from predicted import MIXED, ZERO, predicted
from service.store import Store
from web_window import Window

LANGUAGES = ("ar", "de", "fi", "zh")


@pytest.fixture
def experiment(sqlite_store: Store, tmp_path: Path) -> str:
    """An experiment of two methods and five seeds."""
    return predicted(sqlite_store, tmp_path, "ner", LANGUAGES, seeds=5, name="ner of the sample")[0]


def verdicts(text: str) -> dict[str, str]:
    """What is said of each language of a page, in the order of its rows."""
    rows = re.findall(r'<tr data-language="([^"]+)">(.*?)</tr>', text, re.DOTALL)
    found = {}
    for language, row in rows:
        said = re.search(r'class="verdict \w+">([^<]+)<', row)
        assert said is not None
        found[language] = said[1]
    return found


def test_each_language_has_its_gain_in_order_and_says_whether_it_may_be_noise(
    pages: TestClient, experiment: str
) -> None:
    sides = {"better.method": MIXED, "over.method": ZERO, "experiment": experiment}
    found = pages.get("/v1/results/compare", params=sides).json()
    text = pages.get("/compare", params=sides).text
    expected = {
        one["language"]: "may be noise" if one["p_holm"] >= 0.05 else "gains" if one["gain"] > 0 else "loses"
        for one in found["languages"]
    }
    assert list(verdicts(text).items()) == list(expected.items())
    for one in found["languages"]:
        assert f"{one['gain']:+.1f}".replace("-", "−") in text
        assert f"{one['low']:+.1f} to {one['high']:+.1f}".replace("-", "−") in text
        assert f"{one['wins']:.0f}–{one['ties']:.0f}–{one['losses']:.0f}" in text
    overall = found["overall"]
    assert f"{overall['gain']:+.1f}".replace("-", "−") in text
    assert "5 seeds" in text
    for name in ("scripts", "families"):
        assert all(f'<th scope="row">{one["group"]}' in text for one in found[name])


def test_of_one_experiment_the_best_method_is_compared_with_the_next(pages: TestClient, experiment: str) -> None:
    text = pages.get(f"/compare?experiment={experiment}").text
    assert re.search(rf"<h2>.*{MIXED}.*over.*{ZERO}.*</h2>", text)
    assert set(verdicts(text)) == set(LANGUAGES)


def test_a_comparison_leads_to_examples_of_both_models(pages: TestClient, experiment: str) -> None:
    text = pages.get(f"/compare?experiment={experiment}").text
    addresses = re.findall(r'href="(/trials/[^"]+)">examples', text)
    assert len(addresses) == len(LANGUAGES)
    for address in addresses:
        answer = pages.get(address.replace("&amp;", "&"))
        assert answer.status_code == 200
        assert MIXED in answer.text
        assert ZERO in answer.text


def test_unlike_sides_are_refused_in_the_words_of_the_interface_and_lead_to_what_they_share(
    pages: TestClient, sqlite_store: Store, tmp_path: Path, experiment: str
) -> None:
    other, _ = predicted(sqlite_store, tmp_path, "ner", LANGUAGES[:3], seeds=3, encoder="other", name="another encoder")
    both = {"experiment": [experiment, other]}
    text = pages.get("/compare", params=both).text
    sides = {"better.experiment": experiment, "over.experiment": other, "better.method": MIXED, "over.method": MIXED}
    [error] = pages.get("/v1/results/compare", params={**both, **sides}).json()["errors"]
    said = error["message"].removesuffix(", as allow=encoder")
    assert f"<p>T{said[1:]} under “Settings that may differ”.</p>" in text
    assert re.search(r"<code>encoder</code></th>\s*<td>e</td>\s*<td>other</td>", text)  # of the sides, and of the specs
    assert re.search(r"<code>seeds</code></th>\s*<td>1, 2, 3, 4, 5</td>\s*<td>1, 2, 3</td>", text)
    remedy = re.search(r'<a href="([^"]+)">Compare them all the same', text)
    assert remedy is not None
    asked = parse_qs(urlsplit(remedy[1].replace("&amp;", "&")).query)
    assert asked["seed"] == ["1", "2", "3"]
    found = pages.get(remedy[1].replace("&amp;", "&")).text
    assert set(verdicts(found)) == set(LANGUAGES[:3])
    assert "These sides are not compared" not in found
    assert pages.get("/v1/results/compare", params=asked).status_code == 200


def test_scores_of_different_tasks_are_not_compared_on_a_click(
    pages: TestClient, sqlite_store: Store, tmp_path: Path, experiment: str
) -> None:
    """One click compared an accuracy with an F1."""
    other, _ = predicted(sqlite_store, tmp_path, "pos", LANGUAGES, seeds=5, name="another task")
    text = pages.get("/compare", params={"experiment": [experiment, other]}).text
    assert "These sides are not compared" in text
    assert "different tasks are on no common scale" in text
    assert "Compare them all the same" not in text
    assert re.search(r"<code>task</code></th>\s*<td>ner</td>\s*<td>pos</td>", text)
    [refused] = re.findall(r"<p>The sides also differ in ([^<]*)</p>", text)
    assert not re.search(r"[0-9a-f]{20}", refused)


def test_a_title_says_what_is_compared(pages: TestClient, experiment: str) -> None:
    for query, title in {
        "": "Compare",
        f"experiment={experiment}": f"{MIXED} K = 5 over {ZERO}, ner of the sample · Compare",
        f"experiment={experiment}&better.method={MIXED}&over.k=9": "ner of the sample · Compare",
    }.items():
        assert f"<title>{title} · allasprak</title>" in pages.get(f"/compare?{query}").text


def test_several_experiments_stand_side_by_side(
    pages: TestClient, sqlite_store: Store, tmp_path: Path, experiment: str
) -> None:
    others = [
        predicted(sqlite_store, tmp_path, task, LANGUAGES[:2], name=f"only {task}")[0] for task in ("pos", "xnli")
    ]
    ids = [experiment, *others]
    text = pages.get("/compare", params={"experiment": ids}).text
    assert verdicts(text) == {}
    assert "not compared" not in text
    means = pages.get("/v1/results/summary", params={"experiment": ids, "by": "experiment,method,k"}).json()["summary"]
    for one in means:
        assert f"{one['mean']:.1f}" in text
    assert re.search(r"<code>task</code></th>\s*<td>ner</td>\s*<td>pos</td>\s*<td>xnli</td>", text)
    assert "5 seeds" not in text


def test_one_seed_says_nothing_of_noise(pages: TestClient, sqlite_store: Store, tmp_path: Path) -> None:
    id_, _ = predicted(sqlite_store, tmp_path, "ner", LANGUAGES[:2])
    text = pages.get(f"/compare?experiment={id_}").text
    assert "One seed says nothing about noise" in text
    assert set(verdicts(text).values()) == {"cannot be told"}


@pytest.mark.parametrize("unit", ["items", "seeds-and-items"])
def test_noise_may_be_between_examples(pages: TestClient, sqlite_store: Store, tmp_path: Path, unit: str) -> None:
    id_, _ = predicted(sqlite_store, tmp_path, "ner", LANGUAGES[:2], seeds=2)
    asked = {"experiment": id_, "better.method": MIXED, "over.method": ZERO, "unit": unit}
    text = pages.get("/compare", params=asked).text
    found = pages.get("/v1/results/compare", params=asked).json()
    assert text.count("<tr data-language=") == len(found["languages"])
    assert text.count("<h3>Seed") == (2 if unit == "items" else 0)


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("", 200, "Choose one experiment or several"),
        ("experiment=0000", 404, "no experiment with this id"),
        ("better.color=red", 422, "better.color"),
        ("unit=days", 422, "unit"),
    ],
)
def test_what_cannot_be_compared_is_said(pages: TestClient, query: str, status: int, words: str) -> None:
    answer = pages.get(f"/compare?{query}")
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    assert words in answer.text


def test_what_a_form_leaves_empty_is_not_asked_for(pages: TestClient, experiment: str) -> None:
    asked: dict[str, Any] = {
        "experiment": experiment, "better.method": MIXED, "better.k": "5", "over.method": ZERO, "over.k": "5",
        "unit": "seeds", "allow": "", "better.candidate": "",
    }  # fmt: skip
    text = pages.get("/compare", params=asked).text  # zero-shot has no K, whatever the form has kept of another method
    assert set(verdicts(text)) == set(LANGUAGES)


@pytest.mark.service
def test_two_are_chosen_in_the_list_and_compared(
    window: Window, sqlite_store: Store, tmp_path: Path, experiment: str
) -> None:
    predicted(sqlite_store, tmp_path, "ner", LANGUAGES, seeds=5, name="again", training={"epochs": 4})
    page = window.page
    page.goto(window.address)
    button = page.get_by_role("button", name="Compare the chosen")
    expect(button).to_be_hidden()
    for name in ("ner of the sample", "again"):
        page.get_by_role("checkbox", name=f"Choose {name}").check()
    button.click()
    expect(page).to_have_url(re.compile(rf"/compare\?experiment=.*{experiment}"))
    expect(page.get_by_role("heading", name="Fields that differ")).to_be_visible()
    expect(page.get_by_role("row", name="training.epochs")).to_contain_text("4")
    page.get_by_role("group", name="over this one").get_by_label("Method").select_option(ZERO)
    page.get_by_role("group", name="over this one").get_by_label("Experiment").select_option("ner of the sample")
    page.get_by_role("group", name="This side").get_by_label("Experiment").select_option("ner of the sample")
    expect(page.get_by_role("heading", name=f"over {ZERO}")).to_be_visible()
    expect(page.get_by_role("row", name="Arabic ar")).to_contain_text("gains")
    expect(page).to_have_url(re.compile(rf"over\.method={ZERO}"))
