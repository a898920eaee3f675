"""The whole command line: the commands that ask a service, and serve, token, export, convert, backup, prune, demo."""

import argparse
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search_spaces.presets import preset
from service.arguments import UsageError, checked, id_, path
from service.client import Client, ServiceError
from service.commands import add_commands, parser_of, print_table, run
from service.csv_cells import as_csv
from service.keeping import KINDS, cleared, seconds_of
from service.owner import make_private
from service.settings import Settings
from trainers import memory
from trainers.artifacts import layout
from trainers.artifacts.places import NO_PATIENCE, place_of
from trainers.child_process import python
from trainers.data import sample

if TYPE_CHECKING:
    from service.store import Store

DEMO_START_SECONDS = 60.0


def main() -> None:
    """Run a command."""
    run(parser())


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser, commands = parser_of("Few-shot cross-lingual transfer experiments.")

    serve = commands.add_parser("serve", help="run the service until Ctrl-C")
    serve.add_argument("--host", default="127.0.0.1", help="another than loopback needs a token, see docs/security.md")
    serve.add_argument("--port", type=_port, default=8000, help="8000 if not given; 0 for any that is free")
    serve.set_defaults(command=_serve)

    add_commands(commands)

    tokens = commands.add_parser("token", help="tokens by name of the service whose home or database this is")
    of_token = tokens.add_subparsers(required=True, metavar="ACTION", help="what is done with them")
    add = of_token.add_parser("add", help="make a token, and print it, this once")
    add.add_argument("name", type=checked(_token_name), help="who it is for: the owner of what is submitted with it")
    add.add_argument("--read-only", action="store_true", help="it may read, plan and query, and change nothing")
    add.set_defaults(command=_add_token)
    revoke = of_token.add_parser("revoke", help="let a token be none any more, at once")
    revoke.add_argument("name", help="whose token it is")
    revoke.set_defaults(command=_revoke_token)
    listed = of_token.add_parser("list", help="print the names of all tokens, and what each may do")
    listed.set_defaults(command=_list_tokens)

    export = commands.add_parser("export", help="write a trial's kept model as a Hugging Face folder")
    export.add_argument("trial", type=id_, help="its id; the service's home must be on this machine")
    export.add_argument("folder", type=path, help="where it is written")
    export.add_argument("--selection", help="where the trial has several, such as last or target-dev")
    export.set_defaults(command=_export)

    convert = commands.add_parser("convert", help="write an encoder's pickles (pytorch_model.bin) as safetensors")
    convert.add_argument("folder", type=path, help="where they lie, and are written beside them")
    convert.set_defaults(command=_convert)

    backup = commands.add_parser("backup", help="write database, datasets and predictions to a tar, to be restored")
    backup.add_argument("file", type=path, help="a .tar, which becomes a home where it is unpacked")
    backup.add_argument("--models", action="store_true", help="with kept models, which may be large")
    backup.set_defaults(command=_backup)

    prune = commands.add_parser("prune", help="remove files that no unfinished experiment needs")
    prune.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)}")
    prune.add_argument(
        "--older-than", default="30d", type=checked(seconds_of), metavar="AGE", help="such as 12h or 30d (default)"
    )
    prune.add_argument("--named", action="store_true", help="also datasets that experiments name which are over")
    prune.add_argument("--dry-run", action="store_true", help="only print what would go, of all kinds if none is given")
    prune.set_defaults(command=_prune)

    demo = commands.add_parser("demo", help="the sample experiment from start to end, in a service of its own")
    demo.add_argument("--task", default="ner", choices=sample.tasks(), help="ner if not given")
    demo.set_defaults(command=_demo)
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**16:
        raise argparse.ArgumentTypeError(f"{text!r}; allowed: 0 to 65535, 0 for any that is free")
    return int(text)


def _token_name(text: str) -> str:
    from service.store.tokens import require_name  # with the database, which most commands do without

    return require_name(text)


def _serve(arguments: argparse.Namespace) -> int:
    with memory.growing():
        from service.serving import serve

    serve(arguments.host, arguments.port)


