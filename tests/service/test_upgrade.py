"""Databases keep up with the service: none that was ever released is lost, and a later one is not touched."""

import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from threading import Barrier

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, event, inspect, text

from service.engine.supervisor import Supervisor
from service.owner import Owner
from service.settings import Settings
from service.store import LeaseHeldError, Query, Store, database
from service.store.query import equal
from service.store.schema import REVISION, VERSION_TABLE, metadata
from service.store.upgrade import SchemaVersionError

FROZEN = sorted((Path(__file__).parent / "frozen").glob("*.sql"))


def test_every_revision_but_those_to_come_is_frozen_and_the_last_is_the_tables_own() -> None:
    config = Config()
    config.set_main_option("script_location", str(files("service.store") / "migrations"))
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_heads() == [REVISION]
    assert [file.stem for file in FROZEN] == sorted(script.revision for script in scripts.walk_revisions())


def test_the_migrations_make_the_tables(empty_url: str) -> None:
    Store(empty_url).close()
    engine = create_engine(empty_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


@pytest.mark.parametrize("frozen", FROZEN, ids=lambda file: file.stem)
def test_a_database_of_any_version_is_upgraded_with_all_that_is_in_it(tmp_path: Path, frozen: Path) -> None:
    file = tmp_path / "store.sqlite"
    with sqlite3.connect(file) as connection:
        connection.executescript(frozen.read_text())
    store = Store(f"sqlite:///{file}")
    paused, done = store.experiments.page(limit=9)[0]
    assert (paused.owner, paused.state, paused.trials["reused"]) == ("Bo", "paused", 2)
    assert (done.name, done.state, done.tags) == ("ñ 中文", "succeeded", ["a", "b"])
    rows = store.results.rows(Query(equal({"experiment": [done.id]})), 100).rows
    found = {(row["method"], row["language"], row["split"]): row["value"] for row in rows}
    assert found["zero-shot", "en", "dev"] == 50.5
    assert found["zero-shot", "hi", "test"] == 66.0
    assert found["ord-FS", "de", "test"] == 79.125
    assert {row["numerics"] for row in rows} == {paused.numerics} == {3}
    assert store.control.move(paused.id, "resume")
    known = [(one.name, one.read_only, one.revoked is None) for one in store.tokens.all()]
    assert known == ([("ana", False, True), ("grafana", True, True), ("bo", False, False)] * (frozen.stem >= "0007"))
    found = store.tokens.look("allasprak_of-ana")
    assert (found.asks, found.token is not None) == (frozen.stem >= "0007",) * 2
    source = store.trials.one("c25e2bd2db896eebff6c")
    assert source is not None
    assert [one["node"] for one in source["attempts"]] == ["gpu7" if frozen.stem >= "0008" else None]
    store.close()


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "nodb://u:s3cret@h/x",
        "postgresql+psycopg://u:s3cret@127.0.0.1:1/x",
        "sqlite:////nowhere/x.sqlite",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///file::memory:?uri=true",
        "sqlite:///file:x?mode=memory&uri=true",
        "sqlite:///file:x?vfs=memdb&uri=true",
        "sqlite+pysqlite:///file:/x?vfs=memdb&uri=1",
        "sqlite:///file:/tmp/x?nolock=1&uri=true",
        "sqlite:///file:/tmp/x",
        "sqlite:////tmp/x?uri=true",
        "sqlite:////tmp/x?vfs=memdb",
    ],
)
def test_a_database_that_is_not_there_is_named_by_its_setting_and_no_secret_is_told(url: str) -> None:
    with pytest.raises(RuntimeError, match="ALLASPRAK_DATABASE_URL: ") as raised:
        Store(url)
    assert "s3cret" not in str(raised.value)
    if url.startswith("sqlite") and "nowhere" not in url:
        assert "allowed" in str(raised.value)
        with pytest.raises(RuntimeError, match="an SQLite database is a file without parameters"):
            Settings.from_environment({"ALLASPRAK_DATABASE_URL": url}).existing_database()


def test_services_that_start_at_once_make_the_tables_once(empty_url: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        for store in pool.map(lambda _: Store(empty_url), range(8)):
            assert store.experiments.page(limit=1) == ([], None)
            store.close()


def test_connections_that_open_a_new_file_at_once_wait_for_each_other(tmp_path: Path) -> None:
    def opened(number: int) -> str:
        gate.wait()
        with engines[number].connect() as connection:
            return str(connection.exec_driver_sql("PRAGMA journal_mode").scalar_one())

    gate = Barrier(4)
    with ThreadPoolExecutor(gate.parties) as pool:
        for name in range(50):
            engines = [create_engine(f"sqlite:///{tmp_path / str(name)}") for _ in range(gate.parties)]
            for engine in engines:
                event.listen(engine, "connect", database._configure_sqlite)
            assert list(pool.map(opened, range(gate.parties))) == ["wal"] * gate.parties
            for engine in engines:
                engine.dispose()


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE allasprak_version SET version_num = '9999'", f"schema 9999, of a later version.* has {REVISION}"),
        ("CREATE TABLE schema_version (version INTEGER)", "from before the first"),
    ],
)
def test_a_database_that_this_service_does_not_know_is_refused(empty_url: str, statement: str, words: str) -> None:
    Store(empty_url).close()
    engine = create_engine(empty_url)
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()
    with pytest.raises(RuntimeError, match=words):
        Store(empty_url)


