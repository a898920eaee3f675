"""The results of an experiment: methods by languages, shaded by the difference from zero-shot."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict

from search_spaces.problems import SpecError
from service.api.documented import OfExperiment
from service.api.experiments import get_experiment, get_sweep
from service.api.results import MOST_ROWS
from service.api.summaries import Grouped, summarize_results
from service.web.remembered import Values, of_what_is_over
from service.web.rendering import Page, answered, page
from trainers.languages import LANGUAGES
from trainers.marks import MARKS
from trainers.methods import METHODS

router = APIRouter(route_class=Page, include_in_schema=False)

# From these differences in points on a cell is shaded, each time a step darker.
STEPS = (1.0, 3.0, 6.0, 10.0)

# Of more candidates than these, those that a search has not chosen are left away.
MOST_CANDIDATES = 12

# Of more languages than these, the table says that it scrolls: its last line, which stays in sight, looks like its end.
MOST_SEEN = 16

Column = tuple[int, str, str]  # K, method, candidate


class Sorted(BaseModel):
    """How the table is sorted, and what stands in it."""

    model_config = ConfigDict(extra="forbid")

    sort: Literal["code", "family", "script", "gain"] = "code"
    show: Literal["scores", "gains"] = "scores"
    published: bool = False

    def query(self, **changed: Any) -> str:
        """The query of a page's address, without what is as ever."""
        given = self.model_copy(update=changed).model_dump(exclude_defaults=True)
        return f"?{urlencode({name: str(value).lower() for name, value in given.items()})}" if given else ""


@router.get("/experiments/{id}/table")
def table(request: Request, id_: OfExperiment, wanted: Annotated[Sorted, Query()]) -> HTMLResponse:
    """Means over seeds of each language's test score, and of the means over targets."""
    return page(request, "experiment_table", **of_table(request, id_, wanted))


@of_what_is_over
def of_table(request: Request, id_: str, wanted: Sorted) -> Values:
    """What the section shows."""
    one = answered(get_experiment(request, id_))
    chosen, hidden = chosen_candidates(request, id_)
    of = {"experiment": [id_], **({} if chosen is None else {"candidate": ["", *chosen.values()]})}
    by = ["method", "k", "candidate"]
    found, problem = _summary(request, of, [*by, "language"], wanted.published)
    means, _ = _summary(request, of, by, False)
    source = one["spec"]["source_language"]
    columns = _columns(found)
    shown = [one for one in columns if chosen is None or not one[2] or chosen.get(one[:2]) == one[2]]
    cells = {(row["language"], _column(row)): row for row in found}
    zero = next((column for column in columns if column[1] == "zero-shot"), None)
    best = _best(means, shown)
    languages = [_language(code, cells, shown, zero, best) for code in dict.fromkeys(row["language"] for row in found)]
    known = [row for row in found if row["mean"] is not None]
    return {
        "one": one,
        "wanted": wanted,
        "problem": problem,
        "source": source,
        "columns": _headed(shown),
        "hidden": hidden,
        "is_search": chosen is not None,
        "has_candidates": any(candidate for _, _, candidate in columns),
        "groups": _groups(languages, wanted.sort, source),
        "means": [_cell(_of(means, column), None if column == zero else _value(means, zero)) for column in shown],
        "best": best,
        "has_zero": zero is not None,
        "seeds": len(one["spec"]["seeds"]),
        "most_rows": MOST_ROWS,
        "differs": sorted({words for row in found for words in row.get("differs", ())}),
        "marks": [mark.models for mark in MARKS if any(row[mark.name] for row in found)],
        "scrolls": len(languages) if len(languages) > MOST_SEEN else None,
        "is_empty": not known,
        "is_complete": all(row["complete"] for row in found),
    }


def _summary(
    request: Request, of: Mapping[str, Any], by: list[str], published: bool
) -> tuple[list[dict[str, Any]], str]:
    """The rows of a summary; with what keeps the paper's figures from standing beside, in words."""
    asked = Grouped.model_validate({**of, "by": by, "published": published})
    try:
        return answered(summarize_results(request, asked))["summary"], ""
    except SpecError as error:
        if not published:
            raise
        return _summary(request, of, by, False)[0], "; ".join(one.message for one in error.problems)


def _column(row: Mapping[str, Any]) -> Column:
    return row["k"], row["method"], row["candidate"]


def _columns(found: Sequence[Mapping[str, Any]]) -> list[Column]:
    order = {name: place for place, name in enumerate(METHODS)}
    return sorted({_column(row) for row in found}, key=lambda one: (one[0], order.get(one[1], len(order)), one[2]))


