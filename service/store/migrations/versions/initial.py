"""The first schema that is upgraded: tables as they were, whatever they have become since."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0001", None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "clock",
        sa.Column("now", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("now"),
    )
    op.create_table(
        "experiments",
        sa.Column("id", sa.String(length=12), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("planned", sa.Boolean(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("request_key", sa.String(length=200)),
        sa.Column("request_digest", sa.String(length=64)),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("started", sa.Float()),
        sa.Column("finished", sa.Float()),
        sa.Column("driver_pid", sa.Integer()),
        sa.Column("driver_created", sa.Float()),
        sa.Column("driver_deaths", sa.Integer(), nullable=False),
        sa.Column("driver_due", sa.Float()),
        sa.Column("driver_unwanted", sa.Boolean(), nullable=False),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("request_key"),
    )
    op.create_index("ix_experiments_created", "experiments", ["created"])
    op.create_index("ix_experiments_owner", "experiments", ["owner"])
    op.create_index("ix_experiments_state", "experiments", ["state"])
    op.create_table(
        "sizes",
        sa.Column("encoder", sa.String(length=20), nullable=False),
        sa.Column("data", sa.String(length=20), nullable=False),
        sa.Column("examples", sa.Integer(), nullable=False),
        sa.Column("windows", sa.Integer(), nullable=False),
        sa.Column("sub_words", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("encoder", "data"),
    )
    op.create_table(
        "trials",
        sa.Column("digest", sa.String(length=20), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("source", sa.String(length=20)),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("epochs", sa.Integer(), nullable=False),
        sa.Column("facts", sa.JSON()),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_table(
        "attempts",
        sa.Column("trial", sa.String(length=20), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("experiment", sa.String(length=12), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("rate", sa.Float()),
        sa.Column("started", sa.Float(), nullable=False),
        sa.Column("ended", sa.Float()),
        sa.ForeignKeyConstraint(["trial"], ["trials.digest"]),
        sa.PrimaryKeyConstraint("trial", "number"),
    )
    op.create_index("ix_attempts_experiment", "attempts", ["experiment"])
    op.create_table(
        "events",
        sa.Column("experiment", sa.String(length=12), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["experiment"], ["experiments.id"]),
        sa.PrimaryKeyConstraint("experiment", "number"),
    )
    op.create_table(
        "planned_results",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("experiment", sa.String(length=12), nullable=False),
        sa.Column("method", sa.String(length=32), nullable=False),
        sa.Column("k", sa.Integer(), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("alpha", sa.Float()),
        sa.Column("candidate", sa.Text(), nullable=False),
        sa.Column("judged_on", sa.String(length=16), nullable=False),
        sa.Column("language", sa.String(length=32), nullable=False),
        sa.Column("split", sa.String(length=8), nullable=False),
        sa.Column("trial", sa.String(length=20), nullable=False),
        sa.Column("selection", sa.String(length=16), nullable=False),
        sa.Column("data", sa.String(length=20), nullable=False),
        sa.Column("at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(["experiment"], ["experiments.id"]),
        sa.ForeignKeyConstraint(["trial"], ["trials.digest"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_planned_results_at", "planned_results", ["at"])
    op.create_index("ix_planned_results_experiment", "planned_results", ["experiment"])
    op.create_index("ix_planned_results_trial", "planned_results", ["trial"])
    op.create_table(
        "planned_trials",
        sa.Column("experiment", sa.String(length=12), nullable=False),
        sa.Column("trial", sa.String(length=20), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("selections", sa.JSON(), nullable=False),
        sa.Column("evaluate", sa.JSON(), nullable=False),
        sa.Column("judge", sa.JSON(), nullable=False),
        sa.Column("sweep", sa.String(length=20)),
        sa.Column("test_every_report", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("reused", sa.Boolean(), nullable=False),
        sa.Column("estimated", sa.Float()),
        sa.ForeignKeyConstraint(["experiment"], ["experiments.id"]),
        sa.ForeignKeyConstraint(["trial"], ["trials.digest"]),
        sa.PrimaryKeyConstraint("experiment", "trial"),
    )
    op.create_index("ix_planned_trials_trial", "planned_trials", ["trial"])
    op.create_table(
        "scores",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("trial", sa.String(length=20), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("language", sa.String(length=32), nullable=False),
        sa.Column("split", sa.String(length=8), nullable=False),
        sa.Column("data", sa.String(length=20), nullable=False),
        sa.Column("metric", sa.String(length=32), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("examples", sa.Integer(), nullable=False),
        sa.Column("cut", sa.Boolean(), nullable=False),
        sa.Column("at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(["trial"], ["trials.digest"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("trial", "step", "language", "split", "data", "metric"),
    )
    op.create_index("ix_scores_at", "scores", ["at"])
    op.create_index("ix_scores_trial_language", "scores", ["trial", "language", "split", "data"])
    op.create_table(
        "selections",
        sa.Column("trial", sa.String(length=20), nullable=False),
        sa.Column("selection", sa.String(length=16), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(["trial"], ["trials.digest"]),
        sa.PrimaryKeyConstraint("trial", "selection"),
    )
    op.create_index("ix_selections_at", "selections", ["at"])
    op.create_table(
        "shares",
        sa.Column("experiment", sa.String(length=12), nullable=False),
        sa.Column("cpus", sa.Float(), nullable=False),
        sa.Column("gpus", sa.Float(), nullable=False),
        sa.Column("memory", sa.Float(), nullable=False),
        sa.Column("beat", sa.Float(), nullable=False),
        sa.Column("waiting", sa.Float()),
        sa.Column("wants", sa.Integer(), nullable=False),
        sa.Column("used", sa.Float(), nullable=False),
        sa.Column("turns", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["experiment"], ["experiments.id"]),
        sa.PrimaryKeyConstraint("experiment"),
    )
    op.create_table(
        "slots",
        sa.Column("trial", sa.String(length=20), nullable=False),
        sa.Column("experiment", sa.String(length=12), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.Column("share", sa.Float(), nullable=False),
        sa.Column("cpus", sa.Float(), nullable=False),
        sa.Column("gpus", sa.Float(), nullable=False),
        sa.Column("memory", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["experiment"], ["experiments.id"]),
        sa.ForeignKeyConstraint(["trial"], ["trials.digest"]),
        sa.PrimaryKeyConstraint("trial"),
    )
    op.create_index("ix_slots_experiment", "slots", ["experiment"])
    op.create_table(
        "tags",
        sa.Column("experiment", sa.String(length=12), nullable=False),
        sa.Column("tag", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["experiment"], ["experiments.id"]),
        sa.PrimaryKeyConstraint("experiment", "tag"),
    )
    op.create_index("ix_tags_tag", "tags", ["tag"])
    op.execute("INSERT INTO clock (now) VALUES (0)")
