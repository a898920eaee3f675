"""What is kept of a home, and what is cleared: backups and their restoration, pruning, and what experiments take."""

import json
import os
import shutil
import signal
import sqlite3
import stat
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from starlette.testclient import TestClient

from plans import spec_of
from queried import filled, planned
from search_spaces.environment import Environment
from search_spaces.sources import DataSpec
from service.api.app import create_app
from service.backup import backup
from service.cli import main
from service.keeping import KINDS, prunable, prune, seconds_of
from service.owner import owner_of
from service.settings import Settings
from service.store import Query, Store
from trainers.artifacts import layout
from trainers.artifacts.atomic import lock
from trainers.artifacts.folder_place import FolderPlace
from trainers.data.datasets import add_zip, dataset

DAY = 24 * 3600.0


@pytest.fixture
def home(tmp_path: Path, sqlite_tables: Path) -> Path:
    """A home with an empty database."""
    home = tmp_path / "home #1"
    home.mkdir()
    shutil.copy(sqlite_tables, layout.database_file(home))
    return home


@pytest.fixture
def settings(home: Path) -> Settings:
    """Those of that home."""
    return Settings.from_environment({"ALLASPRAK_HOME": str(home)})


@pytest.fixture
def stored(settings: Settings) -> Iterator[Store]:
    """The store of that home."""
    store = Store(settings.database_url)
    yield store
    store.close()


@pytest.fixture
def command(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Runs a command; returns its exit code, and what it said on standard output and standard error."""

    def run(*arguments: object, of: Path = home) -> tuple[Any, str, str]:
        monkeypatch.setenv("ALLASPRAK_HOME", str(of))
        monkeypatch.setattr(sys, "argv", ["allasprak", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    return run


def write(path: Path, size: int = 100, days: float = 0.0) -> Path:
    """A file that was written some days ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    at = time.time() - days * DAY
    os.utime(path, (at, at))
    return path


def files_of(home: Path, digest: str, days: float = 0.0) -> dict[str, Path]:
    """Files of each kind of a trial."""
    return {
        "models": write(layout.model_of(home, digest, "source-dev") / "1" / "tensors.safetensors", 1000, days),
        "predictions": write(layout.predictions_of(home, digest) / "de.test.data.1.arrow", 200, days),
        "checkpoints": write(layout.checkpoints_of(home, digest) / "3" / "state.json", 300, days),
        "logs": write(layout.log_of(home, digest), 40, days),
    }


def age(home: Path, store: Store, id_: str, days: float) -> None:
    """An experiment ended some days ago."""
    with sqlite3.connect(layout.database_file(home)) as connection:
        connection.execute("UPDATE experiments SET state = 'succeeded', finished = ?, planned = 1 WHERE id = ?",
                           (time.time() - days * DAY, id_))  # fmt: skip


def rows(store: Store) -> list[dict[str, Any]]:
    """All that there is of results."""
    return store.results.rows(Query(every_step=True), 100_000).rows


# Backups


def test_a_restored_home_shows_the_same(
    home: Path, stored: Store, settings: Settings, tmp_path: Path, command: Callable[..., Any]
) -> None:
    id_ = filled(stored, range(1, 3))
    [digest, *_] = stored.keeping.trials_of(id_)
    kept = files_of(home, digest)
    write(layout.cosines_file(home, digest, "last"), 10)
    write(layout.predictions_of(home, digest) / ".unfinished", 10)
    upload = shutil.make_archive(str(tmp_path / "mine"), "zip", dataset_folder(tmp_path / "mine"))
    with Path(upload).open("rb") as content:
        mine = add_zip(home, "mine", content)
    token = stored.tokens.add("ana", read_only=True)
    file = tmp_path / "backup.tar"
    file.write_text("an earlier one")
    old = os.umask(0o000)
    try:
        code, said, _ = command("backup", file)
    finally:
        os.umask(old)
    assert (code, said.split(",")[0].rpartition(" ")[0]) == (0, f"{file}: the database and 6")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir() if "backup" in path.name) == ["backup.tar"]

    new = tmp_path / "new"
    with tarfile.open(file) as archive:
        assert {member.mode for member in archive} == {0o600}
        archive.extractall(new, filter="data")
    shutil.rmtree(home / "datasets")
    restored = Store(Settings.from_environment({"ALLASPRAK_HOME": str(new)}).database_url)
    assert rows(restored) == rows(stored)
    assert restored.experiments.one(id_) == stored.experiments.one(id_)
    assert restored.events.after(id_, 0) == stored.events.after(id_, 0)
    assert restored.tokens.look(token) == stored.tokens.look(token) != stored.tokens.look("")
    assert token.encode() not in file.read_bytes()
    restored.close()
    for one in (kept["predictions"], layout.cosines_file(home, digest, "last")):
        assert (new / one.relative_to(home)).read_bytes() == one.read_bytes()
    assert not layout.models_of(new, digest).exists()
    assert not list(new.rglob(".unfinished"))
    assert (dataset(new, "mine").digest, dataset(new, "mine").root) == (mine.digest, f"{new}/datasets/mine/data")
    source, value = DataSpec.from_json({"dataset": "mine"}).source, "mine"
    assert source.open(source.locate(value, new, None), "ner", new).facts("de", "test").examples == 1


