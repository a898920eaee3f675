"""Examples in a folder: `<root>/<task>/<language>/<split>.jsonl`, one JSON object a line, or files of another format.

Some tasks may come with two splits (appendix A): without a file `test` the dev set is the test set, and the dev set is
what training leaves of the training examples.
"""

import json
import re
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

from trainers.artifacts.atomic import write_text
from trainers.artifacts.layout import split_facts
from trainers.data.data_root import folder_under
from trainers.data.facts import facts_of
from trainers.data.formats import JSON_LINES, Format
from trainers.data.source import Source
from trainers.digests import digest
from trainers.examples import LANGUAGE_CODE, DataError, Example, Facts
from trainers.tasks import TASKS
from trainers.trial import DataReference, Split


class FolderSource(Source):
    """The client's own folder under the data root: `{"folder": "<path under the data root>"}`.

    A source of files of another format is a subclass.

    Attributes:
        format: of the folder's files.
    """

    name = "folder"
    takes = "path under the data root"
    format: Format = JSON_LINES

    def locate(self, value: str, home: Path, data_root: Path | None) -> DataReference:
        """The folder. DataError if there is none under the data root."""
        return DataReference(self.name, folder_under(data_root, value))

    def open(self, reference: DataReference, task: str, home: Path) -> "FolderData":
        """The folder's examples of a task."""
        return open_folder(reference.location, task, home, self.format)

    def words(self, value: str) -> str:
        """The path."""
        return value


class FolderData:
    """One task's examples under a root folder.

    Facts about a file are remembered under `facts_cache` for as long as its path, size and time of change stay, so
    that asking again does not read it.
    """

    def __init__(self, root: Path, task: str, facts_cache: Path, format_: Format = JSON_LINES) -> None:
        self.folder = root / task
        self.task = TASKS[task]
        self.facts_cache = facts_cache
        self.format = format_

    def languages(self) -> tuple[str, ...]:
        """Names of the folders that have a test split and could be a language's code."""
        if not self.folder.is_dir():
            return ()
        coded = [path.name for path in self.folder.iterdir() if re.fullmatch(LANGUAGE_CODE, path.name)]
        return tuple(sorted(name for name in coded if self._file(name, "test").is_file()))

    def facts(self, language: str, split: Split) -> Facts:
        """What is known of a split. DataError if it is missing, empty or malformed."""
        path = self._path(language, split)
        status = path.stat()
        key = digest([str(path), status.st_size, status.st_mtime_ns, self.task.name, self.format.facts_form])
        remembered = self.facts_cache / f"{key}.json"
        if remembered.is_file():
            known = json.loads(remembered.read_text())
            facts = Facts(**{**known, "labels": tuple(known["labels"]), "sub_words": tuple(known["sub_words"])})
        else:
            facts = facts_of(self.task, self.examples(language, split))
            write_text(remembered, json.dumps(asdict(facts)))
        return replace(facts, within_train=split == "dev" and path.stem == "train")

    def examples(self, language: str, split: Split) -> list[Example]:
        """A split's examples in the order of the file. DataError if it is missing, empty or malformed."""
        path = self._path(language, split)
        examples = [self._checked(example, path, line) for line, example in self.format.read(path, self.task)]
        if not examples:
            raise DataError(f"{path} is empty")
        return examples

    def place(self, language: str, split: Split, example: int) -> str:
        """An example's file and line."""
        path = self._path(language, split)
        lines = (line for line, _ in self.format.read(path, self.task))
        return f"{path}, line {next(islice(lines, example, None))}"

    def _file(self, language: str, split: Split) -> Path:
        """The file that is a split, whether it exists or not."""
        names = {"train": "train", "dev": "dev", "test": "test"}
        if self.task.two_splits and not self._named(language, "test").is_file():
            names |= {"dev": "train", "test": "dev"}
        return self._named(language, names[split])

    def _named(self, language: str, name: str) -> Path:
        paths = [self.folder / language / f"{name}{extension}" for extension in self.format.extensions]
        return next((path for path in paths if path.is_file()), paths[0])

    def _path(self, language: str, split: Split) -> Path:
        path = self._file(language, split)
        if not path.is_file():
            raise DataError(f"{path} does not exist")
        return path

    def _checked(self, example: object, path: Path, line: int) -> Example:
        problem = self.task.problem(example)
        if problem or not isinstance(example, dict):
            raise DataError(f"{path}, line {line}: {problem}")
        return example


def open_folder(root: Path, task: str, home: Path, format_: Format = JSON_LINES) -> FolderData:
    """A task's examples under a root folder; facts about its files are cached in the service's folder."""
    return FolderData(root, task, split_facts(home), format_)
