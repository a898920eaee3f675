"""A reader's own datasets: folders as `trainers.data.folder` reads them, from a zip, a folder or the hub, all checked.

They lie in `<home>/datasets/<name>`: what is known of one in `dataset.json`, and where we hold its files, `data/`.
A dataset appears whole or not at all, and never changes under its name.
"""

import errno
import json
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from trainers.artifacts.layout import dataset_names, datasets_folder, split_facts
from trainers.data.data_root import folder_under
from trainers.data.dataset_file import BrokenDatasetError, Dataset, Kind, read_dataset
from trainers.data.folder import MAX_LABELS, FolderData
from trainers.data.formats import by_extension
from trainers.data.source import Source
from trainers.data.zips import extract
from trainers.digests import digest
from trainers.examples import DataError, Facts
from trainers.languages import unknown
from trainers.tasks import TASKS
from trainers.trial import SPLITS, DataReference, Split

# What takes longer to check holds a thread of the service; XTREME-R's 2 GB take 7 minutes.
MAX_SECONDS = 1800.0

NAME = r"[a-z0-9][a-z0-9_-]{0,62}"


class NameTakenError(ValueError):
    """There is a dataset of this name already."""


class BadNameError(ValueError):
    """A name that a dataset cannot have."""


class DatasetSource(Source):
    """A dataset that was added to the service before: `{"dataset": "<name>"}`."""

    name = "dataset"
    takes = "name"

    def locate(self, value: str, home: Path, data_root: Path | None) -> DataReference:
        """The dataset. DataError if there is none, or its folder is no more one that a spec may name."""
        found = dataset(home, value)
        if found.kind == "folder":
            folder_under(data_root, _below(data_root, found))
        return DataReference(self.name, value)

    def open(self, reference: DataReference, task: str, home: Path) -> FolderData:
        """The dataset's examples of a task. DataError if it has not the splits that it had when it was added."""
        return _Unchanged(dataset(home, reference.location), task, home)

    def warnings(self, reference: DataReference, task: str, home: Path) -> list[str]:
        """The languages that lack a test split, and files that are not read."""
        data = self.open(reference, task, home)
        return data.lacking() + data.unread()

    def words(self, value: str) -> str:
        """The name of the dataset."""
        return value

    def describe(self, home: Path) -> list[dict[str, Any]]:
        """All datasets, by name, without the folders where they lie. A broken one has a `problem`, and no tasks."""
        return [found for name in _names(home) if (found := _described(home, name)) is not None]


class _Unchanged(FolderData):
    """A task's examples of a dataset, which are refused if they are not those that were added."""

    def __init__(self, dataset: Dataset, task: str, home: Path) -> None:
        super().__init__(Path(dataset.root), task, split_facts(home))
        self._name = dataset.name
        self._added: dict[str, Any] = dataset.tasks[task]["languages"] if task in dataset.tasks else {}
        added = {(language, split) for language, splits in self._added.items() for split in splits}
        if others := added ^ {(language, split) for language, splits in self.splits().items() for split in splits}:
            language, split = min(others)
            raise self._changed(f"{language}/{split}", "is gone" if (language, split) in added else "is new")

    def facts(self, language: str, split: Split) -> Facts:
        """What is known of a split. DataError if it is missing, malformed, or another than that which was added."""
        found = super().facts(language, split)
        if found.digest != self._added[language][split]["digest"]:
            raise self._changed(f"{language}/{split}", "has changed")
        return found

    def _changed(self, what: str, how: str) -> DataError:
        return DataError(
            f"{self.task.name}/{what} {how} since the dataset {self._name!r} was added; allowed: to add it again"
        )


def _below(data_root: Path | None, dataset: Dataset) -> str:
    """The path of a dataset's folder under the data root. DataError if it is elsewhere."""
    try:
        return Path(dataset.root).relative_to(data_root.resolve()).as_posix() if data_root is not None else ""
    except ValueError as error:
        raise DataError(f"the folder of the dataset {dataset.name!r} is not under the data root") from error


def _described(home: Path, name: str) -> dict[str, Any] | None:
    """A dataset as clients see it; None if it has been deleted meanwhile."""
    try:
        return dataset(home, name).public()
    except BrokenDatasetError as error:
        unknown = dict.fromkeys(("kind", "created", "digest", "owner"))
        return {"name": name, **unknown, "tasks": {}, "warnings": [], "problem": str(error)}
    except DataError:
        return None


def dataset(home: Path, name: str) -> Dataset:
    """The dataset of a name. BrokenDatasetError if it cannot be used, another DataError if there is none."""
    require_dataset(home, name)
    try:
        return read_dataset(home, name)
    except BrokenDatasetError:
        require_dataset(home, name)  # it may have been deleted meanwhile
        raise


def require_dataset(home: Path, name: str) -> None:
    """DataError if there is no dataset of a name, whether it can be used or not."""
    if name not in (there := _names(home)):
        raise DataError(f"there is no dataset {name!r}; there are: {', '.join(there) or 'none yet'}")


def _names(home: Path) -> list[str]:
    return [name for name in dataset_names(home) if re.fullmatch(NAME, name)]


def require_new_name(home: Path, name: str) -> None:
    """NameTakenError if there is a dataset of this name, BadNameError if none can have it."""
    if not re.fullmatch(NAME, name):
        allowed = "up to 63 of a-z, 0-9, - and _, beginning with a letter or a digit"
        raise BadNameError(f"{name[:100]!r} cannot be the name of a dataset; allowed: {allowed}")
    if (datasets_folder(home) / name).exists():
        raise _taken(name)


