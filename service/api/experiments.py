"""Experiments and their trials: plan, accept, list, show."""

import json
import secrets
import time
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from search_spaces.candidates import as_if_drawn
from search_spaces.checks import accepted
from search_spaces.cost.estimate import Estimate, devices, estimate, too_small_a_budget, trials_at_once
from search_spaces.data_checks import check_data
from search_spaces.environment import Environment
from search_spaces.plan import plan
from search_spaces.presets import names, preset
from search_spaces.spec import ExperimentSpec, Problem, ResourcesSpec, SpecError, Text
from service.api.problems import refusals
from service.api.times import with_times
from service.api.trials import LogEnd, last_lines
from service.reports.sweep import sweep
from service.store import Experiment, Store, Submission
from service.store.states import State
from trainers.artifacts.layout import driver_log
from trainers.data.source import RemoteSource
from trainers.encoders.by_name import encoder_size
from trainers.tasks import TASKS

router = APIRouter(tags=["experiments"])

# The body is read by hand, so that all its problems can be told at once; this is what it looks like.
_SPEC_SCHEMA = ExperimentSpec.model_json_schema(ref_template="#/components/schemas/{model}")
SCHEMAS: dict[str, Any] = _SPEC_SCHEMA.pop("$defs")
_REFUSALS = refusals(413, 415, 422, 507)
_SPEC_BODY = {"content": {"application/json": {"schema": _SPEC_SCHEMA}}, "required": True}


class Listing(BaseModel):
    """Which experiments to list: filters by field, and a page."""

    model_config = ConfigDict(extra="forbid")

    owner: Text | None = None
    tags: Text | None = Field(None, description="experiments that have this tag")
    state: State | None = None
    name: Text | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    cursor: Text | None = None


class From(BaseModel):
    """What a submitted spec starts from."""

    model_config = ConfigDict(extra="forbid")

    preset: Text | None = Field(None, description="the name of a preset, see GET /v1/presets")


@router.post("/experiments", status_code=201, responses=_REFUSALS, openapi_extra={"requestBody": _SPEC_BODY})
async def create(
    request: Request,
    wanted: Annotated[From, Query()],
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=200, pattern="^[!-~]+$")] = None,
) -> JSONResponse:
    """Accept an experiment: 201 with its id, or 422 with everything that is wrong.

    With `preset` the body's fields take the place of that preset's. Repeated with the same `Idempotency-Key` it is the
    same experiment.
    """
    body = await _body(request, wanted)
    id_ = await run_in_threadpool(_store, request, body, idempotency_key)
    answer = await run_in_threadpool(show_experiment, request, id_)
    return JSONResponse(answer, 201, {"Location": f"/v1/experiments/{id_}"})


@router.get("/presets")
def presets() -> JSONResponse:
    """The paper's tables and figures as specs, to submit or to change: `{"presets": [{"preset", "spec"}]}`."""
    return JSONResponse({"presets": [{"preset": name, "spec": preset(name)} for name in names()]})


@router.post("/plans", responses=_REFUSALS, openapi_extra={"requestBody": _SPEC_BODY})
async def planned(request: Request, wanted: Annotated[From, Query()]) -> JSONResponse:
    """What an experiment would take, of which nothing is stored: 200, or 422 with everything that is wrong."""
    body = await _body(request, wanted)
    return JSONResponse(await run_in_threadpool(_plan, request, body))


@router.get("/experiments")
def listing(request: Request, wanted: Annotated[Listing, Query()]) -> JSONResponse:
    """Experiments, newest first: `{"experiments": [...], "next": cursor or null}`."""
    page, following = request.app.state.store.experiments(**wanted.model_dump())
    environment = request.app.state.environment()
    return JSONResponse({"experiments": [_shown(experiment, environment) for experiment in page], "next": following})


@router.get("/experiments/{id_}")
def show(request: Request, id_: str) -> JSONResponse:
    """One experiment: its state and why, how far its trials are, what they cost, and its spec."""
    return JSONResponse(show_experiment(request, id_))


@router.get("/experiments/{id_}/log")
def log(request: Request, id_: str, wanted: Annotated[LogEnd, Query()]) -> PlainTextResponse:
    """The last lines that its drivers have written, as text."""
    state_of(request, id_)
    return last_lines(driver_log(request.app.state.environment().home, id_), wanted)


