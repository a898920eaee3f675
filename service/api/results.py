"""Results: score rows, filtered, sorted, in pages."""

import csv
import io
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from search_spaces.problems import Problem, SpecError
from search_spaces.spec import Text
from service import store
from service.api.formats import MEDIA_TYPES, as_arrow, as_parquet
from service.api.problems import refusals
from service.api.query import FORMS, columns, conditions, order
from service.store.query import EVERYTHING, Where, equal
from service.store.results import Results

router = APIRouter(tags=["results"])

# Of JSON and CSV, a page.
MOST_ROWS = 10_000

Whole = Annotated[int, Field(ge=0, lt=2**31)]
Texts = Annotated[list[Text], Field(max_length=1000)]
Wholes = Annotated[list[Whole], Field(max_length=1000)]


class Answer(BaseModel):
    """How rows are told: which columns, in which order, in which form, and which page of them."""

    model_config = ConfigDict(extra="forbid")

    columns: Texts = Field([], description="all, if none is named")
    sort: Annotated[Texts, Field(max_length=20)] = Field([], description="columns, with a minus for descending")
    at: Literal["selected", "every"] = "selected"
    since: Annotated[int, Field(ge=0, lt=2**63)] | None = Field(None, description="`now` of an earlier answer")
    format: Literal["json", "csv", "parquet", "arrow"] = "json"
    limit: Annotated[int, Field(ge=1, le=10_000)] | None = Field(None, description="rows; of JSON and CSV a page's")
    cursor: Annotated[str, Field(max_length=10_000)] | None = None


class Filters(BaseModel):
    """Each keeps the rows with this value, given several times with any of them."""

    model_config = ConfigDict(extra="forbid")

    experiment: Texts = []
    trial: Texts = []
    method: Texts = []
    k: Wholes = []
    seed: Wholes = []
    alpha: Annotated[list[Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]], Field(max_length=1000)] = []
    candidate: Texts = []
    language: Texts = []
    owner: Texts = []
    tags: Texts = []

    def where(self, *also: str) -> Where:
        """The filters that are given, and those of other fields."""
        given = {name: getattr(self, name) for name in (*Filters.model_fields, *also)}
        return equal({name: values for name, values in given.items() if values})


class ResultQuery(Filters, Answer):
    """Which rows, and how they are told."""

    split: Annotated[list[Literal["dev", "test"]], Field(max_length=1000)] = []
    metric: Texts = []
    epoch: Wholes = []


class ResultBody(Answer):
    """Which rows: a tree of conditions."""

    where: Any = Field(None, description=FORMS)


@router.get("/results", responses=refusals(422))
def results(request: Request, wanted: Annotated[ResultQuery, Query()]) -> Response:
    """Score rows in the order in which they came: `{"results": [...], "next": cursor or null, "now": moment}`, or CSV.

    `value` is in percent. Test scores are those of the weights that the method selects; dev scores are there for
    every epoch. With `at=every` test scores are those of every epoch, where the spec's `test_at` asked for them. `cut`
    says that only the first `examples` examples of the split were scored. What comes while pages are read is on none of
    them: `since=` the first page's `now` asks for it, and for rows that changed. With CSV `next` and `now` are in the
    headers `Next-Cursor` and `Now`. Parquet and an Arrow stream (`application/vnd.apache.arrow.stream`) come whole.
    """
    return _answer(request, wanted.where("split", "metric", "epoch"), wanted)


@router.post("/results/query", responses=refusals(422))
def query(request: Request, wanted: ResultBody) -> Response:
    """The same for any tree of conditions, such as `{"and": [{"column": "k", "op": "ge", "value": 5}, {"or": [...]}]}`.

    Operators are `eq`, `ne`, `lt`, `le`, `gt`, `ge` and `in`; null equals null, and is neither less nor greater. Texts
    are compared by code points.
    """
    return _answer(request, EVERYTHING if wanted.where is None else conditions(wanted.where), wanted)


def _answer(request: Request, where: Where, wanted: Answer) -> Response:
    told = columns(wanted.columns)
    question = store.Query(where, order(wanted.sort), told, wanted.at == "every", wanted.since)
    found: Results = request.app.state.store.results
    if wanted.format in ("parquet", "arrow"):
        if wanted.cursor is not None:
            raise SpecError([Problem("cursor", f"{wanted.format} comes whole; allowed with format json or csv")])
        now, batches = found.whole(question, wanted.limit)
        answered = as_arrow(batches) if wanted.format == "arrow" else as_parquet(batches)
        return StreamingResponse(answered, headers={"Now": str(now)}, media_type=MEDIA_TYPES[wanted.format])
    page = found.rows(question, wanted.limit or MOST_ROWS, wanted.cursor)
    if wanted.format == "json":
        return JSONResponse({"results": page.rows, "next": page.next, "now": page.now})
    table = io.StringIO()
    writer = csv.DictWriter(table, told)
    writer.writeheader()
    writer.writerows(page.rows)
    headers = {"Now": str(page.now), **({"Next-Cursor": page.next} if page.next else {})}
    return Response(table.getvalue(), media_type="text/csv", headers=headers)
