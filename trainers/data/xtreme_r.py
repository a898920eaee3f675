"""Data on the Hugging Face hub, through `datasets`, fetched into the layout of `folder.py`.

Where a task's data are there, and how a row becomes an example, stands with the task (`trainers.tasks.hub`).
"""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from trainers.artifacts.layout import fetched_data
from trainers.data.folder import FolderData, open_folder
from trainers.data.source import RemoteSource
from trainers.examples import DataError, Example
from trainers.tasks import TASKS
from trainers.tasks.hub import HubPart
from trainers.trial import DataReference, Split

# The hub's names of our splits.
SPLITS: dict[Split, str] = {"train": "train", "dev": "validation", "test": "test"}


class XtremeRSource(RemoteSource):
    """XTREME-R, of which each language is fetched when the first experiment needs it: `"xtreme-r"`."""

    name = "xtreme-r"
    is_published = True

    def open(self, reference: DataReference, task: str, home: Path) -> FolderData:
        """The examples of a task that have been fetched."""
        return open_folder(self.folder(home), task, home)

    def languages(self, value: None, task: str) -> tuple[str, ...]:
        """Codes of the languages that the paper used for a task."""
        return TASKS[task].languages if TASKS[task].hub else ()

    def fetch(self, value: None, task: str, languages: Iterable[str], home: Path) -> None:
        """Fetch languages of a task from the hub, as `trainers.data.xtreme_r.fetch`."""
        fetch(task, languages, self.folder(home))

    def folder(self, home: Path) -> Path:
        """Where the fetched languages lie."""
        return fetched_data(home, self.name)

    def describe(self, home: Path) -> list[dict[str, Any]]:
        """Its languages of each task, fetched or not."""
        tasks = {name: {"languages": list(task.languages)} for name, task in TASKS.items() if task.hub}
        return [{"name": self.name, "kind": "hub", "tasks": tasks}]

    def words(self, value: None) -> str:
        """As in a spec."""
        return self.name

    def title(self, value: None) -> str:
        """Its name in print."""
        return "XTREME-R"


def fetch(task: str, languages: Iterable[str], root: Path, folders: Mapping[str, str] | None = None) -> None:
    """Fetch languages of a task into `<root>/<task>/<language>/<split>.jsonl`; what lies there already stays.

    A language's folder appears when all its splits are complete, never before. Splits that the hub does not have are
    left out: udpos has no dev set for Kazakh and only a test set for Tagalog, Thai and Yoruba, tydiqa no test set.

    Args:
        task: one that the hub has (`trainers.tasks.task.Task.hub`).
        languages: their codes.
        root: where to put them.
        folders: for repositories of the hub, by name, folders with the same files to take them from.

    Raises:
        DataError: the hub cannot be reached or has no such language, a column is missing, or a row is not as the task
            needs it; the message names repository, configuration, split and row.
    """
    load = cache(_load)
    for language in languages:
        folder = root / task / language
        if folder.is_dir():
            continue
        with _complete(folder) as unfinished:
            for part in TASKS[task].hub:
                where = (folders or {}).get(part.repository, part.repository), part.configuration(language)
                _write_part(part, task, language, load(*where), ", ".join(where), unfinished)


def _load(repository: str, configuration: str) -> Any:
    from datasets import load_dataset

    try:
        return load_dataset(repository, configuration)
    except Exception as error:  # whatever its HTTP and Parquet libraries raise
        raise DataError(f"{repository}, {configuration}: {error}") from error


@contextmanager
def _complete(folder: Path) -> Iterator[Path]:
    """A folder to write into that gets its name at the end, and goes if there is none."""
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
        if not folder.is_dir():
            unfinished.replace(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _write_part(part: HubPart, task: str, language: str, hub: Any, where: str, folder: Path) -> None:
    """Write those of a part's splits that the hub has for a language."""
    splits = {split: f"{where}, {SPLITS[split]}" for split in part.splits if SPLITS[split] in hub}
    places = {split: _places(part, language, hub[SPLITS[split]], splits[split]) for split in splits}
    if not any(places.values()):
        raise DataError(f"{where}: nothing in the language {language!r}")
    for split, own in places.items():
        if own:
            rows = zip(own, _values(part, hub[SPLITS[split]].select(own)), strict=True)
            _write_lines(folder / f"{split}.jsonl", _examples(part, task, split, rows, splits[split]))


def _write_lines(path: Path, examples: Iterable[Example]) -> None:
    with path.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(example, ensure_ascii=False) + "\n" for example in examples)


def _examples(
    part: HubPart, task: str, split: Split, rows: Iterable[tuple[int, list[Any]]], where: str
) -> Iterator[Example]:
    for number, (place, values) in enumerate(rows):
        example = part.example(f"{split}-{number}", *values)
        problem = TASKS[task].problem(example)
        if problem is not None:
            raise DataError(f"{where}, row {place}: {problem}")
        yield example


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
    for row in rows:
        yield [_named(names, row[column]) for names, column in zip(classes, part.columns, strict=True)]


def _named(names: Sequence[str], value: Any) -> Any:
    """A class, or all of a list, by name; what is no class stays as it is."""
    if isinstance(value, list):
        return [_named(names, each) for each in value]
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else value
