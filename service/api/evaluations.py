"""Evaluations of trials: their scores, the predictions behind them, and the examples behind these."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from search_spaces.problems import Problem, SpecError
from service import examples
from trainers.artifacts.layout import fate, predictions_file
from trainers.artifacts.place import Place
from trainers.artifacts.places import NO_PATIENCE, place_of
from trainers.examples import LANGUAGE_CODE, DataError, Example
from trainers.selections import PATTERN
from trainers.tasks import TASKS
from trainers.tasks.errors import Error
from trainers.trial import Score, Selection, Split, TrialConfig


class Evaluation(BaseModel):
    """Which evaluation of a trial."""

    model_config = ConfigDict(extra="forbid")

    language: Annotated[str, Field(pattern=f"^{LANGUAGE_CODE}$")] = Field(
        description="code of the language", examples=["de"]
    )
    split: Split = Field("test", description="split that was scored")
    selection: str | None = Field(None, pattern=PATTERN, description="where there are several")


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """An evaluation of a trial whose predictions are there.

    Attributes:
        selection: that chose the weights.
        scores: one of each metric.
        place: where the predictions lie.
        path: the file with them.
    """

    selection: Selection
    scores: list[Score]
    place: Place
    path: Path


def found_trial(request: Request, id_: str) -> dict[str, Any]:
    """A trial as it is stored. HTTPException 404 if none has this id."""
    found: dict[str, Any] | None = request.app.state.store.trials.one(id_) if id_.isalnum() and id_.isascii() else None
    if found is None:
        raise HTTPException(404, "there is no trial with this id")
    return found


def evaluated(request: Request, id_: str, wanted: Evaluation, of: str = "") -> Evaluated:
    """An evaluation of a trial that there is.

    Args:
        request: that asks for it.
        id_: of the trial.
        wanted: which of its evaluations.
        of: what stands before `selection` in the name of the parameter.

    Raises:
        SpecError: the trial has several selections, and none was chosen.
        HTTPException: 404 where it was not evaluated so, or its predictions are gone.
    """
    chosen = request.app.state.store.objectives.by_selection(id_)
    if wanted.selection is None and len(chosen) > 1:
        raise SpecError([Problem(f"{of}selection", f"the trial has several: one of {', '.join(chosen)}")])
    selection = wanted.selection or next(iter(chosen), "")
    scores = chosen.get(selection, [])
    found = [score for score in scores if (score.language, score.split) == (wanted.language, wanted.split)]
    if not found:
        raise HTTPException(404, f"the trial has no evaluation of {wanted.language}/{wanted.split}")
    latest, place = found[-1], place_of(request.app.state.environment(), NO_PATIENCE)
    path = predictions_file(
        place.home, id_, step=latest.step, language=latest.language, split=latest.split, data=latest.data
    )
    if not place.has_file(path):
        raise HTTPException(404, f"the predictions of this evaluation were {fate(place.home, 'predictions', id_)}")
    scores = [score for score in found if (score.data, score.step) == (latest.data, latest.step)]
    return Evaluated(selection=selection, scores=scores, place=place, path=path)


def read_judged(one: Evaluated, trial: Mapping[str, Any]) -> tuple[dict[str, list[Any]], list[list[Error]]]:
    """The columns of an evaluation's predictions, and the errors of each example.

    Raises:
        HTTPException: 409 if no installed package brings the task, 404 if the predictions have gone meanwhile.
    """
    task = trial["config"]["task"]
    if task not in TASKS:
        raise HTTPException(409, f"no installed package brings the task {task!r}, which alone can read its examples")
    try:
        return examples.judged(one.place, one.path, task)
    except FileNotFoundError as error:
        raise HTTPException(404, "the predictions of this evaluation were removed") from error


def examples_behind(
    request: Request, trial: Mapping[str, Any], one: Evaluated, columns: Mapping[str, Sequence[Any]]
) -> list[Example]:
    """The examples of an evaluation, as the trial read them.

    Raises:
        HTTPException: 409 where the data no longer have them.
    """
    app = request.app
    specs = app.state.store.results.specs([asked["id"] for asked in trial["experiments"]])
    config = TrialConfig.from_dict(trial["config"])
    try:
        found: list[Example] = app.state.examples.behind(config, one.scores[0], columns, specs, app.state.environment())
    except DataError as error:
        raise HTTPException(409, f"the examples cannot be shown: {error}") from error
    return found
