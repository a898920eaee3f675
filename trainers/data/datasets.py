"""A reader's own datasets: `<task>/<language>/<split>.jsonl` from a zip, a folder or the hub, every example checked.

They lie in `<home>/datasets/<name>`: what is known of one in `dataset.json`, and where we hold its files, `data/`.
A dataset appears whole or not at all, and never changes under its name.
"""

import json
import lzma
import re
import secrets
import shutil
import stat
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Literal

from trainers.artifacts.atomic import RESERVE_BYTES
from trainers.artifacts.layout import datasets_folder, split_facts
from trainers.data.folder import FolderData
from trainers.digests import digest
from trainers.examples import LANGUAGE_CODE, DataError, Facts
from trainers.tasks import TASKS
from trainers.trial import Split

Kind = Literal["zip", "folder", "hub"]

SPLITS: tuple[Split, ...] = ("train", "dev", "test")

NAME = r"[a-z0-9][a-z0-9_-]{0,62}"

# Of a zip; XTREME-R's four tasks together have some 400 files and 2 GB. Its directory is read at once, and a file's
# examples are held in memory.
MOST_FILES, MOST_BYTES = 10_000, 8 * 2**30
MOST_DIRECTORY_BYTES, MOST_FILE_BYTES = 2**22, 2**30

CHUNK_BYTES = 2**20

# What the library raises for a file that is broken, encrypted, or packed in a way that it does not know.
UNREADABLE = (
    zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error, lzma.LZMAError,
)  # fmt: skip


class NameTakenError(ValueError):
    """There is a dataset of this name."""


class BadNameError(ValueError):
    """Datasets are not called so."""


@dataclass(frozen=True)
class Dataset:
    """What is known of a dataset.

    `root` is the folder with its tasks; `tasks` has for each task its `labels` and `languages`: for each language and
    split the number of `examples` and their `digest`. `digest` is that of all; `created` in seconds since 1970.
    """

    name: str
    kind: Kind
    root: str
    created: float
    digest: str
    tasks: dict[str, Any]


def datasets(home: Path) -> list[Dataset]:
    """All that there are, by name."""
    found = sorted(datasets_folder(home).glob("[!.]*/dataset.json"))
    return [Dataset(**json.loads(path.read_text())) for path in found]


def dataset(home: Path, name: str) -> Dataset:
    """The dataset of a name. DataError if there is none."""
    path = datasets_folder(home) / name / "dataset.json"
    if not re.fullmatch(NAME, name) or not path.is_file():
        there = ", ".join(one.name for one in datasets(home)) or "none yet"
        raise DataError(f"there is no dataset {name!r}; there are: {there}")
    return Dataset(**json.loads(path.read_text()))


def add_zip(home: Path, name: str, file: BinaryIO) -> Dataset:
    """A dataset of a zip's files, `<task>/<language>/<split>.jsonl`, at its top or in one folder.

    Raises:
        NameTakenError, BadNameError: the name is taken, or none.
        DataError: the zip is none or is not safe, an example is malformed, labels change between splits.
        OSError: no room on the disk.
    """

    def fill(folder: Path) -> Path:
        try:
            with zipfile.ZipFile(_Modest(file)) as archive:
                _extract(archive, folder)
        except UNREADABLE as error:
            raise DataError(f"it is not a zip that can be read: {error}") from error
        except OSError as error:
            if error.errno is None:  # of bz2, not of the disk
                raise DataError(f"it is not a zip that can be read: {error}") from error
            raise
        return folder

    return _add(home, name, "zip", fill)


def add_folder(home: Path, name: str, root: Path) -> Dataset:
    """A dataset of a folder that stays where it is. NameTakenError, DataError as `add_zip`."""
    return _add(home, name, "folder", lambda _: root)


def add_hub(home: Path, name: str, repository: str) -> Dataset:
    """A dataset of a dataset repository on the Hugging Face hub with files as those of a zip.

    Raises:
        NameTakenError, DataError: as `add_zip`, or the hub can't be reached or has no such repository.
    """

    def fill(folder: Path) -> Path:
        from huggingface_hub import snapshot_download

        patterns = [f"{task}/*/{split}.jsonl" for task in TASKS for split in SPLITS]
        try:
            snapshot_download(repository, repo_type="dataset", local_dir=folder, allow_patterns=patterns)
        except Exception as error:  # whatever its HTTP library raises when the hub can't be reached
            raise DataError(
                f"{repository!r} can't be fetched from the hub ({type(error).__name__}: {error})"
            ) from error
        return folder

    return _add(home, name, "hub", fill)


