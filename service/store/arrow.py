"""Answers as Arrow batches; large ones through Arrow's database drivers (ADBC), without a Python object per value.

The drivers run in a separate process, `python -m service.store.arrow`: ADBC has its own copy of SQLite, and two copies
in one process break each other's locks (https://sqlite.org/howtocorrupt.html, 2.2.1).
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Dialect, Select, func, literal, make_url
from sqlalchemy.dialects import postgresql, sqlite

from trainers.child_process import python

BATCH_ROWS = 2**16

TYPES: Mapping[str, pa.DataType] = {"str": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}

# The SQLite driver guesses types from the first rows, which may all be null: this number stands for null on the way. No
# score and no alpha is negative.
NULL = -1.0


def batch(rows: Sequence[Sequence[Any]], types: Mapping[str, type]) -> pa.RecordBatch:
    """Rows as a batch; `types` are the names and Python types of their columns."""
    schema = _schema({name: type_.__name__ for name, type_ in types.items()})
    columns = zip(*rows, strict=True) if rows else [[] for _ in types]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def batches(url: str, statement: Select[Any], types: Mapping[str, type]) -> Iterator[pa.RecordBatch]:
    """The rows that a statement selects, in batches.

    Args:
        url: of the database, in SQLAlchemy's form.
        statement: its columns have the names of `types`, in that order. Only floats may be null; none is negative.
        types: the Python type of each column.

    Raises:
        RuntimeError: the database could not be read.
    """
    columns = zip(statement.selected_columns, types.items(), strict=True)
    without_null = [func.coalesce(one, literal(NULL)).label(name) if type_ is float else one
                    for one, (name, type_) in columns]  # fmt: skip
    given = make_url(url)
    is_sqlite = given.drivername.startswith("sqlite")
    sql, values = _compiled(statement.with_only_columns(*without_null), is_sqlite)
    plain = given.database if is_sqlite else given.set(drivername="postgresql").render_as_string(hide_password=False)
    asked: dict[str, Any] = {"sqlite": is_sqlite, "uri": plain, "sql": sql, "values": values}
    asked["types"] = {name: type_.__name__ for name, type_ in types.items()}
    command = python("service.store.arrow")
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        with process.stdin:
            process.stdin.write(json.dumps(asked).encode())
        with pa.ipc.open_stream(process.stdout) as stream:
            yield from stream
        if process.wait():  # the stream was closed in order nevertheless
            raise _unreadable(process.stderr.read())
    except pa.ArrowInvalid as error:
        raise _unreadable(process.stderr.read()) from error
    finally:
        process.kill()  # the reader may have stopped early
        process.stdout.close()
        process.stderr.close()
        process.wait()


def _unreadable(words: bytes) -> RuntimeError:
    return RuntimeError(f"the database could not be read: {words.decode()[-2000:]}")


def _compiled(statement: Select[Any], is_sqlite: bool) -> tuple[str, list[Any]]:
    """SQL with placeholders, and their values."""
    dialects: dict[bool, Callable[..., Dialect]] = {True: sqlite.dialect, False: postgresql.dialect}
    dialect = dialects[is_sqlite](paramstyle="qmark" if is_sqlite else "numeric_dollar")
    compiled = statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
    return str(compiled), [compiled.params[name] for name in compiled.positiontup or ()]


def _schema(types: Mapping[str, str]) -> pa.Schema:
    return pa.schema([(name, TYPES[type_]) for name, type_ in types.items()])


def _main() -> None:
    """Answer the request on standard input with an Arrow stream on standard output."""
    asked = json.load(sys.stdin)
    schema = _schema(asked["types"])
    with (
        pa.ipc.new_stream(sys.stdout.buffer, schema) as stream,
        closing(_connected(asked["uri"], asked["sqlite"])) as connection,
        closing(connection.cursor()) as cursor,
    ):
        if asked["sqlite"]:
            cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": str(BATCH_ROWS)})
        cursor.execute(asked["sql"], asked["values"])
        for found in cursor.fetch_record_batch():
            stream.write_batch(_typed(found, schema))


def _connected(uri: str, is_sqlite: bool) -> Any:
    if is_sqlite:
        from adbc_driver_sqlite import dbapi as sqlite_driver

        return sqlite_driver.connect(uri)
    from adbc_driver_postgresql import dbapi as postgresql_driver

    return postgresql_driver.connect(uri)


def _typed(found: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    columns = []
    for column, field in zip(found.columns, schema, strict=True):
        typed = pc.cast(column, field.type)
        if field.type == pa.float64():
            typed = pc.if_else(pc.equal(typed, NULL), None, typed)
        columns.append(typed)
    return pa.RecordBatch.from_arrays(columns, schema=schema)


if __name__ == "__main__":
    _main()
