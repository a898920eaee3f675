"""What commands take: the service that they ask, experiments by the beginnings of their ids, numbers and times."""

import argparse
import re
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

from search_spaces.messages import shortened
from service.client import Client
from service.settings import DEFAULT_URL, require_url

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction["Parser"]

# Hex digits of an experiment's id, and so many of a trial's are more.
ID_LENGTH = 12

# Of the experiments that an id could mean, so many are named.
MOST_NAMED = 5

ID = re.compile(r"[0-9A-Za-z]{1,64}")

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


T = TypeVar("T")


class UsageError(ValueError):
    """The arguments do not go together: exit code 2."""


class Parser(argparse.ArgumentParser):
    """A parser whose refusals are a line that says what is allowed."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and end with exit code 2."""
        more = "" if "allowed" in message or "choose from" in message else f"; {self.prog} --help says what is allowed"
        self.exit(2, f"{self.prog}: {message}{more}\n")


def installed_version() -> str:
    """The version of the distribution that these commands are of."""
    for name in ("allasprak", "allasprak-client"):
        with suppress(PackageNotFoundError):
            return version(name)
    return "of a checkout that is not installed"


def add_service(parser: argparse.ArgumentParser) -> None:
    """Add `--url`."""
    parser.add_argument("--url", type=checked(require_url), help=f"the service (ALLASPRAK_URL, or {DEFAULT_URL})")


def add_json(parser: argparse.ArgumentParser, words: str = "print the service's answer as it is") -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help=words)


def add_experiment(parser: argparse.ArgumentParser, several: bool = False) -> None:
    """Add an argument `id`, or several."""
    words = "an experiment's id, or as many of its first characters as no other has"
    argument = parser.add_argument("id", metavar="ID", type=id_, help=words)
    argument.nargs = "+" if several else None


def id_(text: str) -> str:
    """An id, or the beginning of one."""
    if not ID.fullmatch(text):
        given = shortened(repr(text), 100)
        raise argparse.ArgumentTypeError(f"{given}; allowed: letters and digits, as in 9d2243fcc53a")
    return text


def path(text: str) -> Path:
    """A path; an empty one, as of a variable that is not set, is not the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty; allowed: a path, such as . for the current folder")
    return Path(text)


def whole_number(text: str) -> int:
    """A number from 1."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r}; allowed: a whole number from 1")
    return int(text)


def seconds(text: str) -> float:
    """A time span in seconds."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)([smhd]?)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r}; allowed: a number of seconds, or such as 90s, 30m, 12h or 2d")
    return float(found[1]) * SECONDS[found[2] or "s"]


def client_of(arguments: argparse.Namespace) -> Client:
    """A client of the service that a command asks."""
    return Client(arguments.url)


def experiment_id(client: Client, given: str, name: str = "ID") -> str:
    """The whole id of the experiment whose id begins so. ValueError, with those it could be, unless there is one."""
    found: dict[str, str] = {}
    cursor: dict[str, str] = {}
    while len(found) <= MOST_NAMED:
        page = client.get("/v1/experiments", search=given, limit=1000, **cursor)
        found |= {one["id"]: one["name"] for one in page["experiments"] if one["id"].startswith(given.lower())}
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    if len(found) == 1:
        [whole] = found
        return whole
    if found:
        raise ValueError(f"{name}: the ids of several experiments begin with {given!r}: {_named(found)}")
    newest = {one["id"]: one["name"] for one in client.get("/v1/experiments", limit=MOST_NAMED + 1)["experiments"]}
    there = f"the newest are: {_named(newest)}" if newest else "there is none yet"
    raise ValueError(f"{name}: no experiment has an id that begins with {given!r}; {there}")


def _named(experiments: dict[str, str]) -> str:
    words = [f"{id_} ({name})" if name else id_ for id_, name in experiments.items()]
    return ", ".join([*words[:MOST_NAMED], *(["..."] if len(words) > MOST_NAMED else [])])


def checked(check: Callable[[str], T]) -> Callable[[str], T]:
    """A type of arguments by a function that raises ValueError in words."""

    def of_type(text: str) -> T:
        try:
            return check(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return of_type
