"""The sample corpus as a source of data. Its scores say nothing about XTREME-R's."""

from functools import cache

from trainers.data import sample
from trainers.data.token_counts import guessed, sampled
from trainers.examples import DataError, Example, Facts, facts_of
from trainers.tasks import TASKS
from trainers.trial import Split


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
    examples = _examples(task, language, split)
    labels = {label for example in examples for label in TASKS[task].labels_of(example)}
    sub_words = (guessed(TASKS[task].text(example)) for example in sampled(examples))
    return facts_of(examples, labels, map(TASKS[task].stratum, examples), sub_words)
