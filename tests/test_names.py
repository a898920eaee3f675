"""Other people's files with the names of our packages: they hide nothing, or are named."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import allasprak
from trainers.child_process import python


@pytest.fixture
def strangers(tmp_path: Path) -> Path:
    """A folder of somebody's own with a file `trainers.py`, and packages `service` and `search_spaces`."""
    folder = tmp_path / "project"
    for name in ("trainers.py", "service/__init__.py", "search_spaces/__init__.py"):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("raise RuntimeError('a stranger was imported')\n", encoding="utf-8")
    return folder


def test_what_notebooks_import_is_there_and_the_same() -> None:
    from service.client import Client, ServiceError
    from trainers.surgery.optimizer import StochasticGradientSurgery

    assert allasprak.Client is Client
    assert allasprak.ServiceError is ServiceError
    assert allasprak.StochasticGradientSurgery is StochasticGradientSurgery
    assert {getattr(allasprak, name) for name in allasprak.__all__}
    with pytest.raises(ImportError, match="cannot import name 'Clinet'"):
        exec("from allasprak import Clinet")


@pytest.mark.parametrize("hiding", ["trainers.py", "service/__init__.py", "search_spaces/__init__.py"])
def test_a_file_that_hides_one_of_our_packages_is_named(strangers: Path, hiding: str) -> None:
    for file in (path for path in strangers.rglob("*.py") if path != strangers / hiding):
        file.unlink()
    code = "import allasprak"
    answer = subprocess.run([sys.executable, "-c", code], cwd=strangers, capture_output=True, text=True)
    room = hiding.partition("/")[0].removesuffix(".py")
    assert f"ImportError: {strangers / hiding} hides allasprak's package '{room}': rename it" in answer.stderr
    safe = subprocess.run([sys.executable, "-P", "-c", code], cwd=strangers, capture_output=True, text=True)
    assert safe.returncode == 0, safe.stderr


def test_a_file_that_was_loaded_hides_ours_also_once_it_has_another_name(tmp_path: Path) -> None:
    (file := tmp_path / "trainers.py").write_text("", encoding="utf-8")
    code = "import trainers, pathlib; pathlib.Path('trainers.py').rename('mine.py'); import allasprak"
    answer = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    said = f"{file} hides allasprak's package 'trainers': rename it and start Python anew, or start Python in another"
    assert said in answer.stderr


def test_a_module_in_another_process_is_ours(strangers: Path) -> None:
    answer = subprocess.run(python("service.cli", "--help"), cwd=strangers, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr


@pytest.mark.service
def test_a_service_runs_trials_among_such_files_in_an_odd_home_with_an_ascii_locale_and_a_proxy_that_is_not_there(
    strangers: Path, start_service: Callable[..., Any], spec: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(strangers)
    around = {"http_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", "LC_ALL": "C"}
    as_the_script = "import sys; sys.path.remove('')"
    service = start_service(strangers / "home?% #ñ", as_the_script, **around, PYTHONCOERCECLOCALE="0", PYTHONUTF8="0")
    id_ = service.client.submit({**spec, "methods": ["zero-shot"]})
    service.until(lambda: service.client.experiment(id_)["state"] == "succeeded")
