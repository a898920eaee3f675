"""Examples in a folder: `<root>/<task>/<language>/<split>.jsonl`, or files of another format (`trainers.data.formats`).

Some tasks may come with two splits (appendix A): without a file `test` the dev set is the test set, and the dev set is
what training leaves of the training examples.
"""

import json
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from itertools import islice
from math import inf
from pathlib import Path

from trainers.artifacts.atomic import write_text
from trainers.artifacts.layout import split_facts
from trainers.data.conll import CONLL
from trainers.data.data_root import folder_under
from trainers.data.facts import facts_of, oddities
from trainers.data.format import MAX_CHARACTERS, Format, characters
from trainers.data.formats import FORMATS, by_extension, is_nearly_a_split
from trainers.data.source import Source
from trainers.digests import digest
from trainers.examples import LANGUAGE_CODE, DataError, Example, Facts, MissingSplitError
from trainers.tasks import TASKS
from trainers.trial import SPLITS, DataReference, Split

# Of a split, which is read as a whole; XTREME-R's largest has 392,702.
MAX_EXAMPLES = 1_000_000

# Of all examples of a split; a passage counts with each of its questions.
MAX_SPLIT_CHARACTERS = 2**30

# Raised whenever more is checked of examples: facts of files that were checked for less are found again.
CHECKS = 2

# Different ones of a split: each is a class that a model tells apart.
MAX_LABELS = 1_000


class FolderSource(Source):
    """The client's own folder under the data root: `{"folder": "<path under the data root>"}`.

    A source of files of other formats is a subclass.

    Attributes:
        formats: that the folder's files may have.
    """

    name = "folder"
    takes = "path under the data root"
    formats: Sequence[Format] = FORMATS

    def locate(self, value: str, home: Path, data_root: Path | None) -> DataReference:
        """The folder. DataError if there is none under the data root."""
        return DataReference(self.name, folder_under(data_root, value))

    def open(self, reference: DataReference, task: str, home: Path) -> "FolderData":
        """The folder's examples of a task."""
        return open_folder(reference.location, task, home, self.formats)

    def warnings(self, reference: DataReference, task: str, home: Path) -> list[str]:
        """The languages that lack a test split, and files that are not read."""
        data = self.open(reference, task, home)
        return data.lacking() + data.unread()

    def words(self, value: str) -> str:
        """The path."""
        return value


class ConllSource(FolderSource):
    """A folder of CoNLL files alone: `{"conll": "<path under the data root>"}`. `{"folder": ...}` reads them, too."""

    name = "conll"
    formats = (CONLL,)

    def words(self, value: str) -> str:
        """The path, told apart from that of a folder."""
        return self.title(value)


