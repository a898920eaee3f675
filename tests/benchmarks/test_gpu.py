"""The benchmark of one GPU: its short form on the CPU, and what it makes of its measurements."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.gpu import correctness, subjects, training
from tests.benchmarks.gpu.__main__ import SECTIONS, report

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.service
def test_its_short_form_measures_every_section(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.benchmarks.gpu", str(tmp_path), "--quick", "--device", "cpu"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert {name: section["state"] for name, section in found["sections"].items()} == dict.fromkeys(SECTIONS, "done")
    assert all(section["rows"] for section in found["sections"].values())
    tests = next(row for row in found["sections"]["correctness"]["rows"] if row.get("what") == "tests of trainings")
    assert (tests["passed"], tests["failed"], tests["error"]) == (1, 0, 0)
    assert (tmp_path / "gpu.md").read_text() == report(found)
    assert "NOT a measurement" in answer.stdout


@pytest.mark.slow
@pytest.mark.service
def test_a_section_that_takes_too_long_is_ended_and_leaves_its_rows(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.benchmarks.gpu", str(tmp_path), "--device", "cpu", "--seconds", "31"]
    answer = subprocess.run([*command, "--sections", "steps", "card"], cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    sections = json.loads((tmp_path / "gpu.json").read_text())["sections"]
    assert sections["steps"]["state"] in ("out of time", "done")
    assert sections["card"]["state"] == "left out: no time"


def test_the_cost_of_a_part_is_found_in_times_that_have_one() -> None:
    tokens = [rows * length for rows, length in training.PARTS]
    part, token, misfit = training.fitted(tokens, [3e-3 + 2e-6 * number for number in tokens])
    assert (part, token) == (pytest.approx(3e-3), pytest.approx(2e-6))
    assert misfit < 1e-6


@pytest.mark.parametrize(("part", "token"), [(-1e-3, 3e-4), (5e-3, -1e-7)])
def test_no_cost_is_below_nothing(part: float, token: float) -> None:
    tokens = [16, 64, 256, 1024]
    found = training.fitted(tokens, [part + token * number for number in tokens])
    assert min(found[:2]) == 0.0
    assert max(found[:2]) > 0.0


def test_operations_are_those_that_torch_counts() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    of = subjects.shape("base", quick=True)
    windows = subjects.Windows.of(of, [16] * 4, "cpu")
    model = subjects.classifier(of, "cpu")
    model.config._attn_implementation = "eager"
    with FlopCounterMode(display=False) as counter:
        model(**windows.collate(range(4))).loss.backward()
    head = 6 * of.hidden * 7 * 16 * 4
    assert counter.get_total_flops() == pytest.approx(subjects.flops(of, [16] * 4) + head, rel=0.01)


LOG = """
tests/trainers/test_loop.py::test_one
[gw1] [ 25%] PASSED tests/trainers/test_loop.py::test_one
[gw0] [ 50%] FAILED tests/trainers/test_loop.py::test_two[fp16-a b]
tests/trainers/test_loop.py::test_three SKIPPED (takes minutes)          [ 75%]
tests/trainers/test_resume.py::test_four ERROR                           [100%]
=========================== short test summary info ============================
FAILED tests/trainers/test_loop.py::test_two[fp16-a b] - AssertionError: 1 != 2
"""


def test_the_outcomes_of_tests_are_read_also_where_no_summary_was_written() -> None:
    counts, failures = correctness.read(LOG)
    assert counts == {"passed": 1, "failed": 1, "skipped": 1, "error": 1}
    two, four = "tests/trainers/test_loop.py::test_two[fp16-a b]", "tests/trainers/test_resume.py::test_four"
    assert failures == {two: "AssertionError: 1 != 2", four: ""}
    counts, failures = correctness.read(LOG.partition("====")[0])
    assert counts["failed"] == 1
    assert set(failures) == {two, four}
