"""A browser's window, as tests of the pages have it."""

from typing import NamedTuple

from playwright.sync_api import Page


class Window(NamedTuple):
    """A browser's window on the pages, what it has asked for, and what its console says."""

    page: Page
    address: str
    asked: list[str]
    said: list[str]
