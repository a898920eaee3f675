"""Cosines between languages' gradients of kept models (Figure 1).

A process of its own, `python -m service.reports.cosines <trial>:<selection>...`, loads torch and the models; what it
finds is kept in `<home>/cosines/`.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from service.settings import Settings
from trainers.artifacts.atomic import write_text
from trainers.artifacts.layout import cosines_file


def cosines(home: Path, models: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """Each kept model's `languages`, the source first, and the `cosines` of every two; computed where not known yet.

    Args:
        home: the service's.
        models: of which trials, by what selection.

    Raises:
        ValueError: one was not kept, or its data or encoder can't be had; in the words of what failed. What was found
            by then is kept.
    """
    files = [cosines_file(home, *model) for model in models]
    lacking = [":".join(model) for model, file in zip(models, files, strict=True) if not file.is_file()]
    if lacking:
        command = [sys.executable, "-m", "service.reports.cosines", *lacking]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise ValueError(done.stderr.strip().rpartition("\n")[2])
    return [json.loads(file.read_text()) for file in files]


def _compute(trial: str, selection: Any, settings: Settings) -> None:
    from search_spaces.spec import ExperimentSpec
    from service.store import Store
    from trainers.cosines import gradient_cosines
    from trainers.trial import Trial, TrialConfig, Wanted

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
        data=spec.data.locate(settings.home, settings.data_root),
        wanted=Wanted(selections=(selection,)),
        max_test_examples=None,
        home=settings.home,
    )
    languages, matrix = gradient_cosines(given, selection)
    value = {"languages": list(languages), "cosines": matrix.tolist()}
    write_text(cosines_file(settings.home, trial, selection), json.dumps(value))


if __name__ == "__main__":
    try:
        for model in sys.argv[1:]:
            of_trial, _, by = model.partition(":")
            _compute(of_trial, by, Settings.from_environment())
    except (ValueError, OSError) as error:
        sys.exit(str(error))
