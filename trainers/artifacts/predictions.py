"""Per-example predictions in Arrow, from which scores are recomputed without training again."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainers.artifacts.place import Place
from trainers.tasks import TASKS


def write(
    place: Place, path: Path, task: str, examples: Sequence[int], gold: Sequence[Any], predicted: Sequence[Any]
) -> None:
    """Write one evaluation: the columns `example` (its index in the split), `gold` and `prediction`.

    Raises:
        OSError: a disk has no room, or the place is lost.
    """
    import pyarrow
    from pyarrow import feather

    table = pyarrow.table({"example": examples, "gold": gold, "prediction": predicted})
    table = table.replace_schema_metadata({"task": json.dumps(task)})
    with place.writing_file(path, table.nbytes) as unfinished:
        feather.write_feather(table, str(unfinished))


def read(place: Place, path: Path) -> tuple[str, dict[str, list[Any]]]:
    """The task and the columns of predictions that `write` wrote. FileNotFoundError if there are none."""
    from pyarrow import feather

    with place.reading_file(path) as file:
        table = feather.read_table(str(file))
        return json.loads(table.schema.metadata[b"task"]), table.to_pydict()


def with_columns(place: Place, path: Path, columns: Mapping[str, Sequence[Any]]) -> bytes:
    """The content of predictions that `write` wrote, with further columns. FileNotFoundError if there are none."""
    import pyarrow
    from pyarrow import feather

    with place.reading_file(path) as file:
        table = feather.read_table(str(file))
        for name, values in columns.items():
            table = table.append_column(name, pyarrow.array(values))
        sink = pyarrow.BufferOutputStream()
        feather.write_feather(table, sink)
        return bytes(sink.getvalue())


def score_again(place: Place, path: Path) -> dict[str, float]:
    """The metrics of stored predictions, in percent."""
    task, columns = read(place, path)
    return TASKS[task].metrics(columns["gold"], columns["prediction"])