@pytest.mark.parametrize("tables", ["alembic_version (version_num VARCHAR(32))", "experiments (experiment_id INTEGER)"])
def test_a_database_of_another_program_is_refused_and_left_as_it_is(empty_url: str, tables: str) -> None:
    engine = create_engine(empty_url)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE TABLE {tables}"))
    name = tables.partition(" ")[0]
    with pytest.raises(RuntimeError, match=f"belongs to another program: {name} in it"):
        Store(empty_url)
    with engine.connect() as connection:
        assert inspect(connection).get_table_names() == [name]
    engine.dispose()


def test_the_version_table_of_a_database_beside_another_program_is_our_own(empty_url: str) -> None:
    Store(empty_url).close()
    engine = create_engine(empty_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('of somebody else')"))
    Store(empty_url).close()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "of somebody else"
    engine.dispose()


HERE = Owner(home="/homes/ada", folder="1:2", host="leda", place="boot pid:[1]")
ELSEWHERE = replace(HERE, home="/homes/bo", host="europa", place="boot pid:[2]")


def schema(file: Path) -> list[tuple[str, ...]]:
    """The tables and the version of an SQLite file."""
    with closing(sqlite3.connect(file)) as connection:
        [table] = connection.execute(
            "SELECT name FROM sqlite_master WHERE name LIKE '%\\_version' ESCAPE '\\'"
        ).fetchone()
        version = connection.execute(f"SELECT * FROM {table}").fetchall()
        return [*connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall(), *version]


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A database of an earlier version that has a lease, which nobody holds."""
    file = tmp_path / "older.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript((Path(__file__).parent / "frozen" / "0006.sql").read_text())
    return file


def test_a_database_whose_older_server_runs_is_left_as_it_is(older: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.store.lease.BEAT_SECONDS", 0.05)
    url, before = f"sqlite:///{older}", schema(older)
    running = Store(url, leased=True)
    held = running.lease(ELSEWHERE, (7, 1.5), lambda *_: True)
    held.take(lambda _: None)
    newer = Store(url, leased=True)
    mine = newer.lease(HERE, (8, 1.5), lambda *_: True)
    with pytest.raises(LeaseHeldError, match="process 7 on europa"):
        mine.take(lambda _: None)
    with pytest.raises(SchemaVersionError, match="process 7 on europa with the home /homes/bo has not given it back"):
        newer.upgrade(mine)
    with pytest.raises(SchemaVersionError, match="stop that server"):
        Store(url)  # such as that of a command
    assert schema(older) == before
    held.release()
    assert mine.take(lambda _: None) is False
    newer.upgrade(mine)
    assert schema(older) != before
    assert len(newer.experiments.page(limit=9)[0]) == 2
    newer.upgrade(mine)  # it is current
    mine.release()
    for one in (running, newer):
        one.close()


def test_a_server_asks_for_the_lease_before_it_upgrades(
    older: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.store.lease.BEAT_SECONDS", 0.05)
    settings, before = Settings.from_environment({"ALLASPRAK_HOME": str(tmp_path / "home")}), schema(older)
    running, newer = (Store(f"sqlite:///{older}", leased=True) for _ in range(2))
    held = running.lease(ELSEWHERE, (7, 1.5), lambda *_: True)
    held.take(lambda _: None)
    with pytest.raises(LeaseHeldError):
        Supervisor(settings, newer)
    assert schema(older) == before
    held.release()

    class ReachedError(Exception):
        pass

    def stop(*_: object, **__: object) -> None:
        raise ReachedError

    monkeypatch.setattr("service.engine.pool.environment", stop)  # what comes next
    with pytest.raises(ReachedError):
        Supervisor(replace(settings, home=tmp_path / "other"), newer)
    assert schema(older) != before
    for one in (running, newer):
        one.close()


@pytest.mark.slow
@pytest.mark.service
def test_allasprak_serve_leaves_the_database_of_a_running_older_server_as_it_is(older: Path, tmp_path: Path) -> None:
    before, running = schema(older), Store(f"sqlite:///{older}", leased=True)
    held = running.lease(ELSEWHERE, (7, 1.5), lambda *_: True)
    held.take(lambda _: None)
    settings = {"ALLASPRAK_HOME": str(tmp_path / "home"), "ALLASPRAK_DATABASE_URL": f"sqlite:///{older}"}
    command = [sys.executable, "-m", "service.cli", "serve", "--port", "0"]
    done = subprocess.run(command, env={**os.environ, **settings}, capture_output=True, text=True, timeout=60)
    assert (done.returncode, "another server uses the database: process 7 on europa" in done.stderr) == (1, True)
    assert schema(older) == before
    held.release()
    running.close()
