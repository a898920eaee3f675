"""Whose the database, the pool and the files are: real servers with a database, a home or a machine in common."""

import contextlib
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from service.client import ServiceError
from service.owner import make_private, owner_of

Fields = dict[str, Any]
StartService = Callable[..., Any]


@pytest.fixture
def _umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def is_for_others(path: Path) -> bool:
    try:
        return bool(mode(path) & 0o077)
    except FileNotFoundError:  # a driver that ends takes its files along
        return False


@pytest.mark.usefixtures("_umask")
def test_a_home_is_closed_to_others_and_so_is_all_that_is_written_from_then_on(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    for name in ("old", "new/home"):
        make_private(tmp_path / name)
        (tmp_path / name / "file").touch()
        (tmp_path / name / "folder").mkdir()
        assert [mode(tmp_path / name / one) for one in (".", "file", "folder")] == [0o700, 0o600, 0o700]
    (tmp_path / "public").mkdir()
    (tmp_path / "public").chmod(0o1777)
    with pytest.raises(ValueError, match=r"ALLASPRAK_HOME is .*public, which several users share"):
        make_private(tmp_path / "public")
    assert mode(tmp_path / "public") == 0o1777


def test_a_home_stays_itself_under_another_name_and_a_copy_is_another_one(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    owner = owner_of(home)
    home.rename(tmp_path / "renamed")
    shutil.copytree(tmp_path / "renamed", home)
    assert owner.is_same_as(owner_of(tmp_path / "renamed"))
    assert not owner.is_same_as(owner_of(home))


@pytest.fixture(scope="module")
def open_minded(tmp_path_factory: pytest.TempPathFactory, start_services: StartService) -> Any:
    """A service of a user whose umask hides nothing, in a home that was there and open to all."""
    home = tmp_path_factory.mktemp("service") / "home"
    home.mkdir()
    home.chmod(0o777)
    return start_services(home, "import os; os.umask(0)")


# A command in a pid namespace of its own, as in a container.
CONTAINER = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")


def finished(service: Any, spec: Fields) -> str:
    id_: str = service.client.submit(spec)
    experiment = service.client.wait(id_, progress=False)
    assert experiment["state"] == "succeeded", experiment["reason"]
    return id_


def refused(**settings: str) -> str:
    """What a server says that does not start."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ALLASPRAK_")}
    command = [sys.executable, "-m", "service.cli", "serve", "--port", "0"]
    done = subprocess.run(command, env={**clean, **settings}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    return done.stderr


def test_a_second_server_on_a_database_or_in_a_home_is_refused_in_a_line_that_names_the_first(
    tmp_path: Path, open_minded: Any
) -> None:
    home, pid, host = open_minded.home, open_minded.process.pid, socket.gethostname()
    database = f"sqlite:///{home / 'allasprak.sqlite'}"
    assert refused(ALLASPRAK_HOME=str(tmp_path), ALLASPRAK_DATABASE_URL=database) == (
        f"allasprak: another server uses the database: process {pid} on {host} with the home {home};"
        " stop it, or set ALLASPRAK_DATABASE_URL to another one\n"
    )
    assert refused(ALLASPRAK_HOME=str(home)) == (
        f"allasprak: the server with process {pid} on {host} uses {home}; set ALLASPRAK_HOME to have a second one\n"
    )
    assert "which several users share" in refused(ALLASPRAK_HOME="/tmp")
    assert Path("/tmp").stat().st_mode & 0o777 == 0o777


def test_nobody_else_may_read_what_lies_in_a_home(open_minded: Any, spec: Fields) -> None:
    finished(open_minded, {**spec, "methods": ["zero-shot", "ord-FS"], "keep": "all"})
    home = open_minded.home
    assert mode(home) == 0o700
    written = [path for path in home.rglob("*") if not path.is_relative_to(home / "ray") and not path.is_symlink()]
    assert {"allasprak.sqlite", "allasprak.sqlite-wal", "pool.json"} <= {one.name for one in written}
    assert [path for path in written if is_for_others(path)] == []
    folder = Path(json.loads((home / "pool.json").read_text())["folder"])  # Ray's own files are for all, but within it
    assert mode(folder) == 0o700
    assert folder.stat().st_uid == os.getuid()


def listening(service: Any) -> dict[int, str]:
    """The ports of Ray, and which process listens there."""
    [pool] = service.named("service.engine.pool")
    found = {}
    for process in {*service.processes(), *pool.children(recursive=True)}:  # some write over their environment
        with contextlib.suppress(psutil.NoSuchProcess):
            for connection in process.net_connections("inet"):
                if connection.status == psutil.CONN_LISTEN and process.pid != service.process.pid:
                    found[connection.laddr.port] = process.name()
    return found


def methods() -> list[str]:
    """Every method of Ray's services, as its binaries name them."""
    folder = Path(str(importlib.util.find_spec("ray").origin)).parent  # type: ignore[union-attr]
    binaries = [
        folder / "_raylet.so",
        *(folder / "core/src/ray" / name for name in ("gcs/gcs_server", "raylet/raylet")),
    ]
    found = {name.decode() for one in binaries for name in re.findall(rb"/ray\.[\w.]+/[A-Z]\w+", one.read_bytes())}
    return sorted(found)


def frame(kind: int, flags: int, stream: int, content: bytes = b"") -> bytes:
    return struct.pack(">I", len(content))[1:] + struct.pack(">BBI", kind, flags, stream) + content


def status(port: int, method: str, *headers: tuple[str, str]) -> int | None:
    """The gRPC status of an empty request (HTTP/2, RFC 9113, without compression of its headers); None: no answer."""
    wanted = [(":method", "POST"), (":scheme", "http"), (":path", method), (":authority", "localhost"),
              ("content-type", "application/grpc"), ("te", "trailers"), *headers]  # fmt: skip
    block = b"".join(b"\0" + b"".join(bytes([len(one)]) + one.encode() for one in pair) for pair in wanted)
    request = frame(4, 0, 0) + frame(1, 4, 1, block) + frame(0, 1, 1, bytes(5))
    with socket.create_connection(("127.0.0.1", port), 2) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + request)
        answer = b""
        try:
            while (part := connection.recv(65536)) and not (
                found := re.search(rb"grpc-status.(\d+)", answer := answer + part, re.DOTALL)
            ):
                pass
        except OSError:
            return None
    return int(found[1]) if part and found else None


def without_token(port: int) -> bytes:
    """How a port answers that speaks HTTP/1.1."""
    with socket.create_connection(("127.0.0.1", port), 2) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return connection.recv(64)


UNAUTHENTICATED, UNIMPLEMENTED = 16, 12

# A stream between Ray's own nodes: see the next test.
STREAM = "/ray.rpc.syncer.RaySyncer/StartSync"


@pytest.mark.slow
def test_ray_asks_for_its_token_on_every_port(open_minded: Any, spec: Fields) -> None:
    client = open_minded.client
    training = {**spec["training"], "epochs": 1000}
    id_ = client.submit({**spec, "seeds": [3], "methods": ["zero-shot"], "training": training})
    open_minded.until(lambda: client.experiment(id_)["progress"] > 0)
    token, names, spoken = (open_minded.home / "ray-token").read_text(), methods(), []
    assert len(names) > 80
    for port, process in listening(open_minded).items():
        try:
            answers = {name: status(port, name) for name in names if name != STREAM}
            known = [name for name, answer in answers.items() if answer != UNIMPLEMENTED]
            harmless = [name for name in known if "/Get" in name][:1]
            with_token = [status(port, name, ("authorization", f"Bearer {token}")) for name in harmless]
        except ConnectionRefusedError:
            assert port not in listening(open_minded)  # a process of an earlier trial has ended
            continue
        if answers[known[0]] is None:
            assert without_token(port).startswith(b"HTTP/1.1 401"), process
        else:
            assert {answers[name] for name in known} == {UNAUTHENTICATED}, (process, known)
            assert UNAUTHENTICATED not in with_token
        spoken.append(process)
    client.cancel(id_)
    # the object manager is a port of the raylet's, and driver and worker have one each
    assert {"gcs_server", "raylet", "ray::RuntimeEnvAgent"} <= set(spoken)
    assert len(spoken) >= 7, spoken


@pytest.mark.slow
def test_a_stranger_who_ends_ray_ends_no_experiment(open_minded: Any, longer: Fields) -> None:
    """Ray 2.60's head dies of a stream that does not say from which node it is, before it asks for the token."""
    client = open_minded.client
    id_ = client.submit({**longer, "seeds": [4], "methods": ["zero-shot"]})
    open_minded.until(lambda: client.experiment(id_)["progress"] > 0)
    [head] = open_minded.named("gcs/gcs_server")
    [connection] = [one for one in head.net_connections("inet") if one.status == psutil.CONN_LISTEN]
    assert status(connection.laddr.port, STREAM) is None
    open_minded.until(lambda: not head.is_running() or head.status() == psutil.STATUS_ZOMBIE, 10)
    assert client.wait(id_, progress=False)["state"] == "succeeded"


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "gone"), [(5, "folder"), (6, "ray-token")])
def test_a_pool_whose_files_were_cleaned_away_is_renewed_at_once(
    open_minded: Any, longer: Fields, seed: int, gone: str
) -> None:
    """Ray's folder; or its token, without which every driver died that was to join the pool."""
    client = open_minded.client
    id_ = client.submit({**longer, "seeds": [seed], "methods": ["zero-shot"]})
    open_minded.until(lambda: client.experiment(id_)["progress"] > 0)
    [pool] = open_minded.named("service.engine.pool")
    folder = Path(json.loads((open_minded.home / "pool.json").read_text())["folder"])
    if gone == "ray-token":
        (open_minded.home / gone).unlink()
    else:
        shutil.rmtree(folder / "r")
    open_minded.until(lambda: pool not in open_minded.named("service.engine.pool"), 5)
    assert client.wait(id_, progress=False)["state"] == "succeeded"
    assert len(open_minded.named("service.engine.pool")) == 1


