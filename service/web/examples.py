"""Examples: the texts of a language with gold values and what one or two models predicted, marked where they err."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from pydantic import Field, model_validator
from starlette.exceptions import HTTPException

from search_spaces.problems import SpecError
from service.api.documented import OfPage, OfTrial
from service.api.examples import Looked, get_examples
from service.api.results import MOST_ROWS, ResultQuery, get_results
from service.api.trials import get_trial
from service.web.rendering import Page, answered, filled, page
from trainers.examples import LANGUAGE_CODE
from trainers.languages import LANGUAGES
from trainers.tasks import TASKS
from trainers.trial import SPLITS

router = APIRouter(route_class=Page, include_in_schema=False)

# Scripts that are written without blanks between words.
WITHOUT_BLANKS = ("Hans", "Hant", "Jpan", "Thai")

# What is asked of each score.
COLUMNS = ["method", "k", "alpha", "candidate", "trial", "selection", "language", "value"]

# Experiments that a trial is led back to.
MOST_EXPERIMENTS = 3

# Kinds of errors that are shown before the others are asked for.
MOST_KINDS = 10

WHICH = (
    ("errors", "with errors", False),
    ("differences", "where both differ", True),
    ("gained", "where this one errs less", True),
    ("lost", "where this one errs more", True),
    ("all", "all", False),
)


class Shown(Looked):
    """Which examples; without a language those of the first target."""

    language: Annotated[str, Field(pattern=f"^({LANGUAGE_CODE})?$")] = ""
    limit: OfPage = 20

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, given: dict[str, Any]) -> dict[str, Any]:
        """What a form leaves empty is not asked for; its choice of another trial may say a selection as well."""
        found = filled(given)
        trial, blank, selection = str(found.get("against", "")).partition(" ")
        return {**found, "against": trial, "against_selection": selection} if blank else found


@router.get("/trials/{id}/examples")
def examples(request: Request, id_: OfTrial, wanted: Annotated[Shown, Query()]) -> HTMLResponse:
    """The examples of a trial in a language, and the models that it can stand beside."""
    trial = answered(get_trial(request, id_))
    config = trial["config"]
    languages = sorted({one["language"] for one in _scored(request, trial, trial=[id_])})
    if not wanted.language:
        targets = [one for one in languages if one != config["source_language"]] or languages
        wanted = wanted.model_copy(update={"language": targets[0] if targets else config["source_language"]})
    languages = sorted(
        {*languages, wanted.language}
    )  # what is asked for is chosen in the form, also if it is not there
    if wanted.against is None and wanted.which in ("differences", "gained", "lost"):
        wanted = wanted.model_copy(update={"which": None})
    models = _models(request, trial, wanted.language)
    mine = [one for one in models if one["trial"] == id_]
    if wanted.selection is None and mine:
        wanted = wanted.model_copy(update={"selection": mine[0]["selection"]})
    found, problem, status = None, None, 200
    try:
        found = _found(request, id_, wanted)
    except SpecError as error:
        problem = "; ".join(one.message for one in error.problems)
    except HTTPException as error:
        problem, status = error.detail, error.status_code
    names = [_name_of(side, models) for side in found["sides"]] if found else []
    return page(
        request,
        "examples",
        status,
        trial=id_,
        config=config,
        experiments=trial["experiments"][:MOST_EXPERIMENTS],
        further=max(0, len(trial["experiments"]) - MOST_EXPERIMENTS),
        wanted=wanted,
        title=_words(mine[0]) if mine else config["method"],
        language=_language(wanted.language),
        languages=[(code, _language(code)) for code in languages],
        splits=SPLITS,
        selections=sorted({one["selection"] for one in mine}),
        others=[one for one in models if one not in mine],
        which=[(value, words) for value, words, of_two in WHICH if wanted.against or not of_two],
        problem=problem,
        found=found,
        names=names,
        kinds=_kinds(found["sides"]) if found else [],
        most_kinds=MOST_KINDS,
        examples=[_example(found, one, names, _blank(wanted.language)) for one in found["examples"]] if found else [],
    )


def _found(request: Request, id_: str, wanted: Shown) -> dict[str, Any]:
    """What is asked for; of a kind of error that there is not in this language, of all kinds."""
    try:
        return answered(get_examples(request, id_, wanted))
    except SpecError as error:
        if wanted.kind is None or any(one.field != "kind" for one in error.problems):
            raise
        return answered(get_examples(request, id_, wanted.model_copy(update={"kind": None, "cursor": None})))


def _scored(request: Request, of: Mapping[str, Any], **filters: list[Any]) -> list[dict[str, Any]]:
    """Test scores of the experiments that asked for a trial."""
    task, asking = TASKS.get(of["config"]["task"]), [one["id"] for one in of["experiments"]]
    if not asking:
        return []
    of_task = {"experiment": asking, "split": ["test"], "metric": [task.metric] if task else []}
    asked = ResultQuery.model_validate({**of_task, **filters, "columns": COLUMNS, "limit": MOST_ROWS})
    try:
        rows: list[dict[str, Any]] = answered(get_results(request, asked))["results"]
    except SpecError:  # no experiment has such a language
        return []
    return rows


def _models(request: Request, trial: Mapping[str, Any], language: str) -> list[dict[str, Any]]:
    """The trained models of a trial's experiments, seed and K with a score in a language, and those without shots."""
    config = trial["config"]
    rows = _scored(request, trial, seed=[config["seed"]], language=[language])
    fits = [one for one in rows if one["trial"] == trial["id"] or one["k"] in (0, config["k"]) or not config["k"]]
    each = {(one["trial"], one["selection"]): one for one in reversed(fits)}
    counts = Counter(id_ for id_, _ in each)
    return [
        {
            **one,
            "words": _words(one),
            "choice": f"{one['trial']} {one['selection']}" if counts[one["trial"]] > 1 else one["trial"],
        }
        for one in reversed(each.values())
    ]


