"""What an experiment is at: its trials as they stand, and what happened last."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from search_spaces.method_space import MethodSpace, searched_spaces
from search_spaces.problems import SpecError
from search_spaces.spec import Text
from service import planning
from service.api.answers import trials as answers
from service.api.documented import OfExperiment, OfPage
from service.api.experiments import state_of
from service.api.problems import refusals
from service.store import Store
from trainers.trial import TrialConfig

# Trials of a page at most: a map of an experiment's trials is drawn from one answer.
MOST_TRIALS = 10_000

SHOWN = (
    "trial", "method", "k", "seed", "candidate", "target_languages", "state", "reason", "reused", "epoch", "epochs",
    "loss", "attempts",
)  # fmt: skip

router = APIRouter()


class TrialListing(BaseModel):
    """Which trials, and a page."""

    model_config = ConfigDict(extra="forbid")

    state: Literal["queued", "running", "succeeded", "stopped", "failed", "cancelled"] | None = Field(
        None, description="trials in this state"
    )
    limit: Annotated[int, Field(ge=1, le=MOST_TRIALS)] = Field(1000, description="trials of a page")
    cursor: Text | None = Field(None, description="`next` of the page before")


@router.get("/experiments/{id}/trials", response_model=answers.ListedTrials, responses=refusals(404), tags=["trials"])
def list_trials(request: Request, id_: OfExperiment, wanted: Annotated[TrialListing, Query()]) -> JSONResponse:
    """The trials of an experiment as they stand, in the order in which they should run.

    Pages are not of one moment: a trial may have gone on meanwhile. `GET /v1/trials/{id}` says all of one.
    """
    state_of(request, id_)
    store: Store = request.app.state.store
    found = store.planned.page(id_, wanted.limit, wanted.state, wanted.cursor)
    candidates = _candidates(store, id_, found.rows)
    rows = [{**row, "candidate": words} for row, words in zip(found.rows, candidates, strict=True)]
    shown = [{name: _number(row[name]) if name == "loss" else row[name] for name in SHOWN} for row in rows]
    return JSONResponse({"trials": shown, "next": found.next})


def _candidates(store: Store, id_: str, rows: list[dict[str, Any]]) -> list[str]:
    """The searched values of each trial in words; nothing where a package that the spec needs is gone."""
    try:
        spec = planning.accepted_before(store.results.specs([id_])[id_])
        methods = {row["method"] for row in rows} if searched_spaces(spec) else set()
        spaces = {method: MethodSpace(spec, method) for method in methods}
    except (SpecError, KeyError):
        spaces = {}
    if not spaces:
        return ["" for _ in rows]
    of_rows = ((spaces[row["method"]], TrialConfig.from_dict(row["config"])) for row in rows)
    return [space.label(space.candidate_of(config)) for space, config in of_rows]


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


class EventListing(BaseModel):
    """A page of events."""

    model_config = ConfigDict(extra="forbid")

    before: Annotated[int, Field(ge=1, lt=2**31)] | None = Field(None, description="`next` of the page before")
    limit: OfPage = Field(20, description="events of a page")


@router.get("/experiments/{id}/history", response_model=answers.History, responses=refusals(404), tags=["experiments"])
def list_events(request: Request, id_: OfExperiment, wanted: Annotated[EventListing, Query()]) -> JSONResponse:
    """What happened last to an experiment and its trials, the newest event first.

    The events are those that `GET /v1/experiments/{id}/events` streams.
    """
    state_of(request, id_)
    found = request.app.state.store.events.before(id_, wanted.before, wanted.limit)
    shown = [
        {**one.data, "number": one.number, "event": one.kind, "at": datetime.fromtimestamp(one.at, UTC).isoformat()}
        for one in found
    ]
    following = found[-1].number if found and found[-1].number > 1 else None
    return JSONResponse({"events": shown, "next": following})
