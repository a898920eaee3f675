"""Reports: the paper's tables and figures of chosen experiments, to read, to copy and to take along."""

import math
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from pydantic import model_validator
from starlette.exceptions import HTTPException

from search_spaces.problems import Problem, SpecError
from search_spaces.spec import Text
from service.api.experiments import Listing, list_experiments, show_experiment
from service.api.reports import Form, get_report, list_reports
from service.reports.kinds import KINDS
from service.reports.report import FULL_COLOR
from service.reports.setting import NAMES
from service.web.rendering import Page, answered, filled, page, tidy

router = APIRouter(route_class=Page, include_in_schema=False)

# As many experiments are offered, the latest; others can be named in the address.
MOST_OFFERED = 200

# Parameters that have a place of their own in the form, or none.
ELSEWHERE = ("report", "experiment", "published", "chosen", "allow", "format")

# Formats whose names are not in capitals.
WORDS = {"latex": "LaTeX", "markdown": "Markdown", "vega-lite": "Vega-Lite"}

# Formats that a browser downloads, with the endings of their files.
DOWNLOADS = {"csv": "csv", "latex": "tex", "pdf": "pdf", "png": "png"}

# Cells are shaded in so many steps.
SHADES = 5


class Shown(Form):
    """Which report, and of which results."""

    report: Text | None = None

    _filled = model_validator(mode="before")(filled)


@router.get("/reports")
def reports(request: Request, wanted: Annotated[Shown, Query()]) -> HTMLResponse:
    """A report, or why there is none of these results."""
    asked = wanted.model_dump(exclude_defaults=True, exclude={"report", "format"})
    found, problems, is_made_of_chosen = None, list[Problem](), False
    if wanted.report is not None and set(asked) - {"published", "chosen", "allow", "metric"}:
        try:
            found = answered(get_report(request, wanted.report, Form(**asked)))
        except SpecError as error:
            problems = error.problems
            is_made_of_chosen = _is_made_of_chosen(request, wanted)
    offered = answered(list_experiments(request, Listing(limit=MOST_OFFERED)))["experiments"]
    named, chosen = {one["id"] for one in offered}, asked.get("experiment", [])
    offered += [_known(request, id_) for id_ in chosen if id_ not in named]
    return page(
        request,
        "reports",
        headers=tidy(request),
        wanted=wanted,
        kinds=answered(list_reports())["reports"],
        has_published={name for name, kind in KINDS.items() if kind.published},
        chosen=[one["name"] or one["id"] for one in offered if one["id"] in chosen],
        experiments=sorted(offered, key=lambda one: one["id"] not in chosen),
        words=WORDS,
        downloads=DOWNLOADS,
        filters={name: (field, _values(wanted, name)) for name, field in Form.model_fields.items()
                 if name not in ELSEWHERE},
        settings=NAMES,
        found=found,
        shades=[] if found is None else [[_shade(one) for one in row] for row in found["table"]["shades"]],
        address=f"/v1/reports/{wanted.report}?{urlencode(asked, doseq=True)}",
        problems=problems,
        is_made_of_chosen=is_made_of_chosen,
    )  # fmt: skip


def _is_made_of_chosen(request: Request, wanted: Shown) -> bool:
    """Whether a report that was refused is one of the candidates that searches chose."""
    if wanted.chosen or wanted.report is None:
        return False
    asked = wanted.model_dump(exclude_defaults=True, exclude={"report", "format"})
    try:
        get_report(request, wanted.report, Form(**{**asked, "chosen": True}))
    except SpecError:
        return False
    return True


def _known(request: Request, id_: str) -> dict[str, Any]:
    """An experiment as the REST interface shows it; its id alone if it is deleted."""
    try:
        return show_experiment(request, id_)
    except HTTPException:
        return {"id": id_, "name": ""}


def _values(wanted: Shown, name: str) -> list[Any]:
    """The values of a filter."""
    given = getattr(wanted, name)
    return given if isinstance(given, list) else [] if given is None else [given]


def _shade(difference: float | None) -> str:
    """The class of a cell, by its difference from zero-shot."""
    if not difference:
        return ""
    step = min(SHADES, math.ceil(SHADES * abs(difference) / FULL_COLOR))
    return f"{'more' if difference > 0 else 'less'}-{step}"
