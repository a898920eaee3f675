"""The commands that ask a service, and how a command is run. The client alone has no others."""

import argparse
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search_spaces.presets import names
from service import streams
from service.client import DEFAULT_URL, Client
from service.csv_cells import as_csv
from service.score_table import printed
from trainers.child_process import require_utf_8
from trainers.marks import MARKS
from trainers.proxies import spare_loopback

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

CONTROL = {
    "cancel": "stop an experiment for good; what is done stays",
    "pause": "stop an experiment until it is resumed",
    "resume": "let a paused experiment go on from its last checkpoints",
    "retry": "queue the failed trials of a failed experiment again",
    "resubmit": "submit an experiment's spec again, such as one of an earlier version, and print the new id",
    "delete": "forget an experiment that is over, with what no other one asks for",
}


def main() -> None:
    """Run one of these commands."""
    parser, commands = parser_of("Asks a service for few-shot cross-lingual transfer experiments.")
    add_commands(commands)
    run(parser)


def parser_of(description: str) -> "tuple[argparse.ArgumentParser, Commands]":
    """The parser of the command line, and what commands are added to."""
    parser = argparse.ArgumentParser(prog="allasprak", description=description)
    return parser, parser.add_subparsers(required=True)


def run(parser: argparse.ArgumentParser) -> None:
    """Run the command that the arguments name; a failure is one line on standard error, and exit code 1.

    Where nobody reads on, as with `| head`, or output was closed from the start, that is no failure, and silent.
    """
    require_utf_8()
    streams.open_closed()
    spare_loopback(os.environ)
    try:
        code = _code(parser)
        sys.stdout.flush()
    except BrokenPipeError:
        code = 0
    except KeyboardInterrupt:
        code = 130
    except (OSError, RuntimeError, ValueError) as error:
        _say(f"allasprak: {error}")
        code = 1
    streams.drop_untaken()
    sys.exit(code)


def _code(parser: argparse.ArgumentParser) -> int:
    """Run the command, or show its help; the exit code."""
    try:
        arguments = parser.parse_args()
    except SystemExit as shown:
        return int(shown.code or 0)
    return int(arguments.command(arguments))


def _say(words: str) -> None:
    with suppress(OSError):  # nobody reads that either
        print(words, file=sys.stderr, flush=True)


def add_commands(commands: "Commands") -> None:
    """Add these commands to a command line."""
    plan = commands.add_parser("plan", help="print what the experiment in a JSON file would take, submitting nothing")
    _add_spec(plan)
    _add_url(plan)
    plan.set_defaults(command=_plan)

    submit = commands.add_parser("submit", help="submit the experiment in a JSON file and print its id")
    _add_spec(submit)
    _add_url(submit)
    submit.set_defaults(command=_submit)

    for name, does in CONTROL.items():
        control = commands.add_parser(name, help=does)
        control.add_argument("id")
        _add_url(control)
        control.set_defaults(command=_control, name=name)

    results = commands.add_parser("results", help="print an experiment's test scores, or all its rows as CSV")
    results.add_argument("id")
    results.add_argument("--csv", action="store_true")
    _add_url(results)
    results.set_defaults(command=_results)


def _add_spec(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, nargs="?", help="if not given, the preset as it is")
    parser.add_argument(
        "--preset", choices=names(), metavar="NAME", help=f"what the file changes: {', '.join(names())}"
    )


def _add_url(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", default=DEFAULT_URL, help=f"the service (default {DEFAULT_URL})")


def _plan(arguments: argparse.Namespace) -> int:
    print(json.dumps(Client(arguments.url).plan(_spec(arguments), arguments.preset), indent=2))
    return 0


def _submit(arguments: argparse.Namespace) -> int:
    print(Client(arguments.url).submit(_spec(arguments), arguments.preset))
    return 0


def _control(arguments: argparse.Namespace) -> int:
    shown = getattr(Client(arguments.url), arguments.name)(arguments.id)
    print(f"{shown['id']}: {shown['state']}" if shown else f"{arguments.id}: deleted")
    return 0


def _spec(arguments: argparse.Namespace) -> Path | dict[str, Any]:
    """The file, or nothing where the preset stands as it is."""
    if arguments.file is None:
        if arguments.preset is None:
            raise ValueError("give a file, --preset or both")
        return {}
    file: Path = arguments.file
    return file


def _results(arguments: argparse.Namespace) -> int:
    client = Client(arguments.url)
    if arguments.csv:
        print(as_csv(client.results(arguments.id)), end="")
    else:
        print_table(client, arguments.id)
    return 0


def print_table(client: Client, id_: str) -> None:
    """Print test scores of an experiment, what they are of, and how often surgery met a conflict."""
    experiment = client.experiment(id_)
    spec = experiment["spec"]
    table = client.table(id_)
    count = table.attrs["seeds"]
    is_short = "n" in table
    seeds = f"{'up to ' if is_short else ''}{count} seed{'s' if count > 1 else ''}"
    metric = client.metric_of(id_)
    print(f"\n{spec['task']}, {metric} on the test sets in percent, mean over {seeds};"
          f" {experiment['data_title']}; {spec['encoder']}")  # fmt: skip
    over = "the target languages that all methods have" if experiment["left_out"] else "the target languages"
    print(f"mean: over {over}; NUMERICS {experiment['numerics']}\n")
    if table.drop(columns="n", errors="ignore").isna().all(axis=None):
        print(f"no test scores yet: it is {experiment['state']}")
    else:
        print(printed(table))
        if is_short:
            print(f"* lacks some of the {count}: n is how many its mean is over; it is {experiment['state']}")
    for mark in (mark for mark in MARKS if mark.name in table):
        print(f"{mark.name}: how many scores are of {mark.models}")
    left_out: dict[str, list[str]] = {}
    for one in experiment["left_out"]:
        left_out.setdefault(one["method"], []).append(f"{one['language']} (no {' and no '.join(one['lacks'])} split)")
    for method, languages in left_out.items():
        print(f"{method} leaves out {', '.join(languages)}")
    surgery = "gradient-mix-train"
    trials = client.results(id_, method=surgery, split="test")["trial"].unique() if surgery in spec["methods"] else ()
    for digest in trials:
        met = client.trial(digest)["facts"]["training"]["surgery"]
        conflicts, cosine = met["conflict_rate"] or 0, met["mean_cosine"] or 0
        finite, lost = met["operations"] - met["nonfinite"], met["nonfinite"]
        print(f"\nsurgery in trial {digest}: {conflicts:.0%} of {finite} operations on a conflict"
              f"{f', {lost} more lost to overflow' if lost else ''};")  # fmt: skip
        print(f"mean cosine of the batch's and the drawn language's gradients {cosine:.2f}")


if __name__ == "__main__":
    main()
