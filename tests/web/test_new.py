"""The page of a new experiment: form and JSON say the same, what is wrong stands at its field, the plan follows."""

import asyncio
import html
import json
import re
import time
from typing import Any

import pytest
from markupsafe import escape
from playwright.sync_api import expect
from starlette.testclient import TestClient

from plans import spec_of
from search_spaces.presets import names, preset
from service.store import Store
from service.web import rendering
from service.web.forms import as_json
from web_window import Window

HTMX = {"HX-Request": "true"}
SMALL = {**preset("sample"), "methods": ["zero-shot", "gradient-mix-train"], "target_languages": ["de"]}


def source(text: str) -> dict[str, Any]:
    """What the JSON of a page says."""
    [found] = re.findall(r'<textarea id="spec"[^>]*>\n(.*?)</textarea>', text, re.DOTALL)
    return dict(json.loads(html.unescape(found)))


def checked(text: str, name: str) -> list[str]:
    """The values of a page's boxes of a name that are checked."""
    return re.findall(rf'<input type="(?:checkbox|radio)" name="{name}" value="([^"]*)" checked>', text)


def wrong(text: str) -> dict[str, str]:
    """What a page says is wrong, by field."""
    found = re.findall(r'<p id="wrong-([\w-]+)" class="amiss"[^>]*>([^<]+)</p>', text)
    return {field: html.unescape(words) for field, words in found}


@pytest.mark.parametrize("name", names())
def test_a_preset_is_filled_in(pages: TestClient, name: str) -> None:
    answer = pages.get("/new", params={"preset": name})
    assert answer.status_code == 200
    given = preset(name)
    found = source(answer.text)
    assert (
        found["methods"]
        == given["methods"]
        == [one for one in given["methods"] if one in checked(answer.text, "methods")]
    )
    assert found["k"] == given["k"]
    targets = given["target_languages"]
    assert checked(answer.text, "target_languages:form") == ["all" if targets == "all" else "list"]
    assert set(checked(answer.text, "target_languages")) == (set() if targets == "all" else set(targets))


def test_an_earlier_experiment_is_filled_in(pages: TestClient, sqlite_store: Store) -> None:
    id_ = sqlite_store.experiments.add(spec_of(name="earlier", k=[3], alpha={"grid": [0, 1]}), None)
    text = pages.get("/new", params={"from": id_}).text
    found = source(text)
    assert (found["name"], found["k"], found["alpha"]) == ("earlier", [3], {"grid": [0, 1]})
    assert checked(text, "alpha:form") == ["grid"]


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [("preset=none", 422, "is not one of them"), ("from=0123456789ab", 404, "no experiment"), ("x=1", 422, "no such")],
)
def test_what_there_is_not_is_refused(pages: TestClient, query: str, status: int, words: str) -> None:
    answer = pages.get(f"/new?{query}")
    assert answer.status_code == status
    assert words in answer.text


def test_each_method_and_language_is_offered_with_its_words(pages: TestClient) -> None:
    text = pages.get("/new").text
    for one in pages.get("/v1/methods").json()["methods"]:
        assert f'name="methods" value="{one["method"]}"' in text
        assert escape(one["description"].replace("`", "")) in text
        assert "ONE" not in one["description"]
        assert 10 < len(one["description"]) < 200
    for one in pages.get("/v1/languages").json()["languages"]:
        assert f'name="target_languages" value="{one["language"]}"' in text


def test_a_form_asks_in_words_for_people(pages: TestClient) -> None:
    """JSON has null where a field of a form is left empty."""
    text = pages.get("/new").text
    said = re.findall(r'(?:<p class="hint">|<small class="inputs">)([^<]*)<', text)
    assert any("or empty for all" in one for one in said)
    assert [one for one in said if re.search(r"\bnull\b", one)] == []
    answer = pages.post("/new/plan", data={"spec": json.dumps({**SMALL, "k": ["abc"]})}, headers=HTMX)
    assert wrong(answer.text)["k"].startswith(
        "'abc' should be a whole number; allowed: a list of distinct whole numbers"
    )


def test_fields_become_json(pages: TestClient) -> None:
    filled = {
        "name": "mine", "task": "ner", "encoder": "e", "data:form": "dataset", "data.dataset.dataset": "d",
        "target_languages:form": "list", "target_languages": ["de", "hi", "xx, yy"], "methods": ["mix-FT", "zero-shot"],
        "k": "1 5", "seeds": "1,2", "alpha:form": "uniform", "alpha.uniform.uniform": "0, 1",
        "alpha.uniform.samples": "3", "training.precision": "bf16", "source_language": "en",
    }  # fmt: skip
    answer = pages.post("/new/fields", data=filled, headers=HTMX)
    assert answer.headers["hx-trigger"] == "spec"
    assert source(answer.text) == {
        "name": "mine", "task": "ner", "encoder": "e", "data": {"dataset": "d"},
        "target_languages": ["de", "hi", "xx", "yy"], "methods": ["mix-FT", "zero-shot"], "k": [1, 5], "seeds": [1, 2],
        "alpha": {"uniform": [0, 1], "samples": 3}, "training": {"precision": "bf16"},
    }  # fmt: skip


