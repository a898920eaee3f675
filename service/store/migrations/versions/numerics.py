"""Which NUMERICS results were made under."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0004", "0003"


def upgrade() -> None:
    """Make the column; all results before it are of version 0.1.0, which had 3."""
    op.add_column("planned_results", sa.Column("numerics", sa.Integer(), nullable=False, server_default="3"))
