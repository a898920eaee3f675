"""The screenshots of README and docs: pages of the sample experiment, which a service of its own runs for it.

`python docs/screenshots.py` takes about four minutes on two cores, and writes into docs/images.
"""

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, ViewportSize, sync_playwright

from service.client import Client

IMAGES = Path(__file__).parent / "images"

SEEDS = [1, 2]

# CSS pixels; a picture has more, for screens that are fine.
SIZE: ViewportSize = {"width": 1180, "height": 940}
FINENESS = 1.5


@contextmanager
def serving() -> Iterator[str]:
    """The address of a service with a home of its own."""
    with socket.socket() as free, tempfile.TemporaryDirectory() as home:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        command = [sys.executable, "-m", "service.cli", "serve", "--port", str(port)]
        with subprocess.Popen(command, env={**os.environ, "ALLASPRAK_HOME": home}, stdout=subprocess.DEVNULL) as server:
            address = f"http://127.0.0.1:{port}"
            try:
                while not Client(address).is_up():
                    time.sleep(0.2)
                yield address
            finally:
                server.terminate()


def take(browser: Browser, address: str, name: str, scheme: Literal["light", "dark"]) -> None:
    """Take a picture of a page."""
    context = browser.new_context(viewport=SIZE, device_scale_factor=FINENESS, color_scheme=scheme)
    page = context.new_page()
    page.goto(address)
    page.wait_for_load_state("networkidle")
    page.screenshot(path=IMAGES / f"{name}.png")
    context.close()


def main() -> None:
    """Run the experiment, and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--browser", default=shutil.which("chromium"), help="the browser; Debian's Chromium by default")
    browser_path = parser.parse_args().browser
    with serving() as address, sync_playwright() as playwright:
        client = Client(address)
        id_ = client.submit({"seeds": SEEDS}, "sample")
        client.wait(id_, progress=False)
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        take(browser, f"{address}/experiments/{id_}", "experiment", "light")
        sides = "better.method=gradient-mix-train&better.k=5&over.method=zero-shot&over.k=0"
        take(browser, f"{address}/compare?experiment={id_}&{sides}", "compare", "dark")
        browser.close()


if __name__ == "__main__":
    main()
