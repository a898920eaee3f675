"""A split of one language's data, and what is known of it without reading it again."""

from dataclasses import dataclass
from typing import Any, Protocol

from trainers.digests import digest
from trainers.trial import Split

# What a language may be called: as in ISO 639, with variants such as "zh-Hant".
LANGUAGE_CODE = r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}"

Example = dict[str, Any]  # {"tokens": [...], "tags": [...]} for ner; each task says what it needs


# Why something that was planned cannot be run any more.
CHANGED = "the data, the encoder, a plugin or our numerics have changed since it was accepted: submit it again"


class DataError(ValueError):
    """An example or a split is not as its task needs it; the message names file and line."""


@dataclass(frozen=True)
class Facts:
    """What is known of a split.

    Attributes:
        examples: how many.
        digest: of their content.
        labels: those that occur.
        strata: how many examples there are of each stratum that shots are drawn of (`Task.stratum`).
        sub_words: a guess at those of a sample of its examples (`trainers.data.token_counts`).
        within_train: it is a dev set that the data do not have: what training leaves of the training split.
    """

    examples: int
    digest: str
    labels: tuple[str, ...]
    strata: dict[str, int]
    sub_words: tuple[int, ...]
    within_train: bool = False


def evaluation_data(facts: Facts, max_examples: int | None) -> str:
    """Digest of the examples of a split that are scored: the whole split, or its first `max_examples`."""
    if max_examples is None or max_examples >= facts.examples:
        return facts.digest
    return digest([facts.digest, max_examples])


class Data(Protocol):
    """One task's examples."""

    def languages(self) -> tuple[str, ...]:
        """Codes of the languages there, in alphabetical order."""

    def facts(self, language: str, split: Split) -> Facts:
        """What is known of a split. DataError if it is missing, empty or malformed."""

    def examples(self, language: str, split: Split) -> list[Example]:
        """A split's examples in their order. DataError as for `facts`."""

    def place(self, language: str, split: Split, example: int) -> str:
        """Where an example is to be found, in words: its file and line."""
