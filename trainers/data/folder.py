"""Examples in a folder: `<root>/<task>/<language>/<split>.jsonl`, one JSON object a line."""

import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from trainers.config import Split, digest
from trainers.disk import write_text
from trainers.examples import LANGUAGE_CODE, DataError, Example, Facts, facts_of
from trainers.tasks import TASKS


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
        coded = (path for path in self.folder.iterdir() if re.fullmatch(LANGUAGE_CODE, path.name))
        return tuple(sorted(path.name for path in coded if (path / "test.jsonl").is_file()))

    def facts(self, language: str, split: Split) -> Facts:
        """What is known of a split. DataError if it is missing, empty or malformed."""
        path = self._path(language, split)
        status = path.stat()
        key = digest([str(path), status.st_size, status.st_mtime_ns, self.task.name])
        remembered = self.facts_cache / f"{key}.json"
        if remembered.is_file():
            known = json.loads(remembered.read_text())
            return Facts(known["examples"], known["digest"], tuple(known["labels"]))
        examples = self.examples(language, split)
        facts = facts_of(examples, {label for example in examples for label in self.task.labels_of(example)})
        write_text(remembered, json.dumps(asdict(facts)))
        return facts

    def examples(self, language: str, split: Split) -> list[Example]:
        """A split's examples in the order of the file. DataError if it is missing, empty or malformed."""
        path = self._path(language, split)
        examples = [self._checked(example, path, line) for line, example in _lines(path)]
        if not examples:
            raise DataError(f"{path} is empty")
        return examples

    def _path(self, language: str, split: Split) -> Path:
        path = self.folder / language / f"{split}.jsonl"
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
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                example = json.loads(line.decode())
                json.dumps(example, ensure_ascii=False, allow_nan=False).encode()  # no NaN, no lone surrogates
                yield number, example
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path}, line {number}: not a line of JSON ({error})") from error