def test_json_becomes_fields(pages: TestClient) -> None:
    given = {**SMALL, "methods": ["ord-FS", "nonsense"], "target_languages": ["de", "xx"], "colour": "red"}
    answer = pages.post("/new/source", data={"spec": json.dumps(given)}, headers=HTMX)
    assert answer.headers["hx-trigger"] == "spec"
    assert checked(answer.text, "methods") == ["ord-FS", "nonsense"]
    assert checked(answer.text, "target_languages") == ["de"]
    assert 'name="target_languages" value="xx"' in answer.text


@pytest.mark.parametrize("text", ["{", "[]", "null", "[" * 100_000, '{"a": }'])
def test_what_is_no_json_object_is_said_and_the_fields_stay(pages: TestClient, text: str) -> None:
    answer = pages.post("/new/source", data={"spec": text}, headers=HTMX)
    assert "hx-trigger" not in answer.headers
    assert "JSON" in wrong(answer.text)["source"]
    assert 'id="sections"' not in answer.text


def test_what_is_wrong_stands_at_its_field_in_the_words_of_the_rest_interface(pages: TestClient) -> None:
    given = {
        **SMALL,
        "k": [0],
        "training": {"epochs": -1},
        "search": {"searcher": {"name": "tpe"}},
        "encoder": "none/there",
    }
    [*said] = pages.post("/v1/plans", json=given).json()["errors"]
    text = pages.post("/new/plan", data={"spec": json.dumps(given)}, headers=HTMX).text
    found = wrong(text)
    for one in said:
        assert escape(one["message"]) in text
    assert "greater than or equal to 1" in found["k"]
    assert found["training-epochs"].startswith("-1")
    assert found["search-searcher"].startswith("samples: Field required")


def test_the_plan_is_that_of_the_rest_interface(pages: TestClient) -> None:
    planned = pages.post("/v1/plans", json=SMALL).json()
    text = pages.post("/new/plan", data={"spec": json.dumps(SMALL)}, headers=HTMX).text
    assert wrong(text) == {}
    assert re.findall(r"<dt>Trials</dt><dd><b>(\d+)</b>", text) == [str(planned["trials"])]
    assert f"{planned['device']}-hours" in text
    rows = re.findall(
        r'<th scope="row">([\w+-]+)</th><td class="number">[\d–]+</td><td class="number">(\d+)</td>', text
    )
    assert rows == [(one["method"], str(one["trials"])) for one in planned["by_method"]]


def test_submitting_is_submitting_to_the_rest_interface_once(pages: TestClient) -> None:
    text = pages.get("/new").text
    [token] = set(re.findall(r'name="token" value="(\w+)"', text))
    form = {"spec": as_json({**SMALL, "name": "from a page"}), "token": token}
    answers = [pages.post("/new", data=form, follow_redirects=False) for _ in range(2)]
    assert [one.status_code for one in answers] == [303, 303]
    [address] = {one.headers["location"] for one in answers}
    found = pages.get(f"/v1{address}").json()
    assert (found["name"], found["spec"]["methods"]) == ("from a page", SMALL["methods"])
    other = pages.post("/new", data={**form, "spec": as_json(SMALL)}, follow_redirects=False)
    assert other.status_code == 303
    assert other.headers["location"] != address


def test_what_is_refused_is_shown_again_and_nothing_is_stored(pages: TestClient, sqlite_store: Store) -> None:
    given = {**SMALL, "k": ["</textarea><script>alert(1)</script>"], "colour": "red"}
    answer = pages.post("/new", data={"spec": as_json(given)})
    assert answer.status_code == 422
    assert source(answer.text) == given
    assert "there is no such field" in answer.text
    assert "<script>alert" not in answer.text
    assert sqlite_store.experiments.page(limit=10)[0] == []


def test_it_works_without_scripts(pages: TestClient) -> None:
    text = pages.post("/new/source", data={"spec": as_json({**SMALL, "k": [7]})}).text
    assert 'name="k" value="7"' in text
    text = pages.post("/new/fields", data={"task": "pos", "k": "2"}).text
    assert source(text)["task"] == "pos"
    text = pages.post("/new/plan", data={"spec": as_json(SMALL)}).text
    assert "<dt>Trials</dt>" in text
    assert text.startswith("<!doctype html>")