@pytest.mark.slow
def test_pool_plans_and_checks_keep_to_the_limits_of_the_group_that_the_server_is_in(
    tmp_path: Path, start_service: StartService, real_groups: list[Path], spec: Fields
) -> None:
    joined = "; ".join(f"echo $$ > {group}/cgroup.procs" for group in real_groups)
    service = start_service(tmp_path / "home", within=["sh", "-c", f'{joined}; exec "$0" "$@"'])
    client = service.client
    planned = client.plan({**spec, "resources": {}})["memory"]
    assert (planned["bytes_there"], planned["trials_at_once"]) == (3 * 2**30, 1)
    for name, wanted, allowed in (("memory_per_trial", 4, 3), ("cpus_per_trial", 2, 1)):
        with pytest.raises(ServiceError, match=f"{name}: {wanted} is more than the pool has; allowed: up to {allowed}"):
            client.submit({**spec, "resources": {name: wanted}})
    finished(service, {**spec, "methods": ["zero-shot"]})
    service.stop()


@pytest.mark.slow
def test_a_long_home_has_ray_s_files_in_a_private_temporary_folder(
    tmp_path: Path, start_service: StartService, spec: Fields
) -> None:
    service = start_service(tmp_path / ("long" * 20))
    finished(service, {**spec, "methods": ["zero-shot"]})
    folder = Path(json.loads((service.home / "pool.json").read_text())["folder"])
    assert folder.parent == Path("/tmp")
    assert mode(folder) == 0o700
    service.stop()
    assert not folder.exists()


