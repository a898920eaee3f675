"""What is answered about results: rows, summaries, comparisons and reports."""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import BaseModel, Field, RootModel
from typing_extensions import TypedDict

from search_spaces.columns import COLUMNS, SHOWN, Column
from service.api.answers.shared import Cell, ExperimentId, LanguageCode, LeftOuts, MethodName, Next, with_fields
from trainers.marks import MARKS
from trainers.trial import Split


def _described(column: Column) -> Any:
    """The type of a column's values. Only floats may be null."""
    type_: Any = Literal[column.values] if column.values else column.type
    return Annotated[type_ | None if column.type is float else type_, Field(description=column.words)]


@with_fields({column.name: _described(column) for column in SHOWN}, required=False)
class ResultRow(TypedDict):
    """A score, with the columns that were asked for."""


_MARKS = {mark.name: Annotated[int, Field(description=f"how many scores are of {mark.models}")] for mark in MARKS}
_GROUPED = {column.name: _described(column) for column in COLUMNS if column.groupable}

Now = Annotated[int, Field(description="`since` of a later request, for what has come or changed since")]
Percent = Annotated[float | None, Field(description="in percent; null where there is none")]
P = Annotated[float | None, Field(ge=0, le=1, description="null where it cannot be computed")]
Points = Annotated[float | None, Field(description="in points; null where it cannot be computed")]
Missing = Annotated[int, Field(description="how many scores were planned and are not there")]
Numerics = Annotated[int | None, Field(description="`NUMERICS` of the results; null where they are of several")]


class LeftOutOfExperiment(BaseModel):
    """A target that a method of an experiment leaves out, and the splits that it lacks."""

    experiment: ExperimentId
    method: MethodName
    language: LanguageCode
    lacks: list[Split]


class Results(BaseModel):
    """A page of scores."""

    results: Annotated[list[ResultRow], Field(description="a row per score, with the columns that were asked for")]
    left_out: list[LeftOutOfExperiment]
    next: Next
    now: Now


@with_fields(_MARKS)
@with_fields({name: type_ for name, type_ in _GROUPED.items() if name != "numerics"}, required=False)
class SummaryRow(TypedDict):
    """A group of `by`, whose columns it has. Mean, sd, least and greatest value are over seeds."""

    mean: Percent
    sd: Percent
    n: Annotated[int, Field(description="seeds that the mean is over")]
    min: Percent
    max: Percent
    mean_in_common: Annotated[Percent, Field(description="over the languages that all methods have")]
    mean_with_source: Percent
    sd_with_source: Percent
    languages: int
    seeds: Annotated[int, Field(description="seeds that there are")]
    missing: Missing
    complete: Annotated[bool, Field(description="whether each seed has each language")]
    mixed: Annotated[list[str], Field(description="settings that differ within the group")]
    left_out: Annotated[list[str], Field(description="targets that its methods left out, and why")]
    best: Annotated[bool, Field(description="whether `mean_in_common` is the greatest among its methods")]
    numerics: Numerics
    published: NotRequired[Annotated[Percent, Field(description="with `published=true`: the paper's figure")]]
    difference: NotRequired[Annotated[Points, Field(description="with `published=true`: ours less the paper's")]]
    differs: NotRequired[Annotated[list[str], Field(description="with `published=true`: what is not as in the paper")]]


class Summary(BaseModel):
    """Means over seeds of the mean over target languages."""

    summary: list[SummaryRow]


class _Gain(TypedDict):
    """What one side gains over the other."""

    gain: Points
    low: Annotated[Points, Field(description="lower end of a 95 % interval")]
    high: Annotated[Points, Field(description="upper end of a 95 % interval")]
    p: P


class SeedsGain(_Gain):
    """A gain over seeds."""

    sd: Points
    seeds: float
    p_permutation: P
    smallest_p: Annotated[float, Field(description="the least `p_permutation` that so many seeds can give")]
    wins: float
    ties: float
    losses: float


class SeedsLanguage(SeedsGain):
    """A gain over seeds in a language."""

    language: LanguageCode
    p_holm: Annotated[P, Field(description="`p` corrected for the number of languages")]


class SeedsGroup(SeedsGain):
    """A gain over seeds of the mean over the languages of a script or a family."""

    group: Annotated[str, Field(description="the script or family", examples=["Latn"])]
    languages: Annotated[int, Field(description="how many are of it")]
    p_holm: Annotated[P, Field(description="`p` corrected for the number of groups")]


class ItemsGain(_Gain):
    """A gain of one trained model over another, over test examples."""

    seed: int


class ItemsLanguage(ItemsGain):
    """A gain of one trained model over another in a language."""

    language: LanguageCode
    examples: int
    p_holm: Annotated[P, Field(description="`p` corrected for the number of languages")]


class BothGain(_Gain):
    """A gain over seeds and test examples."""

    sd: Points
    seeds: float
    sd_examples: Annotated[Points, Field(description="what the choice of examples adds to the mean gain")]


class BothLanguage(BothGain):
    """A gain over seeds and test examples in a language."""

    language: LanguageCode
    examples: int
    p_holm: Annotated[P, Field(description="`p` corrected for the number of languages")]


class Sides(TypedDict):
    """The values of a setting on both sides."""

    better: list[Any]
    over: list[Any]


class _Comparison(TypedDict):
    """One side over the other, paired by language and seed. Marks count the scores of both."""

    differs: Annotated[dict[str, Sides], Field(description="settings in which the sides differ")]
    left_out: LeftOuts
    missing: Missing
    numerics: Numerics


@with_fields(_MARKS)
class SeedsComparison(_Comparison):
    """Two methods over seeds."""

    unit: Literal["seeds"]
    overall: SeedsGain
    languages: list[SeedsLanguage]
    scripts: list[SeedsGroup]
    families: list[SeedsGroup]


@with_fields(_MARKS)
class ItemsComparison(_Comparison):
    """The two trained models of each seed over test examples."""

    unit: Literal["items"]
    overall: list[ItemsGain]
    languages: list[ItemsLanguage]


@with_fields(_MARKS)
class BothComparison(_Comparison):
    """Two methods over seeds and test examples."""

    unit: Literal["seeds-and-items"]
    overall: BothGain
    languages: list[BothLanguage]


class Comparison(RootModel[Annotated[SeedsComparison | ItemsComparison | BothComparison, Field(discriminator="unit")]]):
    """One side over the other, in the form of its unit."""


class ReportName(BaseModel):
    """A report that can be asked for."""

    report: Annotated[str, Field(examples=["table-1"])]
    title: Annotated[str, Field(description="what it shows")]


class Reports(BaseModel):
    """The reports that there are."""

    reports: list[ReportName]


class ShownTable(BaseModel):
    """A table as a reader wants to see it."""

    columns: list[str]
    index: Annotated[int, Field(description="so many of the first columns say what a row is")]
    rows: list[list[str]]
    shades: Annotated[
        list[list[float | None]],
        Field(description="of each further cell its difference from zero-shot, in points; empty where there is none"),
    ]


class Report(BaseModel):
    """A table or figure as data."""

    title: str
    notes: Annotated[list[str], Field(description="what a reader has to know, a sentence each")]
    figure: Annotated[bool, Field(description="it can be drawn, as SVG, PNG, PDF and Vega-Lite")]
    formats: Annotated[list[str], Field(description="`format`s that it has")]
    table: ShownTable
    data: Annotated[list[dict[str, Cell]], Field(description="a row per figure, with the columns of this report")]