def test_without_scripts_each_form_submits_what_it_says(pages: TestClient, sqlite_store: Store) -> None:
    """Fields that had been filled in were passed over: the one Submit took the JSON, which said something else."""
    text = pages.get("/new").text
    assert 'form="source"' not in text  # a button of one form that stands beside the other
    forms = dict(re.findall(r'<form id="(\w+)"(.*?)</form>', text, re.DOTALL))
    for name, words in {"fields": "Submit these fields", "source": "Submit this JSON"}.items():
        assert re.search(rf"<noscript>.*{words}</button>", forms[name])
        assert 'name="token"' in forms[name]
    given = {"task": "ner", "encoder": SMALL["encoder"], "data:form": "sample", "methods": "ord-FS", "seeds": "1",
             "target_languages:form": "list", "target_languages": "de", "name": "typed"}  # fmt: skip
    wrong_k = pages.post("/new", data={**given, "k": "abc", "token": "a1"})
    assert (wrong_k.status_code, "k" in wrong(wrong_k.text)) == (422, True)
    assert sqlite_store.experiments.page(limit=10)[0] == []
    assert "<dt>Trials</dt>" in pages.post("/new/plan", data={**given, "k": "7"}).text
    made = [pages.post("/new", data={**given, "k": "7", "token": "a1"}, follow_redirects=False) for _ in range(2)]
    [address] = {one.headers["location"] for one in made}
    found = pages.get(f"/v1{address}").json()
    assert (found["name"], found["spec"]["k"], found["spec"]["target_languages"]) == ("typed", [7], ["de"])


@pytest.mark.parametrize("path", ["/new", "/new/fields", "/new/source", "/new/plan"])
def test_pages_are_made_beside_the_event_loop(pages: TestClient, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """A page of a megabyte takes seconds, in which /healthz has to be answered."""
    in_loop: list[bool] = []

    def watched(*given: Any, made: Any = rendering.filled_in, **values: Any) -> Any:
        in_loop.append(asyncio._get_running_loop() is not None)
        return made(*given, **values)

    monkeypatch.setattr(rendering, "filled_in", watched)
    assert pages.post(path, data={"spec": "{}"}).status_code in (200, 422)
    assert in_loop == [False]


def test_a_long_list_of_methods_is_shown_in_the_time_of_its_length(pages: TestClient) -> None:
    """Each was looked for among all: 55,000 of a megabyte took a minute."""
    given = {**SMALL, "methods": [f"m{number}" for number in range(30_000)]}
    begin = time.process_time()
    answer = pages.post("/new/source", data={"spec": json.dumps(given)}, headers=HTMX)
    assert time.process_time() - begin < 10
    assert checked(answer.text, "methods") == given["methods"]


@pytest.mark.parametrize("path", ["/new", "/new/fields", "/new/source", "/new/plan", "/data"])
def test_more_inputs_than_a_form_has_are_refused(pages: TestClient, path: str) -> None:
    answer = pages.post(path, content="a=&" * 6000, headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert (answer.status_code, "more inputs than allowed" in answer.text) == (422, True)


@pytest.mark.parametrize("path", ["/new", "/new/fields", "/new/source", "/new/plan"])
def test_pages_elsewhere_cannot_submit(pages: TestClient, path: str) -> None:
    answer = pages.post(path, data={"spec": as_json(SMALL)}, headers={"Origin": "https://elsewhere.example"})
    assert answer.status_code == 403


@pytest.mark.service
def test_changing_a_preset_as_one_types_and_submitting_it(window: Window) -> None:
    page = window.page
    page.goto(f"{window.address}/new?preset=sample")
    plan = page.locator("#plan")
    expect(plan.get_by_text("CPU thread-hours")).to_be_visible(timeout=30_000)
    shots = page.get_by_label("K", exact=True)
    shots.fill("0")
    expect(page.locator("#wrong-k")).to_contain_text("greater than or equal to 1", timeout=15_000)
    expect(plan.get_by_text("1 field is wrong")).to_be_visible()
    shots.fill("2, 3")
    expect(page.locator("#wrong-k")).to_be_empty(timeout=15_000)
    text = page.get_by_label("The spec as JSON")
    expect(text).to_have_value(re.compile(re.escape('"k": [2, 3]')))
    page.get_by_role("checkbox", name="ord-FS Source").uncheck()
    expect(text).to_have_value(re.compile(r'"methods": \["zero-shot", "ord-FS\+dev"'))
    text.fill(text.input_value().replace('"ner, five shots"', '"typed"'))
    expect(page.get_by_label("Name", exact=True)).to_have_value("typed")
    text.fill("{")
    expect(page.locator("#wrong-source")).to_contain_text("not JSON")
    submit = page.get_by_role("button", name="Submit")
    expect(submit).to_be_disabled()
    text.fill(json.dumps({**SMALL, "name": "submitted"}))
    expect(submit).to_be_enabled(timeout=15_000)
    submit.click()
    expect(page).to_have_url(re.compile(r"/experiments/\w{12}$"))
    window.said.clear()  # what that page says is for its own tests
