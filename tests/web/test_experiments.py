"""The list of experiments: what a row says, searching and sorting, and that a page stays up to date."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from playwright.sync_api import Browser, Route, expect
from starlette.testclient import TestClient

from plans import config_of, result_of, score_of, spec_of, trial_of
from queried import filled
from search_spaces.plan import Plan
from service.store import Store
from service.web.words import hours
from trainers import Outcome
from web_window import Window


def rows(text: str) -> list[str]:
    """The ids of the rows of a page."""
    return re.findall(r'<tr id="of-(\w+)">', text)


def test_a_row_says_what_the_experiment_is_and_what_it_has_found(pages: TestClient, sqlite_store: Store) -> None:
    id_ = filled(sqlite_store, range(1, 3))
    text = pages.get("/").text
    assert rows(text) == [id_]
    assert f'hx-get="/experiments/{id_}/line"' in text
    means = pages.get("/v1/results/summary?by=method,k").json()["summary"]  # all methods have the same languages
    best = max(means, key=lambda one: one["mean"])
    [zero_shot] = [one for one in means if one["method"] == "zero-shot"]
    line = " ".join(re.sub("<[^>]+>", "", pages.get(f"/experiments/{id_}/line").text).split())
    gain = f"{best['mean'] - zero_shot['mean']:+.1f}".replace("-", "−")
    assert line.startswith(f"{best['mean']:.1f} ± {best['sd']:.1f} {best['method']}")
    assert line.endswith(f"{gain} over zero-shot")
    assert f"<b>{best['mean']:.1f}</b>" in pages.get("/").text  # it is known now


def test_of_equal_methods_the_simplest_is_the_best(pages: TestClient, sqlite_store: Store) -> None:
    plan = Plan()
    for method in ("gradient-mix-train", "naive-mix-train", "zero-shot"):
        targets = () if method == "zero-shot" else ("de", "hi")
        config = config_of(method, alpha=1.0 if method == "gradient-mix-train" else None, target_languages=targets)
        plan.add(trial_of(config, evaluate={"de": "test"}))
        plan.results.append(result_of(config, "de"))
    id_ = sqlite_store.experiments.add(spec_of(), plan)
    for digest, trial in sqlite_store.trials.outstanding(id_).items():
        attempt = sqlite_store.trials.started(id_, digest)
        value = 49.98 if trial.config.method == "zero-shot" else 50.0
        scores = (score_of("de", value),)
        sqlite_store.trials.succeeded(digest, attempt, Outcome(selected={"source-dev": 10}, scores=scores, facts={}))
    line = pages.get(f"/experiments/{id_}/line").text
    assert '<span class="method">naive-mix-train, K = 5</span>' in line
    assert '<span class="">+0.0</span> over zero-shot' in line  # no gain that is seen
    table = pages.get(f"/experiments/{id_}/table").text
    assert re.findall(r'<th scope="col" class="[^"]*best">([\w-]+)', table) == ["naive-mix-train"]


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>", "ner أ 中"])
def test_names_are_text(pages: TestClient, sqlite_store: Store, name: str) -> None:
    sqlite_store.experiments.add(spec_of(name=name, tags=[name], owner=name), None)
    text = pages.get("/").text
    assert "<script>alert" not in text
    assert "<img" not in text
    assert "ner أ 中" in text or "&lt;" in text or "&#34;" in text


def test_search_filters_and_order_are_in_the_address(pages: TestClient, sqlite_store: Store) -> None:
    ids = {
        name: sqlite_store.experiments.add(spec_of(name=name, tags=["all"]), None) for name in ("one", "two", "three")
    }
    assert rows(pages.get("/?search=TW").text) == [ids["two"]]
    assert rows(pages.get("/?sort=name").text) == [ids["one"], ids["three"], ids["two"]]
    assert rows(pages.get("/?tags=all&state=queued&sort=-name").text) == [ids["two"], ids["three"], ids["one"]]
    assert rows(pages.get("/?state=failed").text) == []
    assert "no experiment has &#39;nobody&#39;" in pages.get("/?owner=nobody").text


@pytest.mark.parametrize("path", ["/", "/compare", "/reports"])
def test_fields_that_are_left_empty_are_not_in_the_address(pages: TestClient, path: str) -> None:
    asked = {"/": "search=&state=queued&task=", "/compare": "metric=&unit=seeds", "/reports": "report=&task=ner"}[path]
    answer = pages.get(f"{path}?{asked}", headers={"HX-Request": "true"})
    kept = [one for one in asked.split("&") if not one.endswith("=")]
    assert answer.headers["hx-replace-url"] == f"{path}?{'&'.join(kept)}"
    again = pages.get(answer.headers["hx-replace-url"], headers={"HX-Request": "true"})
    assert "hx-replace-url" not in again.headers  # nor is the address of what is asked for by itself that of the page
    addresses = re.findall(r'(?:href|hx-get)="(/\?[^"]*)"', pages.get("/?search=&state=queued&task=").text)
    assert addresses
    assert not any(re.search(r"=(&|$)", unescape(one)) for one in addresses)


def test_pages_of_a_long_list_lead_to_each_other(pages: TestClient, sqlite_store: Store) -> None:
    ids = [sqlite_store.experiments.add(spec_of(name=f"{n:03}"), None) for n in range(120)]
    found, address = [], "/?sort=-name"
    while address:
        text = pages.get(address).text
        found += rows(text)
        following = re.search(r'rel="next" href="([^"]+)"', text)
        address = following[1].replace("&amp;", "&") if following else ""
    assert found == ids[::-1]
    assert 'href="/?sort=-name">First page</a>' in text
    assert "First page" not in pages.get("/").text


@pytest.mark.parametrize("path", ["/?limit=x", "/?sort=nonsense", "/?color=red", "/?cursor=x"])
def test_a_request_that_is_refused_is_told_why_on_a_page(pages: TestClient, path: str) -> None:
    answer = pages.get(path)
    assert answer.status_code in (200, 422)
    assert answer.headers["content-type"].startswith("text/html")
    assert path[2:].partition("=")[0] in answer.text or "is unknown" in answer.text


def test_a_page_loads_only_files_of_the_service_under_a_strict_policy(pages: TestClient) -> None:
    answer = pages.get("/")
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    addresses = re.findall(r'(?:src|href)="(/static/[^"]+)"', answer.text)
    assert len(addresses) >= 4
    for address in addresses:
        found = pages.get(address)
        assert found.status_code == 200, address
        assert "immutable" in found.headers["cache-control"]
    assert pages.get("/static/../rendering.py").status_code == 404
    assert pages.get("/static/none.js").status_code == 404


def test_an_owner_and_tags_lead_to_what_else_is_theirs(pages: TestClient, sqlite_store: Store) -> None:
    mine = sqlite_store.experiments.add(spec_of(owner="Ana & Bo", tags=["a b"]), None)
    sqlite_store.experiments.add(spec_of(), None)
    text = pages.get("/?sort=name").text
    for name in ("owner", "tags"):
        [address] = re.findall(rf'href="(/\?[^"]*{name}=[^"]*)"', text)
        assert rows(pages.get(unescape(address)).text) == [mine]
    assert "0 %</span>" in text


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "–"), (0.0, "0"), (0.0002, "< 0.001"), (0.042, "0.042"), (3.14, "3.1"), (31.4, "31.4"), (1234.0, "1,234")],
)
def test_hours_have_two_or_three_digits(value: float | None, words: str) -> None:
    assert hours(value) == words


def test_groups_are_of_the_same_tags(pages: TestClient, sqlite_store: Store) -> None:
    for name, tags in {"a": ["paper", "ner"], "b": [], "c": ["paper"], "d": ["paper", "ner"]}.items():
        sqlite_store.experiments.add(spec_of(name=name, tags=tags), None)

    def listed(query: str) -> list[str]:
        text = pages.get(f"/{query}").text
        return re.findall(r'scope="rowgroup" colspan="12"><bdi>([^<]+)<|<a href="/experiments/\w+">(\w)</a>', text)

    def words(query: str) -> list[str]:
        return ["".join(found) for found in listed(query)]

    assert words("") == ["d", "c", "b", "a"]
    assert words("?group=tags") == ["ner, paper", "d", "a", "paper", "c", "no tags", "b"]
    assert words("?group=tags&sort=name&tags=ner") == ["ner, paper", "a", "d"]
    assert pages.get("/?group=owner").status_code == 422


def test_what_is_chosen_stays_chosen_beside_what_is_listed(pages: TestClient, sqlite_store: Store) -> None:
    one, two, three = (sqlite_store.experiments.add(spec_of(name=name), None) for name in ("one", "<two>", "three"))

    def chosen(query: str) -> list[str]:
        text = pages.get(f"/?{query}").text
        return re.findall(r'name="experiment" value="(\w+)"[^>]* checked>', text)

    assert chosen(f"sort=name&experiment={one}&experiment={three}") == [one, three]
    asked = f"search=thre&experiment={two}&experiment={three}&experiment={two}&experiment=gone"
    assert chosen(asked) == [three, two]
    text = pages.get(f"/?{asked}").text
    assert rows(text) == [three]
    assert "<bdi>&lt;two&gt;</bdi></label>" in text
    links = [unescape(link) for link in re.findall(r'href="(/\?[^"]+sort=[^"]+)"', text)]
    assert links
    assert all(f"experiment={two}&experiment={three}" in link for link in links)
    assert '<a href="/?search=thre">Choose none</a>' in text
    assert chosen(f"search=nothing&experiment={two}") == [two]


@pytest.mark.service
def test_a_choice_outlives_a_search_and_is_compared(window: Window, sqlite_store: Store) -> None:
    ids = {name: filled(sqlite_store, range(1, 2 + n)) for n, name in enumerate(("a", "b", "c"))}
    page = window.page
    page.goto(window.address)
    page.locator(f"#of-{ids['a']}").get_by_role("checkbox").check()
    expect(page).to_have_url(re.compile(f"experiment={ids['a']}"))
    page.get_by_label("Search").fill(ids["b"])
    expect(page.locator("tbody tr")).to_have_count(1)
    page.locator(f"#of-{ids['b']}").get_by_role("checkbox").check()
    expect(page).to_have_url(re.compile(f"experiment={ids['b']}"))
    expect(page.locator(f"#chosen-{ids['a']} input")).to_be_checked()
    page.get_by_label("Search").fill("")
    expect(page.locator("tbody tr")).to_have_count(3)
    for name, is_chosen in {"a": True, "b": True, "c": False}.items():
        expect(page.locator(f"#of-{ids[name]}").get_by_role("checkbox")).to_be_checked(checked=is_chosen)
    page.reload()
    page.get_by_role("button", name="Compare the chosen").click()
    expect(page).to_have_url(re.compile(r"/compare\?"))
    assert sorted(re.findall(r"experiment=(\w+)", page.url)) == sorted([ids["a"], ids["b"]])


@pytest.mark.service
def test_searching_as_one_types_and_a_state_that_changes(window: Window, sqlite_store: Store) -> None:
    ids: dict[str, Any] = {name: sqlite_store.experiments.add(spec_of(name=name), None) for name in ("alpha", "beta")}
    window.page.goto(window.address)
    table = window.page.get_by_role("table")
    expect(table.get_by_role("link", name="alpha")).to_be_visible()
    window.page.get_by_label("Search").fill("bet")
    expect(table.get_by_role("link", name="alpha")).to_be_hidden()
    expect(window.page).to_have_url(re.compile("search=bet"))
    window.page.get_by_role("checkbox", name="Choose beta").check()
    sqlite_store.control.move(ids["beta"], "cancel", "no longer needed")
    expect(table.get_by_text("cancelled")).to_be_visible(timeout=15_000)
    expect(window.page.get_by_role("checkbox", name="Choose beta")).to_be_checked()


@pytest.mark.service
def test_a_list_that_is_asked_for_is_dimmed_until_it_comes(window: Window, sqlite_store: Store) -> None:
    sqlite_store.experiments.add(spec_of(name="alpha"), None)
    page = window.page
    page.goto(window.address)
    held: list[Route] = []
    page.route("**/?search=*", lambda route: held.append(route))
    page.get_by_role("searchbox").fill("alp")
    expect(page.locator("#list")).to_have_css("opacity", "0.45", timeout=15_000)
    for route in held:
        route.continue_()
    expect(page.locator("#list")).to_have_css("opacity", "1", timeout=15_000)
    expect(page).to_have_url(re.compile(r"/\?search=alp&sort=-created$"))


@pytest.mark.service
def test_times_are_those_of_the_reader(window: Window, browser: Browser, sqlite_store: Store) -> None:
    id_ = sqlite_store.experiments.add(spec_of(), None)
    found = sqlite_store.experiments.one(id_)
    assert found is not None
    utc = datetime.fromtimestamp(found.created, UTC)
    with browser.new_context(timezone_id="Asia/Kolkata") as context:
        page = context.new_page()
        page.goto(window.address)
        time = page.locator(f"#of-{id_} time")
        expect(time).to_have_text((utc + timedelta(hours=5, minutes=30)).strftime("%Y-%m-%d %H:%M"))
        sqlite_store.control.move(id_, "cancel")
        expect(page.get_by_text("cancelled", exact=True).last).to_be_visible(timeout=15_000)
        expect(time).not_to_contain_text("UTC")
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(window.address)
        expect(page.locator(f"#of-{id_} time")).to_have_text(utc.strftime("%Y-%m-%d %H:%M UTC"))


@pytest.mark.service
@pytest.mark.parametrize("width", [390, 1400])
def test_what_an_experiment_has_found_is_in_the_window(window: Window, sqlite_store: Store, width: int) -> None:
    id_ = filled(sqlite_store, range(1, 3))
    of = {"methods": ["zero-shot", "ord-FS", "mix-FT", "naive-mix-train", "gradient-mix-train"], "tags": ["paper"] * 3}
    sqlite_store.experiments.add(spec_of(name="a_name_without_blanks" * 3, owner="o" * 60, **of), None)
    window.page.set_viewport_size({"width": width, "height": 900})
    window.page.goto(window.address)
    line = window.page.locator(f"#of-{id_} .line")
    expect(line).to_contain_text("over zero-shot", timeout=15_000)
    box = line.bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= width
