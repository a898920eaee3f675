"""`allasprak token`, beside a server and without one: who may ask changes at once, and tokens are told once."""

import os
import re
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from service.client import Client, ServiceError
from service.store.tokens import PREFIX
from trainers.child_process import python

Fields = dict[str, Any]

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs `allasprak token`, in a home that is called "home"."""

    def run(*arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
        clean = {name: value for name, value in os.environ.items() if not name.startswith("ALLASPRAK_")}
        environment = {**clean, "ALLASPRAK_HOME": str(tmp_path / "home"), **settings}
        command = python("service.cli", "token", *arguments)
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    return run


def everything(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """All files of a folder with what is in them."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            yield path, path.read_bytes()


def test_tokens_are_made_listed_and_revoked_while_the_service_runs(
    tmp_path: Path, start_service: Callable[..., Any], run: Run, spec: Fields
) -> None:
    service = start_service(tmp_path / "home")
    before = service.client.submit({**spec, "owner": "somebody"})
    service.client.cancel(before)
    made = {}
    for name in ("ana", "bo"):
        told = run("add", name)
        assert (told.returncode, re.fullmatch(rf"({PREFIX}\S+)\n", told.stdout) is not None) == (0, True), told
        assert told.stderr == ("the first one: from now on the service asks for a token\n" if name == "ana" else "")
        made[name] = told.stdout.strip()
    made["grafana"] = run("add", "grafana", "--read-only").stdout.strip()
    with pytest.raises(ServiceError, match="this service asks for a token"):
        service.client.experiments()
    clients = {name: Client(service.url, token) for name, token in made.items()}

    long = {**spec, "methods": ["zero-shot"], "training": {**spec["training"], "epochs": 1000}}
    id_ = clients["ana"].submit(long)
    watching = clients["bo"].events(id_)
    first = next(watching)
    assert (first["state"], first["by"]) == ("queued", "ana")
    assert clients["grafana"].experiments(owner="ana")["id"].tolist() == [id_]
    assert clients["grafana"].plan(long)["trials"] == 1
    assert clients["grafana"].results(id_, split="dev") is not None
    with pytest.raises(ServiceError, match="the token 'grafana' is read-only, and this changes something") as refused:
        clients["grafana"].cancel(id_)
    assert refused.value.status == 403
    headers = {"Authorization": f"Bearer {made['grafana']}"}
    assert "allasprak_experiments" in httpx2.get(f"{service.url}/metrics", headers=headers).text

    assert run("revoke", "bo").stdout == "bo: revoked\n"
    revoked = time.monotonic()
    with pytest.raises(ServiceError, match="this service asks for a token"):
        clients["bo"].experiments()
    with pytest.raises(ServiceError, match="this service asks for a token"):
        list(watching)  # a stream that was open ends with its token
    assert time.monotonic() - revoked < 20
    assert clients["ana"].cancel(id_)["owner"] == "ana"
    assert list(clients["grafana"].events(id_))[-1]["by"] == "ana"
    lines = run("list").stdout.splitlines()
    shown = [re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", "TIME", line) for line in lines]
    assert shown == [
        "ana: read and write, added TIME", "bo: read and write, added TIME, revoked TIME",
        "grafana: read-only, added TIME",
    ]  # fmt: skip

    service.stop()
    again = start_service(tmp_path / "home")
    assert Client(again.url, made["ana"]).experiment(id_)["owner"] == "ana"
    with pytest.raises(ServiceError, match="this service asks for a token"):
        Client(again.url).experiments()
    again.stop()
    assert "POST /v1/experiments by ana" in again.log.read_text()
    seen = 0
    for path, content in [*everything(tmp_path / "home"), (again.log, again.log.read_bytes())]:
        seen += 1
        for token in made.values():
            assert token.removeprefix(PREFIX).encode() not in content, path
    assert seen > 5


@pytest.mark.service
def test_what_a_command_cannot_do_is_said_in_a_line(tmp_path: Path, run: Run, sqlite_tables: Path) -> None:
    def refused(*arguments: str, **settings: str) -> str:
        told = run(*arguments, **settings)
        assert (told.returncode, told.stdout, told.stderr.count("\n")) == (1, "", 1), told
        return told.stderr

    home = tmp_path / "home"
    for command in (("add", "ana"), ("list",), ("revoke", "ana")):
        assert refused(*command).startswith(f"allasprak: there is no database {home}/allasprak.sqlite: set ALLASPRAK_")
    assert not home.exists()
    home.mkdir()
    (home / "allasprak.sqlite").write_bytes(sqlite_tables.read_bytes())
    assert run("list").stdout == ""
    assert run("add", "ana").returncode == 0
    assert refused("add", "ana").startswith("allasprak: there is a token 'ana' already; allowed: another name")
    for name in ("a b", ""):
        wrong = run("add", name)
        said = f"allasprak token add: argument name: {name!r} is no name of a token; allowed: up to 64 ASCII letters"
        assert (wrong.returncode, wrong.stderr.startswith(said)) == (2, True)
    assert refused("revoke", "bo") == "allasprak: there is no token 'bo' to revoke; there are: ana\n"
    told = run("revoke", "ana")
    assert (told.stdout, told.stderr) == ("ana: revoked\n", "the last one: the service goes on to ask for a token\n")

    other = tmp_path / "other"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE experiments (id INTEGER)")
    assert "belongs to another program: experiments in it" in refused(
        "add", "ana", ALLASPRAK_DATABASE_URL=f"sqlite:///{other}"
    )
    other.write_text("no database" * 1000)
    assert "not a database" in refused("add", "ana", ALLASPRAK_DATABASE_URL=f"sqlite:///{other}")
    unanswered = "postgresql+psycopg://u:s3cret@127.0.0.1:1/x"
    said = refused("add", "ana", ALLASPRAK_DATABASE_URL=unanswered)
    assert said.startswith("allasprak: ALLASPRAK_DATABASE_URL: ")
    assert "s3cret" not in said


@pytest.mark.service
def test_a_server_is_not_given_a_token_by_name_as_its_own(tmp_path: Path, run: Run, sqlite_tables: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "allasprak.sqlite").write_bytes(sqlite_tables.read_bytes())
    token = run("add", "grafana", "--read-only").stdout.strip()
    environment = {**os.environ, "ALLASPRAK_HOME": str(home), "ALLASPRAK_TOKEN": token}
    serve = python("service.cli", "serve", "--port", "0")
    told = subprocess.run(serve, env=environment, capture_output=True, text=True, timeout=60)
    assert (told.returncode, token in told.stderr) == (1, False)
    assert (
        told.stderr
        == "allasprak: ALLASPRAK_TOKEN(_FILE) is a token by name, which clients have; allowed: one of your own\n"
    )
