"""Command line: serve, a command for each thing to do with an experiment, export, convert, backup, prune, demo.

More than 300 lines: a function for each command.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search_spaces.presets import names, preset
from search_spaces.sources import DataSpec
from service import streams
from service.csv_cells import as_csv
from service.keeping import KINDS, cleared, seconds_of
from service.owner import make_private
from service.score_table import printed
from service.settings import Settings
from trainers.artifacts import layout
from trainers.child_process import python, require_utf_8
from trainers.data import sample
from trainers.marks import MARKS
from trainers.proxies import spare_loopback

if TYPE_CHECKING:
    from service.store import Store

DEMO_START_SECONDS = 60.0

CONTROL = {
    "cancel": "stop an experiment for good; what is done stays",
    "pause": "stop an experiment until it is resumed",
    "resume": "let a paused experiment go on from its last checkpoints",
    "retry": "queue the failed trials of a failed experiment again",
    "resubmit": "submit an experiment's spec again, such as one of an earlier version, and print the new id",
    "delete": "forget an experiment that is over, with what no other one asks for",
}


def main() -> None:
    """Run the command that the arguments name; a failure is one line on standard error, and exit code 1.

    Where nobody reads on, as with `| head`, or output was closed from the start, that is no failure, and silent.
    """
    require_utf_8()
    streams.open_closed()
    spare_loopback(os.environ)
    try:
        code = _run()
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


def _run() -> int:
    """Run the command, or show its help; the exit code."""
    try:
        arguments = _parser().parse_args()
    except SystemExit as shown:
        return int(shown.code or 0)
    return int(arguments.command(arguments))


def _say(words: str) -> None:
    with suppress(OSError):  # nobody reads that either
        print(words, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="allasprak", description="Few-shot cross-lingual transfer experiments.")
    commands = parser.add_subparsers(required=True)

    serve = commands.add_parser("serve", help="run the service until Ctrl-C")
    serve.add_argument("--host", default="127.0.0.1", help="another than loopback needs ALLASPRAK_TOKEN(_FILE)")
    serve.add_argument("--port", type=_port, default=8000)
    serve.set_defaults(command=_serve)

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

    export = commands.add_parser("export", help="write a trial's kept model as a Hugging Face folder")
    export.add_argument("trial", help="its id; the service's home must be on this machine")
    export.add_argument("folder", type=Path)
    export.add_argument("--selection", help="where the trial has several, such as last or target-dev")
    export.set_defaults(command=_export)

    convert = commands.add_parser("convert", help="write an encoder's pickles (pytorch_model.bin) as safetensors")
    convert.add_argument("folder", type=Path, help="where they lie, and are written beside them")
    convert.set_defaults(command=_convert)

    backup = commands.add_parser("backup", help="write database, datasets and predictions to a tar, to be restored")
    backup.add_argument("file", type=Path, help="a .tar, which becomes a home where it is unpacked")
    backup.add_argument("--models", action="store_true", help="with kept models, which may be large")
    backup.set_defaults(command=_backup)

    prune = commands.add_parser("prune", help="remove files that no unfinished experiment needs")
    prune.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)}")
    prune.add_argument("--older-than", default="30d", metavar="AGE", help="such as 12h or 30d (default)")
    prune.add_argument("--named", action="store_true", help="also datasets that experiments name which are over")
    prune.add_argument("--dry-run", action="store_true", help="only print what would go, of all kinds if none is given")
    prune.set_defaults(command=_prune)

    demo = commands.add_parser("demo", help="the sample experiment from start to end, in a service of its own")
    demo.add_argument("--task", default="ner", choices=sample.tasks(), help="ner if not given")
    demo.set_defaults(command=_demo)
    return parser


def _add_spec(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, nargs="?", help="if not given, the preset as it is")
    parser.add_argument(
        "--preset", choices=names(), metavar="NAME", help=f"what the file changes: {', '.join(names())}"
    )


def _add_url(parser: argparse.ArgumentParser) -> None:
    from service.client import DEFAULT_URL

    parser.add_argument("--url", default=DEFAULT_URL, help=f"the service (default {DEFAULT_URL})")


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**16:
        raise argparse.ArgumentTypeError(f"{text!r}; allowed: 0 to 65535, 0 for any that is free")
    return int(text)


def _serve(arguments: argparse.Namespace) -> int:
    from service.serving import serve

    serve(arguments.host, arguments.port)


def _plan(arguments: argparse.Namespace) -> int:
    from service.client import Client

    print(json.dumps(Client(arguments.url).plan(_spec(arguments), arguments.preset), indent=2))
    return 0


def _submit(arguments: argparse.Namespace) -> int:
    from service.client import Client

    print(Client(arguments.url).submit(_spec(arguments), arguments.preset))
    return 0


def _control(arguments: argparse.Namespace) -> int:
    from service.client import Client

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
    from service.client import Client

    client = Client(arguments.url)
    if arguments.csv:
        print(as_csv(client.results(arguments.id)), end="")
    else:
        _print_table(client, arguments.id)
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from sqlalchemy import make_url

    from trainers.export import export
    from trainers.trial import TrialConfig

    settings = Settings.from_environment()
    with _existing_store(settings) as store:
        trial = store.trials.one(arguments.trial)
        if trial is None:
            where = f"{make_url(settings.database_url)}; is ALLASPRAK_HOME the home of the service?"
            raise ValueError(f"there is no trial {arguments.trial} in {where}")
        chosen = store.objectives.by_selection(arguments.trial)
    matching = [selection for selection in chosen if arguments.selection in (None, selection)]
    if len(matching) != 1:
        raise ValueError(f"--selection: one of {', '.join(chosen)}" if chosen else f"{arguments.trial} is not done")
    [selection] = matching
    export(settings.home, TrialConfig.from_dict(trial["config"]), selection, chosen[selection], arguments.folder)
    print(f"{arguments.folder}: the model of {arguments.trial}, selected by {selection}")
    return 0


def _backup(arguments: argparse.Namespace) -> int:
    from service.backup import backup

    written = backup(Settings.from_environment(), arguments.file, arguments.models)
    print(f"{arguments.file}: the database and {written.files} files, {written.bytes:,} bytes")
    return 0


def _prune(arguments: argparse.Namespace) -> int:
    if not (arguments.kinds or arguments.dry_run):
        raise ValueError(f"KIND: name what to remove, of {', '.join(KINDS)}; --dry-run shows all")
    if unknown := [kind for kind in arguments.kinds if kind not in KINDS]:
        raise ValueError(f"KIND: {unknown[0]!r} is none; allowed: {', '.join(KINDS)}")
    older_than = seconds_of(arguments.older_than)
    settings = Settings.from_environment()
    kinds = arguments.kinds or KINDS
    with _existing_store(settings) as store:
        for line in cleared(settings.home, store, kinds, older_than, arguments.named, arguments.dry_run):
            print(line, flush=True)
    return 0


@contextmanager
def _existing_store(settings: Settings) -> "Iterator[Store]":
    """The store of a home. ValueError if it has none: none is made; RuntimeError in a line if the database fails."""
    from sqlalchemy.exc import SQLAlchemyError

    from service.store import Store

    settings.existing_database()
    store = Store(settings.database_url)
    try:
        yield store
    except SQLAlchemyError as error:
        raise RuntimeError(f"the database failed: {str(error).splitlines()[0]}") from error
    finally:
        store.close()


def _convert(arguments: argparse.Namespace) -> int:
    from trainers.encoders.pickles import convert

    for path in convert(arguments.folder, arguments.folder):
        print(path)
    return 0


def _demo(arguments: argparse.Namespace) -> int:
    """Start a service, submit the sample experiment, show it live, print its table, stop the service."""
    from sqlalchemy import make_url

    from service.client import Client

    settings = Settings.from_environment()
    make_private(settings.home)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = layout.server_log(settings.home)
    log.parent.mkdir(parents=True, exist_ok=True)
    print(f"starting a service on 127.0.0.1:{port}; all that it writes lies in {settings.home}", flush=True)
    with log.open("ab") as output:
        command = python("service.cli", "serve", "--port", str(port))
        server = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    try:
        client = Client(f"http://127.0.0.1:{port}")
        _await_service(client, server, log)
        spec = {**preset("sample"), "task": arguments.task, "name": f"{arguments.task}, five shots"}
        id_ = client.submit(spec)
        print(f"submitted {id_}: {spec['name']}, on the SAMPLE corpus (artificial sentences, not XTREME-R)", flush=True)
        experiment = client.wait(id_)
        if experiment["state"] == "succeeded":
            rows = layout.results_table(settings.home, id_)
            rows.write_text(as_csv(client.results(id_)), encoding="utf-8")
            _print_table(client, id_)
            database = make_url(settings.database_url)  # which shows no password
            print(f"\nall rows: {rows}\ndatabase: {database}\nlog:      {layout.logs_folder(settings.home)}")
            return 0
        print(f"{experiment['state']}: {experiment['reason']}", file=sys.stderr)
        return 1
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()


def _await_service(client: Any, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + DEMO_START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        if client.is_up():
            return
        time.sleep(0.2)
    raise RuntimeError(
        f"the service did not start; the end of {log}:\n{log.read_text(encoding='utf-8', errors='replace')[-2000:]}"
    )


def _print_table(client: Any, id_: str) -> None:
    experiment = client.experiment(id_)
    spec = experiment["spec"]
    table = client.table(id_)
    count = table.attrs["seeds"]
    is_short = "n" in table
    seeds = f"{'up to ' if is_short else ''}{count} seed{'s' if count > 1 else ''}"
    data = DataSpec.from_json(spec["data"]).title()
    metric = client.metric_of(id_)
    print(f"\n{spec['task']}, {metric} on the test sets in percent, mean over {seeds};"
          f" {data}; {spec['encoder']}")  # fmt: skip
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
    surgery = {"method": "gradient-mix-train", "split": "test"}
    trials = client.results(id_, **surgery)["trial"].unique() if surgery["method"] in spec["methods"] else ()
    for digest in trials:
        met = client.trial(digest)["facts"]["training"]["surgery"]
        conflicts, cosine = met["conflict_rate"] or 0, met["mean_cosine"] or 0
        finite, lost = met["operations"] - met["nonfinite"], met["nonfinite"]
        print(f"\nsurgery in trial {digest}: {conflicts:.0%} of {finite} operations on a conflict"
              f"{f', {lost} more lost to overflow' if lost else ''};")  # fmt: skip
        print(f"mean cosine of the batch's and the drawn language's gradients {cosine:.2f}")


if __name__ == "__main__":
    main()
