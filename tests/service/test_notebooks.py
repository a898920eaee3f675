"""The notebooks run from start to end against a real service."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


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
    assert any("image/png" in output.get("data", {}) for output in outputs), "no figure"
