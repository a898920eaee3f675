"""Whether the database can be trusted: it answers, and the pages of an SQLite file are whole."""

import sqlite3
import threading
import time
from math import inf

from sqlalchemy import select

from service.store.database import Database, DatabaseLostError
from service.store.schema import VERSION_TABLE, clock

# Looks at all pages take at most this share of a core.
SHARE = 0.05


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
            DatabaseLostError: the file was removed or replaced, or a page of it is broken.
            SQLAlchemyError: a database server does not answer.
        """
        self.check_file()
        if self._database.file is None:
            with self._database.read() as connection:
                connection.execute(select(clock.c.now))
            return
        with self._looking:
            if time.monotonic() - self._looked > self._took / SHARE:
                begin = time.thread_time()
                self._lost = self._broken_page(str(self._database.file))
                self._looked, self._took = time.monotonic(), time.thread_time() - begin
        if self._lost:
            raise DatabaseLostError(self._lost)

    def check_file(self) -> None:
        """DatabaseLostError if the file of an SQLite database was removed or replaced."""
        self._database.check_file()

    def _broken_page(self, file: str) -> str:
        """What SQLite says of a file (PRAGMA quick_check); empty if it is whole."""
        try:
            # an own connection: the others have pages in memory, and would not see the file
            connection = sqlite3.connect(file, isolation_level=None)
            try:
                [found] = connection.execute("PRAGMA quick_check(1)").fetchone()
                connection.execute(f"SELECT version_num FROM {VERSION_TABLE}")  # an empty file is whole as well
            finally:
                connection.close()
        except sqlite3.Error as error:
            found = str(error)
        return "" if found == "ok" else f"the database is broken: {found.splitlines()[-1]}"
