"""What is kept: experiments, their trials and results, scores. SQLite by default, PostgreSQL by URL."""

from service.store.database import BadCursorError, StoreFullError
from service.store.results import RESULT_COLUMNS, Page, Query
from service.store.slots import Resources
from service.store.store import Experiment, KeyReusedError, Store, Submission

__all__ = [
    "RESULT_COLUMNS",
    "BadCursorError",
    "Experiment",
    "KeyReusedError",
    "Page",
    "Query",
    "Resources",
    "Store",
    "StoreFullError",
    "Submission",
]
