"""The list of experiments."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from pydantic import model_validator

from search_spaces.problems import SpecError
from service.api.experiments import Listing, list_experiments
from service.store.states import STATES
from service.web.rendering import Page, answered, duration, page
from trainers.methods import METHODS
from trainers.tasks import TASKS

router = APIRouter(route_class=Page, include_in_schema=False)

FILTERS = (("state", "State", STATES), ("task", "Task", TASKS), ("method", "Method", METHODS))


class Shown(Listing):
    """Which experiments, and in which order."""

    limit: int = 50

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, given: dict[str, Any]) -> dict[str, Any]:
        """What a form leaves empty is not asked for."""
        return {name: value for name, value in given.items() if value != ""}


@router.get("/")
def experiments(request: Request, wanted: Annotated[Shown, Query()]) -> HTMLResponse:
    """The experiments that match, with what each says in a line."""
    found: dict[str, Any] = {"experiments": [], "next": None}
    problem = None
    try:
        found = answered(list_experiments(request, wanted))
    except SpecError as error:
        problem = "; ".join(one.message for one in error.problems)
    lines = request.app.state.headlines.of(request.app.state.store, found["experiments"])
    return page(
        request,
        "experiments",
        experiments=[{**one, **_row(one), "headline": lines[one["id"]]} for one in found["experiments"]],
        next=found["next"],
        problem=problem,
        wanted=wanted.model_dump(),
        filters=FILTERS,
        is_filtered=any(getattr(wanted, name) for name in ("search", "state", "task", "method", "owner", "tags")),
    )


def _row(one: dict[str, Any]) -> dict[str, Any]:
    """What the list has of an experiment beside what the REST interface says; empty where its row is broken."""
    spec, cost = one["spec"], one["cost"]
    left = None
    if cost["eta"] is not None:
        left = (datetime.fromisoformat(cost["eta"]) - datetime.now(UTC)).total_seconds()
    return {
        "methods": spec.get("methods", []),
        "shots": spec.get("k", []),
        "seeds": len(spec.get("seeds", [])),
        "left": "–" if left is None else duration(max(0.0, left)),
        "device_hours": "–" if cost["spent"] is None else f"{cost['spent'] / 3600:.2f}",
    }
