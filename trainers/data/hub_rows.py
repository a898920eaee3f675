"""Rows of dataset repositories on the Hugging Face hub, through `datasets`, as examples.

Where a task's data are there, and how a row becomes an example, stands with the task (`trainers.tasks.hub`).
"""

from collections.abc import Iterator, Sequence
from typing import Any

from trainers.data.download import Patience, Tell
from trainers.data.fetched import Splits
from trainers.examples import DataError, Example
from trainers.hub_client import leave_waiting_to_us
from trainers.tasks import TASKS
from trainers.tasks.hub import HubPart
from trainers.trial import Split

# The hub's names of our splits.
SPLITS: dict[Split, str] = {"train": "train", "dev": "validation", "test": "test"}

# Rows that are read at once: one by one takes more than twenty times as long.
BATCH = 1000


class HubRows:
    """What has been loaded from the hub: each configuration once.

    Args:
        tell: is told why one waits for the hub.
    """

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._loaded: dict[tuple[str, str], Any] = {}

    def examples(self, task: str, language: str) -> Splits:
        """Each split that the hub has with its examples, and where they stand: repository, configuration, split, row.

        Args:
            task: one that the hub has (`trainers.tasks.task.Task.hub`).
            language: its code.

        Raises:
            DataError: the hub cannot be reached or has no such language, or a column is missing.
        """
        for part in TASKS[task].hub:
            rows = self._load(part.repository, part.configuration(language))
            where = f"{part.repository}, {part.configuration(language)}"
            yield from _splits(part, language, rows, where)

    def _load(self, repository: str, configuration: str) -> Any:
        from datasets import load_dataset

        leave_waiting_to_us()
        patience = Patience(f"{repository}, {configuration}", self._tell)
        while (repository, configuration) not in self._loaded:
            try:
                self._loaded[repository, configuration] = load_dataset(repository, configuration)
            except Exception as error:  # whatever its HTTP and Parquet libraries raise
                patience.wait(error)
        return self._loaded[repository, configuration]


def _splits(part: HubPart, language: str, hub: Any, where: str) -> Splits:
    """Those of a part's splits that have rows of a language."""
    splits = {split: f"{where}, {SPLITS[split]}" for split in part.splits if SPLITS[split] in hub}
    places = {split: _places(part, language, hub[SPLITS[split]], splits[split]) for split in splits}
    if not any(places.values()):
        raise DataError(f"{where}: nothing in the language {language!r}")
    for split, own in places.items():
        if own:
            yield split, _examples(part, split, own, hub[SPLITS[split]].select(own), splits[split])


def _examples(
    part: HubPart, split: Split, places: Sequence[int], rows: Any, where: str
) -> Iterator[tuple[str, Example]]:
    for number, (place, values) in enumerate(zip(places, _values(part, rows), strict=True)):
        yield f"{where}, row {place}", part.example(f"{split}-{number}", *values)


def _places(part: HubPart, language: str, rows: Any, where: str) -> Sequence[int]:
    """Numbers of the rows that are in a language."""
    own = () if part.language_column is None else (part.language_column,)
    missing = [column for column in (*part.columns, *own) if column not in rows.column_names]
    if missing:
        raise DataError(f"{where}: no column {missing[0]!r} among {', '.join(rows.column_names)}")
    if part.language_column is None:
        return range(len(rows))
    return [place for place, value in enumerate(rows[part.language_column][:]) if part.is_in(value, language)]


def _values(part: HubPart, rows: Any) -> Iterator[list[Any]]:
    """The values of the columns in each row, classes by their names."""
    features = [rows.features[column] for column in part.columns]
    classes = [getattr(getattr(feature, "feature", feature), "names", []) for feature in features]
    for batch in rows.select_columns(list(part.columns)).iter(BATCH):
        columns = [_named(names, batch[column]) for names, column in zip(classes, part.columns, strict=True)]
        yield from map(list, zip(*columns, strict=True))


def _named(names: Sequence[str], value: Any) -> Any:
    """A class, or all of a list, by name; what is no class stays as it is."""
    if isinstance(value, list):
        return [_named(names, each) for each in value]
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else value
