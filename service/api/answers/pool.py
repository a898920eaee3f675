"""What is answered about the pool: what runs, and who waits."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from service.api.answers.shared import ExperimentId, LanguageCode, MethodName, TrialId


class Room(BaseModel):
    """What a trial takes."""

    cpus: float
    gpus: float
    memory: Annotated[float, Field(description="bytes")]


class PoolSize(BaseModel):
    """What the pool has. Null where it is a cluster that grows and shrinks, or where that is not known."""

    cpus: int | None
    gpus: int | None
    memory: Annotated[int | None, Field(description="bytes")]


class RunningTrial(BaseModel):
    """A trial that runs."""

    trial: TrialId
    experiment: ExperimentId
    name: Annotated[str, Field(description="that of the experiment")]
    method: MethodName | None
    k: int | None
    seed: int | None
    target_languages: list[LanguageCode] | None
    seconds: Annotated[float, Field(description="since it has its place on the pool")]
    expected: Annotated[float | None, Field(description="seconds that it was planned to take; null where unknown")]
    epoch: Annotated[int, Field(description="the last that was reported")]
    epochs: int
    node: Annotated[str | None, Field(description="name of the machine; null until an epoch has been reported")]
    takes: Room


class Share(BaseModel):
    """An experiment that is not over, and its part in the pool."""

    experiment: ExperimentId
    name: str
    owner: str
    priority: int
    state: Literal["queued", "running", "paused"]
    why: Annotated[str, Field(description="why nothing more of it runs; empty if there is nothing to say")]
    running: Annotated[int, Field(description="trials that run")]
    queued: Annotated[int, Field(description="trials that do not run yet")]
    waiting: Annotated[float | None, Field(description="seconds that it waits for its next place; null if it does not")]
    place: Annotated[int | None, Field(description="in the order of turns, from 1; null if it does not wait")]
    used: Annotated[float, Field(description="what it has had, in seconds of the whole pool; the least goes first")]
    takes: Annotated[Room | None, Field(description="what each of its trials takes; null until it has asked")]


class Pool(BaseModel):
    """The pool: what it has, what is in use, what runs, and who shares it."""

    has: PoolSize
    in_use: Room
    running: Annotated[list[RunningTrial], Field(description="the longest first")]
    experiments: Annotated[list[Share], Field(description="those that wait first, in the order of turns")]
