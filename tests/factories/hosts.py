"""Machines of a network of their own, on this machine: namespaces, and a bridge between them.

    with network(folder, ["head", "worker"]) as hosts:  # this thread is on that network as well
        hosts["head"].start("ray", "start", "--head", "--block", log=folder / "head.log")

What is started on a host has, as in a container, processes, a name, /tmp, /dev/shm and loopback that no other one sees,
and ends with the process that was started. The rest of the file system is this machine's. No way leads out of the
network, whose addresses are nobody's.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

NETWORK = "198.51.100"  # RFC 5737: for documentation
PROGRAMS = ("ip", "nsenter", "unshare")
CLONE_NEWNET = 0x40000000  # <sched.h>

# The first process on a host: makes it one, runs the command that follows, and reaps what that leaves.
FIRST = """
set -e
mount -t tmpfs tmp /tmp
mount -t tmpfs -o size=256m shm /dev/shm
mount --bind "$1" /etc/hosts
mount --bind "$2" /etc/resolv.conf
hostname "$3"
shift 3
"$@" &
wait $!
"""


def missing() -> str | None:
    """What keeps this machine from having such a network; None if nothing does."""
    if os.getuid() != 0:
        return "only root can make a network of namespaces"
    for program in PROGRAMS:
        if shutil.which(program) is None:
            return f"there is no program {program}"
    pair = "ip link add name one type veth peer name other && ip link add name bridge type bridge"
    tried = subprocess.run(["unshare", "--net", "sh", "-c", pair], capture_output=True, text=True)
    return None if tried.returncode == 0 else f"this kernel makes no network of namespaces: {tried.stderr.strip()}"


def until(condition: Callable[[], Any], seconds: float = 120, why: Callable[[], str] = str) -> Any:
    """The first true value of a condition; `why` says what is known where it stays false."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} seconds in vain {why()}"
        time.sleep(0.5)
    return value


@dataclass(kw_only=True)
class Host:
    """A machine on the network.

    Attributes:
        name: by which the others find it.
        address: its IPv4 address.
        names: the file that has the addresses of all.
        resolver: the file that says who else is asked for a name: nobody, who refuses at once.
    """

    name: str
    address: str
    names: Path
    resolver: Path
    namespace: str
    started: "list[Running]" = field(default_factory=list)

    def start(self, *command: str | Path, log: Path, environment: Mapping[str, str] | None = None) -> "Running":
        """Start a command on this host; its output is appended to a log."""
        apart = ["unshare", "--mount", "--uts", "--ipc", "--pid", "--kill-child", "--mount-proc"]
        first = ["bash", "-c", FIRST, "first", str(self.names), str(self.resolver), self.name]
        with log.open("ab") as output:
            process = subprocess.Popen(
                ["nsenter", f"--net={self.namespace}", *apart, *first, *command],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started.append(Running(process))
        return self.started[-1]


@dataclass
class Running:
    """What was started on a host."""

    process: subprocess.Popen[bytes]

    def main(self) -> psutil.Process | None:
        """The command's process; None before there is one, and after its end."""
        try:
            found = psutil.Process(self.process.pid)
            for _ in ("the first process", "what it runs"):
                found = found.children()[0]
            while Path(found.cmdline()[0]).name.startswith("buildah"):
                found = found.children()[0]
            return found
        except (psutil.Error, IndexError):
            return None

    def exec(self, *command: str, seconds: float = 60) -> "subprocess.CompletedProcess[str]":
        """Run a command beside it, as its user and in its environment, as `docker exec` does."""
        main, nsenter = self.main(), str(shutil.which("nsenter"))
        assert main is not None, "it has ended"
        where = ["--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd"]
        who = [f"--setuid={main.uids().real}", f"--setgid={main.gids().real}"]
        return subprocess.run(
            [nsenter, "--target", str(main.pid), *where, *who, *command],
            env=main.environ(), capture_output=True, text=True, timeout=seconds,
        )  # fmt: skip

    def stop(self, by: int = signal.SIGTERM, seconds: float = 10) -> bool:
        """Send a signal to the command, and kill what is left after some seconds; whether nothing was."""
        if (main := self.main()) is not None:
            main.send_signal(by)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return False
        return True


@contextmanager
def network(folder: Path, names: Sequence[str]) -> Iterator[dict[str, Host]]:
    """Hosts with these names. Meanwhile this thread, and what it starts, is on their network too, beside them.

    Args:
        folder: for the file of their addresses; not below /tmp, of which every host has its own.
        names: of the hosts.
    """
    addresses = {name: f"{NETWORK}.{number}" for number, name in enumerate(names, 2)}
    table = folder / "hosts"
    table.write_text("127.0.0.1 localhost\n" + "".join(f"{address} {name}\n" for name, address in addresses.items()))
    resolver = folder / "resolv.conf"
    resolver.write_text("nameserver 127.0.0.1\n")
    with ExitStack() as stack:
        switch = stack.enter_context(_namespace())
        _on(switch, "ip link add name bridge type bridge", f"ip address add {NETWORK}.1/24 dev bridge",
            "ip link set bridge up")  # fmt: skip
        hosts = {}
        for name, address in addresses.items():
            namespace = stack.enter_context(_namespace())
            port = f"port{address.rpartition('.')[2]}"
            _on(switch, f"ip link add name {port} type veth peer name eth0 netns {namespace.split('/')[2]}",
                f"ip link set {port} master bridge up")  # fmt: skip
            # the way out leads nowhere: by it programs find out which address is theirs
            _on(namespace, f"ip address add {address}/24 dev eth0", "ip link set eth0 up",
                f"ip route add default via {NETWORK}.1")  # fmt: skip
            hosts[name] = Host(name=name, address=address, names=table, resolver=resolver, namespace=namespace)
        with _inside(switch):
            try:
                yield hosts
            finally:
                for host in hosts.values():
                    for running in host.started:
                        running.process.kill()
                        running.process.wait()


@contextmanager
def _namespace() -> Iterator[str]:
    """The path of a network namespace, in which there is loopback alone; it ends with the process that holds it."""
    command = ["unshare", "--net", "sh", "-c", "ip link set lo up; echo; exec sleep infinity"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        try:
            assert holder.stdout.readline() == b"\n"
            yield f"/proc/{holder.pid}/ns/net"
        finally:
            holder.kill()


def _on(namespace: str, *commands: str) -> None:
    subprocess.run(["nsenter", f"--net={namespace}", "sh", "-ec", "\n".join(commands)], check=True)


@contextmanager
def _inside(namespace: str) -> Iterator[None]:
    """This thread in a network namespace. (Python 3.12 has os.setns.)"""
    with Path("/proc/thread-self/ns/net").open() as before, Path(namespace).open() as inside:
        _enter(inside.fileno())
        try:
            yield
        finally:
            _enter(before.fileno())


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
