"""The sections of an experiment that are asked for one by one: curves, search, surgery, shots and spec."""

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from search_spaces.problems import SpecError
from search_spaces.spec import Text, parse
from service.api.documented import OfExperiment
from service.api.experiments import get_experiment, get_shots, list_presets
from service.api.reports import Form, report_of, rows_of
from service.api.shots import Draw, get_shot_examples
from service.reports.rows import Rows
from service.web.remembered import Values, of_what_is_over
from service.web.rendering import Page, answered, page
from service.web.table import chosen_candidates, of_sweep
from trainers.languages import LANGUAGES
from trainers.methods import METHODS

router = APIRouter(route_class=Page, include_in_schema=False)

# Fields of a spec that do not say what is trained: presets differ in these from every experiment.
ABOUT = ("name", "owner", "tags", "priority", "resources", "encoder_revision")

# Columns of what surgery met, draws of shots that are shown at once.
MOST_COLUMNS = 12


@router.get("/experiments/{id}/curves")
def curves(request: Request, id_: OfExperiment) -> HTMLResponse:
    """Test and dev scores over epochs."""
    return page(request, "experiment_curves", **of_curves(request, id_))


@of_what_is_over
def of_curves(request: Request, id_: str) -> Values:
    """What the section shows."""
    one = answered(get_experiment(request, id_))
    asked = _asked(request, id_)
    alone = asked.model_copy(update={"chosen": asked.chosen or _is_search(request, id_)})
    names = {
        "figure-5": (alone, one["spec"]["test_at"] == "every"),
        "dev-curves": (asked, True),
        "figure-3": (alone, "ord-FS+dev" in one["spec"]["methods"]),
    }
    of_all = rows_of(request, asked)  # which several of them are made of
    of_alone = of_all if alone == asked else rows_of(request, alone)
    charts = [
        _drawn(of_alone if of is alone else of_all, name, of) for name, (of, is_asked) in names.items() if is_asked
    ]
    return {"one": one, "charts": [drawn for drawn in charts if drawn["chart"]]}


@router.get("/experiments/{id}/search")
def search(request: Request, id_: OfExperiment) -> HTMLResponse:
    """The candidates of a search, which is chosen and what that is worth."""
    return page(request, "experiment_search", **of_search(request, id_))


@of_what_is_over
def of_search(request: Request, id_: str) -> Values:
    """What the section shows."""
    one, problem, found = answered(get_experiment(request, id_)), "", None
    try:
        found = of_sweep(request, id_)
    except SpecError as error:
        problem = _words(error)
    groups = [] if found is None else [_compared(found["candidates"], chosen) for chosen in found["chosen"]]
    every = Form.model_validate({"experiment": [id_]})
    by_alpha = _drawn(rows_of(request, every), "alpha", every)
    return {"one": one, "problem": problem, "found": found, "groups": groups, "by_alpha": by_alpha}


def _compared(candidates: list[dict[str, Any]], chosen: dict[str, Any]) -> dict[str, Any]:
    """The candidates that a chosen one was compared with, the best first."""
    of = ("method", "k", "target_languages")
    rows = [row for row in candidates if all(row[name] == chosen[name] for name in of)]
    rows.sort(key=lambda row: (row["objective_mean"] is None, -(row["objective_mean"] or 0.0)))
    return {**chosen, "candidates": rows}


@router.get("/experiments/{id}/surgery")
def surgery(request: Request, id_: OfExperiment) -> HTMLResponse:
    """How often gradients conflict, over training and by language."""
    return page(request, "experiment_surgery", **of_surgery(request, id_))


@of_what_is_over
def of_surgery(request: Request, id_: str) -> Values:
    """What the section shows."""
    one = answered(get_experiment(request, id_))
    asked = _asked(request, id_)
    rows = rows_of(request, asked)
    over_training = _drawn(rows, "conflicts", asked)
    by_language = _report(rows, "conflicts-by-language", asked)
    order = {name: place for place, name in enumerate(METHODS)}
    keys = {(row["k"], row["method"], row["alpha"]) for row in by_language["data"]}
    columns = sorted(keys, key=lambda key: (key[0], order.get(key[1], len(order)), key[2]))[:MOST_COLUMNS]
    cells = {(row["language"], row["k"], row["method"], row["alpha"]): row for row in by_language["data"]}
    languages = sorted({row["language"] for row in by_language["data"]})
    return {
        "one": one,
        "has_surgery": any(name in METHODS and METHODS[name].surgery for name in one["spec"]["methods"]),
        "over_training": over_training,
        "by_language": by_language,
        "columns": columns,
        "lines": [
            (language, _name(language), [_rate(cells.get((language, *column))) for column in columns])
            for language in languages
        ],
        "left_away": len(keys) - len(columns),
    }


