"""The page of an experiment: what it says, the map of its trials, its buttons, and that it stays up to date."""

import random
import re
import time
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import expect
from sqlalchemy import update
from starlette.testclient import TestClient

from large import METHODS, fill
from plans import spec_of
from queried import filled, planned, run
from service.store import Store
from service.store.schema import attempts
from service.store.states import MoveName
from service.web.grid import MOST_SQUARES, grid, in_words
from service.web.words import left
from stored import ADAPTED, SOURCE, plan_of, priced, report_of, score
from web_window import Window

ORIGIN = {"Origin": "http://127.0.0.1"}

TRIAL = {
    "trial": "t", "method": "ord-FS", "k": 5, "seed": 1, "candidate": "", "target_languages": ["de"], "state": "queued",
    "reason": "", "reused": False, "epoch": 0, "epochs": 10, "loss": None, "attempts": 0,
}  # fmt: skip


def act(pages: TestClient, id_: str, action: str, **form: str) -> tuple[int, str]:
    """Press a button; returns the status and where the answer leads."""
    answer = pages.post(f"/experiments/{id_}/{action}", data=form, headers=ORIGIN, follow_redirects=False)
    return answer.status_code, answer.headers.get("location", "")


def buttons(text: str) -> list[str]:
    """The changes that a page offers."""
    return sorted(
        set(re.findall(r'/experiments/\w+/(pause|resume|cancel|retry|resubmit|priority|delete)(?:/ask)?"', text))
    )


def test_it_says_what_runs_and_what_has_failed(pages: TestClient, sqlite_store: Store) -> None:
    spec = spec_of(name="<b>x</b>", methods=["zero-shot", "ord-FS", "ord-FS+dev"], tags=["paper"], owner="Ana")
    id_ = sqlite_store.experiments.add(spec, plan_of())
    sqlite_store.control.move(id_, "start")
    sqlite_store.trials.started(id_, SOURCE.digest)
    sqlite_store.trials.reported(SOURCE.digest, 1, report_of(score("en", 41.5, "dev"), epoch=2))
    text = pages.get(f"/experiments/{id_}").text
    assert "&lt;b&gt;x&lt;/b&gt;" in text
    assert "<b>x</b>" not in text
    progress = pages.get(f"/v1/experiments/{id_}").json()["progress"]
    assert f"<title>{100 * progress:.0f} % &lt;b&gt;x&lt;/b&gt; · allasprak</title>" in text
    assert f'class="t running" href="/trials/{SOURCE.digest}" title="running, epoch 2 of 3, loss 1"' in text
    assert f'class="t queued" href="/trials/{ADAPTED.digest}" title="de, queued"' in text
    assert 'ord-FS <span class="faint">ord-FS+dev</span></th>' in text
    assert "epoch 2, en f1 41.5" in text
    assert "events?after=" in text
    sqlite_store.trials.failed(id_, SOURCE.digest, "no room for <it>")
    assert "zero-shot, seed 1</a>: no room for &lt;it&gt;" in pages.get(f"/experiments/{id_}").text


def test_what_is_left_is_never_nothing_while_trials_wait(pages: TestClient, sqlite_store: Store) -> None:
    plan = priced(plan_of(), {SOURCE.digest: 60.0, ADAPTED.digest: 30.0})
    id_ = sqlite_store.experiments.add(spec_of(methods=["zero-shot", "ord-FS"]), plan)
    sqlite_store.control.move(id_, "start")
    sqlite_store.trials.started(id_, SOURCE.digest)
    with sqlite_store._database.write() as connection:
        connection.execute(update(attempts).values(started=time.time() - 86_400))
    for path in ("/", f"/experiments/{id_}"):
        text = pages.get(path).text
        assert ">0 s<" not in text
        assert re.search(r"<(td|b)[^>]*>\d+ d( \d+ h)?</", text), path


def test_what_takes_longer_than_planned_says_so() -> None:
    now = datetime.now(UTC)
    said = [left((now + timedelta(seconds=seconds)).isoformat()) for seconds in (-86_400, -0.1, 0.4, 90.4)]
    assert said == ["longer than planned", "longer than planned", "1 s", "1 min 30 s"]
    assert left(None) is None


