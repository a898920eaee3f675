"""Each page is checked by axe-core, light and dark, and is as wide as its window, narrow and wide."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from starlette.testclient import TestClient

from large import fill
from service.store import Store
from web_window import Window

PAGES = (
    "/", "/?group=tags&search=nothing", "/experiments/{id}", "/experiments/{id}/table?published=true&sort=family",
    "/experiments/{id}/curves", "/experiments/{id}/search", "/experiments/{id}/surgery", "/experiments/{id}/shots",
    "/experiments/{id}/spec", "/experiments/none", "/trials/{trial}", "/trials/{trial}/examples",
    "/compare?experiment={id}", "/compare?better=unknown",
    "/compare?experiment={id}&better.method=naive-mix-train&better.k=5&over.method=mix-FT&over.k=5", "/new",
    "/new?from={id}", "/data", "/data/sample", "/reports", "/reports?experiment={id}&report=table-1", "/pool",
    "/sign-in", "/experiments/{id}/delete/ask",
)  # fmt: skip

# What the console says of a page that is a refusal.
REFUSED = "the server responded with a status of 4"


@pytest.fixture
def addresses(sqlite_store: Store, pages: TestClient) -> list[str]:
    """Of each page, with an experiment that is over."""
    id_ = fill(sqlite_store, "succeeded", ("de", "hi", "ar"))
    trials = pages.get(f"/v1/experiments/{id_}/trials").json()["trials"]
    trial = next(one["trial"] for one in trials if one["method"] == "gradient-mix-train")
    return [page.format(id=id_, trial=trial) for page in PAGES]


@pytest.mark.service
@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_axe_has_nothing_to_say(window: Window, addresses: list[str], scheme: str) -> None:
    window.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    found = []
    for address in addresses:
        window.page.goto(window.address + address)
        window.page.wait_for_load_state("networkidle")
        found += [
            f"{address}: {one['id']}: {one['nodes'][0]['html'][:200]}"
            for one in Axe().run(window.page).response["violations"]
        ]
    assert found == []
    window.said[:] = [words for words in window.said if REFUSED not in words]


@pytest.mark.service
@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 2560])
def test_no_page_is_wider_than_its_window(window: Window, addresses: list[str], width: int) -> None:
    window.page.set_viewport_size({"width": width, "height": 900})
    found = []
    for address in addresses:
        window.page.goto(window.address + address)
        window.page.wait_for_load_state("networkidle")
        wide = window.page.evaluate("document.documentElement.scrollWidth")
        if wide > width:
            found.append(f"{address}: {wide}")
    assert found == []
    window.said[:] = [words for words in window.said if REFUSED not in words]