def _add_token(arguments: argparse.Namespace) -> int:
    with _existing_store(Settings.from_environment()) as store:
        token = store.tokens.add(arguments.name, arguments.read_only)
        is_first = len(store.tokens.all()) == 1
    print(token)
    if is_first:
        print("the first one: from now on the service asks for a token", file=sys.stderr)
    return 0


def _revoke_token(arguments: argparse.Namespace) -> int:
    with _existing_store(Settings.from_environment()) as store:
        store.tokens.revoke(arguments.name)
        is_last = all(one.revoked is not None for one in store.tokens.all())
    print(f"{arguments.name}: revoked")
    if is_last:
        print("the last one: the service goes on to ask for a token", file=sys.stderr)
    return 0


def _list_tokens(_arguments: argparse.Namespace) -> int:
    with _existing_store(Settings.from_environment()) as store:
        found = store.tokens.all()
    for one in found:
        may = "read-only" if one.read_only else "read and write"
        revoked = "" if one.revoked is None else f", revoked {_when(one.revoked)}"
        print(f"{one.name}: {may}, added {_when(one.created)}{revoked}")
    return 0


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


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
    export(place_of(settings), TrialConfig.from_dict(trial["config"]), selection, chosen[selection], arguments.folder)
    print(f"{arguments.folder}: the model of {arguments.trial}, selected by {selection}")
    return 0


def _backup(arguments: argparse.Namespace) -> int:
    from service.backup import backup

    settings = Settings.from_environment()
    written = backup(settings, arguments.file, arguments.models)
    print(f"{arguments.file}: the database and {written.files} files, {written.bytes:,} bytes")
    if settings.artifacts is not None:
        print(f"models and predictions are not in it: they lie at {settings.artifacts}")
    return 0


def _prune(arguments: argparse.Namespace) -> int:
    if not (arguments.kinds or arguments.dry_run):
        raise UsageError(f"KIND: name what to remove, of {', '.join(KINDS)}; --dry-run shows all")
    if unknown := [kind for kind in arguments.kinds if kind not in KINDS]:
        raise UsageError(f"KIND: {unknown[0]!r} is none; allowed: {', '.join(KINDS)}")
    settings = Settings.from_environment()
    kinds = arguments.kinds or KINDS
    with _existing_store(settings) as store:
        place = place_of(settings, NO_PATIENCE)  # the database is locked meanwhile
        for line in cleared(place, store, kinds, arguments.older_than, arguments.named, arguments.dry_run):
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

    for file in convert(arguments.folder, arguments.folder):
        print(file)
    return 0


def _demo(arguments: argparse.Namespace) -> int:
    """Start a service, submit the sample experiment, show it live, print its table, stop the service."""
    from sqlalchemy import make_url

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
        id_ = _submitted(client, spec)
        print(f"submitted {id_}: {spec['name']}, on the SAMPLE corpus (artificial sentences, not XTREME-R)", flush=True)
        experiment = client.wait(id_)
        if experiment["state"] == "succeeded":
            rows = layout.results_table(settings.home, id_)
            rows.write_text(as_csv(client.results(id_)), encoding="utf-8")
            print_table(client, id_)
            database = make_url(settings.database_url)  # which shows no password
            print(f"\nall rows: {rows}\ndatabase: {database}\nlog:      {layout.logs_folder(settings.home)}")
            return 0
        print(f"{experiment['state']}: {experiment['reason']}", file=sys.stderr)
        return 1
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()


def _submitted(client: Client, spec: dict[str, Any]) -> str:
    """The id of a new experiment. RuntimeError where the home has tokens by name, and this command has none."""
    try:
        return client.submit(spec)
    except ServiceError as error:
        if error.status != HTTPStatus.UNAUTHORIZED:
            raise
        words = "set ALLASPRAK_TOKEN to one of them, or ALLASPRAK_HOME to another folder"
        raise RuntimeError(f"this home has tokens by name, and so the service asks for one: {words}") from error


def _await_service(client: Client, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + DEMO_START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        if client.is_up():
            return
        time.sleep(0.2)
    raise RuntimeError(
        f"the service did not start; the end of {log}:\n{log.read_text(encoding='utf-8', errors='replace')[-2000:]}"
    )


if __name__ == "__main__":
    main()
