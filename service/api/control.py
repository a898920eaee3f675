"""Control of experiments: cancel, pause, resume, retry, their priority, and forgetting them."""

import logging
import time
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Request
from fastapi.responses import JSONResponse, Response
from pydantic import Field
from starlette.exceptions import HTTPException

from search_spaces.spaces import Closed
from search_spaces.spec import Priority
from service import planning
from service.api.access import name_of
from service.api.answers.experiments import Experiment
from service.api.bodies import require_keys_once
from service.api.documented import OfExperiment
from service.api.experiments import show_experiment, state_of
from service.api.problems import refusals
from service.store import Store
from service.store.states import FINAL, MOVES, MoveName
from trainers.artifacts.layout import driver_log, remove_trial
from trainers.artifacts.place import PlaceLostError
from trainers.artifacts.places import NO_PATIENCE, place_of
from trainers.trial import NUMERICS

# A driver that was asked to stop has exited by then.
STOP_SECONDS = 10.0

log = logging.getLogger(__name__)

router = APIRouter(tags=["control"])

_REFUSALS = refusals(404, 409)


@router.post("/experiments/{id}/cancel", response_model=Experiment, responses=_REFUSALS)
def cancel_experiment(request: Request, id_: OfExperiment) -> JSONResponse:
    """Stop an experiment for good.

    What is done stays; what has not ended is `cancelled`.
    """
    return _moved(request, id_, "cancel")


@router.post("/experiments/{id}/pause", response_model=Experiment, responses=_REFUSALS)
def pause_experiment(request: Request, id_: OfExperiment) -> JSONResponse:
    """Stop an experiment until it is resumed.

    Its trials go on from their last checkpoints then.
    """
    return _moved(request, id_, "pause")


@router.post("/experiments/{id}/resume", response_model=Experiment, responses=_REFUSALS)
def resume_experiment(request: Request, id_: OfExperiment) -> JSONResponse:
    """Queue a paused experiment again."""
    return _moved(request, id_, "resume")


@router.post("/experiments/{id}/retry", response_model=Experiment, responses=_REFUSALS)
def retry_experiment(request: Request, id_: OfExperiment) -> JSONResponse:
    """Queue a failed experiment again.

    Its failed trials run again, and what was waiting for them, and nothing else. 409 where they are of another
    NUMERICS.
    """
    numerics = show_experiment(request, id_)["numerics"]
    if numerics not in (None, NUMERICS):
        raise HTTPException(409, planning.outdated(numerics))
    return _moved(request, id_, "retry")


class Change(Closed):
    """What may be changed of an experiment."""

    priority: Priority = Field(description="experiments of a higher one run first")


@router.patch(
    "/experiments/{id}", response_model=Experiment, responses=refusals(404), dependencies=[Depends(require_keys_once)]
)
def change_experiment(
    request: Request,
    id_: OfExperiment,
    wanted: Annotated[Change, Body(openapi_examples={"first": {"value": {"priority": 10}}})],
) -> JSONResponse:
    """Change which experiments go before this one."""
    state_of(request, id_)
    request.app.state.store.control.set_priority(id_, wanted.priority, name_of(request))
    return JSONResponse(show_experiment(request, id_))


@router.delete("/experiments/{id}", status_code=204, responses=_REFUSALS)
def delete_experiment(request: Request, id_: OfExperiment) -> Response:
    """Forget an experiment that is over.

    With it go the trials, models and predictions that no other experiment asks for.
    """
    store: Store = request.app.state.store
    state_of(request, id_)
    deadline = time.monotonic() + STOP_SECONDS
    while (orphans := store.control.delete(id_)) is None:
        if (state := state_of(request, id_)) not in FINAL:
            raise HTTPException(409, f"it is {state}; allowed for one that is {' or '.join(FINAL)}: cancel it first")
        if time.monotonic() > deadline:
            raise HTTPException(409, "its driver is still being stopped; ask again")
        time.sleep(0.1)
    place = place_of(request.app.state.environment(), NO_PATIENCE)
    try:
        for digest in orphans:
            remove_trial(place, digest)
    except PlaceLostError as error:
        log.warning("files of experiment %s stay until leftovers are pruned: %s", id_, error)
    driver_log(place.home, id_).unlink(missing_ok=True)
    return Response(status_code=204)


def _moved(request: Request, id_: str, name: MoveName) -> JSONResponse:
    """The experiment after a move; one that is there already is as good."""
    state = state_of(request, id_)
    move = MOVES[name]
    if not request.app.state.store.control.move(id_, name, by=name_of(request)):
        there = {move.to, "running"} if move.to == "queued" else {move.to}
        if state_of(request, id_) not in there:
            raise HTTPException(409, f"{name} is for an experiment that is {' or '.join(move.origins)}, not {state}")
    return JSONResponse(show_experiment(request, id_))
