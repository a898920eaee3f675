"""A Ray cluster that is not ours: a real one, of two nodes on this machine. One is killed, and one comes later."""

import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from service.client import ServiceError
from trainers.artifacts.places import place_of

Fields = dict[str, Any]


# Does what the lines of its input say, and answers each with a line.
CLUSTER = """
import sys
from ray.cluster_utils import Cluster

small = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
cluster = Cluster(initialize_head=True, head_node_args={**small, "include_dashboard": False})
nodes = []
print("address", cluster.address, flush=True)
for line in sys.stdin:
    if line.startswith("add"):
        _, cpus, gpus = line.split()
        nodes.append(cluster.add_node(**{**small, "num_cpus": int(cpus), "num_gpus": int(gpus)}))
    else:
        cluster.remove_node(nodes.pop(), allow_graceful=False)
    print("done", flush=True)
cluster.shutdown()
"""


class Cluster:
    """A head with one CPU, and nodes that come and go; their GPUs are there by name only."""

    def __init__(self, folder: Path, **environment: str) -> None:
        token = folder / "token"
        token.write_text(secrets.token_hex(32))
        token.chmod(0o600)
        self.settings = {
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # loopback only
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        self.log = (folder / "cluster.log").open("w")
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self.log, "text": True}
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {**self.settings, **environment}.items():
                patch.setenv(name, value)
            self.process: subprocess.Popen[str] = subprocess.Popen([sys.executable, "-c", CLUSTER], **pipes)
        self.settings["ALLASPRAK_RAY_ADDRESS"] = self._answer("address ")

    def tell(self, words: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{words}\n")
        self.process.stdin.flush()
        self._answer("done")

    def _answer(self, begins: str) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(begins):
                return line.removeprefix(begins).strip()
        raise AssertionError(Path(self.log.name).read_text())

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(60)
        self.log.close()


@pytest.fixture
def start_cluster(tmp_path: Path) -> Iterator[Callable[..., Cluster]]:
    clusters: list[Cluster] = []

    def start(**environment: str) -> Cluster:
        clusters.append(Cluster(tmp_path, **environment))
        return clusters[-1]

    yield start
    for cluster in clusters:
        cluster.close()


@pytest.mark.slow
@pytest.mark.parametrize("where", ["home", "s3"])
def test_a_cluster_grows_for_what_waits_and_loses_a_node_in_mid_trial(
    tmp_path: Path,
    where: str,
    place_settings: Callable[[str], dict[str, str]],
    start_cluster: Callable[..., Cluster],
    start_service: Callable[..., Any],
    spec: Fields,
    longer: Fields,
) -> None:
    settings = place_settings(where)
    cluster = start_cluster()
    service = start_service(tmp_path / "home", **cluster.settings, **settings)
    client = service.client
    large = client.submit({**spec, "seeds": [52], "methods": ["zero-shot"], "resources": {"cpus_per_trial": 2}})
    service.until(lambda: client.experiment(large)["reason"].startswith("waiting for a larger pool"))
    waiting = client.experiment(large)
    assert "a trial takes 2 CPUs" in waiting["reason"]
    assert "its largest node has 1 CPUs" in waiting["reason"]
    assert waiting["state"] == "queued"
    cluster.tell("add 2 0")
    assert client.wait(large, progress=False)["state"] == "succeeded"

    small = {**longer, "seeds": [51], "methods": ["zero-shot", "naive-mix-train", "gradient-mix-train"]}
    id_ = client.submit({**small, "resources": {}})
    service.until(lambda: client.experiment(id_)["trials"]["running"] > 1 and client.experiment(id_)["progress"] > 0.1)
    cluster.tell("kill")
    experiment = client.wait(id_, progress=False)
    assert (experiment["state"], experiment["trials"]["succeeded"]) == ("succeeded", 3)
    trials = client.results(id_)["trial"].unique()
    tried = {trial: [one["state"] for one in client.trial(trial)["attempts"]] for trial in trials}
    assert any("died" in states for states in tried.values()), tried
    assert {states[-1] for states in tried.values()} == {"succeeded"}

    kept = place_of(service).names(service.home / "models")
    assert set(trials) & set(kept)
    assert [path.name for path in sorted(service.home.glob("models/*"))] == ([] if where == "s3" else kept)

    undisturbed = start_service(tmp_path / "undisturbed")
    again = undisturbed.client.submit(small)
    undisturbed.client.wait(again, progress=False)
    pd.testing.assert_series_equal(service.scores(id_), undisturbed.scores(again))
    with pytest.raises(ServiceError, match="cpus_per_trial"):  # the embedded pool will not grow
        undisturbed.client.submit({**small, "resources": {"cpus_per_trial": 64}})


@pytest.mark.slow
def test_a_trial_sees_the_gpus_that_it_asked_for_and_no_other(
    tmp_path: Path,
    start_cluster: Callable[..., Cluster],
    start_service: Callable[..., Any],
    empty_trials: Callable[..., dict[str, str]],
    spec: Fields,
) -> None:
    cluster = start_cluster(**empty_trials(2))
    cluster.tell("add 2 2")
    service = start_service(tmp_path / "home", **cluster.settings)
    client = service.client

    def trials(first: int, gpus: float) -> str:
        wanted = {**spec, "methods": ["naive-mix-train"], "seeds": [first, first + 1]}
        return client.submit({**wanted, "resources": {"cpus_per_trial": 1, "gpus_per_trial": gpus}})

    for id_ in [trials(0, 0), trials(10, 0.5), trials(20, 1)]:
        assert client.wait(id_, progress=False)["state"] == "succeeded"
    cluster.tell("kill")
    times = pd.read_csv(tmp_path / "times", sep=" ", names=["seed", "begin", "end", "gpus"])
    seen = {first: sorted(of["gpus"]) for first, of in times.groupby(times["seed"] // 10 * 10)}
    assert seen[0] == ["none", "none"]
    assert set(seen[10]) | set(seen[20]) <= {"0", "1"}
