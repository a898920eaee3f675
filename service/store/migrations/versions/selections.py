"""Room for the names of selections of one target among several, and for those of methods that have such."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0005", "0004"


def upgrade() -> None:
    """Widen the columns."""
    wider = (("planned_results", "method", 64), ("planned_results", "selection", 48), ("selections", "selection", 48))
    for table, column, length in wider:
        with op.batch_alter_table(table) as batch:
            batch.alter_column(column, type_=sa.String(length=length), existing_nullable=False)
