"""Per-example predictions in Arrow, from which scores are recomputed without training again."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainers.artifacts.atomic import need_room, unfinished_file
from trainers.tasks import TASKS


def write(path: Path, task: str, examples: Sequence[int], gold: Sequence[Any], predicted: Sequence[Any]) -> None:
    """Write one evaluation: the columns `example` (its index in the split), `gold` and `prediction`.

    Raises:
        OSError: the disk has no room.
    """
    import pyarrow
    from pyarrow import feather

    table = pyarrow.table({"example": examples, "gold": gold, "prediction": predicted})
    table = table.replace_schema_metadata({"task": json.dumps(task)})
    path.parent.mkdir(parents=True, exist_ok=True)
    need_room(path.parent, table.nbytes)
    with unfinished_file(path) as unfinished:
        feather.write_feather(table, str(unfinished))


def read(path: Path) -> tuple[str, dict[str, list[Any]]]:
    """The task and the columns of predictions that `write` wrote."""
    from pyarrow import feather

    table = feather.read_table(str(path))
    return json.loads(table.schema.metadata[b"task"]), table.to_pydict()


def score_again(path: Path) -> dict[str, float]:
    """The metrics of stored predictions, in percent."""
    task, columns = read(path)
    return TASKS[task].metrics(columns["gold"], columns["prediction"])
