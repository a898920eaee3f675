"""Every benchmark runs, at tiny sizes; what they find is no test's business."""

import ast
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOT_BENCHMARKS = {
    "made_data", "our_trial", "phases", "service_of_its_own", "side_by_side", "steps", "test_benchmarks_run",
    "test_gpu", "trainer_script", "usual_script",
}  # fmt: skip
OF_SERVICES = {
    "alpha_sweep", "estimates", "pages", "results_at_scale", "short_trials", "tune_overhead", "under_load",
}  # fmt: skip
BENCHMARKS = sorted({file.stem for file in Path(__file__).parent.glob("*.py")} - NOT_BENCHMARKS - OF_SERVICES)


@pytest.mark.slow
@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_runs_and_prints_a_table(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = Path(__file__).with_name(f"{name}.py")
    monkeypatch.setattr(sys, "argv", [str(script), "--quick"])
    monkeypatch.syspath_prepend(ROOT)
    monkeypatch.syspath_prepend(script.parent)
    try:
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit as end:
        assert not end.code  # noqa: PT017  (one that lacks its data ends like this)
    check(capsys.readouterr().out)


def test_the_rivals_script_imports_nothing_of_this_project() -> None:
    nodes = list(ast.walk(ast.parse(Path(__file__).with_name("trainer_script.py").read_text())))
    modules = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    modules |= {f"{node.module}" for node in nodes if isinstance(node, ast.ImportFrom)}
    assert "transformers" in modules
    assert not {name.split(".")[0] for name in modules} & {path.name for path in ROOT.iterdir() if path.is_dir()}
    assert not {name.split(".")[0] for name in modules} & {path.stem for path in Path(__file__).parent.glob("*.py")}


@pytest.mark.slow
@pytest.mark.service
@pytest.mark.parametrize("name", sorted(OF_SERVICES))
def test_a_benchmark_of_services_runs_and_prints_a_table(name: str) -> None:
    script = Path(__file__).with_name(f"{name}.py")
    answer = subprocess.run([sys.executable, str(script), "--quick"], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    check(answer.stdout)


def check(output: str) -> None:
    """There is a table that says that it is no measurement, or what is missing."""
    if output.startswith("skipped"):
        pytest.skip(output.strip())
    assert "\n|---" in output
    assert "NOT a measurement" in output
