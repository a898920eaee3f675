"""Frames of what the service lists as JSON: an empty list has the columns and types of any other."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from search_spaces.spaces import SEARCHABLE
from trainers.marks import MARK_NAMES

# The columns of each list with their types: "object" for lists and dicts, and for values of several types.
EXPERIMENTS = {
    "id": "str", "name": "str", "owner": "str", "tags": "object", "priority": "int64", "state": "str", "reason": "str",
    "created": "str", "started": "str", "finished": "str", "progress": "float64", "trials": "object", "cost": "object",
    "left_out": "object", "differs": "object", "failures": "object", "numerics": "Int64", "spec": "object",
    "data_title": "str",
}  # fmt: skip

TRIALS = {
    "trial": "str", "method": "str", "k": "int64", "seed": "int64", "candidate": "str", "target_languages": "object",
    "state": "str", "reason": "str", "reused": "bool", "epoch": "int64", "epochs": "int64", "loss": "float64",
    "attempts": "int64",
}  # fmt: skip

SHOTS = {
    "language": "str", "k": "int64", "seed": "int64", "split": "str", "indices": "object", "ids": "object",
    "digest": "str",
}  # fmt: skip

SAMPLES = {
    "language": "str", "split": "str", "examples": "int64", "of": "int64", "digest": "str", "indices": "object",
}  # fmt: skip

CANDIDATES = {
    "method": "str", "k": "int64", "target_languages": "object", "candidate": "str",
    **dict.fromkeys(SEARCHABLE, "object"), "seeds": "int64", "stopped": "int64", "complete": "bool",
    **dict.fromkeys(("objective_mean", "objective_sd", "test_mean", "test_sd"), "float64"),
    **dict.fromkeys(MARK_NAMES, "int64"),
}  # fmt: skip


def listed(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> pd.DataFrame:
    """A frame of rows; without any it has the given columns. A column of "object" has the type that its values have."""
    if not rows:
        return pd.DataFrame({name: pd.Series(dtype=type_) for name, type_ in columns.items()})
    frame = pd.DataFrame(rows)
    return frame.astype({name: type_ for name, type_ in columns.items() if name in frame and type_ != "object"})
