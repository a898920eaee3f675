"""A browser's window, as tests of the pages have it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from playwright.sync_api import Browser, Page, Request


class Window(NamedTuple):
    """A browser's window on the pages, what it has asked for, and what its console says."""

    page: Page
    address: str
    asked: list[str]
    said: list[str]


@contextmanager
def window_on(browser: Browser, address: str) -> Iterator[Window]:
    """A window. Nothing may be asked of another address, and no script or policy may complain."""
    with browser.new_context(viewport={"width": 1400, "height": 900}, accept_downloads=True) as context:
        page = context.new_page()
        asked: list[str] = []
        said: list[str] = []

        def note(request: Request) -> None:
            asked.append(request.url)

        page.on("request", note)
        page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        yield Window(page, address, asked, said)
    assert [url for url in asked if not url.startswith((address, "data:"))] == []
    assert said == []
