"""Reports: the paper's tables and figures, and further analyses, made from our results."""

from dataclasses import replace
from typing import Annotated, Literal, get_args

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from pydantic import Field
from starlette.exceptions import HTTPException

from search_spaces.problems import Problem, SpecError
from search_spaces.spec import Text
from service.api.answers import results as answers
from service.api.documented import OfReport, sent_as
from service.api.known import require_known
from service.api.problems import refusals
from service.api.results import Filters
from service.api.summaries import Allow, plain
from service.csv_cells import as_csv
from service.reports import kinds
from service.reports.chosen import of_chosen
from service.reports.drawing import MEDIA_TYPE as VEGA_LITE
from service.reports.drawing import Drawing
from service.reports.kinds import KINDS
from service.reports.report import Report
from service.reports.rows import Rows
from service.store.query import And, equal

# A figure or table that a browser shows by itself has styles in it, and executes nothing.
SHOWN = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'; sandbox"
    )
}

# Markdown and LaTeX are sent as plain text, which a browser shows.
FORMS = sent_as("text/csv", "text/plain", "text/html", "image/svg+xml", "image/png", "application/pdf", VEGA_LITE)

# Forms that figures alone have.
DRAWN = ("svg", "png", "pdf", "vega-lite")

router = APIRouter(tags=["reports"])


class Form(Filters):
    """Of which results, and in which form."""

    metric: Text | None = Field(None, description="name of the metric; if none is given, each task's main one")
    published: bool = Field(False, description="with the paper's figures beside ours, in every form")
    chosen: bool = Field(False, description="of each search the chosen candidate alone")
    allow: Allow = Field([], description="names of settings that may differ, which the report then says")
    format: Literal["json", "csv", "markdown", "latex", "html", "svg", "png", "pdf", "vega-lite"] = Field(
        "json", description="form of the answer; those from `svg` on are of figures"
    )


@router.get("/reports", response_model=answers.Reports)
def list_reports() -> JSONResponse:
    """The reports that there are."""
    return JSONResponse({"reports": [{"report": name, "title": kind.title} for name, kind in KINDS.items()]})


@router.get("/reports/{name}", response_model=answers.Report, responses=FORMS | refusals(404))
def get_report(
    request: Request,
    name: OfReport,
    wanted: Annotated[Form, Query()],
) -> Response:
    """A report of the results that match the filters.

    SVG, PNG, PDF and Vega-Lite, a spec with its data in it, are for figures; HTML is for a page or a mail. 422 where
    the results lack what the report shows, or are of several settings: what differs is named, with its values. `allow`
    allows it by name, and the report says so. Candidates of a search are such settings; with `chosen=true` a report is
    of those that the searches chose, and a note says which have chosen none so far.
    """
    if name not in KINDS:
        raise HTTPException(404, f"there is no such report; allowed: {', '.join(KINDS)}")
    return report_of(rows_of(request, wanted), name, wanted)


def rows_of(request: Request, wanted: Form) -> Rows:
    """The rows of the results that match the filters, for one report or for several.

    Args:
        request: that asks for them.
        wanted: the filters; SpecError if no experiment has a value, or if what a search chose cannot be said.
    """
    store, home = request.app.state.store, request.app.state.environment().home
    where = wanted.where()
    metric = equal({"metric": [wanted.metric]} if wanted.metric is not None else {})
    require_known(store, And((where, metric)))
    if not wanted.chosen:
        return Rows(store, home, where, wanted.metric)
    try:
        within, notes = of_chosen(store, where)
    except ValueError as error:
        raise SpecError([Problem("chosen", str(error))]) from error
    return Rows(store, home, And((where, within)), wanted.metric, notes)


def report_of(found: Rows, name: str, wanted: Form) -> Response:
    """A report of some rows, as `get_report` sends it. SpecError: they lack what it shows, or are unlike."""
    try:
        rows = found.of(KINDS[name].of)
        if rows.empty:
            raise ValueError(" ".join(["there are no results that match these filters", *found.notes]))
        made = kinds.report(name, rows, wanted.allow, wanted.published)
    except ValueError as error:
        raise SpecError([Problem("experiment", str(error))]) from error
    return _answer(replace(made, notes=(*made.notes, *found.notes)), wanted.format)


def _answer(made: Report, form: str) -> Response:
    if form in DRAWN:
        if made.draw is None:
            raise SpecError([Problem("format", "it is a table; allowed: json, csv, markdown, latex, html")])
        return _drawn(made.drawing(), form)
    if form == "csv":
        return Response(as_csv(made.data), media_type="text/csv")
    if form == "html":
        return HTMLResponse(made.html(), headers=SHOWN)
    if form in ("markdown", "latex"):
        return PlainTextResponse(made.markdown() if form == "markdown" else made.latex())
    forms = [one for one in get_args(Form.model_fields["format"].annotation) if made.draw or one not in DRAWN]
    told = {"title": made.title, "notes": list(made.notes), "figure": made.draw is not None, "formats": forms}
    return JSONResponse({**told, "table": made.table(), "data": plain(made.data)})


def _drawn(drawing: Drawing, form: str) -> Response:
    if form == "vega-lite":
        return JSONResponse(drawing.vega_lite(), media_type=VEGA_LITE)
    if form == "png":
        return Response(drawing.png(), media_type="image/png")
    if form == "pdf":
        return Response(drawing.pdf(), media_type="application/pdf")
    return Response(drawing.svg(), headers=SHOWN, media_type="image/svg+xml")
