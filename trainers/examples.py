"""A split of one language's data, and its facts, for which it need not be read again."""

from dataclasses import dataclass
from typing import Any, Protocol

from trainers.digests import digest
from trainers.trial import Split

# Codes of languages: those of ISO 639, also with variants such as "zh-Hant".
LANGUAGE_CODE = r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}"

Example = dict[str, Any]  # {"tokens": [...], "tags": [...]} for ner; each task says what it needs


# Why a planned trial cannot run any more.
CHANGED = "the data, the encoder, a plugin or our numerics have changed since it was accepted: submit it again"


class DataError(ValueError):
    """An example or a split is malformed for its task; the message names file and line."""


class MissingSplitError(DataError):
    """The data do not have a split of a language."""


@dataclass(frozen=True)
class Facts:
    """The facts of a split.

    Attributes:
        examples: the number of examples.
        digest: of their content.
        labels: the labels that occur.
        strata: the number of examples in each stratum that shots are drawn from (`Task.stratum`).
        sub_words: estimated tokens of each example in a sample (`trainers.data.token_counts`).
        within_train: the data have no dev set: this one is held out of the training split.
        warnings: in words, what is odd about the examples, which are taken as they are (`Task.oddity`).
    """

    examples: int
    digest: str
    labels: tuple[str, ...]
    strata: dict[str, int]
    sub_words: tuple[int, ...]
    within_train: bool = False
    warnings: tuple[str, ...] = ()


def evaluation_data(facts: Facts, max_examples: int | None) -> str:
    """Digest of the examples of a split that are scored: the whole split, or a sample of `max_examples`."""
    if max_examples is None or max_examples >= facts.examples:
        return facts.digest
    return sample_digest(facts.digest, max_examples)


def sample_digest(data_digest: str, size: int) -> str:
    """Digest of a sample of this size (`trainers.data.samples`), given that of the examples that it is drawn from."""
    return digest([data_digest, "sample", size])


class Data(Protocol):
    """One task's examples."""

    def languages(self) -> tuple[str, ...]:
        """Codes of its languages, in alphabetical order."""

    def facts(self, language: str, split: Split) -> Facts:
        """The facts of a split. MissingSplitError if there is none, DataError if it is empty or malformed."""

    def examples(self, language: str, split: Split) -> list[Example]:
        """A split's examples in their order. DataError as for `facts`."""

    def place(self, language: str, split: Split, example: int) -> str:
        """Where an example is, for messages: its file and line."""
