"""What datasets have: how many examples of each language and split, and the examples themselves."""

from contextlib import suppress
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from search_spaces.sources import DataSpec
from service.api.answers import catalog as answers
from service.api.problems import refusals
from trainers.data.dataset_file import BrokenDatasetError
from trainers.data.datasets import dataset, require_dataset
from trainers.data.sources import SOURCES
from trainers.examples import LANGUAGE_CODE, Data, DataError, MissingSplitError
from trainers.tasks import TASKS
from trainers.trial import SPLITS

OfData = Annotated[str, Path(description="name of a dataset, or of a source that takes no value", examples=["sample"])]

router = APIRouter(tags=["catalog"])


class OfTask(BaseModel):
    """Which part of a dataset."""

    model_config = ConfigDict(extra="forbid")

    task: Annotated[str, Field(max_length=200)] = Field(description="name of the task", examples=["ner"])


class Wanted(OfTask):
    """Which examples."""

    language: Annotated[str, Field(pattern=f"^{LANGUAGE_CODE}$")] = Field(
        description="code of the language", examples=["de"]
    )
    split: Literal["train", "dev", "test"] = Field("train", description="split that they are of")
    offset: Annotated[int, Field(ge=0, lt=2**31)] = Field(0, description="place of the first in the split, from 0")
    limit: Annotated[int, Field(ge=1, le=100)] = Field(10, description="examples at most")


@router.get("/datasets/{name}/splits", response_model=answers.DatasetSplits, responses=refusals(404, 409))
def get_dataset_splits(request: Request, name: OfData, wanted: Annotated[OfTask, Query()]) -> JSONResponse:
    """What a dataset has of a task: the number of examples of each language and split, and the labels.

    Also of a source that takes no value, such as the sample; a language without a split has not been fetched yet. 409
    where the files are not those that were added, or cannot be read.
    """
    _require_task(wanted.task)
    if _is_built_in(name):
        return JSONResponse({"labels": [], "languages": {}, **_counted(request, name, wanted.task)})
    found = _added(request, name).tasks.get(wanted.task)
    if found is None:
        raise HTTPException(404, f"{name!r} has no examples of {wanted.task}")
    return JSONResponse(found)


@router.get("/datasets/{name}/examples", response_model=answers.DatasetExamples, responses=refusals(404, 409))
def get_dataset_examples(request: Request, name: OfData, wanted: Annotated[Wanted, Query()]) -> Response:
    """Examples of a split of a dataset, in their order.

    Also of a source that takes no value, such as the sample. 409 where the files are not those that were added, or
    cannot be read.
    """
    _require_task(wanted.task)
    data = _opened(request, name, wanted.task)
    try:
        found = data.examples(wanted.language, wanted.split)
    except MissingSplitError as error:
        raise HTTPException(404, str(error)) from error
    except DataError as error:
        raise HTTPException(409, str(error)) from error
    except ValueError as error:  # the sample has no such language
        raise HTTPException(404, str(error)) from error
    shown = found[wanted.offset : wanted.offset + wanted.limit]
    # each is written by itself, so that other threads run in between
    written = b",".join(bytes(JSONResponse(example).body) for example in shown)
    return Response(b'{"examples":[%b],"of":%d}' % (written, len(found)), media_type=JSONResponse.media_type)


def _require_task(task: str) -> None:
    if task not in TASKS:
        raise HTTPException(404, f"there is no task {task[:100]!a}; allowed: {', '.join(TASKS)}")


def _is_built_in(name: str) -> bool:
    return name in SOURCES and SOURCES[name].takes is None


def _added(request: Request, name: str) -> Any:
    """A dataset that was added."""
    home = request.app.state.environment().home
    try:
        require_dataset(home, name)
        return dataset(home, name)
    except BrokenDatasetError as error:
        raise HTTPException(500, str(error)) from error
    except DataError as error:
        raise HTTPException(404, str(error)) from error


def _opened(request: Request, name: str, task: str) -> Data:
    environment = request.app.state.environment()
    spec = DataSpec(name) if _is_built_in(name) else DataSpec("dataset", _added(request, name).name)
    try:
        return spec.open(task, environment.home, environment.data_root)
    except DataError as error:
        raise HTTPException(404 if _is_built_in(name) else 409, str(error)) from error


def _counted(request: Request, name: str, task: str) -> dict[str, Any]:
    """What a built-in dataset has of a task; languages that have not been fetched have no split."""
    home = request.app.state.environment().home
    listed = [one["tasks"].get(task) for one in SOURCES[name].describe(home) if one["name"] == name]
    if None in listed:
        raise HTTPException(404, f"{name!r} has no examples of {task}")
    data = _opened(request, name, task)
    there = data.languages()
    languages = dict.fromkeys([language for of in listed for language in of["languages"]] + list(there))
    labels: set[str] = set()
    found: dict[str, dict[str, Any]] = {}
    for language in languages:
        found[language] = {}
        for split in SPLITS if language in there else ():
            with suppress(DataError):  # there is none, or it cannot be read, which whoever asks for it is told
                facts = data.facts(language, split)
                labels |= set(facts.labels)
                found[language][split] = {"examples": facts.examples, "digest": facts.digest}
    return {"labels": sorted(labels), "languages": found}