def test_of_one_that_failed_each_reason_is_said_once(pages: TestClient, sqlite_store: Store) -> None:
    id_ = sqlite_store.experiments.add(spec_of(methods=["zero-shot", "ord-FS"]), plan_of())
    sqlite_store.control.move(id_, "start")
    sqlite_store.trials.failed(id_, SOURCE.digest, "no room for <it>")
    sqlite_store.trials.failed(
        id_, ADAPTED.digest, f"the source training {SOURCE.digest}, which it starts from, failed"
    )
    reason = f"2 of 2 trials failed; the first, zero-shot {SOURCE.digest}: no room for <it>"
    sqlite_store.control.move(id_, "fail", reason)
    text = pages.get(f"/experiments/{id_}").text
    words = re.sub(r"<[^>]+>", "", text)
    assert words.count("no room for &lt;it&gt;") == 1
    linked = f'the source training <a href="/trials/{SOURCE.digest}">{SOURCE.digest}</a>, which'
    assert linked in text
    assert words.count("which it starts from") == 1
    line = text[text.index('<p class="progress-line">') :]
    line = line[: line.index("</p>")]
    assert re.sub(r"<[^>]+>", "", line) == "failed 2 of 2 trials"
    assert "<progress" not in line


def test_each_trial_is_a_square_or_counted(pages: TestClient, sqlite_store: Store) -> None:
    id_ = fill(sqlite_store)
    text = pages.get(f"/experiments/{id_}").text
    shown = re.findall(r'class="t [a-z ]+" href="/trials/(\w+)"', text)
    assert len(shown) == len(set(shown)) == 1745
    for method in METHODS:
        assert method in text
    assert "1745 trials" in text


def test_a_cell_with_many_trials_has_numbers() -> None:
    trials = [{**TRIAL, "trial": str(n), "state": "failed" if n == 3 else "queued"} for n in range(MOST_SQUARES + 1)]
    [line] = grid(trials, ["ord-FS"])["lines"]
    assert line["cells"] == [{"squares": [], "counts": [("queued", MOST_SQUARES), ("failed", 1)]}]


def test_candidates_have_lines_while_they_are_few() -> None:
    def lines(count: int) -> int:
        return len(grid([{**TRIAL, "candidate": f"alpha {n}"} for n in range(count)], ["ord-FS"])["lines"])

    assert [lines(count) for count in (1, 8, 9)] == [1, 8, 1]


def test_a_square_says_how_far_its_trial_is() -> None:
    running = {**TRIAL, "state": "running", "epoch": 3, "loss": 0.12345, "candidate": "alpha 0.5"}
    assert in_words(running) == "de, alpha 0.5, running, epoch 3 of 10, loss 0.123"
    assert in_words({**TRIAL, "target_languages": ["a", "b", "c", "d"], "reused": True, "state": "succeeded"}) == (
        "4 targets, succeeded (reused)"
    )


@pytest.mark.parametrize(
    ("moves", "offered"),
    [
        ((), ["cancel", "pause", "priority"]),
        (("pause",), ["cancel", "priority", "resume"]),
        (("start", "fail"), ["delete", "resubmit", "retry"]),
        (("start", "succeed"), ["delete", "resubmit"]),
        (("cancel",), ["delete", "resubmit"]),
    ],
)
def test_buttons_are_those_that_the_state_allows(
    pages: TestClient, sqlite_store: Store, moves: tuple[MoveName, ...], offered: list[str]
) -> None:
    id_ = sqlite_store.experiments.add(spec_of(), plan_of())
    for move in moves:
        assert sqlite_store.control.move(id_, move)
    assert buttons(pages.get(f"/experiments/{id_}").text) == offered


def test_what_would_be_lost_is_counted(pages: TestClient, sqlite_store: Store) -> None:
    spec, plan = planned(range(1, 3))
    id_ = sqlite_store.experiments.add(spec, plan)
    sqlite_store.control.move(id_, "start")
    first, second, *others = plan.trials
    for digest, words in ((first, "1 of 6 trials has succeeded"), (second, "2 of 6 trials have succeeded")):
        run(sqlite_store, id_, digest, random.Random(1))
        assert words in pages.get(f"/experiments/{id_}/cancel/ask").text
    for digest, words in zip(others, ("and 1 runs now", "and 2 run now"), strict=False):
        sqlite_store.trials.started(id_, digest)
        assert words in pages.get(f"/experiments/{id_}/cancel/ask").text


def test_buttons_do_what_they_say(pages: TestClient, sqlite_store: Store) -> None:
    id_ = sqlite_store.experiments.add(spec_of(), plan_of())
    here = f"/experiments/{id_}"
    assert act(pages, id_, "pause") == (303, here)
    assert sqlite_store.control.state(id_) == "paused"
    assert act(pages, id_, "resume") == (303, here)
    assert act(pages, id_, "priority", priority="7") == (303, here)
    assert pages.get(f"/v1/experiments/{id_}").json()["priority"] == 7
    for wrong in ("x", "101", ""):
        assert act(pages, id_, "priority", priority=wrong)[0] == 422
    assert "to delete" in pages.get(f"{here}/delete/ask").text
    assert "It stops for good" in pages.get(f"{here}/cancel/ask").text
    assert act(pages, id_, "cancel") == (303, here)
    assert act(pages, id_, "pause")[0] == 409
    assert "cannot be undone" in pages.get(f"{here}/delete/ask").text
    assert act(pages, id_, "delete") == (303, "/")
    assert pages.get(here).status_code == 404


