"""The house is in order: style, types, import rules, dependencies."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]


def run(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        pytest.param(("mypy",), marks=pytest.mark.service),  # which takes half a minute in a new clone
        ("lint-imports",),
    ],
    ids=lambda command: " ".join(command),
)
def test_a_checker_has_nothing_to_say(command: tuple[str, ...]) -> None:
    name, *arguments = command
    answer = run(str(Path(sys.executable).parent / name), *arguments)
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.service
@pytest.mark.parametrize(
    "module",
    ["allasprak", "trainers", "trainers.data", "trainers.artifacts.layout", "trainers.encoders.by_name",
     "search_spaces.plan", "service.api", "service.client", "service.cli"],
)  # fmt: skip
def test_planning_asking_and_answering_load_no_torch(module: str) -> None:
    heavy = "{'torch', 'transformers', 'ray'} & set(sys.modules)"
    answer = run(sys.executable, "-c", f"import sys, {module}; print({heavy} or 'light')")
    assert answer.stdout.strip() == "light", answer.stdout + answer.stderr


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
EXACT = [line for line in (ROOT / "docker/constraints.txt").read_text().splitlines() if not line.startswith("#")]


def test_every_dependency_has_a_range_and_says_where_it_is_used() -> None:
    block = (ROOT / "pyproject.toml").read_text().split("dependencies = [")[1].split("\n]")[0]
    lines = [line.strip() for line in block.splitlines() if line.strip()]
    assert len(lines) == len(PROJECT["dependencies"])
    for line in lines:
        assert re.match(r'"[a-z0-9-]+(\[[a-z]+\])?>=[0-9.]+,<[0-9.]+",', line), line
        assert re.search(r"# (trainers|search_spaces|service)", line), line


def test_the_exact_set_has_a_version_of_every_package_without_an_address() -> None:
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line) for line in EXACT)
    exact = dict(line.split("==") for line in EXACT)
    needed = [Requirement(text) for extra in EXTRAS.values() for text in extra if not text.startswith("allasprak[")]
    for one in [*needed, *map(Requirement, PROJECT["dependencies"])]:
        assert one.specifier.contains(exact[one.name]), one


def test_what_is_installed_is_of_the_exact_set() -> None:
    for name, exact in (line.split("==") for line in EXACT):
        assert version(name).partition("+")[0] == exact, name


ROOMS = ("allasprak", "service", "search_spaces", "trainers")
SOURCES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_source_is_short_and_begins_with_what_it_is(source: Path) -> None:
    lines = source.read_text().splitlines()
    assert len(lines) <= 400
    assert lines[0].startswith('"""'), "no sentence that says what the file is"
    if len(lines) > 300:
        assert re.search(r"\blong\b|300 lines", "\n".join(lines[:6])), "above 300 lines: its first lines say why"


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_run_in_other_processes_in_one_way(source: Path) -> None:
    assert source.name == "child_process.py" or "sys.executable" not in source.read_text(encoding="utf-8")


def asks_the_locale(call: ast.Call) -> bool:
    """Whether a call reads or writes text in the encoding of the locale: it names none itself."""
    named = {keyword.arg: keyword.value for keyword in call.keywords}
    if not isinstance(call.func, ast.Attribute) or "encoding" in named:
        return False
    if call.func.attr == "open":
        mode = call.args[0] if call.args else named.get("mode", ast.Constant("r"))
        return isinstance(mode, ast.Constant) and isinstance(mode.value, str) and mode.value in ("r", "w", "a", "x")
    return call.func.attr in ("read_text", "write_text") or (call.func.attr in ("run", "Popen") and "text" in named)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_text_is_utf_8_whatever_the_locale_says(source: Path) -> None:
    calls = (node for node in ast.walk(ast.parse(source.read_bytes())) if isinstance(node, ast.Call))
    assert not [f"{source}:{call.lineno}" for call in calls if asks_the_locale(call)]
