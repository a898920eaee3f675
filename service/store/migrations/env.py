"""Alembic's way in (its documentation, "Sharing a Connection"): the caller's own connection and transaction."""

from alembic import context

from service.store.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, version_table=VERSION_TABLE
)
context.run_migrations()
