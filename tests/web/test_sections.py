"""The sections of an experiment's page: its table, curves, search, surgery, shots and spec."""

import io
import json
import random
import re
from collections import Counter
from html import escape, unescape
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from fastapi import Request
from fastapi.responses import JSONResponse
from playwright.sync_api import expect
from starlette.testclient import TestClient

from large import fill
from plans import config_of, result_of, score_of, spec_of, trial_of
from queried import filled, planned, run
from search_spaces.plan import Plan
from service.api.summaries import Grouped, summarize_results
from service.store import Store
from service.web import table
from service.web.sections import differences
from service.web.table import shade
from service.web.words import signed
from trainers import Outcome
from trainers.data import sample
from trainers.data.shots import draw_from
from trainers.data.sources import open_data
from trainers.tasks import TASKS
from trainers.trial import DataReference
from web_window import Window

FEW = ("de", "hi", "ar", "ja", "tl")


@pytest.fixture
def done(sqlite_store: Store) -> str:
    """An experiment that is over, with a search and surgery."""
    return fill(sqlite_store, "succeeded", FEW)


def lines(text: str) -> list[str]:
    """The codes of the languages of a table, in their order."""
    return re.findall(r'<tr><th scope="row"[^>]*><span class="code">(\w+)</span>', text)


def test_cells_are_the_means_that_the_interface_gives(pages: TestClient, sqlite_store: Store) -> None:
    id_ = filled(sqlite_store, range(1, 4))
    text = pages.get(f"/experiments/{id_}/table").text
    rows = pages.get(f"/v1/results/summary?by=method,k,candidate,language&experiment={id_}").json()["summary"]
    assert len(rows) == 3 * 4
    for row in rows:
        assert f"{row['mean']:.1f} <small>± {row['sd']:.1f}</small>" in text
    [naive] = [row for row in rows if (row["method"], row["language"]) == ("naive-mix-train", "de")]
    [zero] = [row for row in rows if (row["method"], row["language"]) == ("zero-shot", "de")]
    gain = f"{naive['mean'] - zero['mean']:+.1f}".replace("-", "−")
    assert f"{gain} over zero-shot, n = 3" in text
    gains = pages.get(f"/experiments/{id_}/table?show=gains").text
    assert f">{gain}</td>" in gains
    assert ">+0.0<" not in gains  # of zero-shot there are scores
    assert "What test scores" in gains
    assert "What test scores" not in text
    assert (signed(-0.04), signed(0.04), signed(-0.06)) == ("+0.0", "+0.0", "−0.1")


