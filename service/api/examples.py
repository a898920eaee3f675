"""Examples: what one or two models predicted for the texts of a language, filtered by their errors."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import Field
from starlette.exceptions import HTTPException

from search_spaces.problems import Problem, SpecError
from search_spaces.spec import Text
from service.api.answers import trials as answers
from service.api.documented import OfPage, OfTrial
from service.api.evaluations import Evaluated, Evaluation, evaluated, examples_behind, found_trial, read_judged
from service.api.problems import refusals
from trainers.examples import Example
from trainers.selections import PATTERN
from trainers.tasks import TASKS
from trainers.tasks.errors import Error

router = APIRouter(tags=["trials"])

# Which examples: all, those with an error, those that two models differ on, or on which one makes fewer or more errors.
Which = Literal["all", "errors", "differences", "gained", "lost"]
OF_TWO = ("differences", "gained", "lost")


class Looked(Evaluation):
    """Which examples."""

    against: Annotated[str, Field(pattern="^[0-9a-z]{1,64}$")] | None = Field(
        None, description="id of a trial that stands beside, scored on the same examples"
    )
    against_selection: str | None = Field(None, pattern=PATTERN, description="as `selection`, of the other trial")
    which: Which | None = Field(
        None,
        description="all, those with errors, or of two trials those with differences, or where the first makes fewer"
        " errors (gained) or more (lost); by default errors, of two trials differences",
    )
    kind: Text | None = Field(None, description="those where an error is of this kind")
    limit: OfPage = Field(50, description="examples of a page")
    cursor: Annotated[str, Field(pattern="^[0-9]{1,9}$")] | None = Field(None, description="`next` of the page before")


@dataclass(frozen=True, kw_only=True)
class _Side:
    """A model: its trial as it is stored, its evaluation, its predictions, and the errors of each."""

    trial: Mapping[str, Any]
    chosen: Evaluated
    columns: Mapping[str, Sequence[Any]]
    errors: Sequence[Sequence[Error]]

    def shown(self) -> dict[str, Any]:
        """What an answer says of it."""
        errors = Counter(error.kind for of_one in self.errors for error in of_one)
        having = Counter(kind for of_one in self.errors for kind in {error.kind for error in of_one})
        counts = sorted(errors.items(), key=lambda counted: (-counted[1], counted[0]))
        return {
            "trial": self.trial["digest"],
            "selection": self.chosen.selection,
            "step": self.chosen.scores[0].step,
            "scores": {score.metric: score.value for score in self.chosen.scores},
            "wrong": sum(1 for of_one in self.errors if of_one),
            "kinds": [{"kind": kind, "errors": count, "examples": having[kind]} for kind, count in counts],
        }


@router.get("/trials/{id}/examples", response_model=answers.Examples, responses=refusals(404, 409))
def get_examples(request: Request, id_: OfTrial, wanted: Annotated[Looked, Query()]) -> JSONResponse:
    """Scored examples with gold values and predictions, of a trial or of two side by side.

    The texts are read from the data, as the trial read them; 409 where the data no longer have the examples that were
    scored. Each error is of one kind, which the task names; `kinds` counts them over all examples of the language.
    `place` is in tokens where a part is a list of these, else in characters.
    """
    sides = [_side(request, id_, wanted)]
    if wanted.against is not None:
        other = wanted.model_copy(update={"selection": wanted.against_selection})
        sides.append(_side(request, wanted.against, other, of="against_"))
    elif wanted.against_selection is not None or wanted.which in OF_TWO:
        field = "which" if wanted.which in OF_TWO else "against_selection"
        raise SpecError([Problem(field, "it is about two trials; allowed: with against")])
    first, last = sides[0], sides[-1]
    if first.trial["config"]["task"] != last.trial["config"]["task"]:
        raise SpecError([Problem("against", f"it is a trial of {last.trial['config']['task']}")])
    if (first.columns["example"], first.columns["gold"]) != (last.columns["example"], last.columns["gold"]):
        raise SpecError([Problem("against", "it was scored on other examples")])
    found = _found(sides, wanted)
    behind = examples_behind(request, first.trial, first.chosen, first.columns)
    begin = next((number for number, place in enumerate(found) if place >= int(wanted.cursor or 0)), len(found))
    page, rest = found[begin : begin + wanted.limit], found[begin + wanted.limit :]
    task = TASKS[first.trial["config"]["task"]]
    return JSONResponse(
        {
            "task": task.name,
            "reading": task.reading,
            "language": wanted.language,
            "split": wanted.split,
            "scored": len(behind),
            "found": len(found),
            "sides": [side.shown() for side in sides],
            "examples": [_example(sides, behind[number], number) for number in page],
            "next": str(rest[0]) if rest else None,
        }
    )


def _side(request: Request, id_: str, wanted: Looked, of: str = "") -> _Side:
    try:
        trial = found_trial(request, id_)
        chosen = evaluated(request, id_, wanted, of)
        columns, errors = read_judged(chosen, trial)
    except HTTPException as error:
        if of and error.status_code == 404:
            raise SpecError([Problem("against", error.detail)]) from error
        raise
    return _Side(trial=trial, chosen=chosen, columns=columns, errors=errors)


def _found(sides: Sequence[_Side], wanted: Looked) -> list[int]:
    """The rows of the predictions that are asked for. SpecError if no error is of the kind."""
    first, last = sides[0], sides[-1]
    kinds = {error.kind for side in sides for errors in side.errors for error in errors}
    if wanted.kind is not None and wanted.kind not in kinds:
        words = f"there are: {', '.join(sorted(kinds))}" if kinds else "there is none"
        raise SpecError([Problem("kind", f"no error is of the kind {wanted.kind!a}; {words}")])

    def is_wanted(row: int) -> bool:
        of_row = [side.errors[row] for side in sides]
        if wanted.kind is not None and all(error.kind != wanted.kind for errors in of_row for error in errors):
            return False
        match wanted.which or ("differences" if len(sides) > 1 else "errors"):
            case "errors":
                return any(of_row)
            case "differences":
                return bool(first.columns["prediction"][row] != last.columns["prediction"][row])
            case "gained":
                return len(of_row[0]) < len(of_row[1])
            case "lost":
                return len(of_row[0]) > len(of_row[1])
        return True

    return [row for row in range(len(first.errors)) if is_wanted(row)]


def _example(sides: Sequence[_Side], example: Example, row: int) -> dict[str, Any]:
    first = sides[0]
    task = TASKS[first.trial["config"]["task"]]
    own = example.get("id")
    shown = [(side.columns["prediction"][row], side.errors[row]) for side in sides]
    return {
        "example": first.columns["example"][row],
        "id": own if isinstance(own, str | int) else None,
        "parts": task.parts(example),
        "gold": first.columns["gold"][row],
        "marks": [asdict(mark) for mark in task.gold_marks(example)],
        "predictions": [
            {
                "prediction": prediction,
                "marks": [asdict(mark) for mark in task.marks(example, prediction)],
                "errors": [asdict(error) for error in errors],
            }
            for prediction, errors in shown
        ],
    }
