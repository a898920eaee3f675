"""Trials: what they are, what became of them, what they predicted and said."""

import re
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Annotated, NoReturn

from fastapi import APIRouter, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from search_spaces.problems import Problem, SpecError
from service.api.answers import trials as answers
from service.api.documented import BINARY, Documented, OfTrial, sent_as
from service.api.downloads import ExportError, export, scratch, zipped
from service.api.evaluations import Evaluation, evaluated, examples_behind, found_trial, read_judged
from service.api.problems import refusals
from service.api.times import with_times
from trainers.artifacts import predictions
from trainers.artifacts.layout import fate, log_of, models_of, pruned_mark, saved
from trainers.artifacts.place import Place
from trainers.artifacts.places import NO_PATIENCE, place_of
from trainers.selections import PATTERN
from trainers.tasks import TASKS

# Of a log no more than its end is read.
LOG_BYTES = 2**20

FILE, ZIP = "application/vnd.apache.arrow.file", "application/zip"

router = APIRouter(tags=["trials"])


@router.get("/trials/{id}", response_model=answers.Trial, responses=refusals(404))
def get_trial(request: Request, id_: OfTrial) -> JSONResponse:
    """A trial, with all attempts at it and the facts of its run."""
    found = found_trial(request, id_)
    tried = [with_times(attempt) for attempt in found.pop("attempts")]
    on_disk = with_times(vars(saved(_place(request), id_)))
    return JSONResponse({"id": found.pop("digest"), **found, "attempts": tried, "saved": on_disk})


class Predicted(Evaluation):
    """Which predictions, and what beside them."""

    texts: bool = Field(False, description="with the examples: tokens, question and context, or both texts of a pair")


class LogEnd(BaseModel):
    """How much of a log."""

    model_config = ConfigDict(extra="forbid")

    lines: Annotated[int, Field(ge=1, le=10_000)] = Field(200, description="lines at most, the last ones")


@router.get("/trials/{id}/log", response_class=PlainTextResponse, responses=refusals(404))
def get_trial_log(request: Request, id_: OfTrial, wanted: Annotated[LogEnd, Query()]) -> PlainTextResponse:
    """The last lines that all attempts at a trial have written, as text."""
    found_trial(request, id_)
    home = request.app.state.environment().home
    path = log_of(home, id_)
    if pruned_mark(home, "logs", id_).is_file() and not path.is_file():
        raise HTTPException(404, f"the log of this trial was {fate(home, 'logs', id_)}")
    return last_lines(path, wanted)


def _until_sent() -> Iterator[ExitStack]:
    """A dependency: closes what is put on it once the answer is sent, or its client has gone."""
    with ExitStack() as stack:
        yield stack


# What FileResponse answers where the header Range asks for parts of a file (RFC 9110, section 14).
_PARTS: Documented = {
    206: {
        "description": "The parts that `Range` asks for",
        "content": {media_type: {"schema": BINARY} for media_type in (FILE, "multipart/byteranges")},
    }
}


@router.get(
    "/trials/{id}/predictions", response_class=FileResponse,
    responses=sent_as(FILE) | _PARTS | refusals(404, 409, 416),
)  # fmt: skip
def get_predictions(
    request: Request,
    id_: OfTrial,
    wanted: Annotated[Predicted, Query()],
    held: Annotated[ExitStack, Depends(_until_sent)],
) -> Response:
    """What a trial's model predicted for each example of a language.

    An Arrow file. Its columns are `example` (its place in the split), `gold` and `prediction`, and with `texts` the
    parts of the example: `tokens`, `question` and `context`, or both texts of a pair. With them, 409 where the data no
    longer have the examples that were scored.
    """
    trial = found_trial(request, id_)
    chosen = evaluated(request, id_, wanted)
    if not wanted.texts:
        file = held.enter_context(chosen.place.reading_file(chosen.path))
        return FileResponse(file, media_type=FILE, filename=chosen.path.name)
    columns, _ = read_judged(chosen, trial)
    task = TASKS[trial["config"]["task"]]
    parts = [task.parts(example) for example in examples_behind(request, trial, chosen, columns)]
    beside = {name: [one[name] for one in parts] for name in parts[0]} if parts else {}
    headers = {"Content-Disposition": f'attachment; filename="{chosen.path.name}"'}
    return Response(predictions.with_columns(chosen.place, chosen.path, beside), media_type=FILE, headers=headers)


class Chosen(BaseModel):
    """Which of a trial's models."""

    model_config = ConfigDict(extra="forbid")

    selection: str | None = Field(None, pattern=PATTERN, description="where there are several")


@router.get("/trials/{id}/model", response_class=StreamingResponse, responses=sent_as(ZIP) | refusals(404, 409))
async def get_model(
    request: Request, id_: OfTrial, wanted: Annotated[Chosen, Query()], folder: Annotated[Path, Depends(scratch)]
) -> StreamingResponse:
    """A kept model as a Hugging Face folder in a zip.

    It has the full vocabulary, tokenizer and card. 404 where it was not kept, 409 where what it needs is gone, such as
    its encoder. 503 with Retry-After while two others are downloaded.
    """
    await run_in_threadpool(found_trial, request, id_)
    selection = ["--selection", wanted.selection] if wanted.selection else []
    try:
        await export(request, folder, [id_, str(folder / id_), *selection])
    except ExportError as error:
        await run_in_threadpool(_refuse, request, id_, wanted.selection, str(error))
    headers = {"Content-Disposition": f'attachment; filename="{id_}.zip"'}
    return StreamingResponse(zipped(folder / id_), media_type=ZIP, headers=headers)


def _refuse(request: Request, id_: str, selection: str | None, said: str) -> NoReturn:
    """Say why a model was not exported: only one that is not there is 404.

    Args:
        request: that asks for it.
        id_: of the trial.
        selection: which of its models; None for the only one.
        said: by the command that exports.
    """
    words = said.removeprefix("allasprak: ")
    chosen, place = request.app.state.store.objectives.by_selection(id_), _place(request)
    if selection is None and len(chosen) > 1:
        raise SpecError([Problem("selection", f"the trial has several: one of {', '.join(chosen)}")])
    kept = place.complete(models_of(place.home, id_))
    if not any(one in kept for one in chosen if selection in (None, one)):
        raise HTTPException(404, words)
    if failed := re.match(r"\[Errno (\d+)\] ", words):  # as Python writes an OSError, such as that of a full disk
        raise OSError(int(failed[1]), words)
    if words == said:  # the end of a traceback
        raise RuntimeError(words)
    raise HTTPException(409, words)


def _place(request: Request) -> Place:
    return place_of(request.app.state.environment(), NO_PATIENCE)


def last_lines(path: Path, wanted: LogEnd) -> PlainTextResponse:
    """The end of a log; empty if nothing has been written yet."""
    lines: list[str] = []
    with suppress(FileNotFoundError), path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LOG_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    return PlainTextResponse("\n".join([*lines[-wanted.lines :], ""]))
