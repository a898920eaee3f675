"""From the schema that a database has to the one that the tables are of now, by Alembic's migrations."""

from importlib.resources import files

from sqlalchemy import Connection, inspect, text

from service.store.schema import REVISION

# Of PostgreSQL's advisory locks, the one that services hold while they upgrade.
LOCK = 0x616C6C61


class SchemaVersionError(RuntimeError):
    """The database is that of another version of this service, which this one can't read."""


def upgrade(connection: Connection) -> None:
    """Make the tables, or bring them up to date, in the connection's transaction.

    Raises:
        SchemaVersionError: a later service has upgraded the database, or it is older than all migrations.
    """
    if _revision(connection) == REVISION:
        return
    from alembic import command, config, util  # a quarter of a second, which drivers need not spend

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
    """The schema that a database has; None if it has no tables."""
    tables = inspect(connection)
    if tables.has_table("schema_version"):
        raise SchemaVersionError("the database is of a schema from before the first that is upgraded; use another one")
    if not tables.has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
