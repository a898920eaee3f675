"""Summaries of results, and comparisons of methods."""

from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import ConfigDict, Field

from search_spaces.problems import Problem, SpecError
from search_spaces.spec import Text
from service.api.formats import MEDIA_TYPES, frame_as_arrow
from service.api.problems import refusals
from service.api.results import Filters, Whole
from service.reports.compare import comparison
from service.reports.summary import BY, beside_published, described, of_main_metric, require_alike, summary
from service.store import Store
from service.store.query import Where

router = APIRouter(tags=["results"])


class Cells(Filters):
    """Which scores: those of the selected weights."""

    split: Literal["test", "dev"] = "test"
    metric: Text | None = Field(None, description="each task's own, if none is given")


class Grouped(Cells):
    """How they are summed up."""

    by: Annotated[list[Text], Field(min_length=1, max_length=20)] = Field(["method", "k"], description=", ".join(BY))
    published: bool = Field(False, description="beside the paper's figures")
    format: Literal["json", "csv", "arrow"] = "json"


class Pair(Cells):
    """Two methods at one K."""

    model_config = ConfigDict(extra="forbid")

    better: Text = Field(description="the method that gains")
    over: Text = Field(description="the method that it is compared with")
    shots: Whole = Field(description="K of both; a method without shots is the same beside every K")


@router.get("/results/summary", responses=refusals(422))
def summarised(request: Request, wanted: Annotated[Grouped, Query()]) -> Response:
    """Means over seeds, a seed's value being that over target languages: `{"summary": [...]}`, CSV, or Arrow's stream.

    A row for each group of `by`, such as `by=method,k`, with `mean`, `sd`, `n` (seeds), `min`, `max`,
    `mean_with_source`, `sd_with_source`, `languages`, `missing`, `complete`, `mixed` and `best`. A seed that lacks a
    language does not count, and its group is not `complete`. With `published` the paper's figure, the `difference` from
    it, and what `differs` from its setting.
    """
    by = list(dict.fromkeys(name for given in wanted.by for name in given.split(",")))
    for name in by:
        if name not in BY:
            raise SpecError([Problem("by", f"{name[:100]!a} is none; allowed: {', '.join(BY)}")])
    rows = rows_of(request.app.state.store, wanted.where(), wanted.split, wanted.metric)
    found = summary(rows, by)
    if wanted.published:
        try:
            found = beside_published(found, rows, by)
        except ValueError as error:
            raise SpecError([Problem("by", str(error))]) from error
    if wanted.format == "csv":
        return Response(found.to_csv(index=False), media_type="text/csv")
    if wanted.format == "arrow":
        return Response(frame_as_arrow(found), media_type=MEDIA_TYPES["arrow"])
    return JSONResponse({"summary": plain(found)})


@router.get("/results/compare", responses=refusals(422))
def compared(request: Request, wanted: Annotated[Pair, Query()]) -> JSONResponse:
    """Is it noise? One method over another on the same languages and seeds: `{"overall": {...}, "languages": [...]}`.

    `gain`, `sd` and its 95 % bootstrap interval (`low`, `high`) over `seeds`; `p` of a permutation test over seeds,
    `smallest_p` that so many can give, `p_holm` corrected for the number of languages; `wins`, `ties`, `losses`.
    """
    rows = rows_of(request.app.state.store, wanted.where(), wanted.split, wanted.metric)
    rows = rows[rows["method"].isin([wanted.better, wanted.over]) & rows["k"].isin([0, wanted.shots])]
    try:
        require_alike(rows)
        scores, source = rows.dropna(subset="value").drop(columns=["data"]), rows["source_language"].max()
        found = comparison(scores, wanted.better, wanted.over, wanted.shots, source)
    except ValueError as error:
        raise SpecError([Problem("better", str(error))]) from error
    return JSONResponse({"overall": plain(found.overall.to_frame().T)[0], "languages": plain(found.languages)})


def rows_of(store: Store, where: Where, split: str, metric: str | None) -> pd.DataFrame:
    """Scores of the selected weights, by the metric or by each task's own, with what their specs say."""
    cells = store.results.cells(where, split, metric).to_pandas()
    rows = described(cells, store.results.specs(list(cells["experiment"].unique())))
    return rows if metric is not None else of_main_metric(rows)


def plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON has them: null where there is no number."""
    return [{name: _value(value) for name, value in row.items()} for row in frame.to_dict("records")]


def _value(value: Any) -> Any:
    if isinstance(value, list):
        return value
    if isinstance(value, np.generic):
        value = value.item()
    return None if pd.isna(value) else value
