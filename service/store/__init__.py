"""Experiments, trials and scores in a database: SQLite by default, PostgreSQL by URL."""

from sqlalchemy.exc import OperationalError

from service.store.broken import BrokenRowError
from service.store.database import DatabaseLostError, StoreFullError, is_busy
from service.store.experiments import SORTABLE, KeyReusedError, Submission
from service.store.lease import LeaseHeldError, LeaseLostError
from service.store.progress import Experiment
from service.store.query import BadCursorError
from service.store.results import RESULT_COLUMNS, Page, Query
from service.store.slots import Resources
from service.store.store import Store
from service.store.tokens import TokenNameError

__all__ = [
    "RESULT_COLUMNS",
    "SORTABLE",
    "BadCursorError",
    "BrokenRowError",
    "DatabaseLostError",
    "Experiment",
    "KeyReusedError",
    "LeaseHeldError",
    "LeaseLostError",
    "OperationalError",
    "Page",
    "Query",
    "Resources",
    "Store",
    "StoreFullError",
    "Submission",
    "TokenNameError",
    "is_busy",
]
