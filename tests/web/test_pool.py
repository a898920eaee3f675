"""The page of the pool: it says what the REST interface says, and stays up to date."""

import pytest
from playwright.sync_api import expect
from starlette.testclient import TestClient

from queried import planned
from service.store import Resources, Store
from web_window import Window

POOL, ONE = Resources(2, 0, 2**33), Resources(1, 0, 2**30)


def started(store: Store, name: str, seeds: range) -> str:
    """An experiment whose driver has asked for places."""
    spec, plan = planned(seeds)
    id_ = store.experiments.add(spec.model_copy(update={"name": name}), plan)
    store.slots.join(id_, ONE)
    store.control.move(id_, "start")
    trials = list(store.trials.outstanding(id_))
    for place in range(3):
        if (trial := store.slots.claim(id_, trials[place:], [], POOL)) is not None:
            store.trials.started(id_, trial)
    return id_


def test_an_idle_pool_says_so(pages: TestClient) -> None:
    text = pages.get("/pool").text
    assert "Nothing runs." in text
    assert "<b>0</b> of 2" in text


def test_what_runs_and_who_waits(pages: TestClient, sqlite_store: Store) -> None:
    ids = [started(sqlite_store, name, seeds) for name, seeds in (("<b>one", range(1, 3)), ("two", range(3, 5)))]
    text = pages.get("/pool").text
    found = pages.get("/v1/pool").json()
    assert "<b>2</b> of 2" in text
    assert "<b>one" not in text
    for one in found["running"]:
        assert f'<tr id="runs-{one["trial"]}">' in text
    for id_, one in zip(ids, found["experiments"], strict=False):
        assert f'href="/experiments/{id_}"' in text
        assert one["why"] in text


@pytest.mark.service
def test_a_trial_that_begins_appears(window: Window, sqlite_store: Store) -> None:
    window.page.goto(f"{window.address}/pool")
    expect(window.page.get_by_text("Nothing runs.")).to_be_visible()
    started(sqlite_store, "begins", range(1, 2))
    expect(window.page.get_by_role("row", name="begins").first).to_be_visible(timeout=15_000)
    expect(window.page.get_by_text("Nothing runs.")).to_be_hidden()
