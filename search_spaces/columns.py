"""The columns of results, in one table: store, REST interface, client, reports and documentation all read it.

A further column is one more row: answers, filters, sorting, grouping and the documentation follow.
"""

from dataclasses import dataclass
from typing import Literal

from trainers.marks import MARKS

# Where a value is stored: a column of that table (of `tags`: several a row), or a field of the experiment's spec.
# "marks": a mark of the score has this name. "computed": the store works it out.
Place = Literal["planned_results", "scores", "marks", "experiments", "tags", "spec", "computed"]


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of results.

    Attributes:
        name: as answers, parameters and conditions call it.
        type: of its values; numbers may be null.
        place: where they are stored.
        words: what it says, for people.
        shown: results have it. Otherwise they can only be filtered or grouped by it.
        filter: whether it is a parameter of every route about results, or of `GET /v1/results` alone; None for neither.
        groupable: whether summaries can be grouped by it.
        setting: for a part of the experimental setting, how many values one report may have: "varied" for any number,
            "per group" for one in each of its groups, "per task" for one in each task. None: it is no such part.
        values: all values that it can have; empty if there are others.
        bounds: the least and the greatest value; None if there are none.
    """

    name: str
    type: type[str] | type[int] | type[float] | type[bool]
    place: Place
    words: str
    shown: bool = False
    filter: Literal["everywhere", "rows"] | None = None
    groupable: bool = False
    setting: Literal["varied", "per group", "per task"] | None = None
    values: tuple[str, ...] = ()
    bounds: tuple[float, float] | None = None


# Those of a result first, in their order; a further one comes after them.
COLUMNS = (
    Column(name="experiment", shown=True, type=str, place="planned_results", filter="everywhere", groupable=True,
           words="id of the experiment"),
    Column(name="trial", shown=True, type=str, place="planned_results", filter="everywhere",
           words="id of the trial that was scored"),
    Column(name="method", shown=True, type=str, place="planned_results", filter="everywhere", groupable=True,
           setting="varied", words="few-shot method"),
    Column(name="k", shown=True, type=int, place="planned_results", filter="everywhere", groupable=True,
           setting="varied", words="shots per target language; 0 for zero-shot"),
    Column(name="seed", shown=True, type=int, place="planned_results", filter="everywhere", groupable=True,
           words="seed of the shots and of the training"),
    Column(name="alpha", shown=True, type=float, place="planned_results", filter="everywhere", groupable=True,
           setting="varied", bounds=(0, 1),
           words="probability of a surgery operation; null without surgery and for schedules"),
    Column(name="candidate", shown=True, type=str, place="planned_results", filter="everywhere", groupable=True,
           setting="per group", words="searched hyperparameters with their values; empty without a search"),
    Column(name="language", shown=True, type=str, place="planned_results", filter="everywhere", groupable=True,
           words="code of the language that was scored"),
    Column(name="split", shown=True, type=str, place="planned_results", filter="rows", values=("dev", "test"),
           words="split that was scored"),
    Column(name="metric", shown=True, type=str, place="scores", filter="rows", groupable=True, setting="per group",
           words="name of the metric"),
    Column(name="epoch", shown=True, type=int, place="scores", filter="rows",
           words="epoch after which the model was scored, from 1"),
    Column(name="value", shown=True, type=float, place="scores", words="score in percent"),
    Column(name="examples", shown=True, type=int, place="scores", words="number of examples that were scored"),
    Column(name="cut", shown=True, type=bool, place="scores",
           words="whether the split has more examples than were scored"),
    Column(name="selected", shown=True, type=bool, place="computed",
           words="whether the method selects the weights of this epoch"),
    Column(name="selection", shown=True, type=str, place="planned_results",
           words="how the method selects weights, such as source-dev, last or target-dev"),
    Column(name="judged_on", shown=True, type=str, place="planned_results", groupable=True, setting="per group",
           words="scores by which the search chooses candidates; empty without a search"),
    Column(name="task", shown=True, type=str, place="spec", filter="everywhere", groupable=True, setting="varied",
           words="task that was trained and scored"),
    Column(name="numerics", shown=True, type=int, place="planned_results", filter="everywhere", groupable=True,
           setting="per task", words="version of the computation: scores of different ones are not comparable"),
    *(Column(name=mark.name, shown=True, type=bool, place="marks", words=f"whether it is of {mark.models}")
      for mark in MARKS),
    Column(name="encoder", type=str, place="spec", filter="everywhere", groupable=True, setting="per task",
           words="pretrained encoder"),
    Column(name="protocol", type=str, place="spec", filter="everywhere", groupable=True, setting="per task",
           words="protocol that the experiment follows"),
    Column(name="data", type=str, place="spec", groupable=True, setting="per task", words="source of the examples"),
    Column(name="source_language", type=str, place="spec", filter="everywhere", groupable=True, setting="per task",
           words="code of the source language"),
    Column(name="owner", type=str, place="experiments", filter="everywhere", groupable=True,
           words="owner of the experiment"),
    Column(name="tags", type=str, place="tags", filter="everywhere", words="a tag of the experiment"),
    Column(name="name", type=str, place="experiments", groupable=True, words="name of the experiment"),
)  # fmt: skip

# The columns of a result, in their order.
SHOWN = tuple(one for one in COLUMNS if one.shown)


def columns_table() -> str:
    """All columns as a Markdown table: first those of a result, in their order."""
    types = {str: "text", int: "integer", float: "number", bool: "boolean"}
    filters = {"everywhere": "yes", "rows": "`/v1/results` only", None: ""}
    rows = [
        f"| `{one.name}` | {types[one.type]} | {one.words} | {'yes' if one.shown else ''} | {filters[one.filter]}"
        f" | {'yes' if one.groupable else ''} |"
        for one in COLUMNS
    ]
    head = ["| Column | Type | Meaning | In results, sortable | Filter | Group |", "|---|---|---|---|---|---|"]
    return "\n".join([*head, *rows, ""])
