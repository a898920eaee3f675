"""The health of a database: its tables and columns are those of this version, over each database."""

from math import inf

import pytest
from sqlalchemy import text

from service.store import DatabaseLostError, Store
from service.store.schema import REVISION

# What happens to a database, how it is undone, and what is said of it.
FAULTS = [
    ("ALTER TABLE scores RENAME TO gone", "ALTER TABLE gone RENAME TO scores", "scores"),
    ("ALTER TABLE lease RENAME TO gone", "ALTER TABLE gone RENAME TO lease", "lease"),
    ("ALTER TABLE attempts RENAME reason TO gone", "ALTER TABLE attempts RENAME gone TO reason", "reason"),
    ("ALTER TABLE allasprak_version RENAME TO gone", "ALTER TABLE gone RENAME TO allasprak_version", "_version"),
    (
        "UPDATE allasprak_version SET version_num = '0001'",
        f"UPDATE allasprak_version SET version_num = '{REVISION}'",
        f"its schema is 0001, and this needs {REVISION}",
    ),
    ("DELETE FROM allasprak_version", f"INSERT INTO allasprak_version VALUES ('{REVISION}')", "its schema is None"),
]


@pytest.mark.parametrize(("breaks", "mends", "words"), FAULTS, ids=[breaks for breaks, _, _ in FAULTS])
def test_a_table_or_column_that_is_missing_is_named(
    store: Store, breaks: str, mends: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.store.health.SHARE", inf)  # each look is a new one
    store.health.check()
    with store._database.write() as connection:
        connection.execute(text(breaks))
    try:
        with pytest.raises(DatabaseLostError, match=f"the database is broken: .*{words}"):
            store.health.check()
    finally:
        with store._database.write() as connection:
            connection.execute(text(mends))
    store.health.check()
