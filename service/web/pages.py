"""All pages, added to an application that has the REST interface."""

from fastapi import Depends, FastAPI

from service.api import health
from service.api.app import add_to_v1
from service.web import (
    compare,
    data,
    examples,
    experiment,
    experiment_file,
    experiments,
    new,
    pool,
    rendering,
    reports,
    sections,
    signing_in,
    table,
    trial,
    unknown,
)
from service.web.remembered import SECTIONS, Remembered
from service.web.signing_in import require_sign_in

PAGES = (experiments, experiment, table, sections, trial, compare, examples, new, data, reports, pool)


def add_pages(app: FastAPI) -> None:
    """Add the pages to an application, as `service.api.create_app` makes it."""
    app.state.lines, app.state.sections = experiments.Lines(), Remembered(SECTIONS)
    app.include_router(rendering.files_router)
    app.include_router(signing_in.router)
    add_to_v1(app, experiment_file.router)
    for one in PAGES:
        app.include_router(one.router, dependencies=[Depends(health.require), Depends(require_sign_in)])
    unknown.add_unknown(app)
