"""Experiments: submit, preview, list, show."""

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from search_spaces.cost.estimate import devices, trials_at_once
from search_spaces.environment import Environment
from search_spaces.presets import names, preset
from search_spaces.problems import Problem, SpecError
from search_spaces.sources import DataSpec
from search_spaces.spec import ResourcesSpec, Text
from service import planning
from service.api.access import name_of
from service.api.answers import experiments as answers
from service.api.bodies import parsed
from service.api.documented import LOCATED, OfExperiment, OfPage
from service.api.known import require_known
from service.api.problems import refusals
from service.api.times import with_times
from service.api.trials import LogEnd, last_lines
from service.reports.sweep import sweep
from service.store import SORTABLE, Experiment, Store, Submission
from service.store.query import By, equal
from service.store.states import FINAL, State
from trainers.artifacts.layout import driver_log
from trainers.artifacts.places import NO_PATIENCE, place_of
from trainers.tasks import TASKS

router = APIRouter(tags=["experiments"])

# The body is parsed by hand, so that all its problems are reported at once; `service.api.description` has its schema.
_SPEC_BODY = {
    "content": {
        "application/json": {
            "schema": {"$ref": "#/components/schemas/ExperimentSpec"},
            "examples": {"sample": {"value": preset("sample")}},
        }
    },
    "required": True,
}


class Listing(BaseModel):
    """Query parameters of a listing: filters by field, and a page."""

    model_config = ConfigDict(extra="forbid")

    owner: Text | None = Field(None, description="experiments of this owner")
    tags: Text | None = Field(None, description="experiments that have this tag")
    state: State | None = Field(None, description="experiments in this state")
    name: Text | None = Field(None, description="experiments of this name")
    task: Text | None = Field(None, description="experiments of this task")
    method: Text | None = Field(None, description="experiments that plan results of this method")
    search: Text | None = Field(None, description="text within the name, the id, the owner or a tag")
    sort: Text = Field("-created", description=f"one of {', '.join(SORTABLE)}; with a minus for descending")
    limit: OfPage = Field(100, description="experiments of a page")
    cursor: Text | None = Field(None, description="`next` of the page before")


class From(BaseModel):
    """Query parameters of a submission."""

    model_config = ConfigDict(extra="forbid")

    preset: Text | None = Field(None, description="the name of a preset, see GET /v1/presets")


@router.post(
    "/experiments", status_code=201, response_model=answers.Submitted, responses=LOCATED | refusals(415),
    openapi_extra={"requestBody": _SPEC_BODY},
)  # fmt: skip
async def submit_experiment(
    request: Request,
    wanted: Annotated[From, Query()],
    idempotency_key: Annotated[
        str | None,
        Header(min_length=1, max_length=200, pattern="^[!-~]+$", description="names the request, if it is repeated"),
    ] = None,
) -> JSONResponse:
    """Submit an experiment.

    With `preset`, the fields of the body override those of the preset. A request that is repeated with the same
    `Idempotency-Key` returns the same experiment. `warnings` say what is odd about its data, but taken as it is; there
    are none in the answer to a repetition, and where the data are fetched first.

    With a token by name, that name is the `owner`, and another one is refused.
    """
    body = await _body(request, wanted)
    id_, warnings = await run_in_threadpool(_store, request, body, _owned(request, body), idempotency_key)
    answer = await run_in_threadpool(show_experiment, request, id_)
    return JSONResponse({**answer, "warnings": warnings}, 201, {"Location": f"/v1/experiments/{id_}"})


@router.post(
    "/experiments/{id}/resubmit", status_code=201, response_model=answers.Submitted,
    responses=LOCATED | refusals(404),
)  # fmt: skip
def resubmit_experiment(request: Request, id_: OfExperiment) -> JSONResponse:
    """Submit an experiment's spec again, as a new experiment.

    For experiments of an earlier version, whose trials are not continued. The old one stays with its scores. A second
    request returns the same new experiment. With a token by name, that name is its `owner`.
    """
    key = f"resubmission of {id_}"  # no request's own: those have no blanks
    spec = _whole(request, id_)["spec"]
    owner = {} if (name := name_of(request)) is None else {"owner": name}
    new, warnings = _store(request, spec, {**spec, **owner}, key)
    answer = {**show_experiment(request, new), "warnings": warnings}
    return JSONResponse(answer, 201, {"Location": f"/v1/experiments/{new}"})


