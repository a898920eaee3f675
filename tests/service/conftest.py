"""The REST interface over each database, without a server, and commands that ask it."""

import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from starlette.testclient import TestClient

from search_spaces.environment import Environment
from service import commands
from service.store import Store


@pytest.fixture
def client(client_over: Callable[..., TestClient], store: Store, tmp_path: Path) -> Iterator[TestClient]:
    """A client of the interface."""
    with client_over(store, Environment(tmp_path, tmp_path, None, None, None)) as client:
        yield client


class Ended(NamedTuple):
    """A command that has ended."""

    code: int
    out: str
    err: str


class Terminal(io.StringIO):
    """A stream that somebody looks at."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal() -> type[io.StringIO]:
    """The class of streams that somebody looks at."""
    return Terminal


Command = Callable[..., Ended]


@pytest.fixture
def allasprak(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command that asks the interface, in this process."""
    monkeypatch.setattr("service.connection.httpx2.Client", lambda **_: client)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")  # which commands add to
    for name, value in {"TERM": "xterm-256color", "COLUMNS": "200"}.items():
        monkeypatch.setenv(name, value)
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "ALLASPRAK_URL"):
        monkeypatch.delenv(name, raising=False)

    def run(*words: str, in_terminal: bool = False) -> Ended:
        out, err = (Terminal() if in_terminal else io.StringIO() for _ in range(2))
        with monkeypatch.context() as now:
            now.setattr(sys, "argv", ["allasprak", *words])
            now.setattr(sys, "stdout", out)
            now.setattr(sys, "stderr", err)
            with pytest.raises(SystemExit) as ended:
                commands.main()
        return Ended(int(ended.value.code or 0), out.getvalue(), err.getvalue())

    return run
