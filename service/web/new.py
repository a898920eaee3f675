"""A new experiment: a form beside the JSON that it says, what is wrong with it, and what it would take."""

import json
import secrets
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from typing import Annotated, Any

from anyio import from_thread
from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from search_spaces.problems import Problem, SpecError
from search_spaces.spec import ExperimentSpec, Text
from service.api.catalog import list_datasets, list_encoders, list_languages, list_methods
from service.api.experiments import (
    From,
    Listing,
    get_experiment,
    list_experiments,
    list_presets,
    plan_experiment,
    submit_experiment,
)
from service.web.forms import Field as FormField
from service.web.forms import as_json, every, fields_of, filled_in, posted, said, shown
from service.web.rendering import Body, Page, answered, page, with_body
from trainers.methods import FURTHER, PAPER
from trainers.protocols import PROTOCOLS
from trainers.tasks import TASKS

router = APIRouter(route_class=Page, include_in_schema=False)

# Fields in groups, and whether a group is open from the start; what a spec has beside them is in the last one.
SECTIONS: Sequence[tuple[str, Sequence[str], bool]] = (
    ("What", ("name", "task", "encoder", "encoder_revision", "data"), True),
    ("Languages", ("source_language", "target_languages", "grouping"), True),
    ("Methods and shots", ("methods", "k", "seeds", "alpha", "sampling", "average", "held_out"), True),
    ("Protocol and training", ("protocol", "training"), False),
    ("Search", ("search",), False),
    ("Resources", ("resources", "priority", "keep"), False),
)
FURTHER_SECTION = "Further"

# What is shown where nothing is named.
DEFAULT_PRESET = "sample"

# As many experiments are offered to start from, the latest; any other can be named in the address.
MOST_OFFERED = 50

# Tells the rest of the page that the spec has changed.
CHANGED = {"HX-Trigger": "spec"}


class Start(BaseModel):
    """What a new experiment starts from."""

    model_config = ConfigDict(extra="forbid")

    preset: Text | None = None
    experiment: Text | None = Field(None, alias="from")


@router.get("/new")
def new(request: Request, wanted: Annotated[Start, Query()]) -> HTMLResponse:
    """A form that is filled in with a preset, or with the spec of an experiment."""
    if wanted.experiment:
        return _page(request, answered(get_experiment(request, wanted.experiment))["spec"], start=wanted)
    presets = {one["preset"]: one["spec"] for one in answered(list_presets())["presets"]}
    name = wanted.preset or DEFAULT_PRESET
    if name not in presets:
        raise SpecError([Problem("preset", f"{name[:100]!a} is not one of them; allowed: {', '.join(presets)}")])
    return _page(request, presets[name], start=Start(preset=name))


@router.post("/new")
def submit(request: Request, body: Body) -> Response:
    """Submit what a form says, as `POST /v1/experiments` does; the same of the same page is one experiment."""
    filled = posted(body)
    source, token = _source(filled), _text(filled, "token")
    key = f"{token[:100]}:{sha256(source.encode(errors='replace')).hexdigest()}" if token.isalnum() else None
    try:
        made = answered(from_thread.run(submit_experiment, with_body(request, source), From(), key))
    except SpecError as error:
        return _page(request, _object(source), source=source, problems=error.problems, status=422)
    return RedirectResponse(f"/experiments/{made['id']}", 303)


@router.post("/new/fields")
def from_fields(request: Request, body: Body) -> HTMLResponse:
    """The JSON that the fields say."""
    spec = _said(posted(body))
    if "hx-request" not in request.headers:
        return _page(request, spec)
    return page(request, "new_source", headers=CHANGED, source=as_json(spec))


@router.post("/new/source")
def from_source(request: Request, body: Body) -> HTMLResponse:
    """The fields, filled in with what the JSON says."""
    source = _text(posted(body), "spec")
    problems: list[Problem] = []
    spec: Mapping[str, Any] = {}
    try:
        spec = _parsed(source)
    except SpecError as error:
        problems = error.problems
    if "hx-request" not in request.headers:
        return _page(request, spec, source=source, problems=problems)
    if problems:
        return page(request, "new_unread", problems=problems)
    return page(request, "new_fields", headers=CHANGED, **_shown(request, spec, source))


@router.post("/new/plan")
def plan(request: Request, body: Body) -> HTMLResponse:
    """What is wrong with what a form says, or what it would take, as `POST /v1/plans` says it."""
    source = _source(posted(body))
    problems: list[Problem] = []
    found = None
    try:
        found = answered(from_thread.run(plan_experiment, with_body(request, source), From()))
    except SpecError as error:
        problems = error.problems
    if "hx-request" not in request.headers:
        return _page(request, _object(source), source=source, problems=problems, plan=found)
    fields = _fields()
    return page(
        request, "new_plan", plan=found, problems=problems, fields=list(every(fields)), wrong=_placed(fields, problems)
    )


def _page(
    request: Request,
    spec: Mapping[str, Any],
    *,
    source: str | None = None,
    start: Start | None = None,
    problems: Sequence[Problem] = (),
    plan: Mapping[str, Any] | None = None,
    status: int = 200,
) -> HTMLResponse:
    shown = _shown(request, spec, source, problems)
    return page(
        request,
        "new",
        status,
        **shown,
        start=start or Start(),
        presets=answered(list_presets())["presets"],
        experiments=answered(list_experiments(request, Listing(limit=MOST_OFFERED)))["experiments"],
        token=secrets.token_hex(8),
        plan=plan,
        problems=problems,
        fields=(),
    )


