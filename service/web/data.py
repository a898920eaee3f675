"""Data: sources and datasets, what they have of each language, their first examples; adding and deleting one."""

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from search_spaces.problems import Problem, SpecError
from search_spaces.spec import Text
from service.api.catalog import (
    MAX_ZIP_BYTES,
    Named,
    add_dataset,
    delete_dataset,
    get_dataset,
    list_datasets,
    list_languages,
    small_body,
)
from service.api.datasets import OfTask, Wanted, get_dataset_examples, get_dataset_splits
from service.api.documented import OfDataset
from service.web.forms import posted
from service.web.rendering import Page, answered, page, with_body
from trainers.data.datasets import NameTakenError
from trainers.trial import SPLITS

router = APIRouter(route_class=Page, include_in_schema=False)

ZIP = "application/zip"

# Fields of the form for a dataset that is not uploaded, with their labels.
FIELDS: Mapping[str, str] = {
    "name": "Name",
    "folder": "Folder under the data root",
    "hub": "Or a dataset repository of the Hugging Face hub",
}

# What datasets have that were added, and others have not.
NOTHING: Mapping[str, Any] = {"created": None, "digest": None, "warnings": (), "problem": None}

# Examples of a page.
SHOWN = 10


class Part(BaseModel):
    """Which part of a dataset is shown; what is missing is chosen."""

    model_config = ConfigDict(extra="forbid")

    task: Text | None = None
    language: Text | None = None
    split: Text | None = None
    offset: Annotated[int, Field(ge=0, lt=2**31)] = 0


@router.get("/data")
def data(request: Request) -> HTMLResponse:
    """All datasets, and how a spec names data."""
    return _all(request)


@router.post("/data", max_body_size=MAX_ZIP_BYTES)
async def add(request: Request, wanted: Annotated[Named, Query()]) -> Response:
    """Add a dataset: a zip as the body, or a form that names a folder or a repository, shown again if that is wrong."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == ZIP:
        return _to(await add_dataset(request, wanted))
    filled = posted(await small_body(request))
    given = {name: text for name in FIELDS if (text := filled.get(name, [""])[0].strip())}
    try:
        return _to(await add_dataset(with_body(request, json.dumps(given)), wanted))
    except SpecError as error:
        status, problems = 422, error.problems
    except NameTakenError as error:
        status, problems = 409, [Problem("name", str(error))]
    wrong = {one.field if one.field in FIELDS else "name": one.message for one in problems}
    return await run_in_threadpool(_all, request, status, given, wrong)


def _to(added: Response) -> RedirectResponse:
    """To the page of a dataset that has been added."""
    return RedirectResponse(f"/data/{quote(answered(added)['name'], safe='')}", 303)


def _all(
    request: Request, status: int = 200, given: Mapping[str, str] | None = None, wrong: Mapping[str, str] | None = None
) -> HTMLResponse:
    """All datasets, and what the form for a further one was filled in with, and what is wrong with that."""
    found = answered(list_datasets(request))
    datasets = [{**NOTHING, **one, **_size(one)} for one in found["datasets"]]
    shown = {"datasets": datasets, "sources": found["sources"], "fields": FIELDS}
    return page(request, "data", status, **shown, given=given or {}, wrong=wrong or {})


@router.get("/data/{name}")
def dataset(request: Request, name: OfDataset, wanted: Annotated[Part, Query()]) -> HTMLResponse:
    """What a dataset has of a task, and examples of a language and a split."""
    about = _about(request, name)
    task = wanted.task or next(iter(about["tasks"]), None)
    splits: dict[str, Any] = {"labels": [], "languages": {}}
    if task is not None:
        splits = answered(get_dataset_splits(request, name, OfTask(task=task)))
    language, split = _chosen(wanted, splits["languages"])
    examples, count = [], 0
    if task is not None and language is not None and split is not None:
        asked = Wanted(task=task, language=language, split=split, offset=wanted.offset, limit=SHOWN)
        found = answered(get_dataset_examples(request, name, asked))
        examples, count = [_shown(one) for one in found["examples"]], found["of"]
    return page(
        request,
        "dataset",
        about=about,
        task=task,
        splits=splits,
        names=SPLITS,
        languages={one["language"]: one for one in answered(list_languages())["languages"]},
        language=language,
        split=split,
        examples=examples,
        offset=wanted.offset,
        count=count,
        step=SHOWN,
    )


@router.get("/data/{name}/delete")
def ask(request: Request, name: OfDataset) -> HTMLResponse:
    """Ask once more."""
    return page(request, "dataset_delete", about=_about(request, name))


@router.post("/data/{name}/delete")
def delete(request: Request, name: OfDataset) -> Response:
    """Delete a dataset."""
    delete_dataset(request, name)
    return RedirectResponse("/data", 303)


def _about(request: Request, name: str) -> dict[str, Any]:
    """A dataset as the list has it: also a source, or one that is broken. HTTPException 404 if there is none."""
    listed = [one for one in answered(list_datasets(request))["datasets"] if one["name"] == name]
    return {**NOTHING, **(listed[0] if listed else answered(get_dataset(request, name)))}


def _size(one: Mapping[str, Any]) -> dict[str, Any]:
    """Languages of a dataset, and its examples; None where they are not counted in the list."""
    of_tasks = [of["languages"] for of in one["tasks"].values()]
    counts = [
        split["examples"] for languages in of_tasks if isinstance(languages, dict)
        for splits in languages.values() for split in splits.values()
    ]  # fmt: skip
    return {"languages": sorted({code for of in of_tasks for code in of}), "examples": sum(counts) if counts else None}


def _chosen(wanted: Part, languages: Mapping[str, Mapping[str, Any]]) -> tuple[str | None, str | None]:
    """The language and the split that are shown: those that are asked for, or else the first that there are."""
    language = wanted.language or next((code for code, splits in languages.items() if splits), None)
    there = languages.get(language or "", {})
    return language, wanted.split or next((split for split in SPLITS if split in there), None)


def _shown(example: Mapping[str, Any]) -> dict[str, Any]:
    """An example for people: words with their tags, a passage in pieces of which some are answers, or its fields."""
    match example:
        case {"tokens": [*tokens], "tags": [*tags]}:
            return {"words": [(word, "" if tag == "O" else tag) for word, tag in zip(tokens, tags, strict=True)]}
        case {"context": str(context), "question": str(question), "answers": dict(answers)}:
            return {"question": question, "pieces": list(_pieces(context, answers)), "answers": answers["text"]}
    return {"fields": {name: one if isinstance(one, str) else json.dumps(one) for name, one in example.items()}}


def _pieces(context: str, answers: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """A passage in pieces, and whether each is an answer."""
    at = 0
    for begin, text in sorted(zip(answers["answer_start"], answers["text"], strict=True)):
        if begin >= at:
            yield context[at:begin], False
            at = begin + len(text)
            yield context[begin:at], True
    yield context[at:], False
