"""Comparing methods and experiments: what one side gains over the other, language by language, and what is noise."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from pydantic import model_validator

from search_spaces.problems import Problem, SpecError
from service.api.comparisons import SIDES, Pair, compare_results
from service.api.experiments import get_experiment
from service.api.results import Filters, ResultQuery, get_results
from service.api.summaries import Grouped, summarize_results
from service.reports.setting import NAMES
from service.web.forest import forest
from service.web.rendering import Page, answered, filled, page, tidy
from trainers.marks import MARKS
from trainers.methods import METHODS
from trainers.tasks import TASKS

router = APIRouter(route_class=Page, include_in_schema=False)

# Experiments that stand side by side.
MOST = 12

# What noise is between, in words.
UNITS = (("seeds", "seeds"), ("items", "test examples"), ("seeds-and-items", "seeds and examples"))

# The models of a side, each a trial and a selection, by language and seed.
_Trained = dict[tuple[str, int], set[tuple[str, str]]]

# What tells the rows of a summary apart, and what a side is chosen by.
BY = ("experiment", "method", "k", "candidate")

# Fields of a spec that say nothing about scores.
APART = ("name", "owner", "tags")

# The parameters that the form has fields for.
FIELDS = ("experiment", *(f"{side}.{name}" for side in SIDES for name in BY), "unit", "metric", "allow")

# How a refusal names the parameter that allows something, and the field that does so on the page.
ALLOW, ALLOWING = re.compile(r", as allow=\S+"), "Settings that may differ"

# A digest in a refusal, and as much of it as is shown.
DIGEST = re.compile(r"\b([0-9a-f]{8})[0-9a-f]{12,}\b")

# Scores of a side that are looked through.
MOST_ROWS = 10_000


class Shown(Pair):
    """Which experiments, and which two sides of them."""

    _filled = model_validator(mode="before")(filled)


@router.get("/compare")
def compare(request: Request, wanted: Annotated[Shown, Query()]) -> HTMLResponse:
    """Experiments side by side, and one side of their results over another."""
    experiments = wanted.model_dump(include={"experiment"})["experiment"]
    of_sides = [id_ for side in SIDES for id_ in wanted.named(side).get("experiment", ())]
    ids = list(dict.fromkeys([*experiments, *of_sides]))
    shown = [answered(get_experiment(request, id_)) for id_ in ids[:MOST]]
    asked = {"experiment": ids[:MOST], "by": [*BY], "split": wanted.split, "metric": wanted.metric}
    means = answered(summarize_results(request, Grouped.model_validate(asked)))["summary"] if ids else []
    is_of_sides = any(wanted.named(side) for side in SIDES)
    if not is_of_sides and len(ids) <= len(SIDES):
        wanted = _with_sides(wanted, ids[:MOST], means)
    wanted = _without_shots(wanted)
    found, problems, remedy = None, list[Problem](), None
    looks: dict[tuple[str, int], str] = {}
    if any(wanted.named(side) for side in SIDES):
        try:
            found = answered(compare_results(request, wanted))
            looks = _looks(wanted, _scored(request, wanted))
        except SpecError as error:
            problems = list(error.problems)
            remedy = _remedy(request, wanted)
    given = _parameters(wanted)
    others = [pair for pair in given if pair[0] not in FIELDS]
    names = {one["id"]: one["name"] or one["id"] for one in shown}
    tasks = {one["spec"].get("task") for one in shown}
    return page(
        request,
        "compare",
        headers=tidy(request),
        experiments=shown,
        beyond=len(ids) - len(shown),
        means=_means(means, shown),
        differences=_differences(shown),
        wanted=wanted,
        sides={side: _chosen(wanted, side) for side in SIDES},
        choices=_choices(means),
        units=UNITS,
        allowing=ALLOWING,
        metrics=TASKS[next(iter(tasks))].metrics_names if len(tasks) == 1 and tasks <= set(TASKS) else (),
        others=others,
        only={name: [value for other, value in others if other == name] for name, _ in others},
        without=f"/compare?{urlencode([pair for pair in given if pair not in others])}",
        problems=[_for_people(one) for one in problems],
        remedy=remedy,
        found=found,
        forest=forest(found, looks) if found else None,
        titles={side: _words(wanted, side, names) for side in SIDES},
        marks={mark.models: found[mark.name] for mark in MARKS if found[mark.name]} if found else {},
    )


def _parameters(wanted: Shown, **changed: Any) -> list[tuple[str, str]]:
    """A comparison as parameters of the page."""
    given = {**wanted.model_dump(by_alias=True, exclude_defaults=True), **changed}
    lists = {name: value if isinstance(value, list) else [value] for name, value in given.items()}
    return [(name, str(value)) for name, values in lists.items() for value in values]


def _with_sides(wanted: Shown, ids: Sequence[str], means: Sequence[Mapping[str, Any]]) -> Shown:
    """Two sides that are worth a look: the best method over the next, or of two experiments the same method."""
    known = sorted((one for one in means if one["mean_in_common"] is not None), key=lambda one: -one["mean_in_common"])
    if len(ids) > 1:
        better, over = ([one for one in known if one["experiment"] == id_] for id_ in ids[:2])
        pairs = (
            (one, other)
            for one in better
            for other in over
            if (one["method"], one["k"]) == (other["method"], other["k"])
        )
    else:
        pairs = ((one, other) for one in known for other in known
                 if one["method"] != other["method"] and other["k"] in (0, one["k"]))  # fmt: skip
    best = next(pairs, None)
    if best is None:
        return wanted
    update: dict[str, Any] = {}
    for side, one in zip(SIDES, best, strict=True):
        update |= {f"{side}_method": [one["method"]], f"{side}_k": [one["k"]]}
        update |= {f"{side}_experiment": [one["experiment"]]} if len(ids) > 1 else {}
    return wanted.model_copy(update=update)


def _without_shots(wanted: Shown) -> Shown:
    """Without K on a side whose method takes no shots, where a form has left that of another method."""
    update: dict[str, Any] = {
        f"{side}_k": []
        for side in SIDES
        if (methods := wanted.named(side).get("method"))
        and all(name in METHODS and not METHODS[name].few_shot for name in methods)
    }
    return wanted.model_copy(update=update)


def _chosen(wanted: Shown, side: str) -> dict[str, Any]:
    """What a side is chosen by, one value each."""
    named = wanted.named(side)
    return {name: next(iter(named.get(name, ())), None) for name in BY}


def _choices(means: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """What sides can be chosen by, beside experiments."""
    found = {name: list(dict.fromkeys(one[name] for one in means)) for name in BY[1:]}
    return {
        "method": found["method"],
        "k": sorted(k for k in found["k"] if k),
        "candidate": sorted(filter(None, found["candidate"])),
    }


def _means(means: Sequence[Mapping[str, Any]], shown: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row for each method, K and candidate, with a cell for each experiment, None where it has none."""
    of = {(one["experiment"], one["method"], one["k"], one["candidate"]): one for one in means}
    keys = list(dict.fromkeys((one["method"], one["k"], one["candidate"]) for one in means))
    best: dict[str, float] = {}
    for one in means:
        if one["mean_in_common"] is not None:
            best[one["experiment"]] = max(best.get(one["experiment"], -math.inf), one["mean_in_common"])
    rows = []
    for key in keys:
        cells = [of.get((one["id"], *key)) for one in shown]
        is_best = [cell is not None and cell["mean_in_common"] == best.get(cell["experiment"]) for cell in cells]
        rows.append(
            {"method": key[0], "k": key[1], "candidate": key[2], "cells": list(zip(cells, is_best, strict=True))}
        )
    return rows


