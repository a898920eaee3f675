"""The scripts that start Ray and the service beside it, with programs in their place that say how they are called."""

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

DOCKER = Path(__file__).parents[2] / "docker"


@pytest.mark.parametrize("ends", ["ray", "allasprak", "neither"])
def test_the_apis_container_ends_with_either_of_its_two_processes(tmp_path: Path, ends: str) -> None:
    for name, other in (("ray", "allasprak"), ("allasprak", "ray")):
        works = f"until [ -e {other}.ready ]; do sleep 0.01; done; exit 3" if name == ends else "sleep 60 & wait"
        trap = f"trap 'echo {name} stops; kill $!; exit' TERM"
        stub = tmp_path / name
        stub.write_text(f"#!/bin/bash\n{trap}\necho {name} $@\ntouch {name}.ready\n{works}\n")
        stub.chmod(0o755)
    process = subprocess.Popen(
        [DOCKER / "serve.sh"],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "ALLASPRAK_RAY_ADDRESS": "head:1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    if ends == "neither":
        deadline = time.monotonic() + 20
        while len(list(tmp_path.glob("*.ready"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=20)
    assert "ray start --address=head:1 " in output
    assert "allasprak serve --host 0.0.0.0\n" in output
    stopped = {name for name in ("ray", "allasprak") if f"{name} stops" in output}
    assert stopped == {"ray", "allasprak"} - {ends}
    assert process.returncode == (128 + signal.SIGTERM if ends == "neither" else 3)


# What the launcher calls: each says what it is called with, and a process that stays says when it is told to end.
STAYS = 'trap "echo {name} stops >>calls; kill \\$!; exit" TERM\n{ends}\nsleep 60 & wait\n'
PROGRAMS = {
    "ray": '[ "$1" = start ] || exit 0\n' + STAYS.format(name="ray", ends=""),
    "srun": 'while [[ $1 = --* ]]; do shift; done\nexec "$@"\n',
    "allasprak": STAYS.format(name="allasprak", ends="[ -e ends ] && sleep 0.2 && exit 3"),
}


@pytest.fixture
def launch(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts docker/slurm.sbatch as Slurm does on the first of three nodes, without Slurm, Ray and service."""
    for name, does in PROGRAMS.items():
        program = tmp_path / name
        program.write_text(f'#!/bin/bash\necho "{name} $*" >>calls\n{does}')
        program.chmod(0o755)

    def start(**changed: str) -> subprocess.Popen[str]:
        path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
        of_job = {"SLURM_JOB_ID": str(os.getpid()), "SLURM_JOB_NUM_NODES": "3", "SLURM_CPUS_ON_NODE": "8"}
        command = ["bash", DOCKER / "slurm.sbatch", "--port", "8123"]
        environment = {"PATH": path, "HOME": str(tmp_path), **of_job, **changed}
        return subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)

    return start


@pytest.mark.parametrize("ends", ["the service", "the job"])
def test_the_launcher_starts_ray_and_the_service_and_stops_the_service_first(
    tmp_path: Path, launch: Callable[..., subprocess.Popen[str]], ends: str
) -> None:
    if ends == "the service":
        (tmp_path / "ends").touch()
    calls, token = tmp_path / "calls", tmp_path / f".allasprak/ray-token-{os.getpid()}"
    process = launch(ALLASPRAK_TOKEN_FILE="token")
    deadline = time.monotonic() + 20
    while "allasprak serve" not in (calls.read_text() if calls.exists() else "") and time.monotonic() < deadline:
        time.sleep(0.01)
    assert token.stat().st_mode & 0o777 == 0o600
    assert re.fullmatch("[0-9a-f]{64}", token.read_text())
    if ends == "the job":
        time.sleep(0.2)  # until the stubs are at their traps
        process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == (128 + signal.SIGTERM if ends == "the job" else 3), errors
    assert not token.exists()
    folder, port = f"/tmp/allasprak-{os.getpid()}-0", 20000 + os.getpid() % 10000
    assert not Path(folder).exists()
    said = calls.read_text().splitlines()
    assert said[0] == f"srun mkdir {folder}"
    assert f"ray start --head --port={port} --include-dashboard=false --num-cpus=8 --block" in said
    [others] = [line for line in said if line.startswith("srun --relative=1 --nodes=2 --ntasks=2 ")]
    assert others.endswith(f" ray start --address={socket.gethostname()}:{port} --num-cpus=8 --block")
    assert "allasprak serve --port 8123" in said
    stops = [line for line in said if line.endswith(" stops")]
    assert stops == [*(["allasprak stops"] if ends == "the job" else []), "ray stops", "ray stops"]
    assert said[-1] == f"srun rm -rf {folder}"


def test_the_launcher_asks_for_a_token(tmp_path: Path, launch: Callable[..., subprocess.Popen[str]]) -> None:
    process = launch()
    _, errors = process.communicate(timeout=20)
    assert process.returncode != 0
    assert "ALLASPRAK_TOKEN_FILE: must name a file" in errors
    assert not (tmp_path / "calls").exists()
