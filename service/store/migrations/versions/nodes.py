"""Which machine each attempt at a trial ran on."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0008", "0007"


def upgrade() -> None:
    """Make the column; of attempts before it is not known."""
    op.add_column("attempts", sa.Column("node", sa.String(length=255)))
