"""Large answers: Arrow's stream, and Parquet."""

import io
import tempfile
from collections.abc import Iterator

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from search_spaces.problems import Problem, SpecError

MEDIA_TYPES = {"arrow": "application/vnd.apache.arrow.stream", "parquet": "application/vnd.apache.parquet"}

CHUNK_BYTES = 2**20


def as_arrow(batches: Iterator[pa.RecordBatch]) -> Iterator[bytes]:
    """An Arrow stream of one batch or more."""
    sink = io.BytesIO()
    first = next(batches)
    with pa.ipc.new_stream(sink, first.schema) as stream:
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


def as_parquet(batches: Iterator[pa.RecordBatch]) -> Iterator[bytes]:
    """A Parquet file of one batch or more, written whole before the first byte. SpecError if it has no row."""
    first = next(batches)
    if not first.num_rows:
        raise SpecError(
            [Problem("format", "parquet: no row is asked for; allowed for an empty answer: arrow, csv, json")]
        )
    return _written(first, batches)


def _written(first: pa.RecordBatch, others: Iterator[pa.RecordBatch]) -> Iterator[bytes]:
    with tempfile.TemporaryFile() as file:
        with pq.ParquetWriter(file, first.schema) as writer:
            writer.write_batch(first)
            for batch in others:
                writer.write_batch(batch)
        file.seek(0)
        yield from iter(lambda: file.read(CHUNK_BYTES), b"")


def _taken(sink: io.BytesIO) -> bytes:
    """What was written since the last time."""
    found = sink.getvalue()
    sink.seek(0)
    sink.truncate()
    return found
