"""What is answered about experiments and plans."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from search_spaces.spaces import SEARCHABLE
from service.api.answers.shared import (
    ExperimentId,
    LanguageCode,
    LeftOuts,
    MethodName,
    Next,
    Time,
    TrialId,
    with_fields,
)
from service.store.states import TRIAL_STATES, State
from trainers.artifacts.layout import OF_TRIAL
from trainers.marks import MARK_NAMES
from trainers.trial import Schedule, Split

Warnings = Annotated[list[str], Field(description="what is odd about the data or the encoder, but taken as it is")]
Basis = Annotated[str, Field(description="what the figures rest on, in words")]


class Spec(BaseModel):
    """A spec, in the form in which it is submitted. That of an experiment is as the version stored it that took it."""

    model_config = ConfigDict(extra="allow")


@with_fields(dict.fromkeys(("total", *TRIAL_STATES, "reused"), int))
class TrialCounts(TypedDict):
    """The number of trials: of all, by state, and of those that were not trained for this experiment."""


@with_fields(dict.fromkeys(("bytes", *OF_TRIAL), int))
class Disk(TypedDict):
    """The bytes of an experiment's files: of all, and by kind."""


class Cost(BaseModel):
    """Device-seconds: of GPUs, or of CPU threads where a trial has no GPU. Null where unknown."""

    planned: float | None
    spent: Annotated[float | None, Field(description="failed trials included")]
    left: Annotated[float | None, Field(description="of what is outstanding, at the pace of what is done or runs")]
    error: Annotated[float | None, Field(description="planned over actual cost of the trials that are done")]
    eta: Annotated[Time | None, Field(description="when it is done if nothing else runs; null unless it is running")]


class Failure(BaseModel):
    """A trial that has failed."""

    trial: TrialId
    method: MethodName
    seed: int
    k: int
    target_languages: list[LanguageCode]
    reason: str


class ListedExperiment(BaseModel):
    """An experiment as it stands."""

    id: ExperimentId
    name: str
    owner: Annotated[str, Field(description="name of the token that submitted it; without one, as the spec says")]
    tags: list[str]
    priority: Annotated[int, Field(description="experiments of a higher one run first")]
    state: State
    reason: Annotated[str, Field(description="why it is in this state; empty if there is nothing to say")]
    created: Time
    started: Time | None
    finished: Time | None
    progress: Annotated[float, Field(ge=0, le=1)]
    trials: Annotated[TrialCounts, Field(description="how many there are, by state, and how many are `reused`")]
    cost: Cost
    left_out: LeftOuts
    differs: Annotated[list[str], Field(description="in what its data differ from the published ones")]
    failures: list[Failure]
    numerics: Annotated[int | None, Field(description="`NUMERICS` of its results; null as long as it has no plan")]
    spec: Spec
    data_title: Annotated[str, Field(description="its data in words; empty if they cannot be read")]


class Experiment(ListedExperiment):
    """An experiment as it stands, with what it takes on disk."""

    disk: Annotated[Disk | None, Field(description="files shared with others included; null until counted")]


class Submitted(Experiment):
    """An experiment that was submitted."""

    warnings: Warnings


class Experiments(BaseModel):
    """A page of experiments, newest first."""

    experiments: list[ListedExperiment]
    next: Next


class Preset(BaseModel):
    """A spec that is ready to be submitted."""

    preset: Annotated[str, Field(description="its name", examples=["sample"])]
    spec: Spec


class Presets(BaseModel):
    """The specs of the paper's tables and figures, and of the sample."""

    presets: list[Preset]


class PlannedMethod(BaseModel):
    """The trials of a method at K."""

    method: MethodName
    k: int
    selections: Annotated[list[str], Field(description="which weights count; several of one training")]
    trials: int
    reused: int


class PlannedTokens(BaseModel):
    """Tokens that go through the model."""

    training: int
    oracle: Annotated[int, Field(description="for surgery, at α on average")]
    evaluation: Annotated[int, Field(description="dev and test sets")]
    basis: Basis


class PlannedDisk(BaseModel):
    """The models that are kept."""

    models: int
    bytes: Annotated[int | None, Field(description="at most; null where unknown")]
    basis: Basis