def dataset_folder(folder: Path) -> Path:
    """A tiny dataset of ner."""
    for split in ("train", "dev", "test"):
        path = folder / "ner" / "de" / f"{split}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"tokens": ["Oslo", split], "tags": ["B-LOC", "O"]}) + "\n")
    return folder


def test_a_restored_home_leaves_the_processes_of_the_first_alone(
    home: Path, stored: Store, settings: Settings, tmp_path: Path
) -> None:
    id_ = stored.experiments.add(*planned(range(1, 2)))
    stored.control.set_driver(id_, os.getpid(), psutil.Process().create_time())
    stored.control.move(id_, "start")
    digest, *_ = stored.trials.outstanding(id_)
    stored.trials.started(id_, digest)
    lease = stored.lease(owner_of(home), (os.getpid(), 1.0), lambda _pid, _created: True)
    assert lease.take(print)
    backup(settings, tmp_path / "backup.tar")
    with tarfile.open(tmp_path / "backup.tar") as archive:
        archive.extractall(tmp_path / "new", filter="data")
    restored = Store(Settings.from_environment({"ALLASPRAK_HOME": str(tmp_path / "new")}).database_url)
    shown, found = restored.experiments.one(id_), restored.trials.one(digest)
    assert shown is not None
    assert found is not None
    assert (restored.control.drivers(), restored.control.runnable(8)) == ({}, [id_])
    assert (shown.state, shown.trials["running"], shown.reason) == (
        "queued",
        0,
        restored.events.after(id_, 0)[-1].data["reason"],
    )
    assert [attempt["state"] for attempt in found["attempts"]] == ["interrupted"]
    other = restored.lease(owner_of(tmp_path / "new"), (os.getpid(), 2.0), lambda _pid, _created: True)
    assert other.take(print)  # the first server has the first database, and not this one
    other.release()
    restored.close()
    assert stored.control.state(id_) == "running"
    lease.check()
    lease.release()


def test_a_backup_replaces_nothing_but_a_backup(home: Path, tmp_path: Path, command: Callable[..., Any]) -> None:
    """Above all not the database that it is to save."""
    (tmp_path / "thesis.tex").write_text("all of it")
    (tmp_path / "link").symlink_to("nowhere")
    for file in (layout.database_file(home), tmp_path / "thesis.tex", tmp_path, Path("/dev/null"), tmp_path / "link"):
        before = file.read_bytes() if file.is_file() else None
        code, _, said = command("backup", file)
        assert (code, f"{file} is " in said and ", and no earlier backup; allowed: " in said) == (1, True)
        assert (file.read_bytes() if file.is_file() else None) == before
    assert Path("/dev/null").is_char_device()
    for _ in range(2):
        assert command("backup", tmp_path / "backup.tar")[0] == 0


