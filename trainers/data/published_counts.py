"""How many examples each split of the published data has, and what becomes of data that have another number.

`published_counts.csv` has the numbers, and where each is from:

- `scripts`: counted in files that XTREME's own scripts made of the releases (for pos, and of the releases' files
  themselves, at their tags).
- `statistics`: pos, from the `stats.xml` of the treebanks at their tags, which agree with all that was counted.
- `cards`: the same number on the cards of two repositories, or on one card and in the paper of the data.
- `card`: on the card of the repository alone.
- `sum`: tydiqa, as commonly reported; in sum what the card says of all languages.

A number is verified if it was counted in the release or stands in two sources. The pos training set of French has no
number: of UD_French-FTB, whose text may not be distributed, a few sentences of one word remain, and nobody has counted
those of its training set.
"""

import csv
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from trainers.examples import DataError
from trainers.trial import Split

# With the value 1, data that differ from the published ones are accepted.
ACCEPT_VARIABLE = "ALLASPRAK_ACCEPT_COUNTS"


@dataclass(frozen=True, kw_only=True)
class PublishedCount:
    """The number of examples of a split, and whether it was verified against what was published."""

    task: str
    language: str
    split: str
    examples: int
    is_verified: bool
    source: str


@cache
def published_counts() -> Mapping[tuple[str, str], tuple[PublishedCount, ...]]:
    """The numbers of a task and a language."""
    found: dict[tuple[str, str], tuple[PublishedCount, ...]] = {}
    with Path(__file__).with_name("published_counts.csv").open(encoding="utf-8", newline="") as table:
        for row in csv.DictReader(table):
            named = {name: row[name] for name in ("task", "language", "split", "source")}
            count = PublishedCount(**named, examples=int(row["examples"]), is_verified=row["verified"] == "yes")
            key = (count.task, count.language)
            found[key] = (*found.get(key, ()), count)
    return found


class Differences:
    """What is different from the published data: refused, unless the service accepts it.

    Attributes:
        accepted: in words.
        warnings: what differs from a number that is not verified, in words.
    """

    def __init__(self) -> None:
        self.accepted: list[str] = []
        self.warnings: list[str] = []

    def add(self, text: str) -> None:
        """What is surely different. DataError: it is not accepted."""
        if not accepts_differences():
            raise not_as_published(text)
        self.accepted.append(text)

    def compare(self, task: str, language: str, counts: Mapping[Split, int]) -> None:
        """Compare numbers of examples with the published ones. DataError: a verified one differs, and is not accepted.

        Args:
            task: its name.
            language: its code.
            counts: of the splits that there are.
        """
        for is_verified in (True, False):
            if different := list(_different(task, language, counts, is_verified)):
                text = f"{task}, {language}: {', '.join(different)}"
                if is_verified:
                    self.add(text)
                else:
                    self.warnings.append(f"{text} (not verified)")


def accepts_differences() -> bool:
    """Whether the service accepts data that differ from the published ones."""
    return os.environ.get(ACCEPT_VARIABLE) == "1"


def not_as_published(text: str) -> DataError:
    """The error that says what differs, and how it is accepted."""
    return DataError(f"not as published: {text}. {ACCEPT_VARIABLE}=1 accepts the data as they are; reports say so")


def _different(task: str, language: str, counts: Mapping[Split, int], is_verified: bool) -> Iterator[str]:
    there = {str(split): number for split, number in counts.items()}
    for published in published_counts().get((task, language), ()):
        number = there.get(published.split, 0)
        if published.is_verified == is_verified and number != published.examples:
            yield f"{published.split} has {number:,} examples instead of {published.examples:,}"
