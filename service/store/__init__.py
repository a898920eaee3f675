"""What is kept: experiments, their trials and results, scores. SQLite by default, PostgreSQL by URL."""

from service.store.database import BadCursorError, StoreFullError
from service.store.results import RESULT_COLUMNS
from service.store.store import Experiment, KeyReusedError, OutstandingTrial, Store, Submission

__all__ = [
    "RESULT_COLUMNS",
    "BadCursorError",
    "Experiment",
    "KeyReusedError",
    "OutstandingTrial",
    "Store",
    "StoreFullError",
    "Submission",
]
