"""The paths below the home: one file knows them, those of existing homes stay, and a trial's files go together."""

import inspect
import os
import re
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from trainers.artifacts import layout
from trainers.artifacts.atomic import lock
from trainers.artifacts.folder_place import FolderPlace

ROOT = Path(__file__).parents[2]

# The names by which homes of earlier versions have their files: a file under another name would be computed anew.
PATHS = {
    "lock_of": "locks/digest",
    "log_of": "logs/trials/digest.log",
    "checkpoints_of": "checkpoints/digest",
    "models_of": "models/digest",
    "model_of": "models/digest/last",
    "predictions_of": "predictions/digest",
    "predictions_file": "predictions/digest/de.test.data.7.arrow",
    "pruned_mark": "pruned/models/digest",
    "encoders_folder": "encoders",
    "datasets_folder": "datasets",
    "dataset_folder": "datasets/name",
    "fetched_data": "fetched/xtreme-r",
    "encoder_digests": "cache/encoders",
    "split_facts": "cache/facts",
    "tokenized_parts": "cache/tokenized",
    "database_file": "allasprak.sqlite",
    "reserve_file": "reserve",
    "server_lock": "server.lock",
    "logs_folder": "logs",
    "server_log": "logs/server.log",
    "pool_log": "logs/pool.log",
    "driver_log": "logs/experiment.log",
    "tune_folder": "tune/experiment",
    "end_file": "tune/experiment.end",
    "export_file": "downloads/name/export.json",
    "downloads_folder": "downloads",
    "pool_file": "pool.json",
    "starting_pool_file": "pool-starting.json",
    "ray_token": "ray-token",
    "ray_folder": "ray",
    "cosines_file": "cosines/digest-last.json",
    "results_table": "results-experiment.csv",
}

ARGUMENTS: dict[str, Any] = {
    "digest": "digest", "selection": "last", "step": 7, "language": "de", "split": "test", "data": "data",
    "source": "xtreme-r", "experiment": "experiment", "kind": "models", "name": "name",
}  # fmt: skip


def functions() -> dict[str, Callable[..., Path]]:
    """Those that return a path."""
    return {
        name: function
        for name, function in vars(layout).items()
        if inspect.isfunction(function) and inspect.signature(function).return_annotation is Path
    }


def path(function: Callable[..., Path], home: Path, **changed: Any) -> Path:
    parameters = [name for name in inspect.signature(function).parameters if name != "home"]
    return function(home, **{name: {**ARGUMENTS, **changed}[name] for name in parameters})


def test_files_lie_where_those_of_earlier_versions_do() -> None:
    assert {name: str(path(function, Path())) for name, function in functions().items()} == PATHS


def test_no_two_paths_are_the_same() -> None:
    paths = [path(function, Path("/home")) for function in functions().values()]
    assert len(set(paths)) == len(paths)


@pytest.mark.parametrize("name", functions())
def test_every_argument_makes_a_path_of_its_own(name: str) -> None:
    function = functions()[name]
    taken = [parameter for parameter in inspect.signature(function).parameters if parameter != "home"]
    others = [path(function, Path("/home"), **{parameter: "other"}) for parameter in taken]
    assert len({path(function, Path("/home")), *others}) == 1 + len(taken)


def test_no_other_file_knows_a_path_below_the_home() -> None:
    sources = [source for room in ("trainers", "search_spaces", "service") for source in (ROOT / room).rglob("*.py")]
    known = [source.name for source in sources if re.search(r"\bhome\s*/\s*\S", code_of(source))]
    assert known == ["layout.py"]


def code_of(source: Path) -> str:
    """Without comments and the first lines of docstrings, which may name a path."""
    lines = source.read_text().splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith(("#", '"""')))


def test_what_is_saved_of_a_trial(tmp_path: Path) -> None:
    assert layout.saved(FolderPlace(tmp_path), "digest") == layout.Saved(models=[], predictions=0, checkpoint=None)
    for selection in ("last", "source-dev"):
        (layout.models_of(tmp_path, "digest") / selection / "1").mkdir(parents=True)
    layout.predictions_of(tmp_path, "digest").mkdir(parents=True)
    for language in ("de", "hi"):
        path(layout.predictions_file, tmp_path, language=language).touch()
    (layout.predictions_of(tmp_path, "digest") / ".unfinished").touch()
    checkpoint = layout.checkpoints_of(tmp_path, "digest") / "12"
    checkpoint.mkdir(parents=True)
    os.utime(checkpoint, (1000.0, 1000.0))
    saved = layout.saved(FolderPlace(tmp_path), "digest")
    assert saved == layout.Saved(models=["last", "source-dev"], predictions=2, checkpoint=1000.0)
    layout.remove_trial(FolderPlace(tmp_path), "digest")
    assert layout.saved(FolderPlace(tmp_path), "digest") == layout.Saved(models=[], predictions=0, checkpoint=None)


def test_files_of_a_trial_that_runs_are_not_removed_and_one_that_ends_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = layout.log_of(tmp_path, "digest")
    log.parent.mkdir(parents=True)
    log.write_text("it begins")
    with lock(layout.lock_of(tmp_path, "digest")):
        monkeypatch.setattr(layout, "END_SECONDS", 0.1)
        layout.remove_trial(FolderPlace(tmp_path), "digest")
        assert log.exists()
        monkeypatch.setattr(layout, "END_SECONDS", 30.0)
        removing = Thread(target=layout.remove_trial, args=(FolderPlace(tmp_path), "digest"))
        removing.start()
    removing.join()
    assert not log.exists()