def _add(home: Path, name: str, kind: Kind, fill: Callable[[Path], Path]) -> Dataset:
    if not re.fullmatch(NAME, name):
        raise BadNameError(f"{name[:100]!r} is none; allowed: up to 63 of a-z, 0-9, - and _, the first no - or _")
    place = datasets_folder(home) / name
    if place.exists():
        raise NameTakenError(f"there is a dataset {name!r}; allowed: another name")
    with _unfinished(place) as folder:
        held = folder / "data"
        held.mkdir()
        given = fill(held)
        root = place / "data" if given == held else given
        tasks = dict(_tasks(given, home))
        if not tasks:
            layout = f"<task>/<language>/<split>.jsonl with a task of {', '.join(TASKS)}"
            raise DataError(f"it has no file {layout}, a language code, and a split of {', '.join(SPLITS)}")
        found = Dataset(name, kind, str(root), time.time(), digest(tasks), tasks)
        (folder / "dataset.json").write_text(json.dumps(asdict(found)))
        try:
            folder.rename(place)
        except OSError as error:  # another request was faster
            raise NameTakenError(f"there is a dataset {name!r}; allowed: another name") from error
    return found


@contextmanager
def _unfinished(place: Path) -> Iterator[Path]:
    folder = place.parent / f".{secrets.token_hex(8)}"
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Modest:
    """A zip as a file, of which no directory of more files than we allow is read: it would fill the memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.seekable, self.tell, self.close = file.seek, file.seekable, file.tell, file.close

    def read(self, size: int = -1) -> bytes:
        if size > MOST_DIRECTORY_BYTES:
            raise DataError(f"its directory has {size / 2**20:.0f} MiB; allowed: {MOST_FILES} files")
        return self._file.read(size)


def _extract(archive: zipfile.ZipFile, folder: Path) -> None:
    """The files of a zip that are data: nothing outside of the folder, and no more than there is room for."""
    files = [info for info in archive.infolist() if not info.is_dir()]
    if len(files) > MOST_FILES:
        raise DataError(f"it has {len(files)} files; allowed: {MOST_FILES}")
    room = min(MOST_BYTES, shutil.disk_usage(folder).free - RESERVE_BYTES)
    for info in files:
        if (path := _inside(info)) is None:
            continue
        target = folder / path
        if target.exists():
            raise DataError(f"{info.filename[:200]!r}: there is another file {path}")
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(info) as source, target.open("wb") as to:
            while chunk := source.read(CHUNK_BYTES):
                room -= len(chunk)  # what it says of its sizes is not to be trusted
                if room < 0:
                    raise DataError(f"unpacked it is larger than {MOST_BYTES / 2**30:g} GiB, or than there is room for")
                to.write(chunk)
                if to.tell() > MOST_FILE_BYTES:
                    raise DataError(f"{path} is larger than allowed: {MOST_FILE_BYTES / 2**30:g} GiB")


def _inside(info: zipfile.ZipInfo) -> Path | None:
    """Where a file of a zip goes, `<task>/<language>/<split>.jsonl`; None for what is no data, such as a README."""
    parts = PurePosixPath(info.filename.replace("\\", "/")).parts
    if ".." in parts or info.filename.startswith(("/", "\\")) or stat.S_ISLNK(info.external_attr >> 16):
        raise DataError(f"{info.filename[:200]!r}: no path out of the zip, and no link, is allowed")
    if len(parts) not in (3, 4) or parts[0] == "__MACOSX" or not parts[-1].endswith(".jsonl"):
        return None
    task, language, file = parts[-3:]
    if task not in TASKS or not re.fullmatch(LANGUAGE_CODE, language) or file.removesuffix(".jsonl") not in SPLITS:
        raise DataError(
            f"{info.filename[:200]!r} is not <task>/<language>/<split>.jsonl with a task of {', '.join(TASKS)},"
            f" a language code, and a split of {', '.join(SPLITS)}"
        )
    return Path(task, language, file)


def _tasks(root: Path, home: Path) -> Iterator[tuple[str, Any]]:
    """What a dataset has of each task. DataError if something of it is not as the task needs it."""
    for task in TASKS:
        data = FolderData(root, task, facts_cache=split_facts(home))
        languages = data.languages()
        if not languages:
            continue
        found: dict[str, dict[Split, Facts]] = {}
        for language in languages:
            there = [split for split in SPLITS if (root / task / language / f"{split}.jsonl").is_file()]
            found[language] = {split: data.facts(language, split) for split in there}
        _check_labels(task, found)
        labels = sorted({label for splits in found.values() for facts in splits.values() for label in facts.labels})
        yield (
            task,
            {
                "labels": labels,
                "languages": {
                    language: {
                        split: {"examples": facts.examples, "digest": facts.digest} for split, facts in splits.items()
                    }
                    for language, splits in found.items()
                },
            },
        )


def _check_labels(task: str, found: dict[str, dict[Split, Facts]]) -> None:
    """Labels are those of the training examples: a model knows no others."""
    trained = {label for splits in found.values() if "train" in splits for label in splits["train"].labels}
    if not trained:
        return
    known = set(TASKS[task].label_set(tuple(sorted(trained))))
    for language, splits in found.items():
        for split, facts in splits.items():
            if unknown := sorted(set(facts.labels) - known):
                raise DataError(
                    f"{task}/{language}/{split}.jsonl has labels that no train.jsonl has: {', '.join(unknown)}"
                )
