"""docker/Dockerfile built by buildah, and what docker/compose.yaml describes run from it, where there is no Docker.

The base image is stood in by a debootstrap of Debian, and the image of PostgreSQL by this machine's own server. All the
rest is read from the files that are shipped. Containers are hosts of a network of their own, as with compose.
"""

import ast
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import yaml

from hosts import Host, Running, missing, until

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
IMAGE = str(SERVICES["api"]["image"])  # of all that speak to Ray
SERVERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))

# The release whose Python is the one of the base image, but for the last digit, and what that image has of it.
RELEASE = "bookworm"
PACKAGES = "ca-certificates,python-is-python3,python3,python3-pip"

# Not known to buildah 1.28; without it a container is asked less often while it starts.
UNKNOWN = re.compile(r"--start-interval=\w+ ")

# How the image of PostgreSQL is stopped; the others by SIGTERM.
STOP_SIGNALS = {"postgres": signal.SIGINT}


def lacking() -> str | None:
    """What keeps this machine from building and running the images; None if nothing does."""
    for program in ("buildah", "debootstrap"):
        if shutil.which(program) is None:
            return f"there is no program {program} (Debian has a package of this name)"
    if not SERVERS:
        return "no PostgreSQL server is installed (Debian's package postgresql)"
    return missing()


class Buildah:
    """buildah with a storage of its own.

    Args:
        folder: for all that it writes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "TMPDIR": str(folder)}
        self.command = ["buildah", "--storage-driver", "overlay", f"--root={folder}/images", f"--runroot={folder}/run"]

    def __call__(self, *arguments: str | Path) -> str:
        """Run a command; its output."""
        done = subprocess.run([*self.command, *arguments], env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0, f"buildah {shlex.join(map(str, arguments))}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    def close(self) -> None:
        """Unmount and remove everything."""
        self("rm", "--all")
        mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for mount in reversed([mount for mount in mounts if mount.startswith(f"{self.folder}/")]):
            subprocess.run(["umount", mount], check=True)
        shutil.rmtree(self.folder)

    def configuration(self, image: str) -> dict[str, Any]:
        """What the instructions of a Dockerfile that are no files made of an image."""
        return dict(json.loads(self("inspect", "--type=image", image))["Docker"]["config"])

    def make_base(self, image: str) -> None:
        """Make an image under the name of a base image: Debian with Python and pip, which may install for all."""
        container = self("from", "scratch")
        root = Path(self("mount", container))
        bootstrap = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", RELEASE, str(root)]
        done = subprocess.run(bootstrap, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 0, done.stdout[-2000:]
        for name in ("usr/lib/python3*/EXTERNALLY-MANAGED", "var/cache/apt/archives/*.deb"):
            for file in root.glob(name):
                file.unlink()
        self("config", "--env=PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin", container)
        self("umount", container)
        self("commit", "--quiet", container, image)
        self("rm", container)

    def build(self) -> None:
        """Build the image of the compose file, with torch from the index that this machine's pip is configured with."""
        text = (DOCKER / "Dockerfile").read_text()
        [base] = re.findall(r"^FROM (.*)$", text, re.MULTILINE)
        self.make_base(base)
        known = self.folder / "Dockerfile"
        known.write_text(UNKNOWN.sub("", text))
        how = ["--isolation=chroot", "--network=host", "--pull=never", "--format=docker", "--build-arg=TORCH_INDEX="]
        self("bud", *how, *self._pip(), f"--file={known}", f"--tag={IMAGE}", ROOT)

    def _pip(self) -> list[str]:
        """Give pip in a build the configuration of this machine's, and the local files and folders that this names."""
        command = [sys.executable, "-m", "pip", "config", "list"]
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        settings = {}
        for line in sorted(listed, key=lambda line: line.startswith(":env:")):  # which count before those of files
            name, _, value = line.partition("=")
            settings[name.rpartition(".")[2]] = " ".join(ast.literal_eval(value).split())
        file = self.folder / "pip.conf"
        file.write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items()))
        named = {file: "/etc/pip.conf"}
        for word in " ".join(settings.values()).split():
            path = Path(word.removeprefix("file://"))
            path = path.parent if word.startswith("file://") else path  # an index names files beside it
            if path.is_absolute() and path.exists():
                named[path] = str(path)
        return [f"--volume={source}:{target}:ro" for source, target in named.items()]


