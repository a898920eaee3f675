"""What is answered about what a spec may name, such as tasks, methods and datasets, and about the service itself."""

from typing import Annotated, Any

from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from service.api.answers.shared import LanguageCode, MethodName, Package, TaskName, Time, with_fields

LanguageCodes = Annotated[list[str], Field(description="codes of languages", examples=[["de", "hi"]])]


class Task(BaseModel):
    """A task."""

    task: TaskName
    metric: Annotated[str, Field(description="its main metric", examples=["f1"])]
    metrics: list[str]
    languages: Annotated[LanguageCodes, Field(description="those of XTREME-R")]
    package: Package


class Tasks(BaseModel):
    """The tasks that there are."""

    tasks: list[Task]


class Rule(BaseModel):
    """A conflict rule of gradient surgery."""

    name: Annotated[str, Field(examples=["gradient"])]
    description: Annotated[str, Field(description="its paper and equation")]
    scale: Annotated[str, Field(description="whether it is a sum or a mean of the gradients")]
    alpha_below_1: Annotated[str, Field(description="what α < 1 does under it")]


class Method(BaseModel):
    """A few-shot method."""

    method: MethodName
    description: Annotated[str, Field(description="what it does, in a line")]
    shots: Annotated[bool, Field(description="whether it trains on shots")]
    surgery: bool
    adapts: Annotated[bool, Field(description="whether it adapts a model of the source language")]
    selects_by: Annotated[str | None, Field(description="null for the task's way under the protocol")]
    rule: Rule | None
    package: Package


class Methods(BaseModel):
    """The methods that there are."""

    methods: list[Method]


class Language(BaseModel):
    """A language of XTREME-R."""

    language: LanguageCode
    name: Annotated[str, Field(examples=["German"])]
    script: Annotated[str, Field(examples=["Latn"])]
    family: Annotated[str, Field(examples=["IE: Germanic"])]
    tasks: Annotated[list[str], Field(description="those that have data of it")]


class Languages(BaseModel):
    """The languages of XTREME-R."""

    languages: list[Language]


@with_fields({"from": Annotated[str, Field(description="where its weights come from")]})
class Encoder(TypedDict):
    """An encoder of the paper, or of the demonstration."""

    encoder: Annotated[str, Field(description="name for a spec", examples=["xlm-roberta-large"])]


class Encoders(BaseModel):
    """Encoders that the paper or the demonstration uses; a spec may name others."""

    encoders: list[Encoder]


class Split(BaseModel):
    """A split of a language."""

    examples: int
    digest: str


class TaskData(BaseModel):
    """What a dataset that was added has of a task."""

    labels: list[str]
    languages: Annotated[dict[str, dict[str, Split]], Field(description="by language and split")]


class DatasetSplits(TaskData):
    """What a dataset has of a task."""


class DatasetExamples(BaseModel):
    """Examples of a split."""

    examples: Annotated[list[dict[str, Any]], Field(description="as the task has them, such as tokens and tags")]
    of: Annotated[int, Field(description="the number of examples of the split")]


class Dataset(BaseModel):
    """A dataset that was added."""

    name: Annotated[str, Field(examples=["mine"])]
    kind: Annotated[str, Field(description="zip, folder or hub")]
    created: Time
    digest: str
    tasks: Annotated[dict[str, TaskData], Field(description="by task")]
    warnings: Annotated[list[str], Field(description="what is odd about its files, but taken as it is")]
    owner: Annotated[str | None, Field(description="name of the token with which it was added; null without one")]


class BrokenDataset(BaseModel):
    """A dataset that was added, of which what is known cannot be read."""

    name: Annotated[str, Field(examples=["mine"])]
    kind: None
    created: None
    digest: None
    owner: None
    tasks: Annotated[dict[str, TaskData], Field(description="none", max_length=0)]
    warnings: list[str]
    problem: Annotated[str, Field(description="why")]


class BuiltInTask(BaseModel):
    """The languages that a built-in dataset has of a task."""

    languages: LanguageCodes


class BuiltIn(BaseModel):
    """A dataset that need not be added."""

    name: Annotated[str, Field(examples=["sample"])]
    kind: str
    tasks: Annotated[dict[str, BuiltInTask], Field(description="by task")]


class Source(BaseModel):
    """A source of data."""

    source: Annotated[str, Field(examples=["folder"])]
    form: Annotated[str, Field(description="how a spec writes it")]
    package: Package


class Datasets(BaseModel):
    """All datasets, and all sources of data."""

    datasets: list[Dataset | BrokenDataset | BuiltIn]
    sources: list[Source]


class Health(BaseModel):
    """The service is well."""

    status: Annotated[str, Field(examples=["ok"])]
    version: str
