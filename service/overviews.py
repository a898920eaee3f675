"""The commands `list` and `show`: experiments as a table, and one of them with what has come of it."""

import argparse
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from service.arguments import add_experiment, add_json, add_service, client_of, experiment_id, whole_number
from service.client import Client
from service.printing import clean, count, moment, percent, print_fields, print_json, print_rows, tell
from service.progress import done, time_left
from trainers.marks import MARKS

if TYPE_CHECKING:
    from service.arguments import Commands

# The parameters of GET /v1/experiments but for `limit`.
FILTERS = {
    "state": "only those in this state: queued, running, paused, succeeded, failed or cancelled",
    "name": "only those of this name",
    "owner": "only those of this owner",
    "tags": "only those that have this tag",
    "task": "only those of this task",
    "method": "only those with this method",
    "search": "only those with this text in their name, id, owner or a tag",
    "sort": "by created, started, finished, name, owner, task, state or priority; --sort=-name: descending",
    "cursor": "goes on after an earlier list: its `next`",
}

# How many failed trials `show` names.
MOST_FAILURES = 5

# The states of trials, in the order of `show`.
STATES = ("succeeded", "stopped", "failed", "cancelled", "running", "queued")

HOUR = 3600.0


def add_overviews(commands: "Commands") -> None:
    """Add these commands to a command line."""
    listing = commands.add_parser("list", help="list experiments, the newest first")
    for name, words in FILTERS.items():
        listing.add_argument(f"--{name}", metavar=name.upper(), help=words)
    listing.add_argument("--limit", metavar="N", type=whole_number, help="how many at most (100 if not given, to 1000)")
    add_json(listing)
    add_service(listing)
    listing.set_defaults(command=_list)

    show = commands.add_parser("show", help="show an experiment: its state, its costs, and the means of its scores")
    add_experiment(show)
    add_json(show)
    add_service(show)
    show.set_defaults(command=_show)


def _list(arguments: argparse.Namespace) -> int:
    given = {name: getattr(arguments, name) for name in (*FILTERS, "limit")}
    found = client_of(arguments).get("/v1/experiments", **{name: one for name, one in given.items() if one is not None})
    if arguments.json:
        print_json(found)
        return 0
    head = ("id", "state", "done", "trials", "left", "task", "created (UTC)", "owner", "name")
    print_rows(head, map(_row, found["experiments"]), right=("done", "trials", "left"))
    if found["next"] is not None:
        tell(f"there are more: --limit takes up to 1000, and --cursor {found['next']} goes on after these")
    return 0


def _row(one: Mapping[str, Any]) -> tuple[object, ...]:
    trials = one["trials"]
    return (
        one["id"], one["state"], f"{one['progress']:.0%}", f"{done(trials)}/{trials['total']}", time_left(one),
        one["spec"].get("task", ""), moment(one["created"]), one["owner"], one["name"],
    )  # fmt: skip


def _show(arguments: argparse.Namespace) -> int:
    client = client_of(arguments)
    experiment = client.experiment(experiment_id(client, arguments.id))
    if arguments.json:
        print_json(experiment)
        return 0
    print_fields(_fields(experiment))
    _print_means(client, experiment)
    for number, words in enumerate(_warnings(experiment)):
        print("\n" * (number == 0) + clean(words))
    return 0