def test_a_backup_lies_in_a_folder_that_is_there_and_not_in_the_home(
    home: Path, tmp_path: Path, command: Callable[..., Any]
) -> None:
    code, _, said = command("backup", tmp_path / "nowhere" / "backup.tar")
    assert (code, said) == (1, f"allasprak: there is no folder '{tmp_path / 'nowhere'}'\n")
    assert not (tmp_path / "nowhere").exists()
    inside = home / "predictions" / "backup.tar"
    inside.parent.mkdir(exist_ok=True)
    for is_link in (False, True):
        if is_link:  # which would be replaced
            (tmp_path / "earlier.tar").touch()
            inside.symlink_to(tmp_path / "earlier.tar")
        code, _, said = command("backup", inside)
        assert (code, "lies in the home" in said) == (1, True)


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGHUP])
def test_a_backup_that_is_told_to_end_leaves_nothing(
    tmp_path: Path, command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, ending: signal.Signals
) -> None:
    before, handled = sorted(tmp_path.iterdir()), signal.signal(ending, signal.SIG_DFL)  # ignored under nohup
    monkeypatch.setattr("service.backup._files", lambda _: iter([os.kill(os.getpid(), ending)]))
    try:
        assert command("backup", tmp_path / "backup.tar")[0] == 128 + ending
        assert signal.getsignal(ending) == signal.SIG_DFL
    finally:
        signal.signal(ending, handled)
    assert sorted(tmp_path.iterdir()) == before


def test_models_are_in_a_backup_that_asks_for_them(
    home: Path, stored: Store, settings: Settings, tmp_path: Path
) -> None:
    id_ = filled(stored, range(1, 2))
    for digest in stored.keeping.trials_of(id_):
        files_of(home, digest)
    with sqlite3.connect(layout.database_file(home)) as connection:
        connection.execute("UPDATE selections SET kept = 1")

    def kept(with_models: bool) -> tuple[int, bool]:
        backup(settings, tmp_path / "backup.tar", with_models)
        with tarfile.open(tmp_path / "backup.tar") as archive:
            names = archive.getnames()
            archive.extract("allasprak.sqlite", tmp_path, filter="data")
        with sqlite3.connect(tmp_path / "allasprak.sqlite") as connection:
            [[number]] = connection.execute("SELECT sum(kept) FROM selections").fetchall()
        return number, any("models/" in name for name in names)

    assert kept(with_models=False) == (0, False)  # who wants a model there has it trained again
    assert kept(with_models=True) == (3, True)


def test_a_backup_is_of_one_moment_while_others_write(
    home: Path, stored: Store, settings: Settings, tmp_path: Path
) -> None:
    id_ = stored.experiments.add(*planned(range(1, 2)))
    over, written = threading.Event(), [0]

    def work() -> None:
        while not over.is_set():
            written[0] += 1
            stored.control.note(id_, f"note {written[0]}")  # the reason, and an event with its number

    writer = threading.Thread(target=work)
    writer.start()
    try:
        for number in range(5):
            before = written[0]
            backup(settings, tmp_path / "backup.tar")
            with tarfile.open(tmp_path / "backup.tar") as archive:
                archive.extract("allasprak.sqlite", tmp_path / str(number), filter="data")
            with sqlite3.connect(tmp_path / str(number) / "allasprak.sqlite") as connection:
                [[count, events, reason]] = connection.execute(
                    "SELECT e.events, (SELECT count(*) FROM events), e.reason FROM experiments e"
                ).fetchall()
            assert count == events
            assert int(reason.removeprefix("note ") or 0) >= before - 1
        assert written[0] > before
    finally:
        over.set()
        writer.join()


