"""The notebooks run from start to end against a real service."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def outputs_of(name: str, changes: dict[str, Any]) -> list[Any]:
    """What a notebook's cells show when its cell `changes = {}` is another one."""
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    [cell] = [cell for cell in notebook.cells if cell.source == "changes = {}"]
    cell.source = f"changes = {json.dumps(changes)}"
    NotebookClient(notebook, timeout=300).execute()
    return [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])]


@pytest.fixture
def small(spec: dict[str, Any]) -> dict[str, Any]:
    training = {**spec["training"], "learning_rate": 1e-2}
    return {name: spec[name] for name in ("encoder", "target_languages")} | {"training": training}


def test_a_first_experiment(
    tmp_path: Path, start_service: Callable[..., Any], small: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLASPRAK_URL", start_service(tmp_path / "home").url)
    shown = outputs_of("first_experiment", {**small, "methods": ["zero-shot", "naive-mix-train"], "k": [5]})
    assert any("succeeded" in str(data.get("text/plain")) for data in shown)
    tables = [data["text/html"] for data in shown if "Methods at each K" in data.get("text/html", "")]
    assert len(tables) == 1
    assert "naive-mix-train" in tables[0]
    assert any("published" in str(data.get("text/plain")) for data in shown)
    assert any(str(data.get("text/plain")).endswith(", 0)") for data in shown)


@pytest.mark.slow
def test_which_languages_gain(
    tmp_path: Path, start_service: Callable[..., Any], small: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLASPRAK_URL", start_service(tmp_path / "home").url)
    shown = outputs_of("which_languages_gain", {**small, "seeds": [1, 2]})
    assert any("p_holm" in str(data.get("text/plain")) for data in shown)
    assert any("smallest_p': 0.5" in str(data.get("text/plain")) for data in shown)
    [drawn] = [data for data in shown if "image/svg+xml" in data]
    assert drawn["image/svg+xml"].startswith("<svg")
    assert drawn["application/vnd.vegalite.v6+json"]["description"].startswith("One target, some, or all.")


@pytest.mark.slow
def test_a_sweep_of_alpha_is_submitted_followed_and_drawn(
    tmp_path: Path, start_service: Callable[..., Any], spec: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLASPRAK_URL", start_service(tmp_path / "home").url)
    notebook = nbformat.read(NOTEBOOKS / "which_alpha.ipynb", as_version=4)
    [changes] = [cell for cell in notebook.cells if cell.source == "changes = {}"]
    small = {name: spec[name] for name in ("encoder", "target_languages")}
    training = {**spec["training"], "epochs": 3, "learning_rate": 1e-2}
    changes.source = f"changes = {json.dumps({**small, 'training': training, 'alpha': {'grid': [0, 0.5, 1]}})}"
    NotebookClient(notebook, timeout=300).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    table = next(output.data["text/plain"] for output in outputs if "objective_mean" in str(output.get("data", "")))
    assert "gradient-mix-train" in table
    assert any("image/svg+xml" in output.get("data", {}) for output in outputs), "no figure"
