"""The distribution of the client alone: made of what the client imports, and of use without torch and Ray."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from results_at_scale import FRAME, OF_EXPERIMENT, fill, served

ROOT = Path(__file__).parents[1]
ROOMS = ("allasprak", "search_spaces", "service", "trainers")
WHOLE = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ALONE = tomllib.loads((ROOT / "allasprak/pyproject.toml").read_text())
ROWS = 1_000_000

IMPORTED = """
import sys, allasprak, service.entry, service.commands
print(*(vars(m).get('__file__') for m in sys.modules.values()))
"""


def test_it_has_what_the_commands_import_and_nothing_else() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTED], cwd=ROOT, capture_output=True, text=True, check=True)
    files = [Path(file) for file in done.stdout.split() if Path(file).is_relative_to(ROOT)]
    needed = {str(file.relative_to(ROOT)) for file in files if file.relative_to(ROOT).parts[0] in ROOMS}
    packed = ALONE["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert {f"{name}/__init__.py" if (ROOT / name).is_dir() else name for name in packed.values()} == {
        *needed,
        "allasprak/LICENSE",
    }
    for source, name in packed.items():
        assert (ROOT / "allasprak" / source).samefile(ROOT / name if name != "allasprak/LICENSE" else ROOT / "LICENSE")


def test_its_version_and_ranges_are_those_of_the_whole() -> None:
    of_whole = {one.name: one.specifier for one in map(Requirement, WHOLE["dependencies"])}
    project = ALONE["project"]
    assert (project["version"], project["requires-python"]) == (WHOLE["version"], WHOLE["requires-python"])
    for one in map(Requirement, project["dependencies"]):
        assert one.specifier == of_whole[one.name]


@pytest.mark.slow
@pytest.mark.service
def test_a_laptop_with_the_client_alone_reads_a_million_rows_as_a_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)  # or this tree would be what is imported
    alone = tmp_path / "venv/bin"
    subprocess.run([sys.executable, "-m", "venv", alone.parent], check=True)
    exact = ["--constraint", str(ROOT / "docker/constraints.txt")]
    subprocess.run([alone / "pip", "install", "--quiet", *exact, ROOT / "allasprak"], check=True)
    listed = subprocess.run([alone / "pip", "list"], capture_output=True, text=True, check=True).stdout
    assert "allasprak-client" in listed
    assert not {"torch", "ray", "transformers", "sqlalchemy", "fastapi"} & set(listed.split())
    surgery = [alone / "python", "-P", "-c", "from allasprak import StochasticGradientSurgery"]
    refused = subprocess.run(surgery, capture_output=True, text=True)
    assert "StochasticGradientSurgery is not in the distribution allasprak-client: install allasprak" in refused.stderr
    plot = [alone / "python", "-P", "-c", "from allasprak import Client; Client().plot_sweep('x')"]
    refused = subprocess.run(plot, capture_output=True, text=True)
    assert "plot_sweep is not in the distribution allasprak-client: install allasprak" in refused.stderr
    url = f"sqlite:///{tmp_path / 'allasprak.sqlite'}"
    ids = fill(url, ROWS)
    with served(url, str(tmp_path)) as base:
        done = subprocess.run([alone / "python", "-P", "-c", FRAME, base], capture_output=True, text=True, check=True)
        assert int(done.stdout.split()[0]) == ROWS
        command = [alone / "allasprak", "results", ids[0], "--csv", "--url", base]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) == 1 + OF_EXPERIMENT


# Of which versions of Python every dependency has a wheel for Linux.
@pytest.mark.slow
@pytest.mark.service
@pytest.mark.parametrize("version", ["3.12", "3.13", "3.14"])
def test_later_pythons_find_a_wheel_of_every_dependency(version: str, tmp_path: Path) -> None:
    needed = [*WHOLE["dependencies"], *WHOLE["optional-dependencies"]["postgres"]]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--target", tmp_path]
    command += ["--python-version", version, "--only-binary", ":all:", *needed]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