def interpolated(value: str) -> str:
    """A value of a compose file, without variables that are set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value).replace("$$", "$")


class Stack:
    """The services of the compose file, each on a host of its name.

    Args:
        buildah: has the images.
        hosts: by the services' names.
        folder: for volumes and logs.
        secrets: the folder of the files that the compose file names.
    """

    def __init__(self, buildah: Buildah, hosts: dict[str, Host], folder: Path, secrets: Path) -> None:
        self.buildah, self.hosts, self.folder, self.secrets = buildah, hosts, folder, secrets
        self.running: dict[str, Running] = {}
        self.of_image = buildah.configuration(IMAGE)
        self.containers: dict[str, str] = {}
        self._lock, self._over = threading.RLock(), threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    def up(self, name: str) -> None:
        """Start a service once those that it depends on are healthy, and wait until it is."""
        for other in SERVICES[name].get("depends_on", {}):
            if other not in self.running:
                self.up(other)
        self.start(name)
        self.wait(name)

    def wait(self, name: str) -> None:
        """Wait until a service is healthy."""
        until(lambda: self.is_healthy(name), 180, lambda: f"for {name}:\n{self.log(name).read_text()[-3000:]}")

    def start(self, name: str) -> None:
        """Start a service in its container, which is made the first time."""
        with self._lock:
            environment, command = self._postgres(name) if name == "postgres" else self._in_container(name)
            self.running[name] = self.hosts[name].start(*command, log=self.log(name), environment=environment)

    def restart(self, name: str) -> bool:
        """Stop a service and start it again; whether it ended within its time."""
        seconds = int(SERVICES[name].get("stop_grace_period", "10s").removesuffix("s"))
        with self._lock:
            ended = self.running[name].stop(STOP_SIGNALS.get(name, signal.SIGTERM), seconds)
            self.start(name)
        return ended

    def is_healthy(self, name: str) -> bool:
        """What the health check of the compose file, or else of the image, says."""
        check = SERVICES[name].get("healthcheck")
        test = check["test"] if check else self.of_image["Healthcheck"]["Test"]
        command = [interpolated(word) for word in test[1:]]
        command = ["sh", "-c", *command] if test[0] == "CMD-SHELL" else command
        try:
            return self.running[name].exec(*command, seconds=30).returncode == 0
        except (AssertionError, subprocess.TimeoutExpired):
            return False

    def log(self, name: str) -> Path:
        """The output of a service."""
        return self.folder / f"{name}.log"

    def volume(self, name: str) -> Path:
        """The folder of a volume."""
        return self.folder / "volumes" / name

    def close(self) -> None:
        """Stop all, those that others depend on last."""
        self._over.set()
        self._keeper.join()
        for name in reversed(self.running):
            self.running[name].stop(STOP_SIGNALS.get(name, signal.SIGTERM))

    def _keep(self) -> None:
        """Start again what has ended by itself: `restart: unless-stopped`."""
        while not self._over.wait(0.5):
            with self._lock:
                for name, running in self.running.items():
                    if running.process.poll() is not None and SERVICES[name]["restart"] == "unless-stopped":
                        self.start(name)

    def _in_container(self, name: str) -> tuple[dict[str, str], list[str | Path]]:
        service = SERVICES[name]
        if name not in self.containers:
            size = service["shm_size"].removesuffix("b")
            self.containers[name] = self.buildah("from", "--pull=never", f"--shm-size={size}", IMAGE)
        container = self.containers[name]
        root = Path(self.buildah("mount", container))
        options = ["--isolation=chroot", "--network=host", "--no-hosts", f"--hostname={name}"]
        given = {name: value for name, value in service["environment"].items() if value is not None}  # not the shell's
        options += [f"--env={variable}={interpolated(value)}" for variable, value in given.items()]
        host = self.hosts[name]
        mounts = [f"{host.names}:/etc/hosts:ro", f"{host.resolver}:/etc/resolv.conf:ro"]
        mounts += [f"{self.secrets / secret}:/run/secrets/{secret}:ro" for secret in service["secrets"]]
        for entry in service["volumes"]:
            source, target, *mode = interpolated(entry).split(":")
            volume = self.volume(source)
            if not volume.exists():  # it takes its owner from the folder that it is mounted on
                volume.mkdir(parents=True)
                owner = (root / target.lstrip("/")).stat()
                os.chown(volume, owner.st_uid, owner.st_gid)
            mounts.append(":".join([str(volume), target, *mode]))
        command = shlex.split(service["command"]) if "command" in service else self.of_image["Cmd"]
        options += [f"--volume={one}" for one in mounts]
        return self.buildah.environment, [*self.buildah.command, "run", *options, container, "--", *command]

    def _postgres(self, name: str) -> tuple[dict[str, str], list[str | Path]]:
        """What the image's own script does: user, database and password when the volume is new; then the server."""
        user, wanted = SERVICES[name]["user"], SERVICES[name]["environment"]
        data, server = self.volume(name), [str(SERVERS[-1] / "postgres"), "-D", str(self.volume(name))]
        as_user = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        if not data.exists():
            data.mkdir(parents=True, mode=0o700)
            shutil.chown(data, user)
            how = [f"--pgdata={data}", f"--username={wanted['POSTGRES_USER']}", "--auth=trust", "--no-sync"]
            subprocess.run([*as_user, SERVERS[-1] / "initdb", *how], check=True, stdout=subprocess.DEVNULL, cwd="/")
            (data / "pg_hba.conf").write_text("local all all trust\nhost all all all scram-sha-256\n")
            password = (self.secrets / Path(wanted["POSTGRES_PASSWORD_FILE"]).name).read_text()
            first = f"ALTER ROLE {wanted['POSTGRES_USER']} PASSWORD '{password}'\n"
            first += f"CREATE DATABASE {wanted['POSTGRES_DB']}\n"
            single = [*as_user, server[0], "--single", *server[1:], "postgres"]
            subprocess.run(single, input=first.encode(), check=True, stdout=subprocess.DEVNULL, cwd="/")
        environment = {**os.environ, "PATH": f"{SERVERS[-1]}{os.pathsep}{os.environ['PATH']}"}
        return environment, [*as_user, *server, "-c", "listen_addresses=*", "-k", "/tmp"]
