"""The sample corpus as a source of data. Its scores say nothing about XTREME-R's."""

from functools import cache
from pathlib import Path
from typing import Any

from trainers.data.facts import facts_of
from trainers.data.source import Source
from trainers.examples import DataError, Example, Facts, MissingSplitError
from trainers.sample_corpus import LANGUAGES, SPLITS
from trainers.tasks import TASKS
from trainers.trial import DataReference, Split


def tasks() -> tuple[str, ...]:
    """Names of the tasks that have examples here (`trainers.tasks.task.Task.sample`)."""
    return tuple(name for name, task in TASKS.items() if task.sample is not None)


def examples(task: str, language: str, split: str) -> list[dict[str, Any]]:
    """Labeled examples of one split, the same at every call, in fresh copies that the caller may change.

    Raises:
        ValueError: for an unknown task, language or split; the message names what is allowed.
    """
    sample = TASKS[task].sample if task in TASKS else None
    if sample is None:
        raise ValueError(f"the sample corpus has no task {task!r}; choose one of {', '.join(tasks())}")
    for value, allowed, kind in ((language, LANGUAGES, "language"), (split, SPLITS, "split")):
        if value not in allowed:
            raise ValueError(f"the sample corpus has no {kind} {value!r}; choose one of {', '.join(allowed)}")
    return sample(language, split)


class SampleSource(Source):
    """The sample corpus: `"sample"`."""

    name = "sample"

    def open(self, reference: DataReference, task: str, home: Path) -> "SampleData":
        """The sample corpus's examples of a task."""
        return SampleData(task)

    def describe(self, home: Path) -> list[dict[str, Any]]:
        """The corpus with its languages."""
        languages = {"languages": sorted(LANGUAGES)}
        return [{"name": self.name, "kind": "ours", "tasks": dict.fromkeys(tasks(), languages)}]

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
            raise DataError(f"the sample corpus has no examples of {task}; it has those of {', '.join(tasks())}")
        self.task = task

    def languages(self) -> tuple[str, ...]:
        """Codes of the sample's languages."""
        return tuple(sorted(LANGUAGES))

    def facts(self, language: str, split: Split) -> Facts:
        """What is known of a split."""
        self._require(language)
        return _facts(self.task, language, split)

    def examples(self, language: str, split: Split) -> list[Example]:
        """A split's examples."""
        self._require(language)
        return list(_examples(self.task, language, split))

    def _require(self, language: str) -> None:
        if language not in LANGUAGES:
            there = ", ".join(self.languages())
            raise MissingSplitError(f"the sample corpus has no language {language!r}; it has {there}")

    def place(self, language: str, split: Split, example: int) -> str:
        """An example's place in the split."""
        return f"the sample corpus, {language}/{split}, example {example}"


@cache
def _examples(task: str, language: str, split: Split) -> tuple[Example, ...]:
    return tuple(dict(example) for example in examples(task, language, split))


@cache
def _facts(task: str, language: str, split: Split) -> Facts:
    return facts_of(TASKS[task], _examples(task, language, split))
