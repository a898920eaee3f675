"""Large answers: Arrow's stream, and Parquet."""

import io
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from itertools import chain
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from search_spaces.problems import Problem, SpecError
from trainers.artifacts.atomic import need_room

MEDIA_TYPES = {"arrow": "application/vnd.apache.arrow.stream", "parquet": "application/vnd.apache.parquet"}

CHUNK_BYTES = 2**20


def as_arrow(batches: Iterator[pa.RecordBatch], metadata: Mapping[str, str]) -> Iterator[bytes]:
    """An Arrow stream of one batch or more; the metadata are the schema's."""
    sink = io.BytesIO()
    first = next(batches)
    with pa.ipc.new_stream(sink, first.schema.with_metadata(metadata)) as stream:
        stream.write_batch(first)
        for batch in batches:
            yield _taken(sink)
            stream.write_batch(batch)
    yield _taken(sink)


def frame_as_arrow(frame: pd.DataFrame) -> bytes:
    """A small frame as an Arrow stream, without its index."""
    table, sink = pa.Table.from_pandas(frame, preserve_index=False), io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue()


def as_parquet(batches: Iterator[pa.RecordBatch], metadata: Mapping[str, str]) -> Iterator[bytes]:
    """A Parquet file of one batch or more, which is written whole here; the metadata are the schema's.

    SpecError if it has no row; OSError if the disk of temporary files has no room for it.
    """
    first = next(batches)
    if not first.num_rows:
        raise SpecError(
            [Problem("format", "parquet: no row is asked for; allowed for an empty answer: arrow, csv, json")]
        )
    schema = first.schema.with_metadata(metadata)
    return _written(schema, chain([first], batches))


def _written(schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> Iterator[bytes]:
    with ExitStack() as unless_read:
        file = unless_read.enter_context(tempfile.TemporaryFile())
        with pq.ParquetWriter(file, schema) as writer:
            for batch in batches:
                need_room(Path(tempfile.gettempdir()), batch.nbytes)
                writer.write_batch(batch.replace_schema_metadata(schema.metadata))
        file.seek(0)
        unless_read.pop_all()
    return iter(lambda: file.read(CHUNK_BYTES), b"")


def _taken(sink: io.BytesIO) -> bytes:
    """What was written since the last time."""
    found = sink.getvalue()
    sink.seek(0)
    sink.truncate()
    return found