@router.get("/experiments/{id_}/shots")
def shots(request: Request, id_: str) -> JSONResponse:
    """The draws that its trials were trained on, so that anyone can repeat them: `{"shots": [...]}`."""
    state_of(request, id_)
    return JSONResponse({"shots": request.app.state.store.results.shots(id_)})


@router.get("/experiments/{id_}/sweep")
def swept(request: Request, id_: str) -> JSONResponse:
    """What its search found: `{"objective", "candidates": [...], "chosen": [...], "cost": {...}}`."""
    spec = ExperimentSpec.model_validate(show_experiment(request, id_)["spec"])
    store, metric = request.app.state.store, TASKS[spec.task].metric
    return JSONResponse(sweep(spec, store.results.objectives(id_, metric), store.results.test_scores(id_, metric)))


async def _body(request: Request, wanted: From) -> object:
    if not request.headers.get("content-type", "").partition(";")[0].strip().lower().endswith("json"):
        raise HTTPException(415, "the body must be JSON, with the header Content-Type: application/json")
    body = _parsed(await request.body())
    if wanted.preset is None:
        return body
    if wanted.preset not in names():
        raise SpecError([Problem("preset", f"{wanted.preset!r} is not one of them; allowed: {', '.join(names())}")])
    return {**preset(wanted.preset), **body} if isinstance(body, dict) else body


def _parsed(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise SpecError([Problem("body", f"not JSON: {ascii(str(error))[1:-1]}")]) from error


def _store(request: Request, body: object, key: str | None) -> str:
    store: Store = request.app.state.store
    submission = Submission(key, sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()) if key else None
    if submission is not None and (id_ := store.submitted(submission)) is not None:
        return id_
    environment = request.app.state.environment()
    spec = accepted(body, environment).with_population(secrets.token_hex(6))
    if isinstance(spec.data.source, RemoteSource):
        return store.add_experiment(spec, None, submission=submission)
    made = _estimated(store, spec, environment)
    return store.add_experiment(spec, made.plan, submission)


def _plan(request: Request, body: object) -> dict[str, Any]:
    environment = request.app.state.environment()
    spec = as_if_drawn(accepted(body, environment))
    source = spec.data.source
    if isinstance(source, RemoteSource):
        data = spec.data.open(spec.task, environment.home, environment.data_root)
        if problems := list(check_data(spec, data)):
            title = source.title(spec.data.value)
            fetched = f"{title} is fetched when an experiment is submitted, and planned then; what lies here"
            raise SpecError([Problem(problem.field, f"{fetched}: {problem.message}") for problem in problems])
    return _estimated(request.app.state.store, spec, environment).summary(environment)


def _estimated(store: Store, spec: ExperimentSpec, environment: Environment) -> Estimate:
    """The plan of an accepted spec whose data are at hand, with its cost."""
    data = spec.data.open(spec.task, environment.home, environment.data_root)
    made = plan(spec, data, environment.home)
    found = estimate(spec, made, data, encoder_size(spec.encoder, environment.home), store.known(spec, made))
    if problem := too_small_a_budget(found):
        raise SpecError([problem])
    return found


def state_of(request: Request, id_: str) -> str:
    """The state of an experiment. HTTPException 404 if there is none of this id."""
    state: str | None = request.app.state.store.control.state(id_) if id_.isalnum() and id_.isascii() else None
    if state is None:
        raise HTTPException(404, "there is no experiment with this id")
    return state


def show_experiment(request: Request, id_: str) -> dict[str, Any]:
    """An experiment as it is answered. HTTPException 404 if there is none of this id."""
    state_of(request, id_)
    experiment = request.app.state.store.experiment(id_)
    if experiment is None:
        raise HTTPException(404, "there is no experiment with this id any more")
    return _shown(experiment, request.app.state.environment())


def _shown(experiment: Experiment, environment: Environment) -> dict[str, Any]:
    return with_times({**vars(experiment), "cost": {**experiment.cost, "eta": _eta(experiment, environment)}})


def _eta(experiment: Experiment, environment: Environment) -> str | None:
    """When a running experiment will be done, as ISO 8601, if that can be told."""
    resources = ResourcesSpec.model_validate(experiment.spec["resources"])
    at_once, left = trials_at_once(resources, environment), experiment.cost["left"]
    if experiment.state != "running" or left is None or at_once is None:
        return None
    try:
        return datetime.fromtimestamp(time.time() + left / devices(resources) / at_once, UTC).isoformat()
    except (OverflowError, ValueError, OSError):  # beyond what calendars have
        return None
