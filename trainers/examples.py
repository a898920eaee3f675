"""A split of one language's data, and what is known of it without reading it again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from trainers.config import Split, digest

# What a language may be called: as in ISO 639, with variants such as "zh-Hant".
LANGUAGE_CODE = r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}"

Example = dict[str, Any]  # {"tokens": [...], "tags": [...]} for ner; each task says what it needs


class DataError(ValueError):
    """An example or a split is not as its task needs it; the message names file and line."""


@dataclass(frozen=True)
class Facts:
    """What is known of a split: how many examples, a digest of their content, and the labels that occur."""

    examples: int
    digest: str
    labels: tuple[str, ...]


def facts_of(examples: Sequence[Example], labels: set[str]) -> Facts:
    """The facts of a split that has been read."""
    return Facts(len(examples), digest(list(examples)), tuple(sorted(labels)))


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