def test_of_an_experiment_that_has_succeeded_a_section_is_computed_once(
    pages: TestClient, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    over, running = fill(sqlite_store, "succeeded", FEW[:2]), fill(sqlite_store, "running", FEW[:3])
    asked = Counter[str]()

    def counted(request: Request, wanted: Grouped) -> JSONResponse:
        asked[wanted.experiment[0]] += 1  # type: ignore[attr-defined]  # a filter
        return summarize_results(request, wanted)

    monkeypatch.setattr(table, "summarize_results", counted)
    texts = {id_: pages.get(f"/experiments/{id_}/table").text for id_ in (over, running)}
    first = dict(asked)
    for id_, text in texts.items():
        assert pages.get(f"/experiments/{id_}/table").text == text
    assert asked == {over: first[over], running: 2 * first[running]}
    assert pages.get(f"/experiments/{over}/table?show=gains").text != texts[over]
    assert asked[over] == 2 * first[over]
    failed = fill(sqlite_store, "failed", FEW[:4])  # a trial that it lacks may be trained for another experiment
    for _ in range(2):
        pages.get(f"/experiments/{failed}/table")
    assert asked[failed] == 2 * first[over]


@pytest.mark.parametrize(
    ("difference", "expected"),
    [(0.0, ""), (0.9, ""), (1.0, "gain-1"), (-3.5, "loss-2"), (7.0, "gain-3"), (-40.0, "loss-4")],
)
def test_differences_are_shaded_in_steps(difference: float, expected: str) -> None:
    assert shade(difference) == expected


def test_the_table_is_sorted_as_the_address_says(pages: TestClient, done: str) -> None:
    table = f"/experiments/{done}/table"
    assert lines(pages.get(table).text) == ["en", "ar", "de", "hi", "ja", "tl"]
    by_family = pages.get(f"{table}?sort=family").text
    families = re.findall(r'<th scope="rowgroup"[^>]*>([^<]+)</th>', by_family)
    assert families == sorted(families)
    assert {"IE: Germanic", "Japonic"} <= set(families)
    by_gain = lines(pages.get(f"{table}?sort=gain").text)
    assert by_gain[0] in ("ja", "ar")
    assert by_gain[-1] in ("tl", "en")
    assert 'hx-get="/experiments/' in by_family
    assert f"/experiments/{done}/table?sort=family" in pages.get(f"/experiments/{done}?sort=family").text


def test_of_a_large_search_the_chosen_candidates_stand_in_the_table(pages: TestClient, done: str) -> None:
    text = pages.get(f"/experiments/{done}/table").text
    chosen = pages.get(f"/v1/experiments/{done}/sweep").json()["chosen"]
    assert len(chosen) == 3
    heads = re.findall(r"gradient-mix-train <small>([^<]+)</small></th>", text)
    assert sorted(heads) == sorted(one["candidate"] for one in chosen)


def test_the_papers_figures_stand_beside_with_what_differs(pages: TestClient, done: str) -> None:
    text = pages.get(f"/experiments/{done}/table?published=true").text
    assert "Not as in the paper: " in text
    rows = pages.get(f"/v1/results/summary?by=method,k,candidate,language&published=true&experiment={done}").json()
    [known] = [row for row in rows["summary"] if (row["method"], row["language"]) == ("zero-shot", "de")]
    assert f'<small class="paper">{known["published"]:.1f}</small>' in text
    assert 'class="paper"' not in pages.get(f"/experiments/{done}/table").text


def test_a_search_says_what_it_chose_and_what_that_is_worth(pages: TestClient, done: str) -> None:
    text = pages.get(f"/experiments/{done}/search").text
    found = pages.get(f"/v1/experiments/{done}/sweep").json()
    for one in found["chosen"]:
        assert f"K = {one['k']}, 5 targets: {one['candidate']}" in text
        for remark in one["remarks"]:
            assert remark in text
    assert text.count("<b>chosen</b>") == 3
    assert text.count('<th scope="row"') == len(found["candidates"])


def test_surgery_is_told_by_language(pages: TestClient, done: str, sqlite_store: Store) -> None:
    text = pages.get(f"/experiments/{done}/surgery").text
    assert lines(text) == sorted(FEW)
    data = pages.get(f"/v1/reports/conflicts-by-language?experiment={done}").json()["data"]
    [row] = [row for row in data if row["language"] == "ja" and row["k"] == 5 and row["alpha"] == 0.5]
    assert (row["n"], row["operations"]) == (5, 1000)
    assert 30 < row["mean"] < 75
    without = sqlite_store.experiments.add(spec_of(), None)
    assert "None of its methods operates" in pages.get(f"/experiments/{without}/surgery").text


def test_all_scores_can_be_taken_along(pages: TestClient, done: str) -> None:
    text = pages.get(f"/experiments/{done}/table").text
    addresses = [unescape(one) for one in re.findall(r'href="(/v1/[^"]+)" download', text)]
    answers = [pages.get(address) for address in addresses]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    means, scores, whole = answers
    assert means.text.startswith("language,method,k,candidate,")
    assert scores.text.count("\n") > 1000
    assert pq.read_table(io.BytesIO(whole.content)).num_rows == scores.text.count("\n") - 1


@pytest.mark.parametrize("section", ["curves", "search", "surgery"])
def test_what_a_chart_offers_is_what_it_shows(pages: TestClient, done: str, section: str) -> None:
    text = pages.get(f"/experiments/{done}/{section}").text
    drawn = [json.loads(one) for one in re.findall(r'<script type="application/json">(.*?)</script>', text)]
    queries = [unescape(one) for one in re.findall(r'href="/v1/reports/([^"]+)&amp;format=csv"', text)]
    assert len(drawn) == len(queries) == {"curves": 2, "search": 1, "surgery": 1}[section]
    for chart, query in zip(drawn, queries, strict=True):
        for form in ("csv", "svg"):
            assert pages.get(f"/v1/reports/{query}&format={form}").status_code == 200, (query, form)
        assert pages.get(f"/v1/reports/{query}&format=vega-lite").json() == chart
        assert f'<noscript><img src="/v1/reports/{escape(query)}&amp;format=svg"' in text
    for address in re.findall(r'href="(/reports\?[^"]+)"', text):
        report = pages.get(unescape(address)).text
        assert '<table class="shaded">' in report
        assert "cannot be made" not in report


def test_all_reports_of_a_search_are_of_what_it_chose(pages: TestClient, done: str) -> None:
    [address] = re.findall(r'href="(/reports\?[^"]+)"', pages.get(f"/experiments/{done}/table").text)
    assert '<table class="shaded">' in pages.get(f"{unescape(address)}&report=table-1").text
    refused = pages.get(f"/reports?experiment={done}&report=table-1").text
    assert "cannot be made of these results" in refused
    [remedy] = re.findall(r'href="([^"]+)">Show the chosen candidates alone', refused)
    assert '<table class="shaded">' in pages.get(unescape(remedy)).text


def shots_of(store: Store, tmp_path: Path, digest: str | None = None) -> str:
    """An experiment with a training on shots of the sample's Arabic and German; a digest if it is another one."""
    plan, config, drawn = Plan(), config_of("mix-FT", target_languages=("ar", "de")), {}
    plan.add(trial_of(config, evaluate={"ar": "test"}))
    plan.results.append(result_of(config, "ar"))
    id_ = store.experiments.add(spec_of(methods=["mix-FT"], target_languages=["ar", "de"]), plan)
    data = open_data(DataReference("sample"), "ner", tmp_path)
    for language in ("ar", "de"):
        found = draw_from(data, TASKS["ner"], language, "train", 5, 1)
        places = list(found.indices)
        drawn[language] = {"split": "train", "indices": places, "ids": places, "digest": digest or found.digest}
    attempt = store.trials.started(id_, config.digest)
    facts = {"shots": drawn}
    outcome = Outcome(selected={"source-dev": 10}, scores=(score_of("ar", 50.0),), facts=facts)
    store.trials.succeeded(config.digest, attempt, outcome)
    return id_


def test_shots_are_read_as_they_were_drawn(pages: TestClient, sqlite_store: Store, tmp_path: Path) -> None:
    id_ = shots_of(sqlite_store, tmp_path)
    answer = pages.get(f"/v1/experiments/{id_}/shots/examples?language=ar&k=5&seed=1").json()["shots"]
    [drawn] = [one for one in pages.get(f"/v1/experiments/{id_}/shots").json()["shots"] if one["language"] == "ar"]
    examples = sample.examples("ner", "ar", "train")
    assert [one["examples"] for one in answer] == [[examples[place] for place in drawn["indices"]]]
    text = pages.get(f"/experiments/{id_}/shots?language=ar").text
    assert text.count('<p dir="auto" class="tokens">') == 5
    for example in answer[0]["examples"]:
        assert all(token in text for token in example["tokens"])
    for path, status in {"language=hi": 404, "language=ar&k=1": 404, "language=a%20b": 422, "k=5": 422}.items():
        assert pages.get(f"/v1/experiments/{id_}/shots/examples?{path}").status_code == status, path


def test_shots_of_other_data_are_not_shown(pages: TestClient, sqlite_store: Store, tmp_path: Path) -> None:
    id_ = shots_of(sqlite_store, tmp_path, digest="of other data")
    assert pages.get(f"/v1/experiments/{id_}/shots/examples?language=ar").status_code == 409
    text = pages.get(f"/experiments/{id_}/shots?language=ar").text
    assert "the data are not those that these shots were drawn from" in text
    assert 'class="tokens"' not in text


def test_a_spec_is_compared_with_the_nearest_preset_or_what_is_named(pages: TestClient, sqlite_store: Store) -> None:
    id_ = filled(sqlite_store, range(1, 2))
    other = sqlite_store.experiments.add(spec_of(name="other", k=[1, 5], training={"epochs": 7}), None)
    assert "the nearest preset" in pages.get(f"/experiments/{id_}/spec").text
    assert "the preset table-1-ner" in pages.get(f"/experiments/{id_}/spec?against=table-1-ner").text
    text = pages.get(f"/experiments/{id_}/spec?against={other}").text
    fields = re.findall(r'<tr><th scope="row" class="code">([^<]+)</th>', text)
    assert fields == ["k", "training.epochs"]
    assert "does not differ from" in pages.get(f"/experiments/{id_}/spec?against={id_}").text
    assert "there is no experiment with this id" in pages.get(f"/experiments/{id_}/spec?against=nothing").text


def test_differences_are_those_of_any_two_objects() -> None:
    chance = random.Random(1)
    for _ in range(200):
        one, other = ({name: chance.choice([1, 2, None, {"x": chance.choice([1, 2])}]) for name in "abc"} for _ in "12")
        found = differences(one, other)
        assert (found == []) == (one == other)
        for path, ours, theirs in found:
            name, _, part = path.partition(".")
            assert (ours, theirs) == ((one[name], other[name]) if not part else (one[name][part], other[name][part]))
            assert ours != theirs


@pytest.mark.service
def test_sections_open_in_the_page(window: Window, done: str) -> None:
    page = window.page
    page.goto(f"{window.address}/experiments/{done}")
    page.locator("#table").scroll_into_view_if_needed()
    table = page.get_by_role("table", name="Test scores by language and method")
    expect(table).to_be_visible()
    page.get_by_role("link", name="gain", exact=True).click()
    expect(page.get_by_text("adds to zero-shot")).to_be_visible()
    expect(page).to_have_url(re.compile(r"\?sort=gain$"))
    for name, words in {
        "Curves over epochs": "Dev scores over epochs", "What the search chose": "Candidates are compared by",
        "Gradient surgery": "Conflicts over training", "Shots": "No trial that was trained on shots",
        "Spec": "In what it differs from the nearest preset",
    }.items():  # fmt: skip
        page.get_by_role("heading", name=name, exact=True).click()
        expect(page.get_by_text(words).first).to_be_visible(timeout=15_000)
    expect(table).to_be_visible()
    expect(page).to_have_title("Every method in 48 languages · allasprak")


@pytest.mark.service
def test_the_table_follows_the_scores_as_it_is_sorted(window: Window, sqlite_store: Store) -> None:
    spec, plan = planned(range(1, 3))
    id_ = sqlite_store.experiments.add(spec, plan)
    sqlite_store.control.move(id_, "start")
    first, *others = sqlite_store.trials.outstanding(id_)
    run(sqlite_store, id_, first, random.Random(1))
    page = window.page
    page.goto(f"{window.address}/experiments/{id_}")
    page.locator("#table").get_by_role("link", name="family").click()
    cells, groups = page.locator("#table td.number", has_text="±"), page.locator("#table tr.group")
    expect(cells).to_have_count(0)
    expect(groups.first).to_be_visible()
    for digest in others:
        run(sqlite_store, id_, digest, random.Random(1))
    expect(cells).to_have_count(3 * 5, timeout=15_000)  # four languages and the mean
    expect(groups.first).to_be_visible()