@pytest.mark.slow
def test_a_copy_of_a_home_neither_takes_over_nor_stops_what_the_original_runs(
    tmp_path: Path, start_service: StartService, longer: Fields
) -> None:
    original = start_service(tmp_path / "original")
    training = {**longer["training"], "epochs": 60}
    id_ = original.client.submit({**longer, "methods": ["zero-shot"], "training": training})
    original.until(lambda: original.client.experiment(id_)["progress"] > 0)
    original.process.kill()  # pool and driver go on
    original.process.wait()
    kinds = ("service.engine.pool", "gcs/gcs_server", "raylet/raylet")
    left = {process.pid for kind in kinds for process in original.named(kind)}
    drivers = {process.pid for process in original.named("service.engine.driver")}
    subprocess.run(["cp", "-a", original.home, tmp_path / "copy"], check=True)

    copy = start_service(tmp_path / "copy")
    assert "waiting up to 15 s for a sign of it" in copy.log.read_text()
    [driver] = copy.until(lambda: copy.named("service.engine.driver"))
    assert left <= {process.pid for process in original.processes()}
    assert driver.pid not in drivers
    copy.client.wait(id_, progress=False)
    copy.stop()
    assert left <= {process.pid for process in original.processes()}

    again = start_service(tmp_path / "original")
    assert again.client.wait(id_, progress=False)["state"] == "succeeded"
    [attempt] = again.client.trial(again.client.results(id_)["trial"][0])["attempts"]
    assert attempt["state"] == "succeeded"  # the driver was left alone as well


