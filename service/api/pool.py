"""The pool: what runs on it, and who waits for what."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from search_spaces.environment import Environment
from service.api.answers import pool as answers
from service.store import Resources, Store
from service.store.occupancy import RunningTrial, Sharing

router = APIRouter(tags=["service"])


@router.get("/pool", response_model=answers.Pool)
def get_pool(request: Request) -> JSONResponse:
    """What runs on the pool, and who waits for what.

    Experiments of the highest priority go first, then one that has had no trial yet, then that which has had least.
    """
    store: Store = request.app.state.store
    environment: Environment = request.app.state.environment()
    running, sharing = store.occupancy.seen()
    size = {"cpus": environment.cpus, "gpus": environment.gpus, "memory": environment.memory}
    in_use = Resources(*(sum(getattr(one.room, name) for one in running) for name in size))
    waiting = [one for one in sharing if one.waiting is not None]
    place = {one.experiment: number for number, one in enumerate(waiting, 1)}
    free = None if None in size.values() else Resources(*size.values()).without(in_use)  # type: ignore[arg-type]
    shown = [{**_share(one, waiting, free), "place": place.get(one.experiment)} for one in sharing]
    return JSONResponse(
        {"has": size, "in_use": vars(in_use), "running": [_running(one) for one in running], "experiments": shown}
    )


def _running(one: RunningTrial) -> dict[str, Any]:
    found = dict(vars(one))
    config, room = found.pop("config"), found.pop("room")
    return {**found, **config, "takes": vars(room)}


def _share(one: Sharing, waiting: Sequence[Sharing], free: Resources | None) -> dict[str, Any]:
    found = dict(vars(one))
    room, _ = found.pop("room"), found.pop("reason")
    return {**found, "why": _why(one, waiting, free), "takes": room and vars(room)}


def _why(one: Sharing, waiting: Sequence[Sharing], free: Resources | None) -> str:
    """Why nothing more of an experiment runs; empty if there is nothing to say."""
    if one.state == "paused":
        return one.reason or "it is paused: nothing of it runs until it is resumed"
    if one.waiting is None:
        if one.room is None:
            return one.reason or "it has not been started yet"
        return one.reason or ("" if one.running else "nothing of it can run now")
    above = [other.name or other.experiment for other in waiting if other.priority > one.priority]
    if above:
        return f"experiments of a higher priority go first: {', '.join(above)}"
    if one.room is not None and free is not None and not free.holds(one.room):
        return f"the pool is full: a trial takes {one.room}; free: {free}"
    before = waiting[: waiting.index(one)]
    if before:
        names = ", ".join(other.name or other.experiment for other in before)
        return f"others that have had less of the pool go first: {names}"
    return "it is next"
