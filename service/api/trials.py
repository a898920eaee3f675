"""Trials: what they are, what became of them, what they predicted and said."""

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from search_spaces.problems import Problem, SpecError
from service.api.answers import trials as answers
from service.api.documented import OfTrial, sent_as
from service.api.downloads import export, scratch, zipped
from service.api.problems import refusals
from service.api.times import with_times
from trainers.artifacts.layout import fate, log_of, predictions_file, pruned_mark, saved
from trainers.artifacts.place import Place
from trainers.artifacts.places import NO_PATIENCE, place_of
from trainers.examples import LANGUAGE_CODE
from trainers.selections import PATTERN

# Of a log no more than its end is read.
LOG_BYTES = 2**20

FILE, ZIP = "application/vnd.apache.arrow.file", "application/zip"

router = APIRouter(tags=["trials"])


@router.get("/trials/{id}", response_model=answers.Trial, responses=refusals(404))
def get_trial(request: Request, id_: OfTrial) -> JSONResponse:
    """A trial, with all attempts at it and the facts of its run."""
    found = _found_trial(request, id_)
    tried = [with_times(attempt) for attempt in found.pop("attempts")]
    on_disk = with_times(vars(saved(_place(request), id_)))
    return JSONResponse({"id": found.pop("digest"), **found, "attempts": tried, "saved": on_disk})


class Evaluation(BaseModel):
    """Which evaluation of a trial."""

    model_config = ConfigDict(extra="forbid")

    language: Annotated[str, Field(pattern=f"^{LANGUAGE_CODE}$")] = Field(description="code of the language")
    split: Literal["dev", "test"] = Field("test", description="split that was scored")
    selection: str | None = Field(None, pattern=PATTERN, description="where there are several")


class LogEnd(BaseModel):
    """How much of a log."""

    model_config = ConfigDict(extra="forbid")

    lines: Annotated[int, Field(ge=1, le=10_000)] = Field(200, description="lines at most, the last ones")


@router.get("/trials/{id}/log", response_class=PlainTextResponse, responses=refusals(404))
def get_trial_log(request: Request, id_: OfTrial, wanted: Annotated[LogEnd, Query()]) -> PlainTextResponse:
    """The last lines that all attempts at a trial have written, as text."""
    _found_trial(request, id_)
    home = request.app.state.environment().home
    path = log_of(home, id_)
    if pruned_mark(home, "logs", id_).is_file() and not path.is_file():
        raise HTTPException(404, f"the log of this trial was {fate(home, 'logs', id_)}")
    return last_lines(path, wanted)


def _until_sent() -> Iterator[ExitStack]:
    """A dependency: closes what is put on it once the answer is sent, or its client has gone."""
    with ExitStack() as stack:
        yield stack


@router.get("/trials/{id}/predictions", response_class=FileResponse, responses=sent_as(FILE) | refusals(404))
def get_predictions(
    request: Request,
    id_: OfTrial,
    wanted: Annotated[Evaluation, Query()],
    held: Annotated[ExitStack, Depends(_until_sent)],
) -> FileResponse:
    """What a trial's model predicted for each example of a language.

    An Arrow file. Its columns are `example` (its place in the split), `gold` and `prediction`.
    """
    _found_trial(request, id_)
    chosen = request.app.state.store.objectives.by_selection(id_)
    if wanted.selection is None and len(chosen) > 1:
        raise SpecError([Problem("selection", f"the trial has several: one of {', '.join(chosen)}")])
    scores = chosen.get(wanted.selection or next(iter(chosen), None), [])
    found = [score for score in scores if (score.language, score.split) == (wanted.language, wanted.split)]
    if not found:
        raise HTTPException(404, f"the trial has no evaluation of {wanted.language}/{wanted.split}")
    latest = found[-1]
    place = _place(request)
    path = predictions_file(
        place.home, id_,
        step=latest.step, language=latest.language, split=latest.split, data=latest.data,
    )  # fmt: skip
    if not place.has_file(path):
        became = fate(place.home, "predictions", id_)
        raise HTTPException(404, f"the predictions of this evaluation were {became}")
    file = held.enter_context(place.reading_file(path))
    return FileResponse(file, media_type=FILE, filename=path.name)


class Chosen(BaseModel):
    """Which of a trial's models."""

    model_config = ConfigDict(extra="forbid")

    selection: str | None = Field(None, pattern=PATTERN, description="where there are several")


@router.get("/trials/{id}/model", response_class=StreamingResponse, responses=sent_as(ZIP) | refusals(404))
async def get_model(
    request: Request, id_: OfTrial, wanted: Annotated[Chosen, Query()], folder: Annotated[Path, Depends(scratch)]
) -> StreamingResponse:
    """A kept model as a Hugging Face folder in a zip.

    It has the full vocabulary, tokenizer and card. 503 with Retry-After while two others are downloaded.
    """
    await run_in_threadpool(_found_trial, request, id_)
    selection = ["--selection", wanted.selection] if wanted.selection else []
    await export(request, folder, [id_, str(folder / id_), *selection])
    headers = {"Content-Disposition": f'attachment; filename="{id_}.zip"'}
    return StreamingResponse(zipped(folder / id_), media_type=ZIP, headers=headers)


def _place(request: Request) -> Place:
    return place_of(request.app.state.environment(), NO_PATIENCE)


def _found_trial(request: Request, id_: str) -> dict[str, Any]:
    found: dict[str, Any] | None = request.app.state.store.trials.one(id_) if id_.isalnum() and id_.isascii() else None
    if found is None:
        raise HTTPException(404, "there is no trial with this id")
    return found


def last_lines(path: Path, wanted: LogEnd) -> PlainTextResponse:
    """The end of a log; empty if nothing has been written yet."""
    lines: list[str] = []
    with suppress(FileNotFoundError), path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LOG_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    return PlainTextResponse("\n".join([*lines[-wanted.lines :], ""]))
