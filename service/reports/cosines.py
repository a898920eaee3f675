"""Cosines between languages' gradients of kept models (Figure 1).

A separate process, `python -m service.reports.cosines <trial>:<selection>...`, loads torch and the models, and caches
the cosines in `<home>/cosines/`.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from service.settings import Settings
from trainers.artifacts.atomic import lock, write_text
from trainers.artifacts.layout import cosines_file
from trainers.child_process import python


def cosines(home: Path, models: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """For each kept model its `languages`, the source first, and the `cosines` of every pair; computed if not cached.

    Args:
        home: the service's folder.
        models: (trial, selection) of each model.

    Raises:
        ValueError: a model was not kept, or its data or encoder can't be had. Cosines that were computed before that
            stay cached.
    """
    files = [cosines_file(home, *model) for model in models]
    if not all(file.is_file() for file in files):
        with lock(files[0].with_name(".lock")):  # who asks again meanwhile waits for what is being computed
            _compute_in_process([model for model, file in zip(models, files, strict=True) if not file.is_file()])
    return [json.loads(file.read_text(encoding="utf-8")) for file in files]


def _compute_in_process(models: Sequence[tuple[str, str]]) -> None:
    if not models:
        return
    command = python("service.reports.cosines", *map(":".join, models))
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    if done.returncode:
        raise ValueError(done.stderr.strip().rpartition("\n")[2])


def _compute(trial: str, selection: Any, settings: Settings) -> None:
    from search_spaces.plan import PlannedTrial
    from service import planning
    from service.store import Store
    from trainers.cosines import gradient_cosines
    from trainers.trial import TrialConfig, Wanted

    store = Store(settings.database_url)
    try:
        found = store.trials.one(trial)
        assert found is not None
        stored = store.experiments.one(found["experiments"][0]["id"])
        assert stored is not None
    finally:
        store.close()
    inputs = planning.open_experiment(planning.accepted_before(stored.spec), settings)
    config = TrialConfig.from_dict(found["config"])
    planned = PlannedTrial(config=config, source=None, wanted=Wanted(selections=(selection,)))
    built = planning.build_trials(inputs, settings, {trial: planned})[trial]
    on_one_cpu = replace(built, threads=1, device="cpu")  # outside the pool, which may be busy
    languages, matrix = gradient_cosines(on_one_cpu, selection)
    value = {"languages": list(languages), "cosines": matrix.tolist()}
    write_text(cosines_file(settings.home, trial, selection), json.dumps(value))


if __name__ == "__main__":
    try:
        for model in sys.argv[1:]:
            of_trial, _, by = model.partition(":")
            _compute(of_trial, by, Settings.from_environment())
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(str(error))