def _words(one: Mapping[str, Any]) -> str:
    """A model in words."""
    of = [one["method"]]
    of += [f"K = {one['k']}"] if one["k"] else []
    of += [f"α = {one['alpha']:g}"] if one["alpha"] is not None else []
    return ", ".join([*of, *([one["candidate"]] if one["candidate"] else [])])


def _name_of(side: Mapping[str, Any], models: Sequence[Mapping[str, Any]]) -> str:
    """What a side is called."""
    mine = [one for one in models if one["trial"] == side["trial"]]
    exact = [one for one in mine if one["selection"] == side["selection"]] or mine
    return exact[0]["words"] if exact else f"trial {side['trial']}"


def _kinds(sides: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The kinds of errors with the counts of each side, the most frequent first."""
    counts: dict[str, list[Mapping[str, Any] | None]] = {}
    for number, side in enumerate(sides):
        for one in side["kinds"]:
            counts.setdefault(one["kind"], [None] * len(sides))[number] = one
    rows = [{"kind": kind, "sides": of} for kind, of in counts.items()]
    return sorted(rows, key=lambda row: -sum(one["errors"] for one in row["sides"] if one))


def _example(found: Mapping[str, Any], one: Mapping[str, Any], names: Sequence[str], blank: str) -> dict[str, Any]:
    """An example as the page shows it."""
    parts = [_part(found["reading"], name, value, one, names, blank) for name, value in one["parts"].items()]
    has_values = found["reading"] == "values" or any(isinstance(value, str) for value in one["parts"].values())
    values = []
    if has_values:
        values.append({"name": "gold", "text": _text(one["gold"]), "kinds": [], "is_gold": True})
        for name, predicted in zip(names, one["predictions"], strict=True):
            kinds = [error["kind"] for error in predicted["errors"]]
            values.append({"name": name, "text": _text(predicted["prediction"]), "kinds": kinds, "is_gold": False})
    return {"example": one["example"], "id": one["id"], "parts": parts, "values": values}


def _part(
    reading: str, name: str, value: str | list[str], one: Mapping[str, Any], names: Sequence[str], blank: str
) -> dict[str, Any]:
    """A part of an example: a table of words and tags, rows of marked tokens, a passage with marks, or plain text."""
    gold = _of_part(one["marks"], name)
    predicted = [_of_part(side["marks"], name) for side in one["predictions"]]
    errors = [side["errors"] for side in one["predictions"]]
    if isinstance(value, str):
        return {"name": name, "form": "text", "pieces": list(_overlaid(value, gold, predicted))}
    if reading == "words":
        return {"name": name, "form": "words", "words": _tagged(value, gold, predicted)}
    right = [{**mark, "state": "gold", "kind": None} for mark in gold]
    rows: list[dict[str, Any]] = [{"name": "gold", "count": None, "pieces": list(_pieces(value, right, blank))}]
    for label, marks, of_side in zip(names, predicted, errors, strict=True):
        marked = [*_judged(marks, of_side), *_missed(gold, marks, of_side)]
        rows.append({"name": label, "count": len(of_side), "pieces": list(_pieces(value, marked, blank))})
    return {"name": name, "form": "rows", "rows": rows}


def _of_part(marks: Sequence[Mapping[str, Any]], name: str) -> list[dict[str, Any]]:
    return [{"first": mark["place"][0], "after": mark["place"][1], "label": mark["label"]}
            for mark in marks if mark["part"] == name]  # fmt: skip


def _judged(marks: Sequence[dict[str, Any]], errors: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Predicted marks, each right or with its kind of error."""
    wrong = {tuple(error["predicted"]): error["kind"] for error in errors if error["predicted"]}
    for mark in marks:
        kind = wrong.get((mark["first"], mark["after"]))
        yield {**mark, "state": "wrong" if kind else "right", "kind": kind}


def _missed(
    gold: Sequence[dict[str, Any]], marks: Sequence[Mapping[str, Any]], errors: Sequence[Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Gold marks that no prediction is about, where nothing else is marked."""
    missed = {tuple(error["gold"]): error["kind"] for error in errors if error["gold"] and not error["predicted"]}
    for mark in gold:
        kind = missed.get((mark["first"], mark["after"]))
        if kind and all(one["after"] <= mark["first"] or one["first"] >= mark["after"] for one in marks):
            yield {**mark, "state": "missed", "kind": kind}


def _pieces(tokens: Sequence[str], marks: Sequence[Mapping[str, Any]], blank: str) -> Iterator[dict[str, Any]]:
    """Tokens as running text, in pieces with and without a mark. Marks do not overlap."""
    place = 0
    for mark in sorted(marks, key=lambda one: one["first"]):
        if place < mark["first"]:
            yield {"text": blank.join(tokens[place : mark["first"]]) + blank, "mark": None}
        yield {"text": blank.join(tokens[mark["first"] : mark["after"]]), "mark": mark}
        place = mark["after"]
        if place < len(tokens) and blank:
            yield {"text": blank, "mark": None}
    if place < len(tokens):
        yield {"text": blank.join(tokens[place:]), "mark": None}


def _overlaid(
    text: str, gold: Sequence[Mapping[str, Any]], predicted: Sequence[Sequence[Mapping[str, Any]]]
) -> Iterator[dict[str, Any]]:
    """A text in pieces between the ends of all marks, each with whose marks are on it."""
    layers = {"gold": gold, **{f"side{number}": marks for number, marks in enumerate(predicted, start=1)}}
    ends = {0, len(text), *(mark[end] for marks in layers.values() for mark in marks for end in ("first", "after"))}
    places = sorted(ends)
    for first, after in pairwise(places):
        on = [name for name, marks in layers.items() if any(one["first"] <= first < one["after"] for one in marks)]
        yield {"text": text[first:after], "on": on}


def _tagged(
    tokens: Sequence[str], gold: Sequence[Mapping[str, Any]], predicted: Sequence[Sequence[Mapping[str, Any]]]
) -> list[dict[str, Any]]:
    """Each word with its gold tag, and the tag of each side where it is another one."""
    tags = [{mark["first"]: mark["label"] for mark in marks} for marks in (gold, *predicted)]
    words = []
    for place, token in enumerate(tokens):
        right, *found = [of.get(place, "") for of in tags]
        words.append({"word": token, "gold": right, "sides": [None if tag == right else tag for tag in found]})
    return words


def _text(value: Any) -> str:
    return " / ".join(map(str, dict.fromkeys(value))) if isinstance(value, list) else str(value)


def _blank(language: str) -> str:
    """What stands between the words of a language."""
    return "" if language in LANGUAGES and LANGUAGES[language].script in WITHOUT_BLANKS else " "


def _language(code: str) -> str:
    return LANGUAGES[code].name if code in LANGUAGES else code