@pytest.mark.slow
def test_a_copy_of_a_home_starts_while_the_server_of_the_original_runs(
    tmp_path: Path, start_service: StartService, longer: Fields
) -> None:
    original = start_service(tmp_path / "original")
    training = {**longer["training"], "epochs": 200}
    id_ = original.client.submit({**longer, "methods": ["zero-shot"], "training": training})
    original.until(lambda: original.client.experiment(id_)["progress"] > 0)
    subprocess.run(["cp", "-a", original.home, tmp_path / "copy"], check=True)
    copy = start_service(tmp_path / "copy")
    assert "waiting up to 15 s for a sign of it" in copy.log.read_text()
    for service in (original, copy):
        assert service.client.wait(id_, progress=False)["state"] == "succeeded"
    [attempt] = original.client.trial(original.client.results(id_)["trial"][0])["attempts"]
    assert attempt["state"] == "succeeded"  # nobody has stopped its driver


@pytest.mark.slow
@pytest.mark.parametrize(
    ("database", "inside"),
    [("sqlite", CONTAINER), ("postgresql", CONTAINER), ("sqlite", ())],
    ids=["sqlite", "postgresql", "sqlite beside"],
)
def test_a_server_that_was_suspended_leaves_the_database_to_the_one_that_has_taken_it_over(
    tmp_path: Path, request: pytest.FixtureRequest, start_service: StartService, longer: Fields, database: str,
    inside: tuple[str, ...],
) -> None:  # fmt: skip
    """The other one is in a pid namespace of its own, as in a container, or beside it, and sees that it is there."""
    if inside and subprocess.run([*inside, "true"], capture_output=True).returncode:
        pytest.skip("this user may not start a process in a pid namespace of its own")
    url = f"sqlite:///{tmp_path / 'store.sqlite'}" if database == "sqlite" else request.getfixturevalue("postgres")
    first = start_service(tmp_path / "first", ALLASPRAK_DATABASE_URL=url)
    training = {**longer["training"], "epochs": 200}
    id_ = first.client.submit({**longer, "methods": ["zero-shot"], "training": training})
    first.until(lambda: first.client.experiment(id_)["progress"] > 0)
    first.process.send_signal(signal.SIGSTOP)
    if database == "postgresql":  # as when its machine is cut off; otherwise it keeps its lock
        from sqlalchemy import create_engine, text

        engine = create_engine(url)
        with engine.connect() as connection:
            others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            connection.execute(text(others))
        engine.dispose()
    second = start_service(tmp_path / "second", within=inside, ALLASPRAK_DATABASE_URL=url)
    server = psutil.Process(second.process.pid)
    if inside:
        [server] = server.children()
    try:
        first.until(lambda: not first.named("service.engine.driver"), 10)  # it looks for itself
        second.until(lambda: second.client.experiment(id_)["trials"]["running"])
        first.process.send_signal(signal.SIGCONT)
        assert first.process.wait(30) == 1
        assert "has taken the database over, so this one ends: process" in first.log.read_text()
        assert not first.processes()
        assert second.client.wait(id_, progress=False)["state"] == "succeeded"
        reasons = [str(event.get("reason", "")) for event in second.client.events(id_)]
        assert any("a server with another home goes on with it" in reason for reason in reasons)
        assert not any("died" in reason for reason in reasons)
    finally:
        first.process.send_signal(signal.SIGCONT)
        server.send_signal(signal.SIGTERM)  # `unshare` does not pass it on
        second.process.wait(60)
