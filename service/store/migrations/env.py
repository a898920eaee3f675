"""Alembic's way in (its documentation, "Sharing a Connection"): the caller's own connection and transaction."""

from alembic import context

from service.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
