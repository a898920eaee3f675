"""Databases keep up with the service: none that was ever released is lost, and a later one is not touched."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text

from service.settings import Settings
from service.store import Query, Store
from service.store.query import equal
from service.store.schema import REVISION, VERSION_TABLE, metadata

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