@router.get("/presets", response_model=answers.Presets)
def list_presets() -> JSONResponse:
    """The paper's tables and figures as specs, to submit or to change."""
    return JSONResponse({"presets": [{"preset": name, "spec": preset(name)} for name in names()]})


@router.post("/plans", response_model=answers.Plan, responses=refusals(415), openapi_extra={"requestBody": _SPEC_BODY})
async def plan_experiment(request: Request, wanted: Annotated[From, Query()]) -> JSONResponse:
    """What an experiment would cost, of which nothing is stored."""
    body = await _body(request, wanted)
    return JSONResponse(await run_in_threadpool(_preview, request, body))


@router.get("/experiments", response_model=answers.Experiments)
def list_experiments(request: Request, wanted: Annotated[Listing, Query()]) -> JSONResponse:
    """Experiments, newest first unless `sort` says otherwise."""
    store: Store = request.app.state.store
    if wanted.cursor is None:
        given = {name: getattr(wanted, name) for name in ("owner", "tags", "name", "task", "method")}
        require_known(store, equal({name: [value] for name, value in given.items() if value is not None}))
    if wanted.sort.removeprefix("-") not in SORTABLE:
        raise SpecError([Problem("sort", f"{wanted.sort!a} is unknown; allowed: {', '.join(SORTABLE)}")])
    sort = By(wanted.sort.removeprefix("-"), descending=wanted.sort.startswith("-"))
    page, following = store.experiments.page(**wanted.model_dump(exclude={"sort"}), sort=[sort])
    environment = request.app.state.environment()
    return JSONResponse({"experiments": [_shown(experiment, environment) for experiment in page], "next": following})


@router.get("/experiments/{id}", response_model=answers.Experiment, responses=refusals(404))
def get_experiment(request: Request, id_: OfExperiment) -> JSONResponse:
    """An experiment as it stands.

    Where there are many, `disk` is of some seconds ago. 500 if what is stored of it cannot be read.
    """
    return JSONResponse(_whole(request, id_))


@router.get("/experiments/{id}/log", response_class=PlainTextResponse, responses=refusals(404))
def get_experiment_log(request: Request, id_: OfExperiment, wanted: Annotated[LogEnd, Query()]) -> PlainTextResponse:
    """The end of the log of an experiment's drivers, as text."""
    state_of(request, id_)
    return last_lines(driver_log(request.app.state.environment().home, id_), wanted)


@router.get("/experiments/{id}/shots", response_model=answers.Draws, responses=refusals(404))
def get_shots(request: Request, id_: OfExperiment) -> JSONResponse:
    """The examples that were drawn for an experiment's trials.

    Shots are those of each language, K and seed. Samples are the training and test data that the spec cuts.
    """
    state_of(request, id_)
    objectives = request.app.state.store.objectives
    return JSONResponse({"shots": objectives.shots(id_), "samples": objectives.samples(id_)})


@router.get("/experiments/{id}/sweep", response_model=answers.Sweep, responses=refusals(404))
def get_sweep(request: Request, id_: OfExperiment) -> JSONResponse:
    """The results of an experiment's search.

    422 where a package that the spec needs is gone.
    """
    shown = _whole(request, id_)
    spec = planning.accepted_before(shown["spec"])
    objectives, metric = request.app.state.store.objectives, TASKS[spec.task].metric
    judged, tests = objectives.judged(id_, metric), objectives.test_scores(id_, metric)
    return JSONResponse(sweep(spec, judged, tests, is_over=shown["state"] in FINAL))


