"""The paper's tables and figures, of our own results."""

from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException

from search_spaces.problems import Problem, SpecError
from service.api.problems import refusals
from service.api.results import Filters
from service.api.summaries import plain, rows_of
from service.reports.cosines import cosines
from service.reports.paper import KINDS
from service.reports.report import Report
from service.reports.summary import OF_SPEC, described, of_main_metric
from service.store import Query as Question
from service.store import Store
from service.store.query import Where
from trainers.methods import METHODS

router = APIRouter(tags=["reports"])


class Form(Filters):
    """Of which results, and in which form."""

    format: Literal["json", "csv", "markdown", "latex", "html", "svg"] = "json"


@router.get("/reports")
def listing() -> JSONResponse:
    """The reports that there are: `{"reports": [{"report", "title"}]}`."""
    return JSONResponse({"reports": [{"report": name, "title": kind.title} for name, kind in KINDS.items()]})


@router.get("/reports/{name}", responses=refusals(404, 422))
def report(request: Request, name: str, wanted: Annotated[Form, Query()]) -> Response:
    """A report of the results that the filters leave: `{"title", "notes", "data": [...]}`, or another form.

    SVG is for figures; HTML is what a notebook shows. 422 where the results lack what the report is about.
    """
    if name not in KINDS:
        raise HTTPException(404, f"there is no such report; allowed: {', '.join(KINDS)}")
    try:
        rows = _rows(request.app.state.store, request.app.state.environment().home, wanted.where(), KINDS[name].of)
        if rows.empty:
            raise ValueError("there are no results that these filters leave")
        made = KINDS[name].made(rows)
    except ValueError as error:  # it lacks what the report is about, is incomplete, or of several kinds
        raise SpecError([Problem("experiment", str(error))]) from error
    return _answer(made, wanted.format)


def _answer(made: Report, form: str) -> Response:
    if form == "svg":
        if made.draw is None:
            raise SpecError([Problem("format", "it is a table; allowed: json, csv, markdown, latex, html")])
        return Response(made.svg(), media_type="image/svg+xml")
    if form == "csv":
        return Response(made.data.to_csv(index=False), media_type="text/csv")
    if form == "html":
        return HTMLResponse(made.html())
    if form in ("markdown", "latex"):
        return PlainTextResponse(made.markdown() if form == "markdown" else made.latex())
    return JSONResponse({"title": made.title, "notes": list(made.notes), "data": plain(made.data)})


def _rows(store: Store, home: Path, where: Where, of: str) -> pd.DataFrame:
    match of:
        case "selected":
            return rows_of(store, where, "test", None)
        case "every":
            _, batches = store.results.whole(Question(where, every_step=True))
            rows = pd.concat([batch.to_pandas() for batch in batches], ignore_index=True)
            kept = ["trial", "method", "k", "seed", "language", "split", "metric", "epoch", "examples"]
            rows = described(rows, store.results.specs(list(rows["experiment"].unique())))
            return of_main_metric(rows).drop_duplicates(kept)
        case "measures":
            return _measures(store, where)
        case _:
            return _cosines(store, home, where)


def _cosines(store: Store, home: Path, where: Where) -> pd.DataFrame:
    """The cosines of every two languages in each model of mixed training. ValueError: one was not kept."""
    tests = rows_of(store, where, "test", None)
    mixed = tests[tests["method"].isin([name for name, one in METHODS.items() if one.few_shot and not one.adapts])]
    names = ["method", "k", "seed", "alpha", "candidate", "judged_on", "trial", "selection", "experiment", *OF_SPEC]
    found: list[dict[str, Any]] = []
    rows = mixed.drop_duplicates("trial")[names].to_dict("records")
    known_of = cosines(home, [(str(row["trial"]), str(row["selection"])) for row in rows])
    for row, known in zip(rows, known_of, strict=True):
        for language, line in zip(known["languages"], known["cosines"], strict=True):
            pairs = zip(known["languages"], line, strict=True)
            found += [{**row, "language": language, "other": other, "cosine": cosine} for other, cosine in pairs]
    return pd.DataFrame(found)


def _measures(store: Store, where: Where) -> pd.DataFrame:
    """What surgery met in each epoch, in percent: what it met since the start, less what it had met before."""
    found: list[dict[str, Any]] = []
    before: dict[str, tuple[float, float]] = {}
    rows = {(row["trial"], row["step"], row["method"]): row for row in store.results.measures(where)}
    for row in rows.values():
        met = row.pop("values").get("surgery")
        if met is None or met["conflict_rate"] is None:
            continue
        passes = met["operations"] - met["nonfinite"]
        conflicts = met["conflict_rate"] * passes
        earlier_passes, earlier = before.get(row["trial"], (0.0, 0.0))
        before[row["trial"]] = passes, conflicts
        rate = 100 * (conflicts - earlier) / (passes - earlier_passes) if passes > earlier_passes else None
        found.append({**row, "conflict_rate": rate})
    columns = ["experiment", "trial", "method", "k", "seed", "alpha", "candidate", "epoch", "step", "conflict_rate"]
    frame = pd.DataFrame(found, columns=pd.Index(columns))
    return described(frame, store.results.specs(list(frame["experiment"].unique())))