def _fields(one: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """What is known of an experiment, in words."""
    spec, trials, left = one["spec"], one["trials"], time_left(one, " left")
    by_state = [f"{trials[state]} {state}" for state in STATES if trials[state]]
    reused = [f"{trials['reused']} reused"] if trials["reused"] else []
    yield "id", one["id"]
    yield "name", one["name"]
    yield "state", f"{one['state']}{': ' if one['reason'] else ''}{one['reason']}"
    yield "progress", f"{one['progress']:.0%}{f', {left}' if left else ''}"
    yield "trials", f"{trials['total']}: {', '.join([*by_state, *reused])}" if trials["total"] else "not planned yet"
    device = "GPU" if (spec.get("resources") or {}).get("gpus_per_trial") else "CPU-thread"
    yield f"{device}-hours", _costs(one["cost"])
    yield "task", spec.get("task", "")
    yield "data", one["data_title"]
    yield "encoder", spec.get("encoder", "")
    yield "owner", one["owner"]
    yield "tags", ", ".join(one["tags"])
    yield "priority", one["priority"] or ""
    for name in ("created", "started", "finished"):
        yield name, f"{moment(one[name])} UTC" if one[name] else ""
    yield "on disk", "" if one["disk"] is None else f"{one['disk']['bytes'] / 1e9:.2f} GB"
    yield "NUMERICS", "" if one["numerics"] is None else one["numerics"]


def _costs(cost: Mapping[str, Any]) -> str:
    """What an experiment has taken and will take."""
    known = [f"{cost[name] / HOUR:.2f} {name}" for name in ("spent", "left", "planned") if cost[name] is not None]
    return ", ".join(known)


def _print_means(client: Client, experiment: Mapping[str, Any]) -> None:
    """Print the mean of each method and K over seeds; of a search, of its chosen candidates."""
    id_ = experiment["id"]
    rows = client.get("/v1/results/summary", experiment=id_, by=["method", "k", "candidate", "metric"])["summary"]
    is_search = any(row["candidate"] for row in rows)
    if is_search:
        found = client.get(f"/v1/experiments/{id_}/sweep")["chosen"]
        chosen = {(one["method"], one["k"], one["candidate"]) for one in found}
        rows = [row for row in rows if not row["candidate"] or (row["method"], row["k"], row["candidate"]) in chosen]
    rows = [row for row in rows if row["mean"] is not None or row["missing"]]
    if all(row["mean"] is None for row in rows):
        print(f"\nno test scores yet{': the search has chosen nothing' if is_search and not rows else ''}")
        return
    metrics = sorted({row["metric"] for row in rows})
    print(f"\n{', '.join(metrics)} on the test sets in percent: mean over target languages, mean ± sd over seeds")
    order = list(experiment["spec"].get("methods", ()))
    rows.sort(key=lambda row: (order.index(row["method"]) if row["method"] in order else len(order), row["k"]))
    head = ("method", "K", *(["candidate"] if is_search else []), "mean ± sd", "seeds", "")
    beside = Counter(row["k"] for row in rows)
    print_rows(head, [_mean(row, is_search, beside[row["k"]] > 1) for row in rows], right=("K", "mean ± sd", "seeds"))


def _mean(row: Mapping[str, Any], is_search: bool, is_beside_others: bool) -> tuple[object, ...]:
    """A row of the means, with what to know of it."""
    known = [
        *(["best at this K"] if row["best"] and is_beside_others else []),
        *([f"{count(row['missing'], 'score')} missing"] if row["missing"] else []),
        *(f"{row[mark.name]} with {mark.brief}" for mark in MARKS if row[mark.name]),
        *(["over fewer languages"] if row["left_out"] else []),
    ]
    sd = "" if row["sd"] is None else f" ± {row['sd']:.1f}"
    seeds = f"{row['n']}" if row["n"] == row["seeds"] else f"{row['n']} of {row['seeds']}"
    candidate = [row["candidate"]] if is_search else []
    return (row["method"], row["k"], *candidate, f"{percent(row['mean'])}{sd}", seeds, ", ".join(known))


def _warnings(one: Mapping[str, Any]) -> Iterator[str]:
    """What to know of an experiment before its scores are used."""
    left_out: dict[str, list[str]] = {}
    for of in one["left_out"]:
        left_out.setdefault(of["method"], []).append(f"{of['language']} (no {' and no '.join(of['lacks'])} split)")
    for method, languages in left_out.items():
        yield f"{method} leaves out {', '.join(languages)}"
    yield from (f"not as published: {words}" for words in one["differs"])
    for failure in one["failures"][:MOST_FAILURES]:
        said = f"{failure['method']} K={failure['k']} seed {failure['seed']}"
        yield f"failed: trial {failure['trial']} ({said}): {failure['reason']}"
    if (more := len(one["failures"]) - MOST_FAILURES) > 0:
        yield f"failed: {more} more, which --json names"
