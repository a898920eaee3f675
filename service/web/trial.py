"""A trial: what it is, how it differs from its siblings, its attempts, what it met, its scores and its log."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException

from search_spaces.problems import SpecError
from service.api.documented import OfTrial
from service.api.progress import MOST_TRIALS, TrialListing, list_trials
from service.api.results import ResultQuery, get_results
from service.api.trials import LogEnd, get_trial, get_trial_log
from service.store.states import ACTIVE
from service.web.lines import line
from service.web.rendering import Page, answered, page
from service.web.words import duration
from trainers.languages import LANGUAGES
from trainers.marks import MARKS

router = APIRouter(route_class=Page, include_in_schema=False)

# In what siblings may differ, with words; siblings of a kind that are led to.
KINDS = (("k", "K"), ("seed", "Seed"), ("target_languages", "Targets"), ("candidate", "Candidate"))
MOST_SIBLINGS = 60

LOG_LINES, ROWS = 400, 10_000


@router.get("/trials/{id}")
def trial(request: Request, id_: OfTrial) -> HTMLResponse:
    """A trial as it stands."""
    one = answered(get_trial(request, id_))
    scores = _scores(request, id_)
    config, last = one["config"], one["attempts"][-1] if one["attempts"] else None
    states = [asked["state"] for asked in one["experiments"]]
    state = next((known for known in ("running", *states) if known in states), "queued")
    known = one["facts"] or {}
    surgery = (known.get("training") or {}).get("surgery") or _last_met(one["measures"])
    return page(
        request,
        "trial",
        one=one,
        config=config,
        training=sorted(config["training"].items()),
        state=state,
        last=last,
        is_live=any(known in ACTIVE for known in states),
        siblings=_siblings(request, one),
        surgery=surgery,
        languages=sorted(((surgery or {}).get("per_language") or {}).items()),
        facts=facts(known),
        marks=[(mark.brief, _words(known[mark.name])) for mark in MARKS if known.get(mark.name)],
        tests=_tests(scores),
        epochs=_epochs(one["measures"], scores),
        lines=_lines(one["measures"]),
        log=_log(request, id_),
        log_lines=LOG_LINES,
        names={code: known.name for code, known in LANGUAGES.items()},
    )


def _words(value: Any) -> str:
    """The fact behind a mark: a sentence, or the evaluations of which every prediction is one label."""
    if isinstance(value, str):
        return value
    return "; ".join(
        f"{one['label']} in {_name(one['language'])} ({one['split']}, update {one['step']})" for one in value
    )


def _name(language: str) -> str:
    return LANGUAGES[language].name if language in LANGUAGES else language


def _siblings(request: Request, one: Mapping[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """The trials of its first experiment that differ from it in one thing alone, by that."""
    if not one["experiments"]:
        return []
    asked = TrialListing(limit=MOST_TRIALS)
    trials = answered(list_trials(request, one["experiments"][0]["id"], asked))["trials"]
    mine = next((other for other in trials if other["trial"] == one["id"]), None)
    if mine is None:
        return []
    found = []
    for kind, words in KINDS:
        same = [name for name in ("method", *(name for name, _ in KINDS)) if name != kind]
        others = [other for other in trials if all(other[name] == mine[name] for name in same)]
        if len(others) > 1:
            shown = [{**other, "words": _shown(other[kind]), "is_this": other is mine} for other in others]
            found.append((words, shown[:MOST_SIBLINGS]))
    return found


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value) if len(value) <= 3 else f"{len(value)} languages"
    return str(value)


def facts(known: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a run has noted of itself, in words."""
    found = []
    if "device" in known:
        of = known.get("threads")
        found.append(("Ran on", f"{known['device']}{f', {of} thread' if of else ''}{'s' if of and of > 1 else ''}"))
    if "seconds" in known:
        found.append(("Took", duration(known["seconds"])))
    for part, words in (("training", "Training"), ("evaluation", "Evaluation")):
        work = (known.get("work") or {}).get(part)
        if work:
            steps = f"{work['steps']:,} updates, " if work.get("steps") else ""
            found.append((words, f"{steps}{work['sub_words']:,} sub-words in {duration(work['seconds'])}"))
    if known.get("packages"):
        found.append(("Packages", ", ".join(f"{name} {version}" for name, version in known["packages"].items())))
    if known.get("out_of_memory"):
        found.append(("Out of memory", f"once; then with {known.get('accumulation')} accumulation steps"))
    if known.get("held_out"):
        held = ", ".join(f"{language} {len(places)}" for language, places in known["held_out"].items())
        found.append(("Held out", f"shots that select: {held}"))
    if known.get("untrimmed"):
        found.append(("Vocabulary", f"whole: {known['untrimmed']}"))
    return found


def _last_met(measures: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """What surgery has met so far."""
    met = [one["values"]["surgery"] for one in measures if one["values"].get("surgery")]
    return dict(met[-1]) if met else None


def _scores(request: Request, id_: str) -> list[dict[str, Any]]:
    """All scores of a trial, each once though several experiments ask for it."""
    try:
        asked = ResultQuery.model_validate({"trial": [id_], "at": "every", "limit": ROWS})
        rows = answered(get_results(request, asked))["results"]
    except SpecError:  # no experiment plans a result of it any more
        return []
    of = ("selection", "language", "split", "metric", "epoch")
    return list({tuple(row[name] for name in of): row for row in rows}.values())


def _tests(scores: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Test scores of the selected weights: a row for each selection and language, with all metrics."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in scores:
        if row["split"] == "test" and row["selected"]:
            of = found.setdefault((row["selection"], row["language"]), {**row, "values": {}})
            of["values"][row["metric"]] = row["value"]
    rows = sorted(found.values(), key=lambda row: (row["selection"], row["language"]))
    return [{**row, "marks": [mark.brief for mark in MARKS if row[mark.name]]} for row in rows]


def _epochs(measures: Sequence[Mapping[str, Any]], scores: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What was measured and scored at each report, the last one first."""
    dev: dict[int, dict[tuple[str, str], float]] = {}
    for row in scores:
        if row["split"] == "dev":
            dev.setdefault(row["epoch"], {})[row["language"], row["metric"]] = row["value"]
    return [
        {
            "epoch": one["epoch"],
            "step": one["step"],
            "loss": one["values"].get("loss"),
            "rate": one["values"].get("steps_per_second"),
            "conflicts": (one["values"].get("surgery") or {}).get("conflict_rate"),
            "dev": [(*of, value) for of, value in sorted(dev.get(one["epoch"], {}).items())],
        }
        for one in reversed(measures)
    ]


def _lines(measures: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Loss and conflict rate over the reports, as small drawings."""
    losses = [(one["epoch"], one["values"].get("loss")) for one in measures]
    rates = [(one["epoch"], (one["values"].get("surgery") or {}).get("conflict_rate")) for one in measures]
    percent = [(epoch, None if rate is None else 100 * rate) for epoch, rate in rates]
    both = (("Loss", losses, "{:.3g}"), ("Conflicts, percent", percent, "{:.0f}"))
    return [drawn for words, points, form in both if (drawn := line(words, points, form)) is not None]


def _log(request: Request, id_: str) -> str:
    try:
        return bytes(get_trial_log(request, id_, LogEnd(lines=LOG_LINES)).body).decode()
    except HTTPException as error:
        return str(error.detail)