class FolderData:
    """One task's examples under a root folder.

    Messages name a file by its path below the root. Facts about a file are remembered under `facts_cache` for as long
    as its path, size and time of change stay, so that asking again does not read it. After a deadline (by
    `time.monotonic`) no file is read any further.
    """

    def __init__(
        self, root: Path, task: str, facts_cache: Path, formats: Sequence[Format] = FORMATS, deadline: float = inf
    ) -> None:
        self.folder = root / task
        self.task = TASKS[task]
        self.facts_cache = facts_cache
        self.formats = by_extension(self.task, formats)
        self._deadline = deadline

    def languages(self) -> tuple[str, ...]:
        """Codes of the languages that have a test split."""
        return tuple(language for language in self._coded() if self._files(language, "test"))

    def splits(self) -> dict[str, tuple[Split, ...]]:
        """The splits of each language that has any, whether it has a test split or not."""
        found = {name: tuple(split for split in SPLITS if self._files(name, split)) for name in self._coded()}
        return {language: splits for language, splits in found.items() if splits}

    def lacking(self) -> list[str]:
        """In words, which languages lack a test split, so that nothing can be scored on them."""
        languages = self.languages()
        return [
            f"{self.task.name}/{language} has no test split, only {' and '.join(splits)}: nothing can be scored on it"
            for language, splits in self.splits().items()
            if language not in languages
        ]

    def unread(self) -> list[str]:
        """In words, for each language the files that are not read although their names are nearly those of a split."""
        found = {path: self._unread(path) for path in self._folders()}
        names = (
            f"{', '.join(SPLITS)} with an extension of {', '.join(self.formats)}, in a folder with a language's code"
        )
        return [
            f"{self._shown(paths[0])}{f', and {len(paths) - 1} more,' if len(paths) > 1 else ''} is not read;"
            f" allowed: a file {names}"
            for paths in found.values()
            if paths
        ]

    def facts(self, language: str, split: Split) -> Facts:
        """What is known of a split. DataError if it is missing, empty or malformed."""
        path = self._path(language, split)
        status = path.stat()
        form = self.formats[path.suffix].facts_form
        key = digest([str(path), status.st_size, status.st_mtime_ns, self.task.name, form, CHECKS])
        remembered = self.facts_cache / f"{key}.json"
        if remembered.is_file():
            known = json.loads(remembered.read_text(encoding="utf-8"))
            lists = {name: tuple(known[name]) for name in ("labels", "sub_words", "warnings")}
            facts = Facts(**{**known, **lists})
        else:
            facts = self._facts(path)
            write_text(remembered, json.dumps(asdict(facts)))
        return replace(facts, within_train=split == "dev" and path.stem == "train")

    def examples(self, language: str, split: Split) -> list[Example]:
        """A split's examples in the order of the file. DataError if it is missing, empty or malformed."""
        return [example for _, example in self._read(self._path(language, split))]

    def place(self, language: str, split: Split, example: int) -> str:
        """An example's file and line."""
        path = self._path(language, split)
        return next(islice((place for place, _ in self._read(path)), example, None))

    def _coded(self) -> list[str]:
        """Names of the folders that could be a language's code."""
        return [path.name for path in self._folders() if re.fullmatch(LANGUAGE_CODE, path.name)]

    def _folders(self) -> list[Path]:
        """The folders below the task's, but for hidden ones."""
        with self._allowed(self.folder):
            if not self.folder.is_dir():
                return []
            return sorted(path for path in self.folder.iterdir() if path.is_dir() and not path.name.startswith("."))

    def _unread(self, folder: Path) -> list[Path]:
        """The files of a folder that are not read although their names are nearly those of a split."""
        is_coded = re.fullmatch(LANGUAGE_CODE, folder.name)
        read = {path for split in SPLITS for path in self._files(folder.name, split)} if is_coded else set()
        with self._allowed(folder):
            return sorted(path for path in folder.iterdir() if is_nearly_a_split(path.name) and path not in read)

    def _named(self, language: str, name: str) -> list[Path]:
        """The files of a split's name; of more than one, none can be read."""
        paths = [self.folder / language / f"{name}{extension}" for extension in self.formats]
        with self._allowed(self.folder / language):
            return [path for path in paths if path.is_file()]

    def _files(self, language: str, split: Split) -> list[Path]:
        """The files that are a split."""
        names = {"train": "train", "dev": "dev", "test": "test"}
        if self.task.two_splits and not self._named(language, "test"):
            names |= {"dev": "train", "test": "dev"}
        return self._named(language, names[split])

    def _path(self, language: str, split: Split) -> Path:
        paths = self._files(language, split)
        if not paths:
            first, *others = [f"{split}{extension}" for extension in self.formats]
            nor = f", nor {', '.join(others)}" if others else ""
            raise MissingSplitError(f"{self.task.name}/{language}/{first} does not exist{nor}")
        if len(paths) > 1:
            raise DataError(f"{' and '.join(map(self._shown, paths))} are files of one split; allowed: one of them")
        return paths[0]

    @contextmanager
    def _allowed(self, folder: Path) -> Iterator[None]:
        """Makes DataError of what the disk says of a folder that the service may not read."""
        try:
            yield
        except OSError as error:
            raise DataError(f"{self._shown(folder)} cannot be read ({error.strerror})") from error

    def _shown(self, path: Path) -> str:
        return path.relative_to(self.folder.parent).as_posix()

    def _facts(self, path: Path) -> Facts:
        read = list(self._read(path))
        facts = facts_of(self.task, [example for _, example in read])
        if len(facts.labels) > MAX_LABELS:
            raise DataError(f"{self._shown(path)} has {len(facts.labels):,} different labels; allowed: {MAX_LABELS:,}")
        return replace(facts, warnings=tuple(oddities(self.task, read)))

    def _read(self, path: Path) -> Iterator[tuple[str, Example]]:
        """(place in words, example) of each example of a file. DataError if it is empty, malformed or unreadable."""
        name, form = self._shown(path), self.formats[path.suffix]
        place, size = None, 0
        try:
            for count, (place, example) in enumerate(form.read(path, self.task, path.parent.name)):
                if count == MAX_EXAMPLES:
                    raise DataError(f"{form.unit} {place}: more examples than allowed: {MAX_EXAMPLES:,} of a split")
                if time.monotonic() > self._deadline:
                    raise DataError(f"{form.unit} {place}: to check it takes longer than allowed")
                problem = self.task.problem(example)
                if problem or not isinstance(example, dict):
                    raise DataError(f"{form.unit} {place}: {problem}")
                if (own := characters(example)) > MAX_CHARACTERS:
                    raise DataError(f"{form.unit} {place}: {own:,} characters; allowed: {MAX_CHARACTERS:,} an example")
                size += own
                if size > MAX_SPLIT_CHARACTERS:
                    raise DataError(f"{form.unit} {place}: the split has more than {MAX_SPLIT_CHARACTERS:,} characters")
                yield f"{name}, {form.unit} {place}", example
        except DataError as error:
            raise DataError(f"{name}, {error}") from error
        except OSError as error:
            raise DataError(f"{name} cannot be read ({error.strerror})") from error
        if place is None:
            raise DataError(f"{name} is empty")


def open_folder(root: Path, task: str, home: Path, formats: Sequence[Format] = FORMATS) -> FolderData:
    """A task's examples under a root folder; facts about its files are cached in the service's folder."""
    return FolderData(root, task, split_facts(home), formats)
