"""The list of experiments."""

import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from pydantic import Field, model_validator
from starlette.exceptions import HTTPException

from search_spaces.problems import SpecError
from search_spaces.spec import Text
from service.api.documented import OfExperiment, OfPage
from service.api.experiments import Listing, list_experiments, show_experiment
from service.reports.headline import headline
from service.store import Store
from service.store.states import STATES
from service.web.remembered import Remembered, since
from service.web.rendering import Page, answered, filled, page, tidy
from service.web.words import hours, left
from trainers.methods import METHODS
from trainers.tasks import TASKS

router = APIRouter(route_class=Page, include_in_schema=False)

FILTERS = (("state", "State", STATES), ("task", "Task", TASKS), ("method", "Method", METHODS))

# How long a line that may change is good enough, and how many lines are remembered.
LINE_SECONDS, REMEMBERED = 60, 20_000

# How many of the chosen experiments are looked for, where they are not listed.
MOST_CHOSEN = 50


class Lines:
    """What experiments have found, each in a line: computed once where nothing changes any more."""

    def __init__(self) -> None:
        self._lines = Remembered(REMEMBERED)

    def known(self, one: dict[str, Any]) -> dict[str, Any]:
        """The line of an experiment as the REST interface shows it, the `moment` it should be of, and `is_due`.

        `says` is None where there is nothing to say, or not yet.
        """
        moment = since(one) or str(int(time.monotonic() / LINE_SECONDS))
        line = self._lines.get(one["id"])
        return {"says": line.value if line else None, "is_due": line is None or line.moment != moment, "moment": moment}

    def compute(self, store: Store, one: dict[str, Any]) -> None:
        """Compute the line of an experiment, unless it is known."""
        known = self.known(one)
        if known["is_due"]:
            self._lines.keep(one["id"], known["moment"], headline(store, one["id"]))


class Shown(Listing):
    """Which experiments, in which order, and those that are chosen to be compared."""

    limit: OfPage = 50
    group: Literal["tags"] | None = None
    experiment: list[Text] = Field([])

    _filled = model_validator(mode="before")(filled)


@router.get("/")
def experiments(request: Request, wanted: Annotated[Shown, Query()]) -> HTMLResponse:
    """The experiments that match, with what each says in a line."""
    found: dict[str, Any] = {"experiments": [], "next": None}
    problem = None
    try:
        of_listing = wanted.model_dump(exclude={"group", "experiment"})
        found = answered(list_experiments(request, Listing(**of_listing)))
    except SpecError as error:
        problem = "; ".join(one.message for one in error.problems)
    lines: Lines = request.app.state.lines
    listed, chosen = {one["id"] for one in found["experiments"]}, list(dict.fromkeys(wanted.experiment))[:MOST_CHOSEN]
    return page(
        request,
        "experiments",
        headers=tidy(request),
        elsewhere=[one for id_ in chosen if id_ not in listed for one in _named(request, id_)],
        groups=_groups([{**one, **_row(one), "line": lines.known(one)} for one in found["experiments"]], wanted.group),
        next=found["next"],
        problem=problem,
        wanted=wanted.model_dump(),
        filters=FILTERS,
        is_filtered=any(getattr(wanted, name) for name in ("search", "state", "task", "method", "owner", "tags")),
    )


@router.get("/experiments/{id}/line")
def line(request: Request, id_: OfExperiment) -> HTMLResponse:
    """The cell that says what an experiment has found."""
    lines: Lines = request.app.state.lines
    one = show_experiment(request, id_)
    lines.compute(request.app.state.store, one)
    return page(request, "line", one={"id": id_, "line": lines.known(one)})


def _named(request: Request, id_: str) -> list[dict[str, Any]]:
    """An experiment as the REST interface shows it; none if it is deleted."""
    try:
        return [show_experiment(request, id_)]
    except HTTPException:
        return []


def _groups(rows: list[dict[str, Any]], by: str | None) -> dict[str, list[dict[str, Any]]]:
    """Rows in their order, in groups of the same tags, those without tags last; or all in a group without a name."""
    if by is None:
        return {"": rows}
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(", ".join(row["tags"]), []).append(row)
    return {words or "no tags": found[words] for words in sorted(found, key=lambda words: (not words, words))}


def _row(one: dict[str, Any]) -> dict[str, Any]:
    """What the list has of an experiment beside what the REST interface says; empty where its row is broken."""
    spec, cost = one["spec"], one["cost"]
    return {
        "methods": spec.get("methods", []),
        "shots": spec.get("k", []),
        "seeds": len(spec.get("seeds", [])),
        "left": left(cost["eta"]) or "–",
        "device_hours": hours(None if cost["spent"] is None else cost["spent"] / 3600),
    }
