"""Whether the database can be trusted: it answers with tables of ours, and the pages of an SQLite file are whole."""

import sqlite3
import threading
import time
from contextlib import closing
from math import inf

from sqlalchemy import select
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import ProgrammingError

from service.store.database import Database, DatabaseLostError
from service.store.schema import REVISION, VERSION_TABLE, metadata

# Looks at all pages take at most this share of a core.
SHARE = 0.05

# Names all tables and columns, so that it fails where one is missing, and reads none of their rows.
TABLES = select(*(select(*table.c).limit(0).exists() for table in metadata.sorted_tables))

# What it is for SQLite's own module, and the version of the schema for any.
TABLES_OF_SQLITE = str(TABLES.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}))
REVISION_THERE = f"SELECT version_num FROM {VERSION_TABLE}"


class Health:
    """Looks at the database.

    Args:
        database: the one.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._looking = threading.Lock()
        self._looked, self._took, self._lost = -inf, 0.0, ""

    def check(self) -> None:
        """Look at the database, and at all pages of an SQLite file; of a large one the last look counts for a while.

        Raises:
            DatabaseLostError: the file was removed or replaced, a page of it is broken, or a table of ours is missing.
            SQLAlchemyError: a database server does not answer.
        """
        self.check_file()
        if self._database.file is None:
            self._check_server()
            return
        with self._looking:
            if time.monotonic() - self._looked > self._took / SHARE:
                begin = time.thread_time()
                self._lost = _broken(str(self._database.file))
                self._looked, self._took = time.monotonic(), time.thread_time() - begin
        if self._lost:
            raise DatabaseLostError(self._lost)

    def check_file(self) -> None:
        """DatabaseLostError if the file of an SQLite database was removed or replaced."""
        self._database.check_file()

    def _check_server(self) -> None:
        try:
            with self._database.read() as connection:
                connection.execute(TABLES)
                revision = connection.exec_driver_sql(REVISION_THERE).scalar()
        except ProgrammingError as error:
            raise DatabaseLostError(f"the database is broken: {str(error.orig).splitlines()[0]}") from error
        if words := _other_schema(revision):
            raise DatabaseLostError(words)


def _broken(file: str) -> str:
    """What is wrong with an SQLite file, its pages (PRAGMA quick_check) or its tables; empty if nothing is."""
    try:
        # an own connection: the others have pages in memory, and would not see the file
        with closing(sqlite3.connect(file, isolation_level=None)) as connection:
            [found] = connection.execute("PRAGMA quick_check(1)").fetchone()
            if found == "ok":  # as is an empty file, and one of another program
                connection.execute(TABLES_OF_SQLITE)
                [revision] = connection.execute(REVISION_THERE).fetchone() or [None]
                return _other_schema(revision)
    except sqlite3.Error as error:
        found = str(error)
    return f"the database is broken: {found.splitlines()[-1]}"


def _other_schema(revision: str | None) -> str:
    """That the schema is not that of this version, as after a later one has upgraded it; empty if it is."""
    return (
        "" if revision == REVISION else f"the database is broken: its schema is {revision}, and this needs {REVISION}"
    )
