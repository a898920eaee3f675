"""The sample corpus as a source of data. Its scores say nothing about XTREME-R's."""

from functools import cache
from pathlib import Path
from typing import Any

from trainers.data import sample
from trainers.data.facts import facts_of
from trainers.data.source import Source
from trainers.examples import DataError, Example, Facts
from trainers.tasks import TASKS
from trainers.trial import DataReference, Split


class SampleSource(Source):
    """The sample corpus: `"sample"`."""

    name = "sample"

    def open(self, reference: DataReference, task: str, home: Path) -> "SampleData":
        """The sample corpus's examples of a task."""
        return SampleData(task)

    def describe(self, home: Path) -> list[dict[str, Any]]:
        """The corpus with its languages."""
        languages = {"languages": sorted(sample.LANGUAGES)}
        return [{"name": self.name, "kind": "ours", "tasks": dict.fromkeys(TASKS, languages)}]

    def words(self, value: None) -> str:
        """As in a spec."""
        return self.name

    def title(self, value: None) -> str:
        """What it is, and is not."""
        return "sample corpus (artificial; says nothing about XTREME-R)"


class SampleData:
    """The sample corpus's examples of one task.

    Raises:
        DataError: it has none.
    """

    def __init__(self, task: str) -> None:
        if TASKS[task].sample is None:
            raise DataError(f"the sample corpus has no examples of {task}; it has those of {', '.join(sample.tasks())}")
        self.task = task

    def languages(self) -> tuple[str, ...]:
        """Codes of the sample's languages."""
        return tuple(sorted(sample.LANGUAGES))

    def facts(self, language: str, split: Split) -> Facts:
        """What is known of a split."""
        if language not in sample.LANGUAGES:
            raise DataError(f"the sample corpus has no language {language!r}; it has {', '.join(self.languages())}")
        return _facts(self.task, language, split)

    def examples(self, language: str, split: Split) -> list[Example]:
        """A split's examples."""
        return list(_examples(self.task, language, split))

    def place(self, language: str, split: Split, example: int) -> str:
        """An example's place in the split."""
        return f"the sample corpus, {language}/{split}, example {example}"


@cache
def _examples(task: str, language: str, split: Split) -> tuple[Example, ...]:
    return tuple(dict(example) for example in sample.examples(task, language, split))


@cache
def _facts(task: str, language: str, split: Split) -> Facts:
    return facts_of(TASKS[task], _examples(task, language, split))
