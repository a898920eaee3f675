"""On a service's PYTHONPATH: its trials are those of `empty_trial`, and all else is as it is."""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType


class Empty(MetaPathFinder):
    """Finds `empty_trial` where `trainers.one_trial` is asked for."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Python's interface."""
        if fullname != "trainers.one_trial":
            return None
        return spec_from_file_location(fullname, Path(__file__).with_name("empty_trial.py"))


sys.meta_path.insert(0, Empty())