def _shown(
    request: Request, spec: Mapping[str, Any], source: str | None = None, problems: Sequence[Problem] = ()
) -> dict[str, Any]:
    """What the templates need of a form that is filled in with a spec."""
    fields = _fields()
    filled = filled_in(fields, spec)
    found = said(fields, filled)
    targets = spec.get("target_languages")
    wrong = _placed(fields, problems)
    return {
        "source": as_json(_kept(spec, found)) if source is None else source,
        "filled": filled,
        "targets": [shown(one) for one in targets] if isinstance(targets, list) else targets,
        "sections": _sections(fields, found, wrong),
        "wrong": wrong,
        "methods": _methods(filled.get("methods", ())),
        "families": _families(),
        "suggestions": _suggestions(request),
    }


def _kept(spec: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """What the fields say, and what of a spec there is no field for: it is refused, not lost."""
    return {**found, **{name: value for name, value in spec.items() if name not in ExperimentSpec.model_fields}}


@cache
def _fields() -> tuple[FormField, ...]:
    return fields_of(ExperimentSpec, {"task": tuple(TASKS), "protocol": tuple(PROTOCOLS)})


def _said(filled: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """What the fields say: the languages are checkboxes, and a text for others."""
    codes = [code for text in filled.get("target_languages", ()) for code in text.replace(",", " ").split()]
    is_all = filled.get("target_languages:form") == ["all"]
    return said(_fields(), {**filled, "target_languages": ["all" if is_all else json.dumps(codes)]})


def _source(filled: Mapping[str, Sequence[str]]) -> str:
    """The JSON that is written, or what the fields say: without scripts each form is submitted by itself."""
    return _text(filled, "spec") if "spec" in filled else as_json(_said(filled))


def _text(filled: Mapping[str, Sequence[str]], name: str) -> str:
    return filled.get(name, ("",))[0]


def _parsed(source: str) -> dict[str, Any]:
    """SpecError: it is no JSON object."""
    try:
        found = json.loads(source)
        shown(found)
    except (ValueError, RecursionError) as error:
        raise SpecError([Problem("body", f"not JSON: {ascii(str(error))[1:-1]}")]) from error
    if not isinstance(found, dict):
        raise SpecError([Problem("body", "not a JSON object")])
    return found


def _object(source: str) -> dict[str, Any]:
    """The object that JSON says; an empty one if it is none."""
    try:
        return _parsed(source)
    except SpecError:
        return {}


def _placed(fields: Sequence[FormField], problems: Sequence[Problem]) -> dict[str, list[str]]:
    """What is wrong, by the path of the nearest field; that of the whole by an empty one."""
    paths = {field.path for field in every(fields)}
    found: dict[str, list[str]] = {}
    for one in problems:
        path = one.field
        while path and path not in paths:
            path = path.rpartition(".")[0]
        within = one.field[len(path) :].strip(".") if path else one.field
        found.setdefault(path, []).append(f"{within}: {one.message}" if within else one.message)
    return found


def _sections(
    fields: Sequence[FormField], found: Mapping[str, Any], wrong: Mapping[str, Any]
) -> list[tuple[str, list[FormField], bool]]:
    """Title and fields of each section, and whether it is open: something in it is given, or wrong."""
    by_name = {field.path: field for field in fields}
    named = {name for _, names, _ in SECTIONS for name in names}
    rest = tuple(name for name in by_name if name not in named)
    shown = [*SECTIONS, (FURTHER_SECTION, rest, False)]
    concerned = {*found, *(path.partition(".")[0] for path in wrong)}
    return [
        (title, [by_name[name] for name in names if name in by_name], is_open or bool(concerned & set(names)))
        for title, names, is_open in shown
    ]


def _methods(chosen: Sequence[str]) -> list[tuple[str, list[dict[str, Any]]]]:
    """The methods in groups, with a line for each; those that are chosen but unknown last."""
    names = dict.fromkeys(chosen)
    there = {one["method"]: {**one, "is_chosen": one["method"] in names} for one in answered(list_methods())["methods"]}
    groups = [
        ("The paper's", [one for name, one in there.items() if name in PAPER]),
        ("Further selections", [one for name, one in there.items() if name in FURTHER]),
        ("Other rules", [one for name, one in there.items() if name not in PAPER and name not in FURTHER]),
        ("Unknown", [{"method": name, "description": "", "is_chosen": True} for name in names if name not in there]),
    ]
    return [(title, of) for title, of in groups if of]


@cache
def _families() -> list[tuple[str, list[tuple[str, list[dict[str, Any]]]]]]:
    """The languages by family, and in a family by script."""
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for one in sorted(answered(list_languages())["languages"], key=lambda one: (one["family"], one["script"])):
        found.setdefault(one["family"], {}).setdefault(one["script"], []).append(one)
    return [(family, list(scripts.items())) for family, scripts in found.items()]


def _suggestions(request: Request) -> dict[str, list[str]]:
    """What may be meant by a text, by the path of its field."""
    datasets = answered(list_datasets(request))["datasets"]
    return {
        "encoder": [one["encoder"] for one in answered(list_encoders())["encoders"]],
        "data.dataset.dataset": [one["name"] for one in datasets if one["kind"] in ("zip", "folder", "hub")],
        "source_language": [one["language"] for one in answered(list_languages())["languages"]],
    }
