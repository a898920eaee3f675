"""The states of experiments, trials and attempts, and all transitions between those of an experiment."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple, get_args

State = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]
STATES: tuple[State, ...] = get_args(State)
TrialState = Literal["queued", "running", "succeeded", "stopped", "failed", "cancelled"]
TRIAL_STATES: tuple[TrialState, ...] = get_args(TrialState)
ATTEMPT_STATES = ("running", "succeeded", "stopped", "failed", "died", "interrupted")

# Experiments in an active state use the pool, or will; only `retry` leaves a final state.
ACTIVE = ("queued", "running")
FINAL = ("succeeded", "failed", "cancelled")

MoveName = Literal["start", "requeue", "succeed", "fail", "pause", "resume", "cancel", "retry", "outdate"]


class Move(NamedTuple):
    """A transition from any of some states to another."""

    origins: tuple[str, ...]
    to: str


# The engine makes the first five, users the others.
MOVES: Mapping[MoveName, Move] = MappingProxyType({
    "start": Move(ACTIVE, "running"),
    "requeue": Move(ACTIVE, "queued"),
    "succeed": Move(ACTIVE, "succeeded"),
    "fail": Move(ACTIVE, "failed"),
    "outdate": Move((*ACTIVE, "paused"), "failed"),
    "pause": Move(ACTIVE, "paused"),
    "resume": Move(("paused",), "queued"),
    "cancel": Move((*ACTIVE, "paused"), "cancelled"),
    "retry": Move(("failed",), "queued"),
})  # fmt: skip
