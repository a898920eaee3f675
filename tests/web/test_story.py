"""What a person does with the pages, from signing in to a table for a paper, over a service that really trains."""

import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from web_window import window_on

ZERO, MIXED = "zero-shot", "gradient-mix-train"
TARGETS = ["ar", "zh"]

TRAINING = {"epochs": 2, "learning_rate": 1e-3, "max_source_examples": 64, "max_test_examples": 20}

SMALL: dict[str, Any] = {
    "name": "two targets", "target_languages": TARGETS, "methods": [ZERO, "naive-mix-train", MIXED], "k": [5],
    "seeds": [1, 2], "alpha": 1.0, "resources": {"max_concurrent_trials": 2},
    "training": TRAINING,
}  # fmt: skip

GOOD = {"tokens": ["Berlin", "ist", "groß"], "tags": ["B-LOC", "O", "O"]}
WRONG = {"tokens": ["Berlin"], "tags": ["O", "O"]}


def zipped(examples: list[Any]) -> dict[str, Any]:
    """A zip as a file that is chosen in a form."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for split in ("train", "test"):
            archive.writestr(f"ner/de/{split}.jsonl", "\n".join(map(json.dumps, examples)))
    return {"name": "mine.zip", "mimeType": "application/zip", "buffer": out.getvalue()}


def submit(page: Page, address: str, **fields: Any) -> str:
    """Change the spec that the form shows, and submit it; returns the experiment's id."""
    page.goto(address)
    text = page.get_by_label("The spec as JSON")
    expect(text).to_have_value(re.compile('"task": "ner"'))
    text.fill(json.dumps({**json.loads(text.input_value()), **fields}))
    button = page.get_by_role("button", name="Submit")
    expect(button).to_be_enabled(timeout=30_000)
    button.click()
    expect(page).to_have_url(re.compile(r"/experiments/\w{12}$"))
    return page.url.rpartition("/")[2]


@pytest.mark.slow
@pytest.mark.service
def test_from_signing_in_to_a_table_for_a_paper(
    start_service: Callable[..., Any], browser: Browser, tmp_path: Path, tiny_encoder: Path
) -> None:
    service = start_service(tmp_path / "home", ALLASPRAK_TOKEN="s3cret")
    with window_on(browser, service.url) as window:
        page = window.page
        # sign in
        page.goto(service.url)
        page.get_by_label("Token").fill("s3cret")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", name="Experiments")).to_be_visible()

        # start an experiment from a preset, and watch it to its end
        page.get_by_role("link", name="New", exact=True).click()
        page.wait_for_load_state("networkidle")  # the script that follows the choice is there
        page.get_by_label("From a preset").select_option("sample")
        expect(page).to_have_url(re.compile("preset=sample"))
        id_ = submit(page, page.url, encoder=str(tiny_encoder), **SMALL)
        state = page.locator("h1 .state")
        expect(state).to_have_text("running", timeout=60_000)
        expect(page.locator(".t.running").first).to_be_visible(timeout=60_000)
        expect(state).to_have_text("succeeded", timeout=240_000)
        expect(page.locator(".map .t.succeeded")).to_have_count(6)

        # read the table
        page.reload()
        table = page.get_by_role("region", name="Test scores by language and method")
        for name in ("Arabic", "Mandarin Chinese"):
            expect(table.get_by_role("row", name=name)).to_be_visible(timeout=15_000)

        # compare two methods
        page.locator(".actions").get_by_role("link", name="Compare").click()
        page.get_by_role("group", name="This side").get_by_label("Method").select_option(MIXED)
        page.get_by_role("group", name="over this one").get_by_label("Method").select_option(ZERO)
        expect(page.get_by_role("heading", name=f"over {ZERO}")).to_be_visible(timeout=15_000)
        expect(page).to_have_url(re.compile(rf"over\.method={ZERO}"))

        # look at examples in Arabic and Chinese
        page.get_by_role("row", name="Arabic ar").get_by_role("link", name="examples").click()
        expect(page.get_by_role("heading", name="Examples: Arabic")).to_be_visible()
        words = page.locator(".example [dir='auto']").first
        assert words.evaluate("one => getComputedStyle(one).direction") == "rtl"
        page.get_by_label("Language").select_option("zh")
        expect(page.get_by_role("heading", name="Examples: Mandarin Chinese")).to_be_visible()
        expect(page.locator(".example").first).to_be_visible()

        # download the LaTeX
        page.goto(f"{service.url}/reports?experiment={id_}&report=table-1")
        with page.expect_download() as download:
            page.get_by_role("link", name="LaTeX").click()
        assert download.value.suggested_filename == "table-1.tex"
        assert r"\begin{tabular}" in Path(download.value.path()).read_text(encoding="utf-8")

        # cancel another experiment
        longer = {**SMALL, "name": "a long one", "seeds": [3, 4], "training": {**TRAINING, "epochs": 200}}
        submit(page, f"{service.url}/new?from={id_}", **longer)
        page.get_by_role("link", name="Cancel…").click()
        page.get_by_role("button", name="Cancel it").click()
        expect(page.locator("h1 .state")).to_have_text("cancelled", timeout=60_000)

        # upload a dataset with an error, and mend it
        page.get_by_role("link", name="Data", exact=True).click()
        form = page.get_by_role("form", name="Upload a zip")
        form.get_by_label("Name").fill("mine")
        form.get_by_label("Zip").set_input_files(zipped([GOOD, WRONG]))
        form.get_by_role("button", name="Upload").click()
        expect(page.get_by_role("alert")).to_contain_text("ner/de/train.jsonl, line 2: 1 tokens but 2 tags")
        assert [one for one in window.said if "422" in one] == window.said
        window.said.clear()
        form.get_by_label("Zip").set_input_files(zipped([GOOD]))
        form.get_by_role("button", name="Upload").click()
        expect(page).to_have_url(f"{service.url}/data/mine")

        # sign out
        page.get_by_role("button", name="Sign out").click()
        page.goto(f"{service.url}/experiments/{id_}")
        expect(page.get_by_label("Token")).to_be_visible()
