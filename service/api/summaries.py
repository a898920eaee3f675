"""Summaries of results."""

from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from search_spaces.problems import Problem, SpecError
from search_spaces.spec import Text
from service.api.answers import results as answers
from service.api.documented import sent_as
from service.api.formats import MEDIA_TYPES, frame_as_arrow
from service.api.known import require_known
from service.api.results import Filters
from service.csv_cells import as_csv
from service.reports.rows import selected
from service.reports.setting import NAMES
from service.reports.summary import BY, beside_published, summary
from service.store.query import And, Where, equal

router = APIRouter(tags=["results"])


def _known(given: list[str]) -> list[str]:
    """Names of settings, repeated or with commas between."""
    names = list(dict.fromkeys(name for text in given for name in text.split(",")))
    for name in names:
        if name not in NAMES:
            words = {"name": f"{name[:100]!a}", "allowed": ", ".join(NAMES)}
            raise PydanticCustomError("unknown", "{name} is unknown; allowed: {allowed}", words)
    return names


# Names of settings that may differ.
Allow = Annotated[list[Text], Field(max_length=100), AfterValidator(_known)]


class Cells(Filters):
    """Which scores of the selected weights."""

    split: Literal["test", "dev"] = Field("test", description="split that was scored")
    metric: Text | None = Field(None, description="name of the metric; if none is given, each task's main one")

    def known(self) -> Where:
        """What experiments must have: the filters, and the metric."""
        return And((self.where(), equal({"metric": [self.metric]} if self.metric is not None else {})))


class Grouped(Cells):
    """How they are grouped, and the form of the answer."""

    by: Annotated[list[Text], Field(min_length=1, max_length=20)] = Field(["method", "k"], description=", ".join(BY))
    published: bool = Field(False, description="with the paper's figures beside")
    format: Literal["json", "csv", "arrow"] = Field("json", description="form of the answer")


@router.get("/results/summary", response_model=answers.Summary, responses=sent_as("text/csv", MEDIA_TYPES["arrow"]))
def summarize_results(request: Request, wanted: Annotated[Grouped, Query()]) -> Response:
    """Means over seeds of the mean over target languages.

    There is a row for each group of `by`, such as `by=method,k`. A seed that lacks a language does not count, and its
    group is not `complete`. `published=true` adds the paper's figure, the `difference` from it, and what `differs` from
    its setting.
    """
    by = list(dict.fromkeys(name for given in wanted.by for name in given.split(",")))
    for name in by:
        if name not in BY:
            raise SpecError([Problem("by", f"{name[:100]!a} is unknown; allowed: {', '.join(BY)}")])
    require_known(request.app.state.store, wanted.known())
    rows = selected(request.app.state.store, wanted.where(), wanted.split, wanted.metric)
    found = summary(rows, by)
    if wanted.published:
        try:
            found = beside_published(found, rows, by, wanted.split)
        except ValueError as error:
            raise SpecError([Problem("by", str(error))]) from error
    if wanted.format == "csv":
        return Response(as_csv(found), media_type="text/csv")
    if wanted.format == "arrow":
        return Response(frame_as_arrow(found), media_type=MEDIA_TYPES["arrow"])
    return JSONResponse({"summary": plain(found)})


def plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame for JSON, with null for NaN."""
    return [{name: _value(value) for name, value in row.items()} for row in frame.to_dict("records")]


def _value(value: Any) -> Any:
    if isinstance(value, list):
        return value
    if isinstance(value, np.generic):
        value = value.item()
    return None if pd.isna(value) else value
