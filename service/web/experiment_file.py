"""An experiment as one HTML file: its results, charts and spec, to attach to a paper or to mail. It loads nothing."""

from datetime import UTC, datetime

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from service.api.documented import OfExperiment, sent_as
from service.api.experiments import get_experiment
from service.api.problems import refusals
from service.api.reports import SHOWN
from service.arguments import installed_version
from service.store.states import FINAL, TRIAL_STATES
from service.web.rendering import answered, filled_in, style
from service.web.sections import Against, of_curves, of_search, of_spec, of_surgery
from service.web.table import Sorted, of_table

router = APIRouter(tags=["experiments"])


@router.get("/experiments/{id}/page", response_class=HTMLResponse, responses=sent_as("text/html") | refusals(404))
def get_experiment_page(request: Request, id_: OfExperiment) -> HTMLResponse:
    """An experiment as one HTML file, which loads nothing and needs no network.

    It has what the experiment's page has: the table of methods by languages, the curves, what a search chose, what
    surgery met, and the spec. Charts are pictures in it (SVG).
    """
    one = answered(get_experiment(request, id_))
    sections = {
        "Results": ("table", of_table(request, id_, Sorted())),
        "Curves over epochs": ("curves", of_curves(request, id_)),
        "What the search chose": ("search", of_search(request, id_)),
        "Gradient surgery": ("surgery", of_surgery(request, id_)),
        "Spec": ("spec", of_spec(request, id_, Against())),
    }
    content = filled_in(
        "experiment_file",
        one=one,
        is_over=one["state"] in FINAL,
        states=TRIAL_STATES,
        now=datetime.now(UTC).isoformat(),
        version=installed_version(),
        style=style(),
        sections={
            words: filled_in(f"experiment_{name}", is_file=True, **values) for words, (name, values) in sections.items()
        },
    )
    return HTMLResponse(content, headers={**SHOWN, "Content-Disposition": f'inline; filename="{one["id"]}.html"'})
