"""The page of a trial: siblings, attempts, scores, what surgery met, and its log."""

import html
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect
from starlette.testclient import TestClient

from large import fill
from plans import config_of, result_of, spec_of, trial_of
from search_spaces.plan import Plan
from service.store import Store
from service.web.lines import HEIGHT, WIDTH, line
from service.web.trial import facts
from stored import ADAPTED, SOURCE, finish_both, outcome_of, plan_of, report_of, score
from trainers.artifacts.layout import log_of
from web_window import Window


def write_log(home: Path, text: str) -> None:
    path = log_of(home, SOURCE.digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(text)


def test_it_says_what_became_of_it(pages: TestClient, sqlite_store: Store, tmp_path: Path) -> None:
    id_ = sqlite_store.experiments.add(spec_of(name="<mine>"), plan_of())
    sqlite_store.trials.started(id_, SOURCE.digest)
    sqlite_store.trials.died(id_, SOURCE.digest, "its process was killed by signal 9 <kernel>")
    second = sqlite_store.trials.started(id_, SOURCE.digest)
    for epoch in (1, 2):
        report = report_of(score("en", 40.0 + epoch, "dev"), epoch=epoch, step=10 * epoch)
        sqlite_store.trials.reported(SOURCE.digest, second, report, "gpu<3>")
    write_log(tmp_path, "one\n<script>two</script>\n")
    text = pages.get(f"/trials/{SOURCE.digest}").text
    assert "killed by signal 9 &lt;kernel&gt;" in text
    assert "epoch <b>2</b> of 3" in text
    assert "gpu&lt;3&gt;" in text
    assert f'<a href="/experiments/{id_}"><bdi>&lt;mine&gt;</bdi></a>' in text
    assert "lines." not in text
    write_log(tmp_path, "one more\n" * 400)
    assert f'The last 400 lines. <a href="/v1/trials/{SOURCE.digest}/log?lines=10000">' in (
        pages.get(f"/trials/{SOURCE.digest}").text
    )
    assert "en f1 42.0" in text
    assert "&lt;script&gt;two&lt;/script&gt;" in text
    assert "<script>two" not in text
    assert pages.get(f"/trials/{'0' * 20}").status_code == 404


def test_scores_are_by_selection(pages: TestClient, sqlite_store: Store) -> None:
    id_ = sqlite_store.experiments.add(spec_of(methods=["ord-FS", "ord-FS+dev"]), plan_of("target-dev"))
    finish_both(sqlite_store, id_, last=20, target_dev=10)
    text = pages.get(f"/trials/{ADAPTED.digest}").text
    rows = re.findall(
        r"</span> German</th><td>([\w-]+)</td><td class=\"number\">(\d)</td><td class=\"number\">([\d.]+)<", text
    )
    assert rows == [("last", "2", "80.00"), ("target-dev", "1", "90.00")]
    assert f'href="/trials/{SOURCE.digest}">source training' in text


def test_siblings_differ_in_one_thing(pages: TestClient, sqlite_store: Store) -> None:
    id_ = fill(sqlite_store, "succeeded", ("de", "hi", "ar"))
    trials = pages.get(f"/v1/experiments/{id_}/trials").json()["trials"]
    [mine] = [
        one
        for one in trials
        if (one["method"], one["k"], one["seed"], one["target_languages"]) == ("ord-FS", 5, 2, ["hi"])
    ]
    text = pages.get(f"/trials/{mine['trial']}").text
    [shown] = re.findall(r'<dl class="siblings">(.*?)</dl>', text, re.S)
    found = set(re.findall(r'href="/trials/(\w+)"', shown))
    of = ("method", "k", "seed", "target_languages")
    assert found == {
        one["trial"] for one in trials if sum(one[name] != mine[name] for name in of) == 1 and one["method"] == "ord-FS"
    }
    assert len(found) == 2 + 4 + 2


def test_surgery_is_told_in_words(pages: TestClient, sqlite_store: Store) -> None:
    id_ = fill(sqlite_store, "succeeded", ("de", "hi"))
    trials = pages.get(f"/v1/experiments/{id_}/trials").json()["trials"]
    mine = next(one for one in trials if one["method"] == "gradient-mix-train")
    text = pages.get(f"/trials/{mine['trial']}").text
    assert "200 operations, of which <b>50.0 %</b> met a conflict; mean cosine 0.050" in text
    assert text.count("<polyline") == 2


@pytest.mark.parametrize(
    ("alpha", "words"), [(1.0, "α = 1"), (0.25, "α = 0.25"), (((0, 0.5), (2, 1.0)), "α = [[0, 0.5], [2, 1.0]]")]
)
def test_alpha_is_a_number_or_a_schedule(pages: TestClient, sqlite_store: Store, alpha: Any, words: str) -> None:
    plan = Plan()
    trial = trial_of(config_of("gradient-mix-train", alpha=alpha), evaluate={"de": "test"})
    plan.add(trial)
    plan.results.append(replace(result_of(config_of("gradient-mix-train", alpha=1.0), "de"), trial=trial.config.digest))
    sqlite_store.experiments.add(spec_of(), plan)
    assert f", {words} · allasprak</title>" in html.unescape(pages.get(f"/trials/{trial.config.digest}").text)


def test_what_a_mark_is_for_is_told_in_words(pages: TestClient, sqlite_store: Store) -> None:
    id_ = sqlite_store.experiments.add(spec_of(), plan_of())
    attempt = sqlite_store.trials.started(id_, SOURCE.digest)
    of = [{"language": language, "split": "test", "step": 10, "label": "O"} for language in ("zh", "en")]
    done = outcome_of(score("en", 0.0), source_dev=10)
    done = replace(done, facts={**done.facts, "one_label": of, "surgery_overflow": "9 of 10 were lost"})
    sqlite_store.trials.succeeded(SOURCE.digest, attempt, done)
    text = pages.get(f"/trials/{SOURCE.digest}").text
    assert "One label everywhere: O in Mandarin Chinese (test, update 10); O in English (test, update 10)</li>" in text
    assert "Surgery overflowed: 9 of 10 were lost</li>" in text


def test_facts_are_words() -> None:
    known = {
        "device": "cpu (x86_64)", "threads": 2, "seconds": 3700.0, "packages": {"torch": "2.9"}, "out_of_memory": True,
        "accumulation": 4, "work": {
            "training": {"sub_words": 12345, "seconds": 61.0, "steps": 100},
            "evaluation": {"sub_words": 90, "seconds": 0.2},
        },
    }  # fmt: skip
    assert facts(known) == [
        ("Ran on", "cpu (x86_64), 2 threads"),
        ("Took", "1 h 1 min"),
        ("Training", "100 updates, 12,345 sub-words in 1 min 1 s"),
        ("Evaluation", "90 sub-words in less than 1 s"),
        ("Packages", "torch 2.9"),
        ("Out of memory", "once; then with 4 accumulation steps"),
    ]
    assert facts({}) == []


def test_a_line_stays_in_its_drawing() -> None:
    drawn = line("Loss", [(1, 2.0), (2, None), (3, -1.0), (4, 5.0)], "{:.1f}")
    assert drawn is not None
    places = [tuple(map(float, point.split(","))) for point in drawn["points"].split()]
    assert len(places) == 3
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in places)
    assert [x for x, _ in places] == sorted(x for x, _ in places)
    assert places[1][1] > places[0][1] > places[2][1]
    assert (drawn["from"], drawn["to"], drawn["least"]) == ("2.0", "5.0", "-1.0")
    assert line("Loss", [(1, 2.0)], "{}") is None
    assert line("Loss", [(1, 2.0), (2, 2.0)], "{}") is not None


@pytest.mark.service
def test_the_log_follows_its_end(window: Window, sqlite_store: Store, tmp_path: Path) -> None:
    id_ = sqlite_store.experiments.add(spec_of(), plan_of())
    sqlite_store.trials.started(id_, SOURCE.digest)
    write_log(tmp_path, "".join(f"line {n}\n" for n in range(300)))
    window.page.goto(f"{window.address}/trials/{SOURCE.digest}")
    log = window.page.get_by_role("log")
    window.page.get_by_text("Configuration").scroll_into_view_if_needed()

    def from_the_end() -> int:
        return int(log.evaluate("one => Math.abs(one.scrollTop)"))  # the column is reversed: 0 is its end

    assert from_the_end() == 0
    write_log(tmp_path, "the last line\n")
    expect(log).to_contain_text("the last line", timeout=15_000)
    assert from_the_end() == 0
    box, last = log.bounding_box(), log.evaluate("one => one.firstElementChild.getBoundingClientRect().bottom")
    assert box is not None
    assert abs(box["y"] + box["height"] - last) < 20
