"""What has no page: a browser gets one that leads back, programs the problem document."""

import html
import re

import pytest
from starlette.testclient import TestClient

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    ("path", "status"),
    [("/nowhere", 404), ("/experiments/0123456789ab/", 404), ("/static/none.js", 404), ("/sign-out", 405)],
)
def test_a_browser_gets_a_page_that_leads_back(pages: TestClient, path: str, status: int) -> None:
    answer = pages.get(path, headers={"Accept": BROWSER})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert "<h1>Not found</h1>" in answer.text
    assert "No page has this address." in answer.text
    assert '<a href="/pool">Pool</a>' in answer.text
    assert answer.headers.get("allow") == ("POST" if status == 405 else None)


@pytest.mark.parametrize(
    ("method", "path", "accept"),
    [
        ("GET", "/nowhere", "*/*"),
        ("GET", "/nowhere", ""),
        ("GET", "/nowhere", "application/json"),
        ("GET", "/nowhere", "text/html;q=0.5, application/json"),
        ("GET", "/nowhere", "text/html;q=x"),
        ("POST", "/nowhere", BROWSER),
        ("GET", "/v1", BROWSER),
        ("GET", "/v1/nowhere", BROWSER),
        ("GET", "/v1/experiments/0123456789ab", BROWSER),
        ("GET", "/v1/results/query", BROWSER),
    ],
)
def test_programs_get_the_problem_document(pages: TestClient, method: str, path: str, accept: str) -> None:
    answer = pages.request(method, path, headers={"Accept": accept})
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == answer.status_code in (404, 405)


@pytest.mark.parametrize(
    "path", ["/experiments/none", "/trials/none", "/reports?report=none&experiment=x", "/?color=red"]
)
def test_a_refusal_has_a_short_heading_and_says_the_rest_in_a_sentence(pages: TestClient, path: str) -> None:
    text = pages.get(path).text
    [heading] = re.findall(r"<h1>([^<]*)</h1>", text)
    assert f"<title>{heading} · allasprak</title>" in text
    assert len(heading) < 40
    [detail] = re.findall(r'<p id="detail">([^<]*)</p>', text)
    detail = html.unescape(detail)
    assert (detail[0].isupper(), detail[-1]) == (True, ".")