def _taken(name: str) -> NameTakenError:
    return NameTakenError(f"there is a dataset {name!r}; allowed: another name")


def add_zip(home: Path, name: str, file: BinaryIO, owner: str | None = None) -> Dataset:
    """A dataset of a zip's files, such as `<task>/<language>/<split>.jsonl`, at its top or in one folder.

    `owner` is the name of whoever adds it.

    Raises:
        NameTakenError, BadNameError: the name is taken, or none.
        DataError: the zip is none or is not safe, an example is malformed, labels change between splits.
        OSError: no room on the disk.
    """

    def fill(folder: Path) -> Path:
        extract(file, folder)
        return folder

    return _add(home, name, "zip", fill, owner)


def add_folder(home: Path, name: str, root: Path, owner: str | None = None) -> Dataset:
    """A dataset of a folder that stays where it is. `owner`, NameTakenError, DataError as `add_zip`."""
    return _add(home, name, "folder", lambda _: root, owner)


def add_hub(home: Path, name: str, repository: str, owner: str | None = None) -> Dataset:
    """A dataset of a dataset repository on the Hugging Face hub with files as those of a zip. `owner` as `add_zip`.

    Raises:
        NameTakenError, DataError: as `add_zip`, or the hub can't be reached or has no such repository.
    """

    def fill(folder: Path) -> Path:
        from huggingface_hub import snapshot_download

        patterns = [
            f"{name}/*/{split}{extension}"
            for name, task in TASKS.items()
            for split in SPLITS
            for extension in by_extension(task)
        ]
        try:
            snapshot_download(repository, repo_type="dataset", local_dir=folder, allow_patterns=patterns)
        except Exception as error:  # whatever its HTTP library raises when the hub can't be reached
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            said = f"{type(error).__name__}: {error}".replace(str(folder), "")
            raise DataError(f"{repository!r} can't be fetched from the hub ({said})") from error
        return folder

    return _add(home, name, "hub", fill, owner)


def _add(home: Path, name: str, kind: Kind, fill: Callable[[Path], Path], owner: str | None) -> Dataset:
    require_new_name(home, name)
    place = datasets_folder(home) / name
    with _unfinished(place) as folder:
        held = folder / "data"
        held.mkdir()
        given = fill(held)
        root = place / "data" if given == held else given
        # no file lies in this folder again: facts about files that are held go with it
        cache = folder / "facts" if given == held else split_facts(home)
        tasks, warnings = _checked(given, cache)
        if not tasks:
            layout = f"<task>/<language>/<split>.jsonl with a task of {', '.join(TASKS)}"
            raise DataError(
                "; ".join([f"it has no file {layout}, a language code, and a split of {', '.join(SPLITS)}", *warnings])
            )
        shutil.rmtree(folder / "facts", ignore_errors=True)
        found = Dataset(name, kind, str(root), time.time(), digest(tasks), tasks, warnings, owner)
        (folder / "dataset.json").write_text(json.dumps(asdict(found)), encoding="utf-8")
        try:
            folder.rename(place)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            raise _taken(name) from error  # another request was faster
    return found


@contextmanager
def _unfinished(place: Path) -> Iterator[Path]:
    folder = place.parent / f".{secrets.token_hex(8)}"
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _checked(root: Path, cache: Path) -> tuple[dict[str, Any], list[str]]:
    """What a dataset has of each task, and warnings. DataError if something of it is not as the task needs it."""
    tasks: dict[str, Any] = {}
    warnings: dict[str, None] = {}
    ends = time.monotonic() + MAX_SECONDS
    for task in TASKS:
        data = FolderData(root, task, cache, deadline=ends)
        found: dict[str, dict[Split, Facts]] = {}
        labels: set[str] = set()
        for language, split in [(language, split) for language, there in data.splits().items() for split in there]:
            found.setdefault(language, {})[split] = data.facts(language, split)
            labels.update(found[language][split].labels)
            if len(labels) > MAX_LABELS:
                raise DataError(f"{task}/{language}/{split}: more labels than allowed of a task: {MAX_LABELS:,}")
        warnings |= dict.fromkeys(data.unread())
        if found:
            _check_labels(task, found)
            tasks[task] = _summary(found)
            warnings |= dict.fromkeys(data.lacking() + unknown(found))
            warnings |= {one: None for splits in found.values() for facts in splits.values() for one in facts.warnings}
    return tasks, list(warnings)


def _summary(found: dict[str, dict[Split, Facts]]) -> dict[str, Any]:
    return {
        "labels": sorted({label for splits in found.values() for facts in splits.values() for label in facts.labels}),
        "languages": {
            language: {split: {"examples": facts.examples, "digest": facts.digest} for split, facts in splits.items()}
            for language, splits in found.items()
        },
    }


def _check_labels(task: str, found: dict[str, dict[Split, Facts]]) -> None:
    """Labels are those of the training examples: a model knows no others."""
    trained = {label for splits in found.values() if "train" in splits for label in splits["train"].labels}
    if not trained:
        return
    known = TASKS[task].label_set(tuple(sorted(trained)))
    for language, splits in found.items():
        for split, facts in splits.items():
            if unknown_labels := sorted(set(facts.labels) - set(known)):
                raise DataError(
                    f"{task}/{language}: {split} has labels that no training split has: {', '.join(unknown_labels)};"
                    f" allowed: {', '.join(known)}"
                )
