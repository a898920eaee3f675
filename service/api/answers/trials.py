"""What is answered about trials."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from service.api.answers.shared import ExperimentId, Time, TrialId
from trainers.trial import TrialConfig


class Asked(BaseModel):
    """An experiment that asks for a trial."""

    id: ExperimentId
    state: Literal["queued", "running", "succeeded", "stopped", "failed", "cancelled"]
    reason: str


class Measure(BaseModel):
    """What a training measured up to a report."""

    epoch: int
    step: Annotated[int, Field(description="optimizer steps")]
    values: Annotated[dict[str, Any], Field(description="loss, speed, and what surgery did, by name")]


class Attempt(BaseModel):
    """One run of a trial, from its start or its last checkpoint."""

    number: int
    experiment: Annotated[str, Field(description="id of the experiment that it ran for")]
    state: Literal["running", "succeeded", "stopped", "failed", "died", "interrupted"]
    reason: str
    epoch: Annotated[int, Field(description="the last that was reported")]
    rate: Annotated[float | None, Field(description="optimizer steps a second")]
    started: Time
    ended: Time | None
    device_seconds: Annotated[float | None, Field(description="null until it ends")]


class OnDisk(BaseModel):
    """What a trial has on disk."""

    models: Annotated[list[str], Field(description="the selections whose models are kept")]
    predictions: Annotated[int, Field(description="number of files")]
    checkpoint: Annotated[Time | None, Field(description="when the last one was written")]


class Trial(BaseModel):
    """A trial: what it is, and what became of it."""

    id: TrialId
    config: Annotated[TrialConfig, Field(description="all that its weights depend on")]
    source: Annotated[str | None, Field(description="id of the source training that it starts from")]
    attempt: Annotated[int, Field(description="number of attempts")]
    epochs: int
    facts: Annotated[
        dict[str, Any] | None,
        Field(description="surgery's measures, shots, samples, packages, seconds; null until it has succeeded"),
    ]
    experiments: Annotated[list[Asked], Field(description="its state in each experiment that asks for it")]
    measures: list[Measure]
    attempts: list[Attempt]
    saved: OnDisk
