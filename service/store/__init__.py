"""What is kept: experiments, their trials and results, scores. SQLite by default, PostgreSQL by URL."""

from service.store.store import RESULT_COLUMNS, BadCursorError, Experiment, OutstandingTrial, Store, StoreFullError

__all__ = ["RESULT_COLUMNS", "BadCursorError", "Experiment", "OutstandingTrial", "Store", "StoreFullError"]
