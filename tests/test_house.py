"""The house is in order: style, types, import rules, pins."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        ("mypy",),
        ("lint-imports",),
    ],
    ids=lambda command: " ".join(command),
)
def test_a_checker_has_nothing_to_say(command: tuple[str, ...]) -> None:
    name, *arguments = command
    answer = run(str(Path(sys.executable).parent / name), *arguments)
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.parametrize(
    "module",
    ["trainers", "trainers.data", "trainers.artifacts.layout", "trainers.encoders.by_name", "search_spaces.plan",
     "service.api", "service.client", "service.cli"],
)  # fmt: skip
def test_planning_asking_and_answering_load_no_torch(module: str) -> None:
    heavy = "{'torch', 'transformers', 'ray'} & set(sys.modules)"
    answer = run(sys.executable, "-c", f"import sys, {module}; print({heavy} or 'light')")
    assert answer.stdout.strip() == "light", answer.stdout + answer.stderr


def test_every_heavy_package_is_pinned_and_says_where_it_is_used() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    block = text.split("dependencies = [")[1].split("\n]")[0]
    lines = [line.strip() for line in block.splitlines() if line.strip() and not line.strip().startswith("#")]
    assert len(lines) == len(tomllib.loads(text)["project"]["dependencies"])
    for line in lines:
        assert "==" in line, line
        assert re.search(r"# (trainers|search_spaces|service)", line), line


SOURCES = sorted(path for room in ("service", "search_spaces", "trainers") for path in (ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_source_is_short_and_begins_with_what_it_is(source: Path) -> None:
    lines = source.read_text().splitlines()
    assert len(lines) <= 400
    assert lines[0].startswith('"""'), "no sentence that says what the file is"
    if len(lines) > 300:
        assert re.search(r"\blong\b|300 lines", "\n".join(lines[:6])), "above 300 lines: its first lines say why"