def _rate(row: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A conflict rate with its shade: darker in five steps from half on, at which conflicts are what chance gives."""
    if row is None:
        return None
    step = min(4, max(0, round((row["mean"] - 50) / 5)))
    return {**row, "shade": f"loss-{step}" if step else ""}


def _name(language: str) -> str:
    return LANGUAGES[language].name if language in LANGUAGES else ""


@router.get("/experiments/{id}/cosines")
def cosines(request: Request, id_: OfExperiment) -> HTMLResponse:
    """Cosines between languages' gradients; computed when they are first asked for."""
    one, asked = answered(get_experiment(request, id_)), _asked(request, id_)
    return page(request, "experiment_cosines", one=one, drawn=_drawn(rows_of(request, asked), "figure-1", asked))


class Read(BaseModel):
    """Which shots."""

    model_config = ConfigDict(extra="forbid")

    language: Text | None = None
    k: int | None = None
    seed: int | None = None


@router.get("/experiments/{id}/shots")
def shots(request: Request, id_: OfExperiment, wanted: Annotated[Read, Query()]) -> HTMLResponse:
    """The shots of a language at a K and a seed, to read."""
    one = answered(get_experiment(request, id_))
    drawn = answered(get_shots(request, id_))["shots"]
    found, problem = None, ""
    languages = list(dict.fromkeys(shot["language"] for shot in drawn))
    if drawn:
        language = wanted.language if wanted.language in languages else languages[0]
        of = [shot for shot in drawn if shot["language"] == language]
        k = wanted.k if wanted.k in {shot["k"] for shot in of} else of[0]["k"]
        seeds = [shot["seed"] for shot in of if shot["k"] == k]
        asked = {"language": language, "k": k, "seed": wanted.seed if wanted.seed in seeds else seeds[0]}
        try:
            [found] = answered(get_shot_examples(request, id_, Draw.model_validate(asked)))["shots"]
        except SpecError as error:
            problem = _words(error)
        except HTTPException as error:
            problem = str(error.detail)
        return page(
            request, "experiment_shots", one=one, languages=[(code, _name(code)) for code in languages], asked=asked,
            ks=sorted({shot["k"] for shot in of}), seeds=sorted(set(seeds)), found=found, problem=problem,
        )  # fmt: skip
    return page(request, "experiment_shots", one=one, languages=[], asked={}, ks=[], seeds=[], found=None, problem="")


class Against(BaseModel):
    """What a spec is compared with."""

    model_config = ConfigDict(extra="forbid")

    against: Text = ""


@router.get("/experiments/{id}/spec")
def spec(request: Request, id_: OfExperiment, wanted: Annotated[Against, Query()]) -> HTMLResponse:
    """The spec, and in what it differs from the nearest preset, from another one, or from another experiment."""
    return page(request, "experiment_spec", **of_spec(request, id_, wanted))


def of_spec(request: Request, id_: str, wanted: Against) -> Values:
    """What the section shows."""
    one = answered(get_experiment(request, id_))
    presets = {found["preset"]: _whole(found["spec"]) for found in answered(list_presets())["presets"]}
    other, words, problem = None, wanted.against, ""
    if wanted.against in presets:
        other, words = presets[wanted.against], f"the preset {wanted.against}"
    elif wanted.against:
        try:
            found = answered(get_experiment(request, wanted.against))
            other, words = found["spec"], found["name"] or found["id"]
        except HTTPException as error:
            problem = f"{error.detail}, nor a preset of this name"
    else:
        nearest = min(presets, key=lambda name: len(differences(one["spec"], presets[name])))
        other, words = presets[nearest], f"the nearest preset, {nearest}"
    return {
        "one": one,
        "presets": list(presets),
        "against": wanted.against,
        "words": words,
        "problem": problem,
        "rows": [] if other is None else differences(one["spec"], other),
        "is_compared": other is not None,
    }


def _whole(given: dict[str, Any]) -> dict[str, Any]:
    """A preset as the spec of an experiment is stored, with all its fields."""
    return dict(parse(given)[0].model_dump(mode="json"))


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any], before: str = "") -> list[tuple[str, Any, Any]]:
    """The fields in which two specs differ, with the values of both; those of parts by their whole path."""
    found: list[tuple[str, Any, Any]] = []
    for name in dict.fromkeys([*ours, *theirs]):
        one, other = ours.get(name), theirs.get(name)
        if one == other or (not before and name in ABOUT):
            continue
        if isinstance(one, dict) and isinstance(other, dict):
            found += differences(one, other, f"{before}{name}.")
        else:
            found.append((f"{before}{name}", one, other))
    return found


def _asked(request: Request, id_: str) -> Form:
    """What charts of an experiment are made of: of a large search the chosen candidates, as in its table."""
    chosen, _ = chosen_candidates(request, id_)
    return Form.model_validate({"experiment": [id_], "chosen": chosen is not None})


def _is_search(request: Request, id_: str) -> bool:
    """Whether candidates of an experiment are compared, of which some charts show one alone."""
    try:
        return bool(of_sweep(request, id_)["chosen"])
    except SpecError:  # a package that the spec needs is gone
        return False


def _query(asked: Form, name: str) -> dict[str, str]:
    """A report by its name, and the query that asks for what is shown of it."""
    return {"report": name, "query": urlencode(asked.model_dump(exclude_defaults=True, exclude={"format"}), doseq=True)}


def _report(rows: Rows, name: str, asked: Form) -> dict[str, Any]:
    """A report of an experiment; without data, and with a `problem`, where there is none."""
    try:
        return {**_query(asked, name), "problem": "", **answered(report_of(rows, name, asked))}
    except SpecError as error:
        return {**_query(asked, name), "title": "", "notes": [], "data": [], "problem": _words(error)}


def _drawn(rows: Rows, name: str, asked: Form) -> dict[str, Any]:
    """The drawing of a report in Vega-Lite, with title and notes; a `problem` where there is none."""
    try:
        chart = answered(report_of(rows, name, asked.model_copy(update={"format": "vega-lite"})))
    except SpecError as error:
        return {**_query(asked, name), "chart": None, "problem": _words(error)}
    title, _, notes = chart["description"].partition(". ")
    return {**_query(asked, name), "chart": chart, "title": title, "notes": notes, "problem": ""}


def _words(error: SpecError) -> str:
    return "; ".join(part.message for part in error.problems)