async def _body(request: Request, wanted: From) -> object:
    if not request.headers.get("content-type", "").partition(";")[0].strip().lower().endswith("json"):
        raise HTTPException(415, "the body must be JSON, with the header Content-Type: application/json")
    body = await run_in_threadpool(parsed, await request.body())
    if wanted.preset is None:
        return body
    if wanted.preset not in names():
        raise SpecError([Problem("preset", f"{wanted.preset!r} is not one of them; allowed: {', '.join(names())}")])
    return {**preset(wanted.preset), **body} if isinstance(body, dict) else body


def _store(request: Request, asked: object, body: object, key: str | None) -> tuple[str, Sequence[str]]:
    """The id of the experiment, and what is odd about its data.

    Args:
        request: the one.
        asked: by which it is known again, if it is repeated.
        body: the spec to store.
        key: that of the request.
    """
    store: Store = request.app.state.store
    submission = Submission(key, sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()) if key else None
    if submission is not None and (id_ := store.experiments.submitted(submission)) is not None:
        return id_, ()
    spec, plan = planning.accept(body, request.app.state.environment(), store)
    id_ = store.experiments.add(spec, plan, submission, name_of(request))
    return id_, plan.warnings if plan is not None else ()


def _owned(request: Request, body: object) -> object:
    """A spec with the name of the token as its owner. SpecError if it has another one."""
    name = name_of(request)
    if name is None or not isinstance(body, dict):
        return body
    if (owner := body.get("owner", "")) not in ("", name):
        raise SpecError([Problem("owner", f"{owner!a} is not who asks; allowed: {name!r}, or none")])
    return {**body, "owner": name}


def _preview(request: Request, body: object) -> dict[str, Any]:
    environment = request.app.state.environment()
    return planning.preview(_owned(request, body), environment, request.app.state.store).summary(environment)


def state_of(request: Request, id_: str) -> str:
    """The state of an experiment. HTTPException 404 if no experiment has this id."""
    state: str | None = request.app.state.store.control.state(id_) if id_.isalnum() and id_.isascii() else None
    if state is None:
        raise HTTPException(404, "there is no experiment with this id")
    return state


def show_experiment(request: Request, id_: str) -> dict[str, Any]:
    """An experiment as the API shows it, also one whose row is broken. HTTPException 404 if none has this id."""
    return _with_disk(request, _found(request, id_))


def _whole(request: Request, id_: str) -> dict[str, Any]:
    """An experiment as the API shows it. HTTPException 404 if none has this id, BrokenRowError if its row is broken."""
    experiment = _found(request, id_)
    experiment.require_whole()
    return _with_disk(request, experiment)


def _found(request: Request, id_: str) -> Experiment:
    state_of(request, id_)
    experiment: Experiment | None = request.app.state.store.experiments.one(id_)
    if experiment is None:
        raise HTTPException(404, "there is no experiment with this id any more")
    return experiment


def _with_disk(request: Request, experiment: Experiment) -> dict[str, Any]:
    store, environment = request.app.state.store, request.app.state.environment()
    disk = request.app.state.disk.of(store, place_of(environment, NO_PATIENCE), experiment.id)
    return {**_shown(experiment, environment), "disk": disk}


def _shown(experiment: Experiment, environment: Environment) -> dict[str, Any]:
    cost = {**experiment.cost, "eta": _eta(experiment, environment)}
    return with_times({**vars(experiment), "cost": cost, "data_title": _data_title(experiment)})


def _data_title(experiment: Experiment) -> str:
    """Its data in words; empty if its row is broken."""
    try:
        return DataSpec.from_json(experiment.spec.get("data")).title()
    except ValueError:
        return ""


def _eta(experiment: Experiment, environment: Environment) -> str | None:
    """When a running experiment is expected to finish, as ISO 8601; None if unknown."""
    left = experiment.cost["left"]
    if experiment.state != "running" or left is None:
        return None
    resources = ResourcesSpec.model_validate(experiment.spec["resources"])
    if (at_once := trials_at_once(resources, environment)) is None:
        return None
    try:
        return datetime.fromtimestamp(time.time() + left / devices(resources) / at_once, UTC).isoformat()
    except (OverflowError, ValueError, OSError):  # beyond what calendars have
        return None
