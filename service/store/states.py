"""The states of experiments, trials and attempts, and every move of an experiment that there is."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple, get_args

State = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]
STATES: tuple[State, ...] = get_args(State)
TRIAL_STATES = ("queued", "running", "succeeded", "stopped", "failed", "cancelled")
ATTEMPT_STATES = ("running", "succeeded", "stopped", "failed", "died", "interrupted")

# The pool works, or will work, for these; a final state is left by `retry` alone.
ACTIVE = ("queued", "running")
FINAL = ("succeeded", "failed", "cancelled")

MoveName = Literal["start", "requeue", "succeed", "fail", "pause", "resume", "cancel", "retry"]


class Move(NamedTuple):
    """From any of some states to another."""

    origins: tuple[str, ...]
    to: str


# The first four are the engine's, the others are asked for.
MOVES: Mapping[MoveName, Move] = MappingProxyType({
    "start": Move(ACTIVE, "running"),
    "requeue": Move(ACTIVE, "queued"),
    "succeed": Move(ACTIVE, "succeeded"),
    "fail": Move(ACTIVE, "failed"),
    "pause": Move(ACTIVE, "paused"),
    "resume": Move(("paused",), "queued"),
    "cancel": Move((*ACTIVE, "paused"), "cancelled"),
    "retry": Move(("failed",), "queued"),
})  # fmt: skip
