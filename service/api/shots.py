"""The shots of an experiment to read: the examples themselves, from the data that they were drawn from."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from search_spaces.inputs import Inputs
from service import planning
from service.api.answers import experiments as answers
from service.api.documented import OfExperiment
from service.api.experiments import state_of
from service.api.problems import refusals
from service.store import Store
from trainers.data.shots import draw_from
from trainers.examples import LANGUAGE_CODE, Data, DataError
from trainers.tasks import TASKS

router = APIRouter(tags=["experiments"])

# Draws of an answer.
MOST_DRAWS = 100

SHOWN = ("language", "k", "seed", "split", "ids", "digest", "examples")


class Draw(BaseModel):
    """Which draws."""

    model_config = ConfigDict(extra="forbid")

    language: Annotated[str, Field(pattern=f"^{LANGUAGE_CODE}$")] = Field(
        description="code of the language", examples=["de"]
    )
    k: Annotated[int, Field(ge=1, lt=2**31)] | None = Field(None, description="those of this K; all, if none is given")
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = Field(None, description="those of this seed")


@router.get("/experiments/{id}/shots/examples", response_model=answers.ShotExamples, responses=refusals(404, 409))
def get_shot_examples(request: Request, id_: OfExperiment, wanted: Annotated[Draw, Query()]) -> JSONResponse:
    """The shots of a language to read, as the data have them.

    404 where the data are not here any more, 409 where they are not those that the shots were drawn from.
    """
    state_of(request, id_)
    store: Store = request.app.state.store
    drawn = [one for one in store.objectives.shots(id_) if _is_wanted(one, wanted)][:MOST_DRAWS]
    if not drawn:
        raise HTTPException(404, f"no trial that has succeeded was trained on such shots of {wanted.language}")
    spec, environment = planning.accepted_before(store.results.specs([id_])[id_]), request.app.state.environment()
    try:
        data = Inputs(spec=spec, home=environment.home, data_root=environment.data_root).data
        examples = data.examples(wanted.language, drawn[0]["split"])
    except DataError as error:
        raise HTTPException(404, str(error)) from error
    if not all(_is_drawn(data, spec.task, one) for one in drawn):
        raise HTTPException(409, "the data are not those that these shots were drawn from")
    shown = [{**one, "examples": [examples[place] for place in one["indices"]]} for one in drawn]
    return JSONResponse({"shots": [{name: one[name] for name in SHOWN} for one in shown]})


def _is_wanted(one: Mapping[str, Any], wanted: Draw) -> bool:
    return one["language"] == wanted.language and wanted.k in (None, one["k"]) and wanted.seed in (None, one["seed"])


def _is_drawn(data: Data, task: str, one: Mapping[str, Any]) -> bool:
    """Whether the data give the draw that a trial had."""
    try:
        again = draw_from(data, TASKS[task], one["language"], one["split"], one["k"], one["seed"])
    except ValueError:  # the data have fewer examples now, or no such split
        return False
    return bool(again.digest == one["digest"])
