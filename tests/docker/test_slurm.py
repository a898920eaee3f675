"""docker/slurm.sbatch under Debian's Slurm: a job on two nodes is requeued, ends, and is followed by another one.

It takes three to six minutes on two cores. docs/clusters.md says how far that is from a real cluster.
"""

import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

from hosts import Host, Running, missing, network, until
from service.client import Client

Fields = dict[str, Any]

ROOT = Path(__file__).parents[2]
NODES = ("node1", "node2")
PORT = 8123
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")

# A cluster as small as can be. Processes are found by their parents, since both nodes have this machine's cgroups.
CONFIGURATION = """
ClusterName=small
SlurmctldHost=controller({controller})
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=10
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
NodeName=node1 NodeAddr={node1} CPUs=2
NodeName=node2 NodeAddr={node2} CPUs=2
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def lacking() -> str | None:
    for program in PROGRAMS:
        if shutil.which(program, path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin") is None:
            return f"there is no program {program} (Debian's packages slurm-wlm and munge)"
    return missing()


class Slurm:
    """A controller and two nodes, each on a host of its own."""

    def __init__(self, hosts: dict[str, Host], folder: Path) -> None:
        self.hosts, self.folder, self.home = hosts, folder, folder / "home"
        self.configuration, self.token = folder / "slurm.conf", folder / "api-token"
        addresses = {name: host.address for name, host in hosts.items()}
        self.configuration.write_text(CONFIGURATION.format(folder=folder, **addresses))
        (folder / "state").mkdir()
        (key := folder / "munge.key").write_bytes(secrets.token_bytes(128))
        self.token.write_text(secrets.token_hex(32))
        for secret in (key, self.token):
            secret.chmod(0o400)
        files = {"key-file": key, "socket": folder / "munge.socket"}
        files |= {f"{name}-file": folder / f"munge.{name}" for name in ("pid", "log", "seed")}
        self._start(
            "controller", "munged", "--foreground", "--force", *(f"--{name}={path}" for name, path in files.items())
        )
        until((folder / "munge.socket").exists)
        self._start("controller", "slurmctld", "-D", "-f", str(self.configuration))
        self.nodes = {name: self._start(name, "slurmd", "-D", "-f", str(self.configuration)) for name in NODES}
        until(lambda: self("sinfo", "--noheader", "--Node", "--format=%T").split() == ["idle", "idle"], why=self.logs)

    def __call__(self, *command: str, **environment: str) -> str:
        """One of Slurm's commands; its output."""
        known = {**os.environ, **environment, "SLURM_CONF": str(self.configuration)}
        done = subprocess.run(command, env=known, cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout.strip()

    def submit(self) -> str:
        """Submit the launcher; the job's id."""
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        settings = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(paths),
            "ALLASPRAK_HOME": str(self.home),
            "ALLASPRAK_TOKEN_FILE": str(self.token),
        }
        serve = ["--host", "0.0.0.0", "--port", str(PORT)]
        return self("sbatch", "--parsable", str(ROOT / "docker/slurm.sbatch"), *serve, **settings)

    def job(self, id_: str) -> dict[str, str]:
        """What Slurm knows of a job."""
        return dict(re.findall(r"(\w+)=(\S*)", self("scontrol", "show", "job", id_)))

    def left(self) -> list[psutil.Process]:
        """Processes of jobs that are on the nodes."""
        of_nodes = [psutil.Process(node.process.pid).children(recursive=True)[2:] for node in self.nodes.values()]
        return [process for processes in of_nodes for process in processes]

    def logs(self) -> str:
        """The ends of all logs."""
        files = [*self.folder.glob("*.log"), *self.folder.glob("slurm-*.out")]
        return "\n".join(f"{file.name}:\n{file.read_text(errors='replace')[-3000:]}" for file in files)

    def _start(self, name: str, program: str, *arguments: str) -> Running:
        path = f"{os.environ['PATH']}{os.pathsep}/usr/sbin"
        environment = {**os.environ, "PATH": path}
        log = self.folder / f"{program}-{name}.log"
        return self.hosts[name].start(program, *arguments, log=log, environment=environment)


@pytest.fixture
def slurm() -> Iterator[Slurm]:
    """It lies where all hosts see it: each has a /tmp of its own."""
    if (reason := lacking()) is not None:
        pytest.skip(f"Slurm cannot be started here: {reason}")
    folder = Path(tempfile.mkdtemp(prefix="allasprak-", dir="/var/tmp"))
    try:
        with network(folder, ["controller", *NODES]) as hosts:
            yield Slurm(hosts, folder)
    finally:
        shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.service
def test_a_job_with_two_nodes_is_requeued_and_followed_by_another_and_experiments_go_on(
    slurm: Slurm, longer: Fields, start_service: Callable[..., Any], tmp_path: Path
) -> None:
    client = Client(f"http://{slurm.hosts['node1'].address}:{PORT}", token=slurm.token.read_text())
    encoder = shutil.copytree(longer["encoder"], slurm.folder / "tiny")
    methods = ["zero-shot", "naive-mix-train", "gradient-mix-train"]
    fields = {**longer, "encoder": str(encoder), "methods": methods, "resources": {}}
    job = slurm.submit()
    until(client.is_up, why=slurm.logs)
    token = slurm.home / f"ray-token-{job}"
    assert token.stat().st_mode & 0o777 == 0o600

    def runs(id_: str) -> bool:
        now = client.experiment(id_)
        return bool(now["trials"]["running"] == 3 and now["progress"] > 0.1)  # more than one node has CPUs for

    def finished(id_: str) -> list[list[Fields]]:
        """Sees that an experiment has succeeded; the attempts at each of its trials."""
        done = client.wait(id_, progress=False)
        assert (done["state"], done["trials"]["succeeded"]) == ("succeeded", 3), done
        return [client.trial(trial)["attempts"] for trial in client.results(id_)["trial"].unique()]

    first = client.submit({**fields, "seeds": [1]})
    until(lambda: runs(first), why=slurm.logs)
    slurm("scontrol", "requeue", job)
    until(lambda: slurm.job(job)["JobState"] == "RUNNING" and slurm.job(job)["Restarts"] == "1", why=slurm.logs)
    until(client.is_up, why=slurm.logs)
    assert any(len(attempts) > 1 for attempts in finished(first))

    second = client.submit({**fields, "seeds": [2]})
    until(lambda: runs(second), why=slurm.logs)
    slurm("scancel", "--batch", "--signal=TERM", job)  # as two minutes before the end of its time
    until(lambda: slurm.job(job)["JobState"] == "FAILED" and not slurm.left(), why=slurm.logs)
    assert slurm.job(job)["ExitCode"] == "143:0"
    assert not token.exists()
    job = slurm.submit()
    until(client.is_up, why=slurm.logs)
    reasons = [attempt["reason"] or "" for attempts in finished(second) for attempt in attempts]
    assert any(re.match("the server was stopped; a checkpoint was written after step", reason) for reason in reasons)

    undisturbed = start_service(tmp_path / "undisturbed")
    again = undisturbed.client.submit({**fields, "seeds": [2], "resources": {"max_concurrent_trials": 2}})
    undisturbed.client.wait(again, progress=False)
    index = ["method", "k", "seed", "language"]
    interrupted = client.results(second, split="test").set_index(index)["value"].sort_index()
    pd.testing.assert_series_equal(interrupted, undisturbed.scores(again))

    slurm("scancel", job)
    until(lambda: slurm.job(job)["JobState"] == "CANCELLED" and not slurm.left(), why=slurm.logs)