def test_no_page_elsewhere_presses_a_button(pages: TestClient, sqlite_store: Store) -> None:
    id_ = sqlite_store.experiments.add(spec_of(), plan_of())
    answer = pages.post(f"/experiments/{id_}/cancel", headers={"Origin": "https://elsewhere.example"})
    assert answer.status_code == 403
    assert sqlite_store.control.state(id_) == "queued"


def test_an_unknown_experiment_or_parameter_is_refused_on_a_page(pages: TestClient, sqlite_store: Store) -> None:
    id_ = filled(sqlite_store, range(1, 2))
    assert pages.get(f"/experiments/{'0' * 12}").status_code == 404
    for wrong in (f"/experiments/{id_}?sort=color", f"/experiments/{id_}/table?published=x"):
        answer = pages.get(wrong)
        assert answer.status_code == 422
        assert answer.headers["content-type"].startswith("text/html")


@pytest.mark.service
def test_a_person_follows_and_changes_it(window: Window, sqlite_store: Store) -> None:
    id_ = sqlite_store.experiments.add(spec_of(name="mine", methods=["zero-shot", "ord-FS"]), plan_of())
    sqlite_store.control.move(id_, "start")
    page = window.page
    page.goto(f"{window.address}/experiments/{id_}")
    square = page.locator(f'a.t[href="/trials/{SOURCE.digest}"]')
    expect(square).to_have_class(re.compile("queued"))
    sqlite_store.trials.started(id_, SOURCE.digest)
    sqlite_store.trials.reported(SOURCE.digest, 1, report_of(score("en", 1.0, "dev"), epoch=2))
    expect(square).to_have_attribute("title", "running, epoch 2 of 3, loss 1", timeout=15_000)
    expect(page.get_by_role("heading", name="Running", exact=True)).to_be_visible()
    page.get_by_label("Priority").fill("12")
    sqlite_store.trials.reported(SOURCE.digest, 1, report_of(score("en", 2.0, "dev"), epoch=3, step=20))
    expect(square).to_have_attribute("title", "running, epoch 3 of 3, loss 1", timeout=15_000)
    expect(page.get_by_label("Priority")).to_have_value("12")
    page.get_by_role("button", name="Set").click()
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("heading", level=1).get_by_text("paused")).to_be_visible()
    page.get_by_role("link", name="Cancel…").click()
    page.get_by_role("button", name="Cancel it").click()
    expect(page.get_by_role("heading", level=1).get_by_text("cancelled")).to_be_visible()
    found = sqlite_store.experiments.one(id_)
    assert found is not None
    assert (found.priority, found.state) == (12, "cancelled")
    page.get_by_role("link", name="Delete…").click()
    page.get_by_role("button", name="Delete it").click()
    expect(page.get_by_text("There is no experiment yet")).to_be_visible()


@pytest.mark.service
def test_a_tab_that_nobody_looks_at_holds_no_connection(window: Window, sqlite_store: Store) -> None:
    id_ = sqlite_store.experiments.add(spec_of(), plan_of())
    sqlite_store.control.move(id_, "start")
    page = window.page
    page.add_init_script(
        "Object.defineProperty(document, 'hidden', {get: () => window.isAway ?? false});"
        "const One = EventSource; window.streams = [];"
        "EventSource = class extends One { constructor(of) { super(of); streams.push(this); } };"
    )
    page.goto(f"{window.address}/experiments/{id_}")

    def streams(is_away: bool) -> list[int]:
        return list(
            page.evaluate(
                "away => { isAway = away; document.dispatchEvent(new Event('visibilitychange'));"
                " return streams.map(one => one.readyState); }",
                is_away,
            )
        )

    square = page.locator(f'a.t[href="/trials/{SOURCE.digest}"]')
    expect(square).to_have_class(re.compile("queued"))
    assert streams(is_away=True) == [2]
    sqlite_store.trials.started(id_, SOURCE.digest)
    page.wait_for_timeout(2000)
    assert page.evaluate("streams.length") == 1
    expect(square).to_have_class(re.compile("queued"))
    assert streams(is_away=False) == [2, 0]
    expect(square).to_have_class(re.compile("running"), timeout=15_000)
