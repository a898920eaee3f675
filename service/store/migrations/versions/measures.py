"""What trainings measure of themselves, report by report."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0002", "0001"


def upgrade() -> None:
    """Make the table; what trainings before it measured is not known."""
    op.create_table(
        "measures",
        sa.Column("trial", sa.String(length=20), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("values", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["trial"], ["trials.digest"]),
        sa.PrimaryKeyConstraint("trial", "step"),
    )
