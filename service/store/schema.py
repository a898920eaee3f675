"""The tables, as they are now."""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

metadata = MetaData()

# Alembic's default name may be taken by another program in the same database.
VERSION_TABLE = "allasprak_version"
VERSION_TABLE_UNTIL_0005 = "alembic_version"


class Readable(FunctionElement[Any]):
    """A JSON column where it is an object, null elsewhere: SQLite refuses a whole query for one row that is no JSON."""

    name = "readable"
    type = JSON()
    inherit_cache = True


@compiles(Readable)
def _as_it_is(element: Readable, compiler: Any, **given: Any) -> str:
    return str(compiler.process(element.clauses, **given))


@compiles(Readable, "sqlite")
def _if_valid(element: Readable, compiler: Any, **given: Any) -> str:
    column = compiler.process(element.clauses, **given)
    return f"CASE WHEN json_valid({column}) THEN CASE json_type({column}) WHEN 'object' THEN {column} END END"


# The last of `migrations/versions`: a table changes together with a migration that makes it so.
REVISION = "0008"

# SQLite counts up only an INTEGER primary key.
Sequence = BigInteger().with_variant(Integer, "sqlite")

# One row: the last moment at which something was written that has an `at` of it: planned results, selections, scores.
clock = Table("clock", metadata, Column("now", Sequence, primary_key=True, autoincrement=False))

