"""The pages in a real browser, the machine's Chromium, over an application on a port of loopback."""

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Browser, sync_playwright
from starlette.testclient import TestClient

from search_spaces.environment import Environment
from service.store import Store
from web_window import Window, window_on

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture
def app(app_over: Callable[..., FastAPI], sqlite_store: Store, tmp_path: Path) -> FastAPI:
    """The REST interface and the pages over a store."""
    return app_over(sqlite_store, Environment(tmp_path, tmp_path, cpus=2, gpus=0))


@pytest.fixture
def pages(app: FastAPI) -> Iterator[TestClient]:
    """What asks for pages without a browser."""
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def window(app: FastAPI, browser: Browser) -> Iterator[Window]:
    """A window on the pages."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    address = f"http://127.0.0.1:{port}"
    try:
        with window_on(browser, address) as window:
            yield window
    finally:
        server.should_exit = True
        thread.join(10)
