"""The commands that ask a service, and how a command is run. The client alone has no others."""

import argparse
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search_spaces.presets import names
from service import streams
from service.arguments import (
    Parser,
    UsageError,
    add_experiment,
    add_json,
    add_service,
    client_of,
    experiment_id,
    installed_version,
    path,
)
from service.client import Client, ServiceError
from service.comparing import add_compare
from service.csv_cells import as_csv
from service.files import write, zipped
from service.overviews import add_overviews
from service.printing import clean, print_json, print_rows, tell
from service.score_table import printed
from service.watching import add_watching
from trainers.child_process import ended_in_order, leave_removed_folder, require_utf_8
from trainers.marks import MARKS
from trainers.proxies import spare_loopback

if TYPE_CHECKING:
    from service.arguments import Commands

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
    asking, commands = parser_of("Asks a service for few-shot cross-lingual transfer experiments.")
    add_commands(commands)
    run(asking)


def parser_of(description: str) -> "tuple[Parser, Commands]":
    """The parser of the command line, and what commands are added to."""
    parser = Parser(prog="allasprak", description=description)
    parser.add_argument("--version", action="version", version=f"allasprak {installed_version()}")
    return parser, parser.add_subparsers(required=True, metavar="COMMAND")


def run(parser: argparse.ArgumentParser) -> None:
    """Run the command that the arguments name; a failure is one line on standard error, and exit code 1, or 2 for wrong
    arguments. Of a spec each wrong field has a line of its own.

    Where nobody reads on, as with `| head`, or output was closed from the start, that is no failure, and silent.
    """
    require_utf_8()
    leave_removed_folder()
    streams.open_closed()
    spare_loopback(os.environ)
    try:
        with ended_in_order():
            code = _code(parser)
        sys.stdout.flush()
    except BrokenPipeError:
        code = 0
    except KeyboardInterrupt:
        code = 130
    except UsageError as error:
        tell(str(error))
        code = 2
    except (OSError, RuntimeError, ValueError) as error:
        tell(_words(error))
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


@contextmanager
def _telling() -> Iterator[None]:
    """The client's warnings are lines on standard error."""
    with warnings.catch_warnings(record=True, category=UserWarning, action="always") as found:
        yield
    for one in found:
        if issubclass(one.category, UserWarning):
            tell(f"warning: {clean(one.message)}")


def _words(error: Exception) -> str:
    """What is wrong: the one field that is, or what there is to say of all."""
    if isinstance(error, ServiceError) and len(error.errors) == 1:
        [one] = error.errors
        return f"{one['field']}: {one['message']}"
    return str(error)


def add_commands(commands: "Commands") -> None:
    """Add these commands to a command line."""
    plan = commands.add_parser("plan", help="print what the experiment in a JSON file would take, submitting nothing")
    _add_spec(plan)
    add_service(plan)
    plan.set_defaults(command=_plan)

    submit = commands.add_parser("submit", help="submit the experiment in a JSON file and print its id")
    _add_spec(submit)
    add_service(submit)
    submit.set_defaults(command=_submit)

    add_overviews(commands)
    add_watching(commands)

    for name, does in CONTROL.items():
        control = commands.add_parser(name, help=does)
        add_experiment(control)
        add_service(control)
        control.set_defaults(command=_control, name=name)

    results = commands.add_parser("results", help="print an experiment's test scores, or all its rows as CSV")
    add_experiment(results)
    results.add_argument("--csv", action="store_true", help="all rows, of every epoch")
    add_service(results)
    results.set_defaults(command=_results)

    add_compare(commands)

    page = commands.add_parser("page", help="write an experiment as one HTML file, which needs no network")
    add_experiment(page)
    page.add_argument("file", metavar="FILE", type=path, nargs="?", help="where it is written (ID.html if not given)")
    add_service(page)
    page.set_defaults(command=_page)

    dataset = commands.add_parser(
        "add-dataset", help="add data of your own to the service, after a check of each example"
    )
    dataset.add_argument("name", metavar="NAME", help='what specs call it: {"data": {"dataset": NAME}}')
    dataset.add_argument("path", metavar="PATH", type=path, help="a zip, or a folder, as docs/data.md describes them")
    add_json(dataset)
    add_service(dataset)
    dataset.set_defaults(command=_add_dataset)


def _add_spec(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=path, nargs="?", help="if not given, the preset as it is")
    parser.add_argument(
        "--preset", choices=names(), metavar="NAME", help=f"what the file changes: {', '.join(names())}"
    )


def _plan(arguments: argparse.Namespace) -> int:
    print_json(client_of(arguments).plan(_spec(arguments), arguments.preset))
    return 0


def _submit(arguments: argparse.Namespace) -> int:
    with _telling():
        print(client_of(arguments).submit(_spec(arguments), arguments.preset))
    return 0


def _control(arguments: argparse.Namespace) -> int:
    client = client_of(arguments)
    id_ = experiment_id(client, arguments.id)
    with _telling():
        shown = getattr(client, arguments.name)(id_)
    print(f"{shown['id']}: {shown['state']}" if shown else f"{id_}: deleted")
    return 0


def _spec(arguments: argparse.Namespace) -> Path | dict[str, Any]:
    """The file, or nothing where the preset stands as it is."""
    if arguments.file is None:
        if arguments.preset is None:
            raise UsageError("give a file, --preset or both")
        return {}
    file: Path = arguments.file
    if not file.exists():
        raise UsageError(f"FILE: there is no {str(file)!r}")
    return file


def _results(arguments: argparse.Namespace) -> int:
    client = client_of(arguments)
    id_ = experiment_id(client, arguments.id)
    if arguments.csv:
        print(as_csv(client.results(id_)), end="")
    else:
        print_table(client, id_)
    return 0


def _page(arguments: argparse.Namespace) -> int:
    client = client_of(arguments)
    id_ = experiment_id(client, arguments.id)
    file: Path = arguments.file or Path(f"{id_}.html")
    if not file.parent.is_dir():
        raise UsageError(f"FILE: there is no folder {str(file.parent)!r}")
    write(file, client.page(id_))
    print(file)
    return 0


def _add_dataset(arguments: argparse.Namespace) -> int:
    given: Path = arguments.path
    if not given.exists():
        raise UsageError(f"PATH: there is no {str(given)!r}; allowed: a zip, or a folder")
    with tempfile.TemporaryDirectory() as scratch, _telling():
        file = zipped(given, Path(scratch) / "data.zip") if given.is_dir() else given
        added = client_of(arguments).add_dataset(arguments.name, file)
    if arguments.json:
        print_json(added)
        return 0
    parts = {
        (task, language): found for task, one in added["tasks"].items() for language, found in one["languages"].items()
    }
    splits = sorted({split for found in parts.values() for split in found}, key=["train", "dev", "test"].index)
    rows = [(*named, *(found[split]["examples"] if split in found else "" for split in splits))
            for named, found in parts.items()]  # fmt: skip
    print_rows(["task", "language", *splits], rows, right=splits)
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
