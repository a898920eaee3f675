"""Migration of a database to the current schema, with Alembic."""

from importlib.resources import files

from sqlalchemy import Connection, inspect, text

from service.store.schema import REVISION

# The PostgreSQL advisory lock that a service holds while it migrates.
LOCK = 0x616C6C61


class SchemaVersionError(RuntimeError):
    """The schema of the database is that of another version of allasprak, which this one cannot read."""


def upgrade(connection: Connection) -> None:
    """Create or migrate the tables, in the connection's transaction.

    Raises:
        SchemaVersionError: a later version has migrated the database, or it is older than all migrations.
    """
    if _revision(connection) == REVISION:
        return
    from alembic import command, config, util  # imported late: a quarter of a second that drivers do not need

    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
    ours = config.Config()
    ours.set_main_option("script_location", str(files("service.store") / "migrations"))
    ours.attributes["connection"] = connection
    try:
        command.upgrade(ours, "head")
    except util.CommandError as error:
        raise SchemaVersionError(
            f"the database has schema {_revision(connection)}, of a later version of allasprak; this one has {REVISION}"
        ) from error


def _revision(connection: Connection) -> str | None:
    """The schema revision of a database; None if it has no tables."""
    tables = inspect(connection)
    if tables.has_table("schema_version"):
        raise SchemaVersionError("the database is of a schema from before the first that is upgraded; use another one")
    if not tables.has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
