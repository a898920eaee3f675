"""Cosines between languages' gradients of kept models (Figure 1).

A process of its own, `python -m service.reports.cosines <trial> <selection>`, loads torch and the model; what it finds
is kept in `<home>/cosines/`.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from service.settings import Settings
from trainers.disk import write_text


def cosines(home: Path, trial: str, selection: str) -> dict[str, Any]:
    """A kept model's `languages`, the source first, and the `cosines` of every two, computed if they are not known yet.

    Raises:
        ValueError: the model was not kept, or its data or encoder can't be had; in the words of what failed.
    """
    known = _file(home, trial, selection)
    if not known.is_file():
        command = [sys.executable, "-m", "service.reports.cosines", trial, selection]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise ValueError(done.stderr.strip().rpartition("\n")[2])
    found: dict[str, Any] = json.loads(known.read_text())
    return found


def _file(home: Path, trial: str, selection: str) -> Path:
    return home / "cosines" / f"{trial}-{selection}.json"


def _compute(trial: str, selection: Any, settings: Settings) -> None:
    from search_spaces.checks import data_reference
    from search_spaces.spec import ExperimentSpec
    from service.store import Store
    from trainers.config import Trial, TrialConfig
    from trainers.gradients import gradient_cosines

    store = Store(settings.database_url)
    try:
        found = store.trials.one(trial)
        assert found is not None
        stored = store.experiment(found["experiments"][0]["id"])
        assert stored is not None
    finally:
        store.close()
    spec = ExperimentSpec.model_validate(stored.spec)
    given = Trial(
        config=TrialConfig.from_dict(found["config"]),
        source=None,
        data=data_reference(spec.data, settings.home, settings.data_root),
        selections=(selection,),
        evaluate=(),
        max_test_examples=None,
        home=settings.home,
    )
    languages, matrix = gradient_cosines(given, selection)
    value = {"languages": list(languages), "cosines": matrix.tolist()}
    write_text(_file(settings.home, trial, selection), json.dumps(value))


if __name__ == "__main__":
    try:
        _compute(sys.argv[1], sys.argv[2], Settings.from_environment())
    except (ValueError, OSError) as error:
        sys.exit(str(error))
