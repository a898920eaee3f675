"""Settings, all from the environment."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from service.security import require_sendable
from trainers.artifacts.layout import database_file
from trainers.artifacts.places import problem_of

# A driver joins as a node's own process, so that an address of Ray's client server (`ray://`) is none.
RAY_ADDRESS = re.compile(r"auto|([\w.-]+|\[[0-9a-fA-F:.]+\]):\d{1,5}")

# Of a secret in a file, more than which is none.
MOST_CHARACTERS = 10_000

DEFAULT_URL = "http://127.0.0.1:8000"

URL = re.compile(r"https?://[^\s/?#]+?(:(?P<port>\d*))?(/[^\s?#]*)?", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Settings:
    """Where the service writes, reads and runs.

    Attributes:
        home: `ALLASPRAK_HOME`, the folder for all that it writes; `~/.allasprak` if not set.
        data_root: `ALLASPRAK_DATA_ROOT`, the only folder whose sub-folders a spec may name as data.
        database_url: `ALLASPRAK_DATABASE_URL`, as SQLAlchemy writes it; an SQLite file in the home if not set. Its
            password may be kept in a file: `ALLASPRAK_DATABASE_URL_FILE` names one with the URL in it.
        ray_address: `ALLASPRAK_RAY_ADDRESS`, that of the head of an existing Ray cluster, or `auto` for the one of this
            machine; if not set, an embedded Ray.
        checkpoint_seconds: `ALLASPRAK_CHECKPOINT_SECONDS`, training between two checkpoints; 300 if not set.
        token: `ALLASPRAK_TOKEN`, which every request must carry then; or what the file `ALLASPRAK_TOKEN_FILE` says.
        artifacts: `ALLASPRAK_ARTIFACTS`, the URL of the place for checkpoints, models and predictions, such as
            s3://bucket/prefix; the home if not set.
    """

    home: Path
    data_root: Path | None
    database_url: str
    ray_address: str | None
    checkpoint_seconds: float
    token: str | None
    artifacts: str | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read the settings; an empty variable counts as not set. ValueError names a variable that is wrong."""

        def value(name: str) -> str | None:
            return environment.get(f"ALLASPRAK_{name}") or None

        home = _path("ALLASPRAK_HOME", value("HOME") or "~/.allasprak").resolve()
        data_root = value("DATA_ROOT")
        seconds = value("CHECKPOINT_SECONDS") or "300"
        if not re.fullmatch(r"\d+(\.\d+)?", seconds):
            raise ValueError(f"ALLASPRAK_CHECKPOINT_SECONDS is {seconds!r}; allowed: a number of seconds from 0")
        address = value("RAY_ADDRESS")
        if address is not None and not RAY_ADDRESS.fullmatch(address):
            allowed = "host:port of Ray's head, such as ray-head:6379, or auto"
            raise ValueError(f"ALLASPRAK_RAY_ADDRESS is {address!r}; allowed: {allowed}")
        artifacts = value("ARTIFACTS")
        if artifacts is not None and (problem := problem_of(artifacts)) is not None:
            raise ValueError(f"ALLASPRAK_ARTIFACTS {problem}")
        return cls(
            home=home,
            data_root=_path("ALLASPRAK_DATA_ROOT", data_root).resolve() if data_root else None,
            database_url=secret("DATABASE_URL", environment) or f"sqlite:///{quote(str(database_file(home)))}",
            ray_address=address,
            checkpoint_seconds=float(seconds),
            token=token_of(environment),
            artifacts=artifacts,
        )

    def existing_database(self) -> Path | None:
        """The file of the database; None if it is a server's.

        Raises:
            ValueError: there is no such file, and none is made; or the URL is none.
            DatabaseError: the URL is that of an SQLite database which is no file.
        """
        from sqlalchemy import make_url  # imported late: clients read settings as well
        from sqlalchemy.exc import ArgumentError

        from service.store.database import sqlite_file

        try:
            url = make_url(self.database_url)
        except ArgumentError as error:
            raise ValueError(f"ALLASPRAK_DATABASE_URL: {error}") from error
        file = sqlite_file(url)
        if file is not None and not file.is_file():
            raise ValueError(f"there is no database {file}: set ALLASPRAK_HOME to the home of the service")
        return file


def secret(name: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """`ALLASPRAK_<name>`, or what the file says that `ALLASPRAK_<name>_FILE` names, less the space around it.

    An empty variable counts as not set. An empty file is an error: naming one asks for a secret.
    ValueError names the variable that is wrong, and never says what is in the file.
    """
    plain, variable = f"ALLASPRAK_{name}", f"ALLASPRAK_{name}_FILE"
    value, file = environment.get(plain, "").strip() or None, environment.get(variable) or None
    if file is None:
        return value
    if value is not None:
        raise ValueError(f"{plain} and {variable} are both set; allowed: one of them")
    try:
        with _path(variable, file).open(encoding="utf-8-sig") as opened:  # which may have no end
            content = opened.read(MOST_CHARACTERS + 1).strip()
    except OSError as error:
        raise ValueError(f"{variable} is {file!r}, which cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{variable} is {file!r}, which is not text") from error
    if not content or len(content) > MOST_CHARACTERS:
        what = "is too long" if content else "is empty"
        raise ValueError(f"{variable} is {file!r}, which {what}; allowed: a file with the value alone")
    return content


def token_of(environment: Mapping[str, str] = os.environ) -> str | None:
    """The token of a service and its clients. ValueError as `secret`, or if no client can send it."""
    token = secret("TOKEN", environment)
    file = environment.get("ALLASPRAK_TOKEN_FILE")
    name = f"ALLASPRAK_TOKEN_FILE is {file!r}, whose token" if file else "ALLASPRAK_TOKEN"
    return None if token is None else require_sendable(token, name)


def url_of(environment: Mapping[str, str] = os.environ) -> str:
    """Where clients find the service: `ALLASPRAK_URL`, or this machine. ValueError if it is no address."""
    return require_url(environment.get("ALLASPRAK_URL") or DEFAULT_URL, "ALLASPRAK_URL is ")


def require_url(text: str, name: str = "") -> str:
    """An address of a service. ValueError if it is none, which begins with `name`."""
    found = URL.fullmatch(text)
    if found is None or int(found["port"] or 0) >= 2**16:
        raise ValueError(f"{name}{text!r}; allowed: http:// or https://, a host, and a port and a path if it has them")
    return text


def _path(variable: str, text: str) -> Path:
    """A path that may begin with a user's home. ValueError if there is none, as for a user without a name."""
    try:
        text.encode()
        return Path(text).expanduser()
    except UnicodeEncodeError as error:
        raise ValueError(f"{variable} is {text!a}, which is no UTF-8") from error
    except RuntimeError as error:
        raise ValueError(
            f"{variable}: {text!r} is in the home of a user who has none; allowed: a whole path"
        ) from error
