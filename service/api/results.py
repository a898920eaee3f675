"""Results: score rows, filtered, in pages."""

import csv
import io
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from search_spaces.spec import Text
from service.store import RESULT_COLUMNS

router = APIRouter(tags=["results"])

Whole = Annotated[int, Field(ge=0, lt=2**31)]
Texts = Annotated[list[Text], Field(max_length=1000)]
Wholes = Annotated[list[Whole], Field(max_length=1000)]


class ResultQuery(BaseModel):
    """Which rows: each parameter keeps the rows with this value, given several times with any of them."""

    model_config = ConfigDict(extra="forbid")

    experiment: Texts = []
    trial: Texts = []
    method: Texts = []
    k: Wholes = []
    seed: Wholes = []
    alpha: Annotated[list[Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]], Field(max_length=1000)] = []
    candidate: Texts = []
    language: Texts = []
    split: Texts = []
    metric: Texts = []
    epoch: Wholes = []
    owner: Texts = []
    tags: Texts = []
    at: Literal["selected", "every"] = "selected"
    format: Literal["json", "csv"] = "json"
    limit: Annotated[int, Field(ge=1, le=10_000)] = 10_000
    cursor: Text | None = None


@router.get("/results")
def results(request: Request, wanted: Annotated[ResultQuery, Query()]) -> Response:
    """Score rows in the order in which they came: `{"results": [...], "next": cursor or null}`, or CSV.

    `value` is in percent. Test scores are those of the weights that the method selects; dev scores are there for
    every epoch. With `at=every` test scores are those of every epoch, where the spec's `test_at` asked for them. `cut`
    says that only the first `examples` examples of the split were scored. With CSV the next
    page's cursor is in the header `Next-Cursor`.
    """
    filters = {
        name: values
        for name, values in wanted.model_dump(exclude={"at", "format", "limit", "cursor"}).items()
        if values
    }
    every = wanted.at == "every"
    rows, following = request.app.state.store.results.rows(filters, wanted.limit, wanted.cursor, every)
    if wanted.format == "json":
        return JSONResponse({"results": rows, "next": following})
    table = io.StringIO()
    writer = csv.DictWriter(table, RESULT_COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    headers = {"Next-Cursor": following} if following else {}
    return Response(table.getvalue(), media_type="text/csv", headers=headers)
