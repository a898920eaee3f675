"""Every benchmark runs, at tiny sizes; what they find is no test's business."""

import subprocess
import sys
from pathlib import Path

import pytest

NOT_BENCHMARKS = {"side_by_side", "steps", "usual_script", "test_benchmarks_run"}
BENCHMARKS = sorted({file.stem for file in Path(__file__).parent.glob("*.py")} - NOT_BENCHMARKS)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_runs_and_prints_a_table(name: str) -> None:
    script = Path(__file__).with_name(f"{name}.py")
    answer = subprocess.run([sys.executable, str(script), "--quick"], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    if answer.stdout.startswith("skipped"):
        pytest.skip(answer.stdout.strip())
    assert "\n|---" in answer.stdout
    assert "NOT a measurement" in answer.stdout
