"""What is answered about trials."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.api.answers.shared import ExperimentId, LanguageCode, MethodName, Next, TaskName, Time, TrialId
from service.store.states import TrialState
from trainers.tasks.errors import Reading
from trainers.trial import Split, TrialConfig


class Asked(BaseModel):
    """An experiment that asks for a trial."""

    id: ExperimentId
    name: str
    state: TrialState
    reason: str


class ListedTrial(BaseModel):
    """A trial of an experiment as it stands."""

    trial: TrialId
    method: Annotated[MethodName, Field(description="that trains it; others may select among its weights")]
    k: int
    seed: int
    candidate: Annotated[str, Field(description="searched values in words; empty where nothing is searched")]
    target_languages: Annotated[list[LanguageCode], Field(description="those that it trains on")]
    state: TrialState
    reason: str
    reused: Annotated[bool, Field(description="whether it was done before the experiment came to it")]
    epoch: Annotated[int, Field(description="that its last attempt has reported")]
    epochs: int
    loss: Annotated[float | None, Field(description="of the last report; null if there is none")]
    attempts: Annotated[int, Field(description="number of attempts, for any experiment")]


class ListedTrials(BaseModel):
    """A page of an experiment's trials."""

    trials: list[ListedTrial]
    next: Next


class Event(BaseModel):
    """What happened to an experiment or to one of its trials, with further fields as they are streamed."""

    model_config = ConfigDict(extra="allow")

    number: Annotated[int, Field(description="events of an experiment count from 1")]
    event: Literal["experiment", "trial"]
    at: Time


class History(BaseModel):
    """The last events of an experiment, the newest first."""

    events: list[Event]
    next: Annotated[int | None, Field(description="`before` of the next page; null if this one is the last")]


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
    node: Annotated[str | None, Field(description="name of the machine; null if no epoch was reported")]
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


Place = Annotated[
    list[int],
    Field(min_length=2, max_length=2, description="its first token or character, and the one after its last"),
]


class Mark(BaseModel):
    """A piece of an example that a gold value or a prediction marks."""

    part: Annotated[str, Field(description="of the example's parts, the one that it is a piece of")]
    place: Place
    label: Annotated[str, Field(description="such as a tag or an entity's type; may be empty")]


class Error(BaseModel):
    """An error of a prediction."""

    kind: Annotated[str, Field(examples=["wrong boundary"])]
    gold: Annotated[Place | None, Field(description="the gold mark that it is about, if it is about one")]
    predicted: Annotated[Place | None, Field(description="the mark of the prediction, in the same way")]


class ExamplePrediction(BaseModel):
    """What a model predicted for an example."""

    prediction: Annotated[Any, Field(description="tags, a label, or the text of an answer")]
    marks: list[Mark]
    errors: list[Error]


class Example(BaseModel):
    """A test example with what was predicted for it."""

    example: Annotated[int, Field(description="its place in the split")]
    id: Annotated[str | int | None, Field(description="its own, if the data give it one")]
    parts: Annotated[dict[str, str | list[str]], Field(description="its texts by name, or the tokens of one")]
    gold: Annotated[Any, Field(description="as of a prediction; of an answer all that are right")]
    marks: Annotated[list[Mark], Field(description="of the gold value")]
    predictions: Annotated[list[ExamplePrediction], Field(description="one of each side")]


class KindOfError(BaseModel):
    """How often a model makes an error of a kind."""

    kind: str
    errors: Annotated[int, Field(description="how many there are")]
    examples: Annotated[int, Field(description="in how many examples")]


class ExamplesSide(BaseModel):
    """A model whose predictions are shown."""

    trial: TrialId
    selection: str
    step: Annotated[int, Field(description="optimizer steps; -n for the mean of the last n epochs' weights")]
    scores: Annotated[dict[str, float], Field(description="by metric, in percent")]
    wrong: Annotated[int, Field(description="examples with an error")]
    kinds: Annotated[list[KindOfError], Field(description="the most frequent first")]


class Examples(BaseModel):
    """Scored examples of a language, with what one or two models predicted."""

    task: TaskName
    reading: Annotated[Reading, Field(description="tags under words, marked pieces of text, or values beside it")]
    language: LanguageCode
    split: Split
    scored: Annotated[int, Field(description="examples that were scored")]
    found: Annotated[int, Field(description="examples that were asked for, on all pages")]
    sides: Annotated[list[ExamplesSide], Field(description="the trial, and the one that it stands against")]
    examples: list[Example]
    next: Next
