"""Data as pages: what each dataset has, its examples, adding one and deleting it."""

import html
import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect
from starlette.testclient import TestClient

from plans import spec_of
from service.api.catalog import MAX_JSON_BYTES
from service.store import Store
from trainers.data.sample import SampleData, tasks
from trainers.trial import SPLITS
from web_window import Window

EXAMPLES = [{"tokens": [f"<b>{n}", "Berlin"], "tags": ["O", "B-LOC"]} for n in range(12)]
WRONG = [*EXAMPLES[:2], {"tokens": ["a", "b"], "tags": ["O"]}]


def zipped(examples: list[Any]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for split, some in (("train", examples), ("test", EXAMPLES[:3])):
            archive.writestr(f"ner/de/{split}.jsonl", "\n".join(map(json.dumps, some)))
    return out.getvalue()


def upload(pages: TestClient, examples: list[Any], name: str = "mine") -> Any:
    headers = {"Content-Type": "application/zip"}
    return pages.post(f"/data?name={name}", content=zipped(examples), headers=headers, follow_redirects=False)


def test_all_datasets_and_sources_are_listed(pages: TestClient) -> None:
    assert upload(pages, EXAMPLES).headers["location"] == "/data/mine"
    text = html.unescape(pages.get("/data").text)
    found = pages.get("/v1/datasets").json()
    assert re.findall(r'<tr id="of-([\w-]+)">', text) == [one["name"] for one in found["datasets"]]
    assert '<td class="number">15</td>' in text
    for source in found["sources"]:
        assert f'"data": {source["form"]}' in text


@pytest.mark.parametrize("task", tasks())
def test_counts_labels_and_examples_of_the_sample(pages: TestClient, task: str) -> None:
    data = SampleData(task)
    text = html.unescape(pages.get(f"/data/sample?task={task}&language=ar&split=test").text)
    for language in data.languages():
        for split in SPLITS:
            count = len(data.examples(language, split))
            assert f'aria-label="{language} {split}: {count} examples">{count}</a>' in text
    assert text.count("<li>") == 10
    assert 'dir="auto"' in text
    first = data.examples("ar", "test")[0]
    for part in [*first.get("tokens", ()), first.get("question", ""), first.get("premise", "")]:
        assert part in text
    if task == "tydiqa":
        assert f"<mark>{first['answers']['text'][0]}</mark>" in text


def test_examples_are_text_and_come_in_pages(pages: TestClient) -> None:
    upload(pages, EXAMPLES)
    text = pages.get("/data/mine?task=ner&language=de&split=train").text
    assert "<b>0" not in text
    assert "&lt;b&gt;9" in text
    assert "<ruby>Berlin" in text
    [address] = re.findall(r'rel="next" href="([^"#]+)#', text)
    text = pages.get(html.unescape(address)).text
    assert "&lt;b&gt;11" in text
    assert "&lt;b&gt;9" not in text


def test_an_error_is_told_by_file_and_line_and_nothing_is_added(pages: TestClient) -> None:
    answer = upload(pages, WRONG)
    assert answer.status_code == 422
    assert "ner/de/train.jsonl, line 3: 2 tokens but 1 tags" in html.unescape(answer.text)
    assert pages.get("/data/mine").status_code == 404
    assert upload(pages, EXAMPLES).status_code == 303
    taken = upload(pages, EXAMPLES)
    assert (taken.status_code, "there is a dataset" in taken.text) == (409, True)
    assert upload(pages, EXAMPLES, name="No Name").status_code == 422


def test_a_folder_is_added_by_a_form(pages: TestClient, tmp_path: Path) -> None:
    folder = tmp_path / "given" / "ner" / "de"
    folder.mkdir(parents=True)
    (folder / "test.jsonl").write_text(json.dumps(EXAMPLES[0]))
    answer = pages.post("/data", data={"name": "mine", "folder": "given", "hub": ""}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/data/mine")


@pytest.mark.parametrize(
    ("given", "status", "field", "words"),
    [
        ({"name": "other", "folder": "../given"}, 422, "folder", "given"),
        (
            {"name": "My data", "folder": "given"},
            422,
            "name",
            "'My data' cannot be the name of a dataset",
        ),
        ({"name": "there", "folder": "given"}, 409, "name", "there is a dataset 'there'"),
        ({"name": "other", "hub": 'a "b" <c>'}, 422, "hub", ""),
    ],
)
def test_what_is_wrong_with_a_form_stands_at_its_field_beside_what_was_typed(
    pages: TestClient, tmp_path: Path, given: dict[str, str], status: int, field: str, words: str
) -> None:
    """A page of its own said it, and what had been typed was gone."""
    (tmp_path / "given").mkdir()
    upload(pages, EXAMPLES, name="there")
    answer = pages.post("/data", data=given)
    assert answer.status_code == status
    form = answer.text[answer.text.index('aria-label="Take a folder') :]
    typed = {name: html.unescape(text) for name, text in re.findall(r'<input name="(\w+)" value="([^"]*)"', form)}
    assert typed == {"name": "", "folder": "", "hub": "", **given}
    assert re.findall(r'name="(\w+)"[^>]*aria-invalid="true" aria-describedby="wrong-\1"', form) == [field]
    [said] = re.findall(rf'<p id="wrong-{field}" class="amiss">([^<]+)</p>', form)
    assert words in html.unescape(said)


def test_a_form_is_no_upload(pages: TestClient) -> None:
    """It was read whole, up to the four gigabytes that a zip may have."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = pages.post("/data", content=b"name=" + b"a" * MAX_JSON_BYTES, headers=headers)
    assert (answer.status_code, "The description of a dataset is small" in answer.text) == (413, True)


def test_deleting_is_asked_once_more_and_refused_while_an_experiment_needs_it(
    pages: TestClient, sqlite_store: Store
) -> None:
    upload(pages, EXAMPLES)
    assert "Delete the dataset mine?" in pages.get("/data/mine/delete").text
    id_ = sqlite_store.experiments.add(spec_of(data={"dataset": "mine"}), None)
    refused = pages.post("/data/mine/delete")
    assert refused.status_code == 409
    assert f"is needed by {id_}" in refused.text
    sqlite_store.control.move(id_, "cancel")
    assert pages.post("/data/mine/delete", follow_redirects=False).headers["location"] == "/data"
    assert pages.get("/data/mine").status_code == 404


def test_a_broken_dataset_can_be_seen_and_deleted(pages: TestClient, tmp_path: Path) -> None:
    upload(pages, EXAMPLES)
    (tmp_path / "datasets" / "mine" / "dataset.json").write_text("{")
    assert "is broken" in pages.get("/data").text
    assert "is broken" in pages.get("/data/mine").text
    assert pages.post("/data/mine/delete", follow_redirects=False).status_code == 303


def test_what_has_not_been_fetched_says_so(pages: TestClient) -> None:
    text = pages.get("/data/xtreme-r?task=ner").text
    assert "Fetched when the first experiment needs it." in text


@pytest.mark.service
def test_uploading_a_dataset_with_an_error_and_mending_it(window: Window) -> None:
    page = window.page
    page.goto(f"{window.address}/data")
    form = page.get_by_role("form", name="Upload a zip")
    form.get_by_label("Name").fill("not a name")
    form.get_by_label("Zip").set_input_files({"name": "m.zip", "mimeType": "application/zip", "buffer": zipped(WRONG)})
    form.get_by_role("button", name="Upload").click()
    expect(form.get_by_text("'not a name' cannot be the name of a dataset")).to_be_visible()
    expect(form.get_by_label("Name")).to_be_focused()
    expect(page.get_by_role("alert")).to_be_empty()
    form.get_by_label("Name").fill("mine")
    form.get_by_label("Zip").set_input_files({"name": "m.zip", "mimeType": "application/zip", "buffer": zipped(WRONG)})
    form.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("alert")).to_contain_text("ner/de/train.jsonl, line 3: 2 tokens but 1 tags")
    assert [one for one in window.said if "422" in one] == window.said
    window.said.clear()
    good = {"name": "m.zip", "mimeType": "application/zip", "buffer": zipped(EXAMPLES)}
    form.get_by_label("Zip").set_input_files(good)
    form.get_by_role("button", name="Upload").click()
    expect(page).to_have_url(f"{window.address}/data/mine")
    page.get_by_role("link", name="de test: 3 examples").click()
    expect(page.get_by_role("heading", name="German, test")).to_be_visible()
    page.get_by_role("link", name="Delete this dataset").click()
    page.get_by_role("button", name="Delete").click()
    expect(page).to_have_url(f"{window.address}/data")
    expect(page.get_by_role("link", name="mine")).to_have_count(0)