def _headed(columns: Sequence[Column]) -> list[tuple[int, list[Column]]]:
    """Columns by K."""
    return [(k, [one for one in columns if one[0] == k]) for k in dict.fromkeys(one[0] for one in columns)]


@of_what_is_over
def of_sweep(request: Request, id_: str) -> Values:
    """What an experiment's search has found; several sections say of it. SpecError: a package that it needs is gone."""
    return answered(get_sweep(request, id_))


def chosen_candidates(request: Request, id_: str) -> tuple[dict[tuple[int, str], str] | None, list[str]]:
    """The candidate that a search chose at each K of a method, if there are many; and whose are left away, in words."""
    try:
        found = of_sweep(request, id_)
    except SpecError:  # a package that the spec needs is gone
        return None, []
    if len(found["candidates"]) <= MOST_CANDIDATES:
        return None, []
    chosen = {(one["k"], one["method"]): one["candidate"] for one in found["chosen"]}
    known = {of: words for of, words in chosen.items() if words is not None}
    waiting = [f"{method}, K = {k}" for (k, method) in chosen if (k, method) not in known]
    return known, [f"no candidate is chosen yet for {'; '.join(waiting)}"] if waiting else []


def _of(rows: Sequence[Mapping[str, Any]], column: Column | None) -> Mapping[str, Any] | None:
    return next((row for row in rows if _column(row) == column), None)


def _value(rows: Sequence[Mapping[str, Any]], column: Column | None) -> float | None:
    row = _of(rows, column)
    return None if row is None else row["mean"]


def _best(means: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> Column | None:
    """The column of the greatest mean over the languages that all methods have, but for zero-shot's.

    Of equal ones it is that of the method which does less, the first of METHODS.
    """
    order = {name: place for place, name in enumerate(METHODS)}
    known = [row for row in means if row["mean_in_common"] is not None and row["method"] != "zero-shot"]
    best = max(
        (row for row in known if _column(row) in columns),
        key=lambda row: (round(row["mean_in_common"], 9), -order.get(row["method"], len(order))),
        default=None,
    )
    return None if best is None else _column(best)


def _language(
    code: str,
    cells: Mapping[tuple[str, Column], Mapping[str, Any]],
    columns: Sequence[Column],
    zero: Column | None,
    best: Column | None,
) -> dict[str, Any]:
    """A line of the table."""
    known = LANGUAGES.get(code)
    before = cells[code, zero]["mean"] if zero is not None and (code, zero) in cells else None
    line = [_cell(cells.get((code, column)), None if column == zero else before) for column in columns]
    gain = next((cell["difference"] for cell, column in zip(line, columns, strict=True) if column == best), None)
    described = {"name": known.name, "family": known.family, "script": known.script} if known else {}
    return {"code": code, "name": "", "family": "", "script": "", **described, "cells": line, "gain": gain}


def _cell(row: Mapping[str, Any] | None, before: float | None) -> dict[str, Any]:
    """What a cell shows: its mean, sd and number of seeds, and its difference from zero-shot with its shade."""
    if row is None or row["mean"] is None:
        return {"mean": None, "difference": None, "shade": "", "asked": row is not None}
    difference = None if before is None else row["mean"] - before
    return {
        "mean": row["mean"],
        "sd": row["sd"],
        "n": row["n"],
        "lacks": not row["complete"],
        "difference": difference,
        "shade": "" if difference is None else shade(difference),
        "published": row.get("published"),
        "marked": any(row[mark.name] for mark in MARKS),
        "asked": True,
    }


def shade(difference: float) -> str:
    """The class of a difference: "gain-1" to "gain-4", "loss-1" to "loss-4", or none."""
    step = sum(abs(difference) >= least for least in STEPS)
    return f"{'gain' if difference > 0 else 'loss'}-{step}" if step else ""


def _groups(languages: list[dict[str, Any]], sort: str, source: str) -> list[tuple[str, list[dict[str, Any]]]]:
    """The lines in their order, the source language first; with the name of each group where they are in groups."""
    if sort == "gain":
        key = [one["gain"] for one in languages]
        order = sorted(
            zip(key, languages, strict=True), key=lambda pair: -(pair[0] if pair[0] is not None else -math.inf)
        )
        return [("", [one for _, one in order])]
    ordered = sorted(languages, key=lambda one: (one["code"] != source, one["code"]))
    if sort == "code":
        return [("", ordered)]
    names = sorted({one[sort] for one in languages}, key=lambda name: (not name, name))
    return [(name or "unknown", [one for one in ordered if one[sort] == name]) for name in names]
