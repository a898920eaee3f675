"""Migration of a database to the current schema, with Alembic."""

from importlib.resources import files

from sqlalchemy import Connection, inspect, select, text

from service.store.schema import REVISION, VERSION_TABLE, VERSION_TABLE_UNTIL_0005, lease, metadata

# The PostgreSQL advisory lock that a service holds while it migrates.
LOCK = 0x616C6C61


class SchemaVersionError(RuntimeError):
    """The schema of the database is that of another version of allasprak, which this one cannot read."""


def upgrade(connection: Connection, token: str = "") -> None:
    """Create or migrate the tables, in the connection's transaction.

    Args:
        connection: to the database.
        token: of the lease that the caller has, "" if it has none.

    Raises:
        SchemaVersionError: a later version has migrated the database, it is older than all migrations, it belongs to
            another program, or a server of an earlier version has its lease, or had it when it was killed.
    """
    if _revision(connection) == REVISION:
        return
    from alembic import command, config, util  # imported late: a quarter of a second that drivers do not need

    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
    if waits_for_lease(connection):
        _require_lease(connection, token)
    _take_over(connection)
    ours = config.Config()
    migrations = str(files("service.store") / "migrations")
    ours.set_main_option("script_location", migrations.replace("%", "%%"))  # it is read as an ini file's
    ours.attributes["connection"] = connection
    try:
        command.upgrade(ours, "head")
    except util.CommandError as error:
        raise SchemaVersionError(
            f"the database has schema {_revision(connection)}, of a later version of allasprak; this one has {REVISION}"
        ) from error


def waits_for_lease(connection: Connection) -> bool:
    """Whether a database of an earlier version has a lease: whoever migrates it needs that first."""
    there = set(inspect(connection).get_table_names())
    table = VERSION_TABLE if VERSION_TABLE in there else VERSION_TABLE_UNTIL_0005
    if lease.name not in there or not (table == VERSION_TABLE or _is_ours(there)):
        return False
    revision = connection.execute(text(f"SELECT version_num FROM {table}")).scalar()
    return (table, revision) != (VERSION_TABLE, REVISION) and (revision or "") <= REVISION


def _require_lease(connection: Connection, token: str) -> None:
    if connection.dialect.name == "postgresql":  # nobody takes it meanwhile; in SQLite a transaction sees to that
        connection.exec_driver_sql(f"LOCK TABLE {lease.name} IN SHARE ROW EXCLUSIVE MODE")
    holder = connection.execute(select(lease.c.token, lease.c.pid, lease.c.host, lease.c.home)).first()
    if holder is not None and holder.token not in ("", token):
        raise SchemaVersionError(
            f"the database is of an earlier version of allasprak, and process {holder.pid} on {holder.host} with the"
            f" home {holder.home} has not given it back: stop that server; if it was killed, start one of this version"
        )


def _revision(connection: Connection) -> str | None:
    """The schema revision of a database; None if it has no tables."""
    tables = inspect(connection)
    if tables.has_table("schema_version"):
        raise SchemaVersionError("the database is of a schema from before the first that is upgraded; use another one")
    if not tables.has_table(VERSION_TABLE):
        return None
    return connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()


def _take_over(connection: Connection) -> None:
    """Rename the version table of a database of ours that has it under its first name; refuse another program's."""
    there = set(inspect(connection).get_table_names())
    if VERSION_TABLE in there:
        return
    if _is_ours(there):
        connection.execute(text(f"ALTER TABLE {VERSION_TABLE_UNTIL_0005} RENAME TO {VERSION_TABLE}"))
        return
    foreign = sorted(there & {VERSION_TABLE_UNTIL_0005, *metadata.tables})
    if foreign:
        raise SchemaVersionError(
            f"the database belongs to another program: {', '.join(foreign)} in it "
            f"{'is a table' if len(foreign) == 1 else 'are tables'} that allasprak has not made; name another database"
        )


def _is_ours(tables: set[str]) -> bool:
    """Whether these are tables of ours from when the version table still had its first name."""
    return {VERSION_TABLE_UNTIL_0005, "experiments", "planned_trials"} <= tables
