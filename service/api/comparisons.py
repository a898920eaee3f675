"""Paired comparisons: one side of results over another, each with a filter of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import pandas as pd
from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import Field

from search_spaces.problems import Problem, SpecError
from service.api.answers import results as answers
from service.api.known import require_known
from service.api.results import EVERYWHERE, with_filters
from service.api.summaries import Allow, Cells, plain
from service.reports.chosen import chosen
from service.reports.compare import Interval, Trait, paired, paired_groups
from service.reports.compare_items import kept_parts, over_items, over_seeds_and_items
from service.reports.left_out import left_out
from service.reports.rows import selected
from service.reports.setting import searched
from service.reports.sides import (
    Side,
    has_several_candidates,
    missing,
    on_common_languages,
    require_comparable,
    side,
    targets,
)
from service.store import Store
from service.store.query import And, Where, equal
from trainers.artifacts.place import Place
from trainers.artifacts.places import NO_PATIENCE, place_of
from trainers.marks import MARK_NAMES
from trainers.methods import METHODS

router = APIRouter(tags=["results"])

BETTER, OVER = SIDES = ("better", "over")

# What groups of languages are called, by the trait that they share.
GROUPS: dict[Trait, str] = {"script": "scripts", "family": "families"}


@with_filters(EVERYWHERE, of=BETTER)
@with_filters(EVERYWHERE, of=OVER)
class Pair(Cells):
    """Two sides: filters of both, and of each with its name before them."""

    unit: Literal["seeds", "items", "seeds-and-items"] = Field(
        "seeds", description="what is repeated: seeds for methods, items (test examples) for two trained models"
    )
    interval: Interval = Field("t", description="over seeds: Student's t, or a bootstrap, which is too narrow")
    allow: Allow = Field([], description="names of settings that may differ")

    def named(self, of: str) -> dict[str, list[Any]]:
        """The filters of a side alone."""
        given = {column.name: getattr(self, f"{of}_{column.name}") for column in EVERYWHERE}
        return {name: values for name, values in given.items() if values}

    def of_side(self, of: str) -> Where:
        """The filters of a side, those of both included, but for K and α where its method has none."""
        shared = {column.name: getattr(self, column.name) for column in EVERYWHERE}
        own = self.named(of)
        methods = [METHODS.get(name) for name in own.get("method") or shared["method"]]
        if methods and not any(one is None or one.few_shot for one in methods):
            shared["k"] = []
        if methods and not any(one is None or one.surgery for one in methods):
            shared["alpha"] = []
        return And((equal({name: values for name, values in shared.items() if values}), equal(own)))


@router.get("/results/compare", response_model=answers.Comparison)
def compare_results(request: Request, wanted: Annotated[Pair, Query()]) -> JSONResponse:
    """One side over the other, paired by language and seed.

    Filters are of both sides, or of one: `better.alpha=1&over.alpha=0.1&method=gradient-mix-train`. Of a search whose
    candidates are not named its chosen one counts. Sides are not compared on languages that either leaves out, and no
    mean is over scores that are missing. 422 if the sides differ in anything that neither names, a search chose or
    `allow` allows.

    With the unit `seeds`, something is said of methods: `gain`, `sd`, a 95 % interval (`low`, `high`) and `p` by
    Student's t over `seeds`, `p_permutation` with the `smallest_p` that this many can give, `p_holm` over languages,
    `wins`, `ties`, `losses`; and the same of the languages of each of the `scripts` and `families`. With `items`, of
    the two trained models of each `seed`, of which `overall` and `languages` have rows: `p` by approximate
    randomization, `low` and `high` by a paired bootstrap over test examples. With `seeds-and-items`, of methods for
    further seeds and examples.
    """
    store, place = request.app.state.store, place_of(request.app.state.environment(), NO_PATIENCE)
    if wanted.interval == "bootstrap" and wanted.unit != "seeds":
        raise SpecError([Problem("interval", f"with the unit {wanted.unit} there is one kind; allowed: t")])
    require_known(store, wanted.known())
    for name in SIDES:
        require_known(store, equal(wanted.named(name)), of=f"{name}.")
    with _refusing(BETTER):
        better = _side(store, wanted, BETTER)
    with _refusing(OVER):
        over = _side(store, wanted, OVER)
    without = left_out(pd.concat([better.rows, over.rows]))
    with _refusing(BETTER):
        better, over = on_common_languages(better, over)
        differs = require_comparable(better, over, wanted.allow)
    with _refusing("unit" if wanted.unit != "seeds" else BETTER):
        answer = _tested(place, better.rows, over.rows, wanted)
    of_both = sorted({*better.rows["numerics"], *over.rows["numerics"]})
    numerics = int(of_both[0]) if len(of_both) == 1 else None
    marks = {name: sum(int(side.rows[name].sum()) for side in (better, over)) for name in MARK_NAMES}
    lacks = missing(better, over)
    said = {"differs": differs, "left_out": without, "missing": lacks, **marks, "numerics": numerics}
    return JSONResponse({"unit": wanted.unit, **answer, **said})


@contextmanager
def _refusing(field: str) -> Iterator[None]:
    """Answer a ValueError as a problem with a field."""
    try:
        yield
    except ValueError as error:
        raise SpecError([Problem(field, str(error))]) from error


def _side(store: Store, wanted: Pair, name: str) -> Side:
    """A side's scores; of several candidates of a search the chosen one's, unless the filter names some."""
    rows = targets(selected(store, wanted.of_side(name), wanted.split, wanted.metric).assign(split=wanted.split))
    given = {*wanted.named(name), *wanted.model_fields_set}
    is_of_search = bool(names := searched(rows["candidate"])) and not names & given
    if "candidate" not in given and (is_of_search or has_several_candidates(rows)):
        rows = chosen(store, rows)
    return side(name, rows, wanted.named(name), wanted.allow)


def _tested(place: Place, better: pd.DataFrame, over: pd.DataFrame, wanted: Pair) -> dict[str, Any]:
    if wanted.unit == "seeds":
        found = paired(better, over, SIDES, wanted.interval)
        groups = {
            name: plain(paired_groups(better, over, SIDES, trait, wanted.interval)) for trait, name in GROUPS.items()
        }
        return {"overall": plain(found.overall.to_frame().T)[0], "languages": plain(found.languages), **groups}
    parts, seeds = kept_parts(place, better, over, SIDES)
    if wanted.unit == "items":
        of_seeds, languages = over_items(parts, seeds)
        return {"overall": plain(of_seeds), "languages": plain(languages)}
    overall, languages = over_seeds_and_items(parts)
    return {"overall": plain(overall.to_frame().T)[0], "languages": plain(languages)}