class PlannedMemory(BaseModel):
    """Memory of the largest trial. Null where unknown."""

    bytes_per_trial: int | None
    trials_at_once: int | None
    bytes_there: Annotated[int | None, Field(description="of the pool; null for GPUs")]
    fits: bool | None
    basis: Basis


class Plan(BaseModel):
    """What an experiment would take. Trials that are reused count nothing."""

    warnings: Warnings
    trials: Annotated[int, Field(description="distinct trainings")]
    source_trainings: int
    source_trainings_there: Annotated[int, Field(description="those that have been trained")]
    reused: Annotated[int, Field(description="trials that are done already")]
    by_method: list[PlannedMethod]
    left_out: LeftOuts
    steps: Annotated[int, Field(description="optimizer steps")]
    tokens: PlannedTokens
    device_hours: Annotated[float | None, Field(description="null where the encoder's size is unknown")]
    device: Annotated[str, Field(description="what the hours are of", examples=["GPU", "CPU thread"])]
    basis: Basis
    disk: PlannedDisk
    memory: PlannedMemory


class Shots(BaseModel):
    """Examples that were drawn from a language's split for a K and a seed."""

    language: LanguageCode
    k: int
    seed: int
    split: Split
    indices: Annotated[list[int], Field(description="places in the split")]
    ids: Annotated[list[str | int], Field(description="as the data have them")]
    digest: str


class Sample(BaseModel):
    """What is left of a split that a spec cuts."""

    language: LanguageCode
    split: Split
    examples: Annotated[int, Field(description="in the sample")]
    of: Annotated[int, Field(description="in the whole split")]
    indices: Annotated[list[int] | None, Field(description="places in the split; null for more than 10,000")]
    digest: str


class ShotsToRead(BaseModel):
    """Examples that were drawn from a language's split for a K and a seed, as the data have them."""

    language: LanguageCode
    k: int
    seed: int
    split: Split
    ids: list[str | int]
    digest: str
    examples: Annotated[list[dict[str, Any]], Field(description="in the order of `ids`")]


class ShotExamples(BaseModel):
    """Shots to read."""

    shots: list[ShotsToRead]


class Draws(BaseModel):
    """Enough to repeat every draw of an experiment."""

    shots: list[Shots]
    samples: list[Sample]


_VALUES = dict.fromkeys(SEARCHABLE, float | Schedule | None)


@with_fields({**_VALUES, **dict.fromkeys(MARK_NAMES, int)})
class Candidate(TypedDict):
    """Hyperparameters that a search has tried. Means and sd are over seeds, in percent; marks count test scores."""

    method: MethodName
    k: int
    target_languages: list[LanguageCode]
    candidate: Annotated[str, Field(description="its values in words")]
    seeds: Annotated[int, Field(description="those that have a value of the objective")]
    stopped: Annotated[int, Field(description="trials that a scheduler has stopped")]
    complete: Annotated[bool, Field(description="whether each of its seeds was trained to its end")]
    objective_mean: float | None
    objective_sd: float | None
    test_mean: float | None
    test_sd: float | None


@with_fields(_VALUES, required=False)
class Chosen(TypedDict):
    """The best candidate of a method, K and group of targets; its values are absent while there is none."""

    method: MethodName
    k: int
    target_languages: list[LanguageCode]
    candidate: Annotated[str | None, Field(description="null while candidates are not done")]
    regret: Annotated[float | None, Field(description="points that its test score lacks to the best one's")]
    remarks: Annotated[list[str], Field(description="what the choice is worth")]


class SearchCost(BaseModel):
    """What a search has taken, and what stopping trials early has saved."""

    trials: int
    stopped: int
    epochs: int
    epochs_of_all: Annotated[int, Field(description="had none been stopped")]
    device_hours: float
    device_hours_saved: Annotated[float, Field(description="an estimate")]


class Sweep(BaseModel):
    """What the search of an experiment found."""

    objective: Annotated[str, Field(description="scores that candidates are compared by", examples=["source-dev"])]
    candidates: list[Candidate]
    chosen: list[Chosen]
    cost: SearchCost
