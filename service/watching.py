"""The commands that go on for a while: `follow`, `wait` and `log`."""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from service.arguments import (
    ID_LENGTH,
    add_experiment,
    add_json,
    add_service,
    client_of,
    experiment_id,
    id_,
    seconds,
    whole_number,
)
from service.client import Client
from service.connection import patiently, until
from service.patience import PATIENCE, Patience
from service.printing import clean, is_terminal, print_json, tell
from service.progress import FINAL, follow, wait

if TYPE_CHECKING:
    from service.arguments import Commands

# Exit codes by the state in which an experiment ends.
CODES = {"succeeded": 0, "failed": 1, "cancelled": 3}

# That of timeout(1).
TIMED_OUT = 124

# Seconds between two looks.
POLL = 1.0

# Lines that are asked for where a log is followed: more than are written between two looks.
FOLLOWED_LINES = 1000


def add_watching(commands: "Commands") -> None:
    """Add these commands to a command line."""
    ends = "exit code 0 if it succeeded, 1 if it failed, 3 if it was cancelled"
    following = commands.add_parser("follow", help=f"show an experiment and its trials live, until it is over; {ends}")
    add_experiment(following)
    add_json(following, "print every event, the past ones first, as a line of JSON")
    add_service(following)
    following.set_defaults(command=_follow)

    waiting = commands.add_parser("wait", help=f"wait until experiments are over; {ends}, the worst of all counts")
    add_experiment(waiting, several=True)
    waiting.add_argument("--timeout", metavar="TIME", type=seconds, help="such as 90s or 2h; after it, exit code 124")
    add_json(waiting, "print each experiment as a line of JSON")
    add_service(waiting)
    waiting.set_defaults(command=_wait)

    log = commands.add_parser("log", help="print the log of a trial, or of the processes that drive an experiment")
    log.add_argument("id", metavar="ID|TRIAL", type=id_, help="an experiment's id or its beginning, or a trial's id")
    log.add_argument("--lines", metavar="N", type=whole_number, default=200, help="the last ones (200 if not given)")
    log.add_argument("--follow", action="store_true", help="go on with what is written, until it is over")
    add_json(log, 'print each line as {"line": "..."}')
    add_service(log)
    log.set_defaults(command=_log)


def _follow(arguments: argparse.Namespace) -> int:
    client = client_of(arguments)
    id_ = experiment_id(client, arguments.id)
    if arguments.json:
        for event in client.events(id_):
            print_json(event, indent=None)
        return CODES[patiently(partial(client.experiment, id_), Patience(tell=tell))["state"]]
    return CODES[follow(client, id_, file=sys.stdout)["state"]]


def _wait(arguments: argparse.Namespace) -> int:
    client = client_of(arguments)
    deadline = None if arguments.timeout is None else time.monotonic() + arguments.timeout
    try:
        with until(deadline):
            ids = list(dict.fromkeys(experiment_id(client, given) for given in arguments.id))
        left = None if deadline is None else max(deadline - time.monotonic(), 0)
        found = wait(client, ids, is_terminal(sys.stderr), POLL, PATIENCE, left)
    except TimeoutError as error:
        tell(str(error))
        return TIMED_OUT
    for one in found:
        if arguments.json:
            print_json(one, indent=None)
        else:
            why = f" ({clean(one['reason'])})" if one["reason"] else ""
            print(f"{one['id']}: {one['state']}{why}")
    states = {one["state"] for one in found}
    return next(CODES[state] for state in ("failed", "cancelled", "succeeded") if state in states)


def _log(arguments: argparse.Namespace) -> int:
    client = client_of(arguments)
    is_trial = len(arguments.id) > ID_LENGTH
    id_ = arguments.id if is_trial else experiment_id(client, arguments.id)
    read = client.log if is_trial else client.driver_log
    if not arguments.follow:
        _print_lines(read(id_, arguments.lines).splitlines(), arguments.json)
        return 0
    seen: list[str] = []
    patience = Patience(tell=tell)
    while True:
        # asked first: what is written until then is read below
        is_over = patiently(partial(_is_over, client, id_, is_trial), patience)
        lines = patiently(partial(read, id_, max(FOLLOWED_LINES, arguments.lines)), patience).splitlines()
        _print_lines(new_lines(seen, lines) if seen else lines[-arguments.lines :], arguments.json)
        if is_over:
            return 0
        seen = lines
        time.sleep(POLL)


def _print_lines(lines: Sequence[str], as_json: bool) -> None:
    for line in lines:
        print(json.dumps({"line": line}) if as_json else clean(line.expandtabs()) if is_terminal(sys.stdout) else line)
    sys.stdout.flush()


def _is_over(client: Client, id_: str, is_trial: bool) -> bool:
    """Whether nothing more is written to a log."""
    if is_trial:
        return all(one["state"] not in ("queued", "running") for one in client.trial(id_)["experiments"])
    return client.experiment(id_)["state"] in FINAL


def new_lines(before: Sequence[str], now: Sequence[str]) -> Sequence[str]:
    """Of the last lines of a log those that an earlier look, at as many, did not see; all if it saw none of them."""
    if list(now[: len(before)]) == list(before):  # it is not longer than what is looked at
        return now[len(before) :]
    for end in range(len(now), 0, -1):
        both = min(len(before), end)
        was, is_ = before[-both:], now[end - both : end]
        # a log that is long is cut within its first line
        if list(was[1:]) == list(is_[1:]) and (was[0].endswith(is_[0]) or is_[0].endswith(was[0])):
            return now[end:]
    return now
