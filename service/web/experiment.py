"""An experiment: what it is, the map of its trials, what happens now, and the buttons that change it."""

from typing import Annotated, Any, Literal
from urllib.parse import parse_qs

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import TypeAdapter, ValidationError
from starlette.exceptions import HTTPException

from search_spaces.messages import LONGER
from search_spaces.problems import Problem, SpecError
from search_spaces.spec import Priority
from service.api import control
from service.api.documented import OfExperiment
from service.api.experiments import get_experiment, resubmit_experiment
from service.api.progress import MOST_TRIALS, EventListing, TrialListing, list_events, list_trials
from service.store.states import FINAL, MOVES, TRIAL_STATES
from service.web.grid import grid
from service.web.rendering import Body, Page, answered, page
from service.web.table import Sorted
from service.web.words import left
from trainers.trial import NUMERICS

router = APIRouter(route_class=Page, include_in_schema=False)

# Events and running trials that the page tells of; reasons of failures that it lists, and trials of each.
EVENTS, RUNNING, FAILURES = 8, 12, 10

# Of more trials, the page asks for news less often: their map takes a browser a tenth of a second.
MANY, SOONEST_MS = 400, 5000

Action = Literal["pause", "resume", "cancel", "retry", "resubmit", "priority", "delete"]

MOVED = {
    "pause": control.pause_experiment,
    "resume": control.resume_experiment,
    "cancel": control.cancel_experiment,
    "retry": control.retry_experiment,
}

# What is asked once more, and in which words.
ASKED = {
    "cancel": (
        "Cancel",
        "It stops for good. What is done stays, and other experiments can use it; what has not ended is not trained.",
    ),
    "delete": (
        "Delete",
        "Its scores, and the models and predictions that no other experiment needs, are removed from the disk. This"
        " cannot be undone.",
    ),
}


@router.get("/experiments/{id}")
def experiment(request: Request, id_: OfExperiment, wanted: Annotated[Sorted, Query()]) -> HTMLResponse:
    """An experiment as it stands; its results are asked for by sections of their own."""
    shown = answered(get_experiment(request, id_))
    listed = answered(list_trials(request, id_, TrialListing(limit=MOST_TRIALS)))
    told = answered(list_events(request, id_, EventListing(limit=EVENTS)))["events"]
    trials = {one["trial"]: one for one in listed["trials"]}
    running = [one for one in listed["trials"] if one["state"] == "running"]
    failures = _by_reason(shown["failures"])
    return page(
        request,
        "experiment",
        one=shown,
        left=left(shown["cost"]["eta"]),
        is_late=left(shown["cost"]["eta"]) == LONGER,
        actions=actions(shown),
        outdated=shown["numerics"] not in (None, NUMERICS),
        current=NUMERICS,
        map=grid(listed["trials"], shown["spec"]["methods"]),
        is_whole=listed["next"] is None,
        running=running[:RUNNING],
        more_running=max(0, len(running) - RUNNING),
        events=[{**event, "of": trials.get(event.get("trial", ""))} for event in told],
        last=told[0]["number"] if told else 0,
        soonest=SOONEST_MS if len(trials) > MANY else None,
        is_over=shown["state"] in FINAL,
        states=TRIAL_STATES,
        trials=trials.keys(),
        failures=failures[:FAILURES],
        more_failures=sum(len(found) for _, found in failures[FAILURES:]),
        most_failures=FAILURES,
        is_said_below=any(reason and reason in shown["reason"] for reason, _ in failures[:FAILURES]),
        wanted=wanted,
    )


def _by_reason(failures: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Failures by their reason, each with its trials, in the order in which reasons come first."""
    found: dict[str, list[dict[str, Any]]] = {}
    for one in failures:
        found.setdefault(one["reason"], []).append(one)
    return list(found.items())


def actions(shown: dict[str, Any]) -> list[Action]:
    """What may be done with an experiment in its state."""
    moves: tuple[Literal["pause", "resume", "retry", "cancel"], ...] = ("pause", "resume", "retry", "cancel")
    found: list[Action] = [name for name in moves if shown["state"] in MOVES[name].origins]
    if shown["numerics"] not in (None, NUMERICS) and "retry" in found:
        found.remove("retry")
    return [*found, "resubmit", "delete"] if shown["state"] in FINAL else [*found, "priority"]


@router.get("/experiments/{id}/{action}/ask")
def ask(request: Request, id_: OfExperiment, action: Literal["cancel", "delete"]) -> HTMLResponse:
    """Ask once more before something that cannot be undone."""
    shown = answered(get_experiment(request, id_))
    if action not in actions(shown):
        raise HTTPException(409, f"the experiment is {shown['state']}: there is nothing to {action}")
    verb, words = ASKED[action]
    return page(request, "experiment_ask", one=shown, action=action, verb=verb, words=words)


def _priority(body: bytes) -> int:
    """The priority that a form sends. SpecError: it sends none, or what is none."""
    given = parse_qs(body.decode(errors="replace")).get("priority", [""])
    try:
        return int(TypeAdapter(Priority).validate_python(int(given[0])))
    except (ValueError, ValidationError) as error:
        raise SpecError([Problem("priority", "allowed: a whole number from -100 to 100")]) from error


@router.post("/experiments/{id}/{action}")
def act(request: Request, id_: OfExperiment, action: Action, body: Body) -> RedirectResponse:
    """Do what a button says, and show the experiment."""
    if action in MOVED:
        MOVED[action](request, id_)
    elif action == "priority":
        control.change_experiment(request, id_, control.Change(priority=_priority(body)))
    elif action == "resubmit":
        return RedirectResponse(f"/experiments/{answered(resubmit_experiment(request, id_))['id']}", 303)
    else:
        control.delete_experiment(request, id_)
        return RedirectResponse("/", 303)
    return RedirectResponse(f"/experiments/{id_}", 303)
