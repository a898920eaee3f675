"""Examples in a folder: `<root>/<task>/<language>/<split>.jsonl`, one JSON object a line.

Some tasks may come with two splits (appendix A): without `test.jsonl` the dev set is the test set, and the dev set is
what training leaves of the training examples.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from itertools import islice
from pathlib import Path

from trainers.artifacts.atomic import write_text
from trainers.data.token_counts import guessed, sampled
from trainers.digests import digest
from trainers.examples import LANGUAGE_CODE, DataError, Example, Facts, facts_of
from trainers.tasks import TASKS
from trainers.trial import Split

# Raised when what is remembered of a file changes its form.
FACTS_FORM = 3

# An example is a few kilobytes; what has no line breaks is no file of them.
MOST_LINE_BYTES = 2**24


class FolderData:
    """One task's examples under a root folder.

    Facts about a file are remembered under `facts_cache` for as long as its path, size and time of change stay, so
    that asking again does not read it.
    """

    def __init__(self, root: Path, task: str, facts_cache: Path) -> None:
        self.folder = root / task
        self.task = TASKS[task]
        self.facts_cache = facts_cache

    def languages(self) -> tuple[str, ...]:
        """Names of the folders that have a test split and could be a language's code."""
        if not self.folder.is_dir():
            return ()
        coded = [path.name for path in self.folder.iterdir() if re.fullmatch(LANGUAGE_CODE, path.name)]
        return tuple(sorted(name for name in coded if (self.folder / name / self._file(name, "test")).is_file()))

    def facts(self, language: str, split: Split) -> Facts:
        """What is known of a split. DataError if it is missing, empty or malformed."""
        path = self._path(language, split)
        status = path.stat()
        key = digest([str(path), status.st_size, status.st_mtime_ns, self.task.name, FACTS_FORM])
        remembered = self.facts_cache / f"{key}.json"
        if remembered.is_file():
            known = json.loads(remembered.read_text())
            facts = Facts(**{**known, "labels": tuple(known["labels"]), "sub_words": tuple(known["sub_words"])})
        else:
            examples = self.examples(language, split)
            labels = {label for example in examples for label in self.task.labels_of(example)}
            sub_words = (guessed(self.task.text(example)) for example in sampled(examples))
            facts = facts_of(examples, labels, map(self.task.stratum, examples), sub_words)
            write_text(remembered, json.dumps(asdict(facts)))
        return replace(facts, within_train=split == "dev" and path.name == "train.jsonl")

    def examples(self, language: str, split: Split) -> list[Example]:
        """A split's examples in the order of the file. DataError if it is missing, empty or malformed."""
        path = self._path(language, split)
        examples = [self._checked(example, path, line) for line, example in _lines(path)]
        if not examples:
            raise DataError(f"{path} is empty")
        return examples

    def place(self, language: str, split: Split, example: int) -> str:
        """An example's file and line."""
        path = self._path(language, split)
        lines = (line for line, _ in _lines(path))
        return f"{path}, line {next(islice(lines, example, None))}"

    def _file(self, language: str, split: Split) -> str:
        folder = self.folder / language
        names = {"train": "train.jsonl", "dev": "dev.jsonl", "test": "test.jsonl"}
        if self.task.two_splits and not (folder / "test.jsonl").is_file():
            names |= {"dev": "train.jsonl", "test": "dev.jsonl"}
        return names[split]

    def _path(self, language: str, split: Split) -> Path:
        path = self.folder / language / self._file(language, split)
        if not path.is_file():
            raise DataError(f"{path} does not exist")
        return path

    def _checked(self, example: object, path: Path, line: int) -> Example:
        problem = self.task.problem(example)
        if problem or not isinstance(example, dict):
            raise DataError(f"{path}, line {line}: {problem}")
        return example


def _lines(path: Path) -> Iterator[tuple[int, object]]:
    """(line number from 1, parsed line), blank lines left out."""
    with path.open("rb") as lines:
        for number, line in enumerate(iter(partial(lines.readline, MOST_LINE_BYTES + 1), b""), start=1):
            if len(line) > MOST_LINE_BYTES:
                raise DataError(f"{path}, line {number}: longer than {MOST_LINE_BYTES / 2**20:g} MiB")
            if not line.strip():
                continue
            try:
                example = json.loads(line.decode())
                json.dumps(example, ensure_ascii=False, allow_nan=False).encode()  # no NaN, no lone surrogates
                yield number, example
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path}, line {number}: not a line of JSON ({error})") from error
