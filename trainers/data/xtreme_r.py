"""XTREME-R, fetched from where its parts are published into the layout of `folder.py`.

pos comes from the treebanks of Universal Dependencies (`trainers.data.treebanks`), all other tasks, and pawsx beside
them, from the Hugging Face hub (`trainers.data.hub_rows`). What is fetched is compared with what was published
(`trainers.data.published_counts`).
"""

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from trainers.artifacts.atomic import lock, write_text
from trainers.artifacts.layout import fetched_data
from trainers.data.download import Tell
from trainers.data.fetched import Splits, write_language
from trainers.data.folder import FolderData, open_folder
from trainers.data.hub_rows import HubRows
from trainers.data.published_counts import Differences, accepts_differences, not_as_published
from trainers.data.source import RemoteSource
from trainers.data.treebanks import examples, fetch_files
from trainers.examples import DataError, Example
from trainers.tasks import TASKS
from trainers.trial import SPLITS, DataReference, Split


class XtremeRSource(RemoteSource):
    """XTREME-R, of which each language is fetched when the first experiment needs it: `"xtreme-r"`."""

    name = "xtreme-r"
    is_published = True

    def open(self, reference: DataReference, task: str, home: Path) -> FolderData:
        """The examples of a task that have been fetched."""
        return open_folder(self.folder(home), task, home)

    def languages(self, location: None, task: str) -> tuple[str, ...]:
        """Codes of the languages that the paper used for a task."""
        return TASKS[task].languages if _has(task) else ()

    def fetch(self, location: None, task: str, languages: Iterable[str], home: Path, tell: Tell) -> list[str]:
        """Fetch languages of a task, as `trainers.data.xtreme_r.fetch`."""
        return fetch(task, languages, home, tell)

    def folder(self, home: Path) -> Path:
        """Where the fetched languages lie."""
        return fetched_data(home, self.name)

    def describe(self, home: Path) -> list[dict[str, Any]]:
        """Its languages of each task, fetched or not."""
        tasks = {name: {"languages": list(task.languages)} for name, task in TASKS.items() if _has(name)}
        return [{"name": self.name, "kind": "hub", "tasks": tasks}]

    def words(self, value: None) -> str:
        """As in a spec."""
        return self.name

    def title(self, value: None) -> str:
        """Its name in print."""
        return "XTREME-R"


def _has(task: str) -> bool:
    return bool(TASKS[task].hub) or TASKS[task].has_treebanks


def fetch(task: str, languages: Iterable[str], home: Path, tell: Tell) -> list[str]:
    """Fetch languages of a task into `<task>/<language>/<split>.jsonl` below `fetched_data`; what lies there stays.

    A language's folder appears when all its splits are complete, never before. Splits that were not published are left
    out: pos has no dev set for Kazakh and only a test set for Tagalog, Thai and Yoruba, tydiqa no test set.

    Args:
        task: one that is published.
        languages: their codes.
        home: the service's folder.
        tell: is told what is being fetched, and what differs from a published number that is not verified.

    Returns:
        What differs from the published data although that was verified, which the service accepts
        (`ALLASPRAK_ACCEPT_COUNTS`).

    Raises:
        DataError: something cannot be fetched, there is no such language, a column is missing, a row or a line is not
            as the task needs it, or the data are not as published; the message says where. What is complete stays.
    """
    wanted = list(dict.fromkeys(languages))
    fetching = _Fetching(task, fetched_data(home, XtremeRSource.name), tell)
    data = open_folder(fetching.root, task, home)
    accepted: list[str] = []
    for number, language in enumerate(wanted, 1):
        found = fetching.fetch(language, f"{number} of {len(wanted)}")
        for split in SPLITS:
            with suppress(DataError):  # there is no such split
                data.facts(language, split)  # remembered for whoever asks next
        if found["accepted"] and not accepts_differences():
            raise not_as_published("; ".join(found["accepted"]))
        for warning in found["warnings"]:
            tell(f"warning: {warning}")
        accepted += found["accepted"]
    return accepted


class _Fetching:
    """Languages of a task on their way into a folder."""

    def __init__(self, task: str, root: Path, tell: Tell) -> None:
        self.task, self.root, self._tell = task, root, tell
        self._hub = HubRows(self._tell_more)
        self._now = ""

    def fetch(self, language: str, place: str) -> dict[str, list[str]]:
        """Fetch a language that is not there, or wait for whoever fetches it.

        Returns:
            `Differences` of the language.
        """
        folder, comparison = self.root / self.task / language, self._comparison(language)
        if not (folder.is_dir() and comparison.is_file()):
            self._now = f"fetching {self.task}: {language} ({place})"
            self._tell(self._now)
            with lock(self.root / ".locks" / f"{self.task}-{language}"):
                if not (folder.is_dir() and comparison.is_file()):
                    write_language(folder, self.task, self._compared(language))
                    shutil.rmtree(self._downloads(language), ignore_errors=True)
        found: dict[str, list[str]] = json.loads(comparison.read_text(encoding="utf-8"))
        return found

    def _compared(self, language: str) -> Splits:
        """The splits of a language; at their end they are compared with the published ones."""
        differences = Differences()
        counts: Counter[Split] = Counter()
        for split, found in self._splits(language, differences):
            yield split, _counted(found, split, counts)
        differences.compare(self.task, language, counts)
        write_text(self._comparison(language), json.dumps(vars(differences)))

    def _splits(self, language: str, differences: Differences) -> Splits:
        if not TASKS[self.task].has_treebanks:
            yield from self._hub.examples(self.task, language)
            return
        if others := fetch_files(language, self._downloads(language), self._tell_more):
            differences.add(f"{self.task}, {language}: other files than those of the release: {', '.join(others)}")
        yield from examples(language, self._downloads(language))

    def _downloads(self, language: str) -> Path:
        return self.root / ".downloads" / f"{self.task}-{language}"

    def _comparison(self, language: str) -> Path:
        return self.root / ".comparisons" / f"{self.task}-{language}.json"

    def _tell_more(self, text: str) -> None:
        self._tell(f"{self._now}: {text}")


def _counted(
    examples: Iterable[tuple[str, Example]], split: Split, counts: "Counter[Split]"
) -> Iterator[tuple[str, Example]]:
    for found in examples:
        counts[split] += 1
        yield found
