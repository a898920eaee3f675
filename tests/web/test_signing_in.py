"""Signing in: a token opens the pages, as long as it is one, and nothing else does."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from playwright.sync_api import expect
from starlette.testclient import TestClient

from plans import spec_of
from search_spaces.environment import Environment
from service.store import Store
from web_window import Window


@pytest.fixture
def app(app_over: Callable[..., FastAPI], sqlite_store: Store, tmp_path: Path) -> FastAPI:
    """One that has a token, and so asks for one."""
    return app_over(sqlite_store, Environment(tmp_path, tmp_path, cpus=2, gpus=0), "s3cret")


@pytest.fixture
def ana(sqlite_store: Store) -> str:
    """A token by name."""
    return sqlite_store.tokens.add("ana", read_only=False)


def signed_in(pages: TestClient, token: str) -> None:
    assert pages.post("/sign-in", data={"token": token}, follow_redirects=False).status_code == 303


def test_whoever_has_not_signed_in_is_asked_to_and_goes_on_from_there(pages: TestClient, ana: str) -> None:
    first = pages.get("/?search=x", follow_redirects=False)
    assert (first.status_code, first.headers["location"]) == (303, "/sign-in?next=/%3Fsearch%3Dx")
    assert pages.get(first.headers["location"]).status_code == 200
    for wrong in ("", "wrong", "é", "s3cret2"):
        answer = pages.post("/sign-in", data={"token": wrong}, follow_redirects=False)
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers
        assert "not a token" in answer.text
    done = pages.post("/sign-in?next=/%3Fsearch%3Dx", data={"token": ana}, follow_redirects=False)
    assert (done.status_code, done.headers["location"]) == (303, "/?search=x")
    flags = done.headers["set-cookie"].lower()
    assert "httponly" in flags
    assert "samesite=strict" in flags
    assert "ana" in pages.get("/").text
    assert pages.get("/v1/experiments").status_code == 200  # what scripts of the pages ask for


def test_a_token_is_looked_for_beside_the_event_loop(
    pages: TestClient, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that does not answer keeps nobody else waiting."""
    in_loop: list[bool] = []

    def watched(given: str, look: Any = sqlite_store.tokens.look) -> Any:
        in_loop.append(asyncio._get_running_loop() is not None)
        return look(given)

    monkeypatch.setattr(sqlite_store.tokens, "look", watched)
    assert pages.post("/sign-in", data={"token": "wrong"}).status_code == 401
    assert in_loop == [False]


@pytest.mark.parametrize("onward", ["//evil.example", "/\\evil.example", "https://evil.example", "evil", "/\nx"])
def test_nobody_is_sent_elsewhere(pages: TestClient, onward: str) -> None:
    answer = pages.post("/sign-in", params={"next": onward}, data={"token": "s3cret"}, follow_redirects=False)
    assert answer.status_code == 422
    assert "location" not in answer.headers


def test_a_token_that_is_revoked_opens_no_page_any_more(pages: TestClient, sqlite_store: Store, ana: str) -> None:
    signed_in(pages, ana)
    assert pages.get("/").status_code == 200
    sqlite_store.tokens.revoke("ana")
    assert pages.get("/", follow_redirects=False).status_code == 303
    part = pages.get("/", headers={"HX-Request": "true"}, follow_redirects=False)
    assert (part.status_code, part.headers["hx-redirect"]) == (401, "/sign-in")
    assert pages.get("/v1/experiments").status_code == 401


def test_whoever_signs_out_has_to_sign_in_again(pages: TestClient) -> None:
    signed_in(pages, "s3cret")
    assert pages.post("/sign-out", follow_redirects=False).headers["location"] == "/sign-in"
    assert pages.get("/", follow_redirects=False).status_code == 303


def test_pages_elsewhere_cannot_sign_anybody_in_or_out(pages: TestClient) -> None:
    for path in ("/sign-in", "/sign-out"):
        answer = pages.post(path, data={"token": "s3cret"}, headers={"Origin": "http://evil.example"})
        assert answer.status_code == 403


@pytest.mark.service
def test_a_person_signs_in_and_out(window: Window, sqlite_store: Store, ana: str) -> None:
    sqlite_store.experiments.add(spec_of(name="alpha"), None)
    window.page.goto(f"{window.address}/?sort=name")
    window.page.get_by_label("Token").fill(ana)
    window.page.keyboard.press("Enter")
    expect(window.page.get_by_role("link", name="alpha")).to_be_visible()
    expect(window.page).to_have_url(re.compile(r"/\?sort=name$"))
    window.page.get_by_role("button", name="Sign out").click()
    expect(window.page.get_by_label("Token")).to_be_visible()