# At most one row: the server that may start and stop drivers, or that had done so last, and the number of heartbeats of
# all servers. `token` is of that server alone, empty once it has stopped; `folder` and `place` are those of `Owner`.
# These columns stay: a server of a later version takes the lease before it migrates the other tables.
lease = Table(
    "lease",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("token", String(16), nullable=False),
    Column("home", Text, nullable=False),
    Column("folder", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("place", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("created", Float, nullable=False),
    Column("beats", BigInteger, nullable=False),
)

# Who may ask: `digest` is the SHA-256 of a token, which itself is stored nowhere. Rows of revoked ones stay.
access_tokens = Table(
    "access_tokens",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("read_only", Boolean, nullable=False),
    Column("created", Float, nullable=False),
    Column("revoked", Float),
)

# What a user asked for. Times are seconds since 1970 (UTC). `request_key` is that of the request (Idempotency-Key),
# `request_digest` of what was asked under it. `driver_*` name the process that runs it: its pid, when that process was
# started (pids are used again), how many have died since a trial got further, before when no other is started, and
# whether it is to be stopped. `driver_due` is a `clocks.moment`. `events` is the number of the last one.
experiments = Table(
    "experiments",
    metadata,
    Column("id", String(12), primary_key=True),
    Column("name", Text, nullable=False),
    Column("owner", Text, nullable=False, index=True),
    Column("spec", JSON, nullable=False),
    Column("planned", Boolean, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("request_key", String(200), unique=True),
    Column("request_digest", String(64)),
    Column("state", String(16), nullable=False, index=True),
    Column("reason", Text, nullable=False),
    Column("created", Float, nullable=False, index=True),
    Column("started", Float),
    Column("finished", Float),
    Column("driver_pid", Integer),
    Column("driver_created", Float),
    Column("driver_deaths", Integer, nullable=False),
    Column("driver_due", Float),
    Column("driver_unwanted", Boolean, nullable=False),
    Column("events", Integer, nullable=False),
)

tags = Table(
    "tags",
    metadata,
    Column("experiment", ForeignKey("experiments.id"), primary_key=True),
    Column("tag", Text, primary_key=True, index=True),
)

# A training, by the digest of its configuration: shared by every experiment that plans it. `attempt` is the number of
# the last attempt at it, 0 if there was none.
trials = Table(
    "trials",
    metadata,
    Column("digest", String(20), primary_key=True),
    Column("config", JSON, nullable=False),
    Column("source", String(20)),
    Column("attempt", Integer, nullable=False),
    Column("epochs", Integer, nullable=False),
    Column("facts", JSON),
)

# What was tried at a trial, for an experiment, and what came of it: `state` is "running", "succeeded", "stopped",
# "failed" (the trainer said so), "died" (its process did) or "interrupted" (by a pause, a stop or its driver's death).
# `epoch` is how far it came, `rate` its optimizer steps a second by its last report, `node` the machine that reports
# came from. The experiment may have been deleted since.
attempts = Table(
    "attempts",
    metadata,
    Column("trial", ForeignKey("trials.digest"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("experiment", String(12), nullable=False, index=True),
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("rate", Float),
    Column("node", String(255)),
    Column("started", Float, nullable=False),
    Column("ended", Float),
)

# What happened to an experiment, numbered from 1: `data` is its new state and why, or a trial's state, epoch and
# scores.
events = Table(
    "events",
    metadata,
    Column("experiment", ForeignKey("experiments.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("data", JSON, nullable=False),
)

# The experiments whose drivers share the pool: what each of their trials takes, when the driver was last heard of,
# since when it waits for slots (null: it does not) and for how many, how much it has `used` in seconds of the whole
# pool, and how many slots it has had. `beat` and `waiting` are `clocks.moment`s, as is `since` of slots.
shares = Table(
    "shares",
    metadata,
    Column("experiment", ForeignKey("experiments.id"), primary_key=True),
    Column("cpus", Float, nullable=False),
    Column("gpus", Float, nullable=False),
    Column("memory", Float, nullable=False),
    Column("beat", Float, nullable=False),
    Column("waiting", Float),
    Column("wants", Integer, nullable=False),
    Column("used", Float, nullable=False),
    Column("turns", Integer, nullable=False),
)

# The trials that run, each for one experiment, and the `share` of the pool that each takes.
slots = Table(
    "slots",
    metadata,
    Column("trial", ForeignKey("trials.digest"), primary_key=True),
    Column("experiment", ForeignKey("experiments.id"), nullable=False, index=True),
    Column("since", Float, nullable=False),
    Column("share", Float, nullable=False),
    Column("cpus", Float, nullable=False),
    Column("gpus", Float, nullable=False),
    Column("memory", Float, nullable=False),
)

# What an experiment needs of a trial, and whether it has it: `selections` are the checkpoints that are scored,
# `evaluate` is {language: digest of the test examples}, `judge` the same of the dev examples on which it is compared
# with the other trials of its `sweep`, `test_every_report` asks for test scores of every epoch, `keep` for the models
# that were selected. `reused` says that all that was there before the experiment came to run the trial; the state
# "stopped" that a scheduler found it not worth going on, "cancelled" that the experiment was. `estimated` are the
# seconds that it was planned to take (null where that was not known).
planned_trials = Table(
    "planned_trials",
    metadata,
    Column("experiment", ForeignKey("experiments.id"), primary_key=True),
    Column("trial", ForeignKey("trials.digest"), primary_key=True, index=True),
    Column("position", Integer, nullable=False),
    Column("selections", JSON, nullable=False),
    Column("evaluate", JSON, nullable=False),
    Column("judge", JSON, nullable=False),
    Column("sweep", String(20)),
    Column("test_every_report", Boolean, nullable=False),
    Column("keep", Boolean, nullable=False, server_default=false()),
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("reused", Boolean, nullable=False),
    Column("estimated", Float),
)

# What an experiment wants to know: a (method, K, seed, alpha, language, split), and the trial, the selection among its
# checkpoints and the data that answer it. `candidate` says in words what was searched, `judged_on`
# what candidates are chosen by, `numerics` is the NUMERICS of the trial.
planned_results = Table(
    "planned_results",
    metadata,
    Column("id", Sequence, primary_key=True),
    Column("experiment", ForeignKey("experiments.id"), nullable=False, index=True),
    Column("method", String(64), nullable=False),
    Column("k", Integer, nullable=False),
    Column("seed", Integer, nullable=False),
    Column("alpha", Float),
    Column("candidate", Text, nullable=False),
    Column("judged_on", String(16), nullable=False),
    Column("language", String(32), nullable=False),
    Column("split", String(8), nullable=False),
    Column("trial", ForeignKey("trials.digest"), nullable=False, index=True),
    Column("selection", String(48), nullable=False),
    Column("data", String(20), nullable=False),
    Column("at", Sequence, nullable=False, index=True),
    Column("numerics", Integer, nullable=False, server_default="3"),
)

# Which of a trial's steps a selection chose (-n is the mean of the last n epochs' weights), and whether that model is
# on disk.
selections = Table(
    "selections",
    metadata,
    Column("trial", ForeignKey("trials.digest"), primary_key=True),
    Column("selection", String(48), primary_key=True),
    Column("step", Integer, nullable=False),
    Column("kept", Boolean, nullable=False, server_default=false()),
    Column("at", Sequence, nullable=False, index=True),
)

# What an encoder's tokenizer makes of a split: of the most of its `examples` that a trial has tokenised. `data` is the
# digest of the whole split.
sizes = Table(
    "sizes",
    metadata,
    Column("encoder", String(20), primary_key=True),
    Column("data", String(20), primary_key=True),
    Column("examples", Integer, nullable=False),
    Column("windows", Integer, nullable=False),
    Column("sub_words", BigInteger, nullable=False),
)

# What a training measured of itself at a report, since its start or since the report before, as its `values` say: its
# loss, its speed, what surgery met.
measures = Table(
    "measures",
    metadata,
    Column("trial", ForeignKey("trials.digest"), primary_key=True),
    Column("step", Integer, primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("values", JSON, nullable=False),
)

# A metric's value in percent. A replayed step replaces itself. A mark (`trainers.marks`) is a row with the mark's name
# as its metric, and is of all others of that step, language, split and data.
scores = Table(
    "scores",
    metadata,
    Column("id", Sequence, primary_key=True),
    Column("trial", ForeignKey("trials.digest"), nullable=False),
    Column("step", Integer, nullable=False),
    Column("language", String(32), nullable=False),
    Column("split", String(8), nullable=False),
    Column("data", String(20), nullable=False),
    Column("metric", String(32), nullable=False),
    Column("value", Float, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("examples", Integer, nullable=False),
    Column("cut", Boolean, nullable=False),
    Column("at", Sequence, nullable=False, index=True),
    Index("ix_scores_trial_language", "trial", "language", "split", "data"),
    UniqueConstraint("trial", "step", "language", "split", "data", "metric"),
)
