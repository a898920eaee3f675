"""Which models experiments want on disk, and which are there."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0003", "0002"


def upgrade() -> None:
    """Make the columns; a model that is there already is found when its trial is asked for again."""
    for table, column in (("planned_trials", "keep"), ("selections", "kept")):
        op.add_column(table, sa.Column(column, sa.Boolean(), nullable=False, server_default=sa.false()))
