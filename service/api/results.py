"""Results: scores, filtered, sorted and in pages."""

import json
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Body, Depends, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, create_model, field_validator

from search_spaces.columns import COLUMNS, Column
from search_spaces.problems import Problem, SpecError
from search_spaces.spaces import Closed, as_int
from search_spaces.spec import Text
from service import store
from service.api.answers import results as answers
from service.api.bodies import require_keys_once
from service.api.documented import sent_as
from service.api.formats import MEDIA_TYPES, as_arrow, as_parquet
from service.api.known import require_known
from service.api.query import FORMS, columns, conditions, order
from service.csv_cells import rows_as_csv
from service.store.query import EVERYTHING, Where, equal
from service.store.results import Results

router = APIRouter(tags=["results"])

# Rows of a page, in JSON and CSV.
MOST_ROWS = 10_000

EXAMPLE = {"where": {"and": [{"column": "k", "op": "ge", "value": 5}, {"column": "value", "op": "gt", "value": 50}]}}

Whole = Annotated[int, Field(ge=0, lt=2**31)]
Texts = Annotated[list[Text], Field(max_length=1000)]

Model = TypeVar("Model", bound=BaseModel)


def with_filters(columns: list[Column], of: str = "") -> Callable[[type[Model]], type[Model]]:
    """A decorator that adds to a model of query parameters one for each column: a list of values.

    With `of`, the parameter is called `<of>.<column>`, and the field `<of>_<column>`.
    """

    def decorate(model: type[Model]) -> type[Model]:
        filters: dict[str, Any] = {
            f"{of}_{column.name}" if of else column.name: _filter(column, of) for column in columns
        }
        doc, module = model.__doc__, model.__module__
        return create_model(model.__name__, __base__=model, __doc__=doc, __module__=module, **filters)

    return decorate


def _filter(column: Column, of: str) -> tuple[Any, Any]:
    """Type and default of a filter, with its alias if it is of one side. Its values are not negative."""
    one_of: Any = Literal
    least, greatest = column.bounds or (0, None)
    types: dict[type, Any] = {
        str: one_of[column.values] if column.values else Text,
        int: Whole,
        float: Annotated[float, Field(ge=least, le=greatest, allow_inf_nan=False)],
        bool: bool,
    }
    values = list.__class_getitem__(types[column.type])
    alias = f"{of}.{column.name}" if of else None
    return Annotated[values, Field(max_length=1000)], Field([], description=column.words, alias=alias)


class Answer(BaseModel):
    """The form of an answer: its columns and their order, its format, and the page."""

    model_config = ConfigDict(extra="forbid")

    columns: Texts = Field([], description="all, if none is named")
    sort: Annotated[Texts, Field(max_length=20)] = Field([], description="columns, with a minus for descending")
    at: Literal["selected", "every"] = Field("selected", description="test scores of selected or of all epochs")
    since: Annotated[int, Field(ge=0, lt=2**63)] | None = Field(None, description="`now` of an earlier answer")
    format: Literal["json", "csv", "parquet", "arrow"] = Field("json", description="Parquet and Arrow have no pages")
    limit: Annotated[int, Field(ge=1, le=10_000)] | None = Field(None, description="rows; in JSON and CSV, of a page")
    cursor: Annotated[str, Field(max_length=10_000)] | None = Field(None, description="`next` of the page before")


EVERYWHERE = [column for column in COLUMNS if column.filter == "everywhere"]
ROWS = [column for column in COLUMNS if column.filter == "rows"]


@with_filters(EVERYWHERE)
class Filters(BaseModel):
    """Filters by column. A repeated parameter matches any of its values; different parameters must all match."""

    model_config = ConfigDict(extra="forbid")

    def where(self, *also: Column) -> Where:
        """The given filters as conditions, those of further columns included."""
        given = {column.name: getattr(self, column.name) for column in (*EVERYWHERE, *also)}
        return equal({name: values for name, values in given.items() if values})