def _differences(shown: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """The fields in which specs differ, each with its values."""
    if len(shown) < 2:
        return []
    flat = [dict(_flat({name: value for name, value in one["spec"].items() if name not in APART})) for one in shown]
    names = list(dict.fromkeys(name for one in flat for name in one))
    rows = [(name, [one.get(name, "–") for one in flat]) for name in names]
    return [(name, values) for name, values in rows if len(set(values)) > 1]


def _flat(value: Any, name: str = "") -> Iterable[tuple[str, str]]:
    """The fields of a spec by dotted name, their values in words."""
    if isinstance(value, dict) and value:
        for key, one in value.items():
            yield from _flat(one, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        yield name, ", ".join(str(one) for one in value) or "none"
    elif isinstance(value, bool):
        yield name, "yes" if value else "no"
    else:
        yield name, "–" if value is None or value == {} else str(value)


def _scored(request: Request, wanted: Shown) -> list[_Trained]:
    """The trials of each side with their selections, by language and seed."""
    found = []
    for side in SIDES:
        asked = {name: getattr(wanted, name) for name in ResultQuery.model_fields if name in Filters.model_fields}
        own = {**asked, **wanted.named(side), "split": [wanted.split]}
        rows = answered(
            get_results(
                request, ResultQuery(**own, columns=["trial", "selection", "seed", "language"], limit=MOST_ROWS)
            )
        )["results"]
        of: _Trained = {}
        for row in rows:
            of.setdefault((row["language"], row["seed"]), set()).add((row["trial"], row["selection"]))
        found.append(of)
    return found


def _looks(wanted: Shown, scored: Sequence[_Trained]) -> dict[tuple[str, int], str]:
    """The address of examples of both sides' models, by language and seed, where each has one model."""
    ours, theirs = scored
    looks = {}
    for key in ours.keys() & theirs.keys():
        if len(ours[key]) == len(theirs[key]) == 1:
            [(trial, selection)], [(other, of_other)] = ours[key], theirs[key]
            asked = {"language": key[0], "split": wanted.split, "selection": selection, "against": other}
            looks[key] = f"/trials/{trial}/examples?{urlencode({**asked, 'against_selection': of_other})}"
    return looks


def _remedy(request: Request, wanted: Shown) -> dict[str, Any] | None:
    """The comparison of what sides that were refused have in common, with all that differs; None if there is none.

    Scores of different tasks are on no common scale: there what differs has no `address`.
    """
    try:
        scored = _scored(request, wanted)
    except SpecError:
        return None
    seeds, languages = ([{key[place] for key in of} for of in scored] for place in (1, 0))
    update: dict[str, Any] = {}
    for name, (ours, theirs) in (("seed", seeds), ("language", languages)):
        if ours != theirs:
            update[name] = sorted(ours & theirs)
    if any(not values for values in update.values()):
        return None
    tried = wanted.model_copy(update={**update, "allow": list(NAMES)})
    try:
        differs = answered(compare_results(request, tried))["differs"]
    except SpecError:
        return None
    if "task" in differs:
        return {"differs": differs, "address": None}
    allow = [name for name in differs if name in NAMES]
    address = f"/compare?{urlencode(_parameters(wanted, **update, allow=allow))}"
    return {"differs": differs, "only": update, "allow": allow, "address": address}


def _for_people(one: Problem) -> Problem:
    """A refusal of the REST interface as the page says it: digests are short, and what allows something is a field."""
    words = DIGEST.sub(r"\1…", ALLOW.sub(f" under “{ALLOWING}”", one.message))
    return Problem(one.field, words)


def _words(wanted: Shown, side: str, names: Mapping[str, str]) -> str:
    """A side in words, given the names of experiments: its method, and what else the sides are told apart by."""
    of, better, over = wanted.named(side), wanted.named("better"), wanted.named("over")
    words = [", ".join(map(str, of.get("method", ())))]
    for name, values in of.items():
        if name not in ("method", "experiment") and better.get(name) != over.get(name):
            words.append(f"{'K' if name == 'k' else name} = {', '.join(map(str, values))}")
    if better.get("experiment") != over.get("experiment"):
        words.append(f"in {', '.join(names.get(id_, id_) for id_ in of.get('experiment', ()))}")
    return " ".join(filter(None, words))