def test_a_folder_that_vanishes_while_a_backup_is_made_is_passed_over(
    home: Path, stored: Store, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [first, second, _] = stored.keeping.trials_of(filled(stored, range(1, 2)))
    files = {digest: files_of(home, digest) for digest in (first, second)}
    look, vanishing, looks = os.scandir, files[first]["models"].parent, [0]

    def scandir(path: Any = ".") -> Any:
        looks[0] += Path(path) == vanishing
        if looks[0] == 2 and vanishing.exists():  # once it was measured, another state takes its place
            vanishing.rename(tmp_path / "gone")
        return look(path)

    monkeypatch.setattr(os, "scandir", scandir)
    backup(settings, tmp_path / "backup.tar", with_models=True)
    with tarfile.open(tmp_path / "backup.tar") as archive:
        models = [name for name in archive.getnames() if name.startswith("models/")]
    assert models == [str(files[second]["models"].relative_to(home))]


def test_what_cannot_be_backed_up_is_said_in_a_line(
    home: Path, tmp_path: Path, command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(*arguments: object, of: Path = home) -> str:
        code, _, error = command(*arguments, of=of)
        assert code == 1
        assert error.count("\n") == 1
        return str(error)

    assert "ALLASPRAK_HOME" in said("backup", tmp_path / "b.tar", of=tmp_path / "nowhere")
    assert "ALLASPRAK_HOME" in said("export", "0" * 20, tmp_path / "model", of=tmp_path / "nowhere")
    assert "ALLASPRAK_HOME" in said("prune", "--dry-run", of=tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
    assert "ALLASPRAK_HOME" in said("export", "0" * 20, tmp_path / "model")
    assert "directory" in said("backup", tmp_path).lower()
    monkeypatch.setattr("trainers.artifacts.atomic.RESERVE_BYTES", 2**62)
    assert "the disk is full" in said("backup", tmp_path / "b.tar")
    monkeypatch.undo()
    with layout.database_file(home).open("r+b") as file:
        file.seek(8192)
        file.write(os.urandom(4096))
    assert "is damaged" in said("backup", tmp_path / "b.tar")
    monkeypatch.setenv("ALLASPRAK_DATABASE_URL", "postgresql+psycopg://ana:secret@db/allasprak")
    message = said("backup", tmp_path / "b.tar")
    assert "pg_dump" in message
    assert "secret" not in message
    assert not list(tmp_path.glob("*b.tar*"))


# Pruning


def test_what_goes_is_old_and_needed_by_nobody(home: Path, stored: Store, command: Callable[..., Any]) -> None:
    done, new = filled(stored, range(1, 2)), filled(stored, range(2, 3))
    waiting = stored.experiments.add(*planned(range(3, 4)))
    stored.control.move(waiting, "pause")
    age(home, stored, done, days=40)
    age(home, stored, new, days=5)
    trials = {id_: stored.keeping.trials_of(id_) for id_ in (done, new, waiting)}
    files = {id_: [files_of(home, digest, days=50) for digest in trials[id_]] for id_ in trials}
    for id_ in trials:
        write(layout.driver_log(home, id_), 7, days=50)
    write(layout.server_log(home), 7, days=50)
    code, shown, _ = command("prune", "--dry-run")
    assert code == 0
    assert all(path.exists() for of in files.values() for kinds in of for path in kinds.values())
    assert "would remove 3 of models, 3,000 bytes" in shown
    assert "would remove 4 of logs, 127 bytes" in shown  # three trials and a driver
    assert shown.count("\n") == 3 * 4 + 1 + len(KINDS)
    code, _, error = command("prune")
    assert (code, "name what to remove" in error) == (2, True)
    code, said, _ = command("prune", "models", "checkpoints", "logs", "--older-than", "30d")
    assert "removed 3 of models, 3,000 bytes" in said
    for id_, of in files.items():
        for kinds in of:
            gone = {kind for kind, path in kinds.items() if not path.exists()}
            assert gone == ({"models", "checkpoints", "logs"} if id_ == done else set())
    assert layout.server_log(home).exists()
    assert not layout.driver_log(home, done).exists()
    assert "removed 3 of models" in command("prune", "models", "--older-than", "1d")[1]  # those of the other one
    assert "removed 0 of models" in command("prune", "models", "--older-than", "0s")[1]


def test_a_source_model_that_an_unfinished_experiment_starts_from_stays(home: Path, stored: Store) -> None:
    from stored import ADAPTED, SOURCE, plan_of

    id_ = stored.experiments.add(spec_of(), plan_of())
    with sqlite3.connect(layout.database_file(home)) as connection:  # as where a source training is another one's
        connection.execute("DELETE FROM planned_trials WHERE trial = ?", (SOURCE.digest,))
    for digest in (SOURCE.digest, ADAPTED.digest):
        files_of(home, digest, days=99)
    assert list(prunable(FolderPlace(home), stored, KINDS, 0.0)) == []
    stored.control.move(id_, "cancel")
    age(home, stored, id_, days=9)
    assert len(list(prunable(FolderPlace(home), stored, KINDS, 0.0))) == 2 * 4


def test_what_came_to_be_needed_meanwhile_stays(home: Path, stored: Store) -> None:
    id_ = filled(stored, range(1, 2))
    age(home, stored, id_, days=40)
    [first, second, _] = stored.keeping.trials_of(id_)
    files = {digest: files_of(home, digest, days=40) for digest in (first, second)}
    found = {one.name: one for one in prunable(FolderPlace(home), stored, ["models"], 0.0)}
    with lock(layout.lock_of(home, first)), pytest.MonkeyPatch.context() as patch:  # a process runs it
        patch.setattr(layout, "END_SECONDS", 0.1)
        assert not prune(stored, found[first])
    stored.experiments.add(*planned(range(1, 2)))
    assert not prune(stored, found[second])
    assert all(path.exists() for of in files.values() for path in of.values())
    assert not layout.pruned_mark(home, "models", first).exists()


def test_the_interface_says_what_was_pruned(home: Path, stored: Store) -> None:
    id_ = filled(stored, range(1, 2))
    age(home, stored, id_, days=40)
    with sqlite3.connect(layout.database_file(home)) as connection:
        connection.execute("UPDATE selections SET kept = 1")
    app = create_app(stored, lambda: Environment(home, home, None, None, None), None)
    client = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
    digest, *_ = stored.keeping.trials_of(id_)
    files_of(home, digest, days=40)
    [*there] = prunable(FolderPlace(home), stored, ["models", "predictions", "logs"], 0.0)
    before = client.get("/v1/results").json()
    assert all(prune(stored, one) for one in there)
    assert client.get("/v1/results").json() == before
    saved = client.get(f"/v1/trials/{digest}").json()["saved"]
    assert (saved["models"], saved["predictions"]) == ([], 0)
    for path in ("predictions?language=de", "log"):
        answer = client.get(f"/v1/trials/{digest}/{path}")
        assert (answer.status_code, "pruned on 20" in answer.json()["detail"]) == (404, True)
    with sqlite3.connect(layout.database_file(home)) as connection:
        kept = dict(connection.execute("SELECT trial, kept FROM selections").fetchall())
    assert (kept[digest], sum(kept.values())) == (0, 2)  # who wants that model has it trained again
    layout.remove_trial(FolderPlace(home), digest)
    assert not layout.pruned_mark(home, "models", digest).exists()


def test_a_pruned_model_is_not_exported(home: Path, stored: Store, command: Callable[..., Any]) -> None:
    id_ = filled(stored, range(1, 2))
    age(home, stored, id_, days=40)
    digest, *_ = stored.keeping.trials_of(id_)
    files_of(home, digest, days=40)
    assert command("prune", "models")[0] == 0
    code, _, error = command("export", digest, home / "model")
    assert (code, error.count("\n")) == (1, 1)
    assert "pruned on 20" in error


def test_datasets_that_an_experiment_names_stay_unless_asked_for(home: Path, stored: Store) -> None:
    for name in ("free", "named", "needed"):
        write(layout.dataset_folder(home, name) / "dataset.json", 10, days=50)
    over, _ = (stored.experiments.add(spec_of(data={"dataset": name}), None) for name in ("named", "needed"))
    stored.control.move(over, "cancel")

    def names(even_named: bool = False) -> list[str]:
        return [one.name for one in prunable(FolderPlace(home), stored, ["datasets"], 0.0, even_named)]

    assert names() == ["free"]
    assert names(even_named=True) == ["free", "named"]
    both = list(prunable(FolderPlace(home), stored, ["datasets"], 0.0, even_named=True))
    assert [prune(stored, one) for one in both] == [True, False]
    assert prune(stored, both[1], even_named=True)
    assert layout.dataset_names(home) == ["needed"]


def test_the_texts_of_a_dataset_go_with_it(home: Path, stored: Store) -> None:
    write(layout.dataset_folder(home, "mine") / "dataset.json", 10, days=50)
    tokenized = layout.tokenized_parts(home) / "part.json"
    write(tokenized, 10, days=50)
    [mine] = prunable(FolderPlace(home), stored, ["datasets"], 0.0)
    assert tokenized.exists()
    assert prune(stored, mine)
    assert not tokenized.exists()


def test_leftovers_belong_to_nothing_and_are_a_day_old(home: Path, stored: Store) -> None:
    id_ = filled(stored, range(1, 2))
    [digest, *_] = stored.keeping.trials_of(id_)
    known = files_of(home, digest, days=3)
    left = [
        *files_of(home, "0" * 20, days=3).values(),
        write(layout.driver_log(home, "0" * 12), days=3),
        write(layout.cosines_file(home, "0" * 20, "last"), days=3),
        write(layout.tune_folder(home, "0" * 12) / "state.json", days=3),
        write(layout.datasets_folder(home) / ".0123" / "data" / "a.jsonl", days=3),
        write(layout.models_of(home, ".half") / "x", days=3),
        write(layout.downloads_folder(home) / "x" / "model.zip", days=3),
    ]
    write(layout.downloads_folder(home) / "y" / "model.zip", days=0.5)  # being downloaded
    (layout.datasets_folder(home) / ".4567" / "data").mkdir(parents=True)  # a folder is being checked
    write(layout.cosines_file(home, digest, "last"), days=3)
    for one in list(prunable(FolderPlace(home), stored, ["leftovers"], 0.0)):
        assert prune(stored, one)
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in known.values())
    assert (layout.downloads_folder(home) / "y").exists()
    assert (layout.datasets_folder(home) / ".4567").exists()
    assert layout.cosines_file(home, digest, "last").exists()


def test_what_is_gone_by_now_is_passed_over(home: Path, stored: Store) -> None:
    id_ = filled(stored, range(1, 2))
    age(home, stored, id_, days=40)
    trials = stored.keeping.trials_of(id_)
    files = [files_of(home, digest, days=40) for digest in trials]
    there = list(prunable(FolderPlace(home), stored, ["models", "logs"], 0.0))
    shutil.rmtree(layout.models_of(home, trials[0]))  # the experiment is being deleted, say
    layout.log_of(home, trials[1]).unlink()
    for one in there:
        prune(stored, one)
    assert not any(of[kind].exists() for of in files for kind in ("models", "logs"))


def test_the_files_of_another_database_are_no_leftovers(home: Path, stored: Store, command: Callable[..., Any]) -> None:
    files_of(home, "0" * 20, days=3)
    code, _, error = command("prune", "--dry-run")
    assert (code, "ALLASPRAK_DATABASE_URL" in error) == (1, True)


@pytest.mark.parametrize(("words", "seconds"), [("30d", 30 * DAY), ("12h", 43_200), ("0s", 0), ("2w", 14 * DAY)])
def test_durations(words: str, seconds: float) -> None:
    assert seconds_of(words) == seconds


@pytest.mark.parametrize("words", ["30", "d", "-1d", "1.5d", "30 d", "1y", ""])
def test_what_is_no_duration_is_refused(words: str) -> None:
    with pytest.raises(ValueError, match="is no duration; allowed"):
        seconds_of(words)


# What experiments take


def test_an_experiment_shows_what_its_files_take(home: Path, stored: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.api.disk.WAIT_SECONDS", 10.0)
    monkeypatch.setattr("service.api.disk.LEAST_SECONDS", 0.0)
    monkeypatch.setattr("service.api.disk.TIMES", 0.0)
    id_ = filled(stored, range(1, 2))
    client = TestClient(
        create_app(stored, lambda: Environment(home, home, None, None, None), None), base_url="http://127.0.0.1"
    )

    def disk() -> Any:
        return client.get(f"/v1/experiments/{id_}").json()["disk"]

    nothing = dict.fromkeys(("bytes", "models", "predictions", "checkpoints", "logs"), 0)
    assert disk() == nothing
    for digest in stored.keeping.trials_of(id_):
        files = files_of(home, digest)
        other = layout.model_of(home, digest, "last")
        shutil.copytree(files["models"].parent, other / "1", copy_function=os.link)  # of the same weights, there once
    files_of(home, "0" * 20)
    write(layout.driver_log(home, id_), 5)
    kinds = {"models": 3000, "predictions": 600, "checkpoints": 900, "logs": 125}
    assert disk() == {"bytes": sum(kinds.values()), **kinds}


def test_no_request_waits_until_many_files_are_counted(
    home: Path, stored: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting, asked = threading.Event(), [0]

    def slow(*_: object) -> list[str]:
        asked[0] += 1
        counting.wait(20)
        return []

    monkeypatch.setattr(stored.keeping, "trials_of", slow)
    id_ = filled(stored, range(1, 2))
    client = TestClient(
        create_app(stored, lambda: Environment(home, home, None, None, None), None), base_url="http://127.0.0.1"
    )
    shown = [client.get(f"/v1/experiments/{id_}").json()["disk"] for _ in range(3)]
    assert (shown, asked) == ([None] * 3, [1])
    counting.set()
    deadline = time.monotonic() + 20
    while client.get(f"/v1/experiments/{id_}").json()["disk"] is None:
        assert time.monotonic() < deadline


@pytest.mark.slow
def test_a_backup_of_a_running_service_becomes_another_one(
    start_service: Callable[..., Any], spec: dict[str, Any], tmp_path: Path
) -> None:
    service = start_service(tmp_path / "home")
    id_ = service.client.submit({**spec, "keep": "all"})
    running = service.client.submit({**spec, "seeds": [2], "training": {**spec["training"], "epochs": 40}})
    service.client.wait(id_, progress=False)
    settings = Settings.from_environment({"ALLASPRAK_HOME": str(service.home)})
    backup(settings, tmp_path / "backup.tar", with_models=True)
    gains = {"method": "gradient-mix-train"}, {"method": "ord-FS"}
    asked = {"experiment": id_, "unit": "items", "allow": ["alpha"]}
    shown = service.client.results(id_), service.client.compare(*gains, **asked)
    service.client.cancel(running)
    service.stop()
    with tarfile.open(tmp_path / "backup.tar") as archive:
        archive.extractall(tmp_path / "restored", filter="data")
    shutil.rmtree(service.home)
    restored = start_service(tmp_path / "restored")
    assert restored.client.results(id_).equals(shown[0])
    assert restored.client.compare(*gains, **asked).equals(shown[1])
    trial = shown[0]["trial"].iloc[0]
    assert restored.client.model(trial, tmp_path / "models").is_dir()
    assert restored.client.wait(running, progress=False)["state"] == "succeeded"  # which went on from the beginning


def test_uses_are_the_same_in_every_database(store: Store) -> None:
    over, paused = filled(store, range(1, 2)), store.experiments.add(*planned(range(1, 3)))
    store.control.move(over, "start")
    store.control.move(over, "succeed")
    store.control.move(paused, "pause")
    named = store.experiments.add(spec_of(data={"dataset": "mine"}), None)
    uses, removed = store.keeping.uses("trial"), list[str]()
    assert set(uses) == {*store.keeping.trials_of(over), *store.keeping.trials_of(paused)}
    assert all(use.needed for use in uses.values())
    store.control.move(paused, "cancel")
    store.control.move(named, "cancel")
    assert not any(
        use.needed for kind in ("trial", "experiment", "dataset") for use in store.keeping.uses(kind).values()
    )
    assert all(use.ended > 0 for use in store.keeping.uses("trial").values())
    assert not store.keeping.let_go("dataset", "mine", lambda: removed.append("mine"))
    for of, name in (("trial", next(iter(uses))), ("experiment", over), ("dataset", "another"), ("trial", "0" * 20)):
        assert store.keeping.let_go(of, name, lambda name=name: removed.append(name), models=of == "trial")
    assert len(removed) == 4