@with_filters(ROWS)
class ResultQuery(Filters, Answer):
    """Which rows, and the form of the answer."""


class ResultBody(Closed, Answer):
    """A tree of conditions, and the form of the answer, whose numbers are none of JSON's texts or `true`."""

    model_config = ConfigDict(strict=True)

    where: Any = Field(None, description=FORMS)

    whole = field_validator("since", "limit", mode="before")(as_int)


_FORMS = sent_as(
    "text/csv", *MEDIA_TYPES.values(), headers={"Now": "as `now` in JSON", "Next-Cursor": "of CSV, as `next` in JSON"}
)


@router.get("/results", response_model=answers.Results, responses=_FORMS)
def get_results(request: Request, wanted: Annotated[ResultQuery, Query()]) -> Response:
    """Scores, in the order of the plans.

    `value` is in percent. Test scores are those of the weights that the method selects, dev scores those of every
    epoch. `at=every` adds the test scores of every epoch where the spec has `"test_at": "every"`. `cut` says that only
    a sample of `examples` examples of the split was scored. All pages are of the moment of the first one; `since` with
    the first page's `now` returns the rows that were added or changed after it. `left_out` has the targets that methods
    of these experiments leave out, as `GET /v1/experiments/{id}` has them, with the `experiment`. CSV has `next` and
    `now` in the headers `Next-Cursor` and `Now`. Parquet and Arrow streams (`application/vnd.apache.arrow.stream`) have
    no pages, and `left_out` as JSON in the metadata of their schema.
    """
    where = wanted.where(*ROWS)
    _require_known(request, where, wanted)
    return _answer(request, where, wanted)


@router.post(
    "/results/query", response_model=answers.Results, responses=_FORMS, dependencies=[Depends(require_keys_once)]
)
def query_results(
    request: Request, wanted: Annotated[ResultBody, Body(openapi_examples={"high": {"value": EXAMPLE}})]
) -> Response:
    """Scores that meet a tree of conditions.

    Operators are `eq`, `ne`, `lt`, `le`, `gt`, `ge` and `in`. Null equals null, and is neither less nor greater than
    any value. Text is compared by code points.
    """
    where = EVERYTHING if wanted.where is None else conditions(wanted.where)
    _require_known(request, where, wanted, field="where")
    return _answer(request, where, wanted)


def _require_known(request: Request, where: Where, wanted: Answer, field: str | None = None) -> None:
    if (
        wanted.cursor is None
    ):  # the first page was asked for with the same filters, and may have been of more experiments
        require_known(request.app.state.store, where, field=field)


def _answer(request: Request, where: Where, wanted: Answer) -> Response:
    names = columns(wanted.columns)
    asked = store.Query(where, order(wanted.sort), names, wanted.at == "every", wanted.since)
    found: Results = request.app.state.store.results
    if wanted.format in ("parquet", "arrow"):
        if wanted.cursor is not None:
            raise SpecError([Problem("cursor", f"{wanted.format} has no pages; allowed with format json or csv")])
        now, batches = found.whole(asked, wanted.limit)
        metadata = {"left_out": json.dumps(found.left_out_of(asked, now))}
        answered = as_arrow(batches, metadata) if wanted.format == "arrow" else as_parquet(batches, metadata)
        return StreamingResponse(answered, headers={"Now": str(now)}, media_type=MEDIA_TYPES[wanted.format])
    page = found.rows(asked, wanted.limit or MOST_ROWS, wanted.cursor)
    if wanted.format == "json":
        left_out = found.left_out_of(asked, page.now)
        return JSONResponse({"results": page.rows, "left_out": left_out, "next": page.next, "now": page.now})
    table = rows_as_csv(names, ([row[name] for name in names] for row in page.rows))
    headers = {"Now": str(page.now), **({"Next-Cursor": page.next} if page.next else {})}
    return Response(table, media_type="text/csv", headers=headers)
