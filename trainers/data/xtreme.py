"""What XTREME's own scripts leave, or the archives that they download, as a source: `{"xtreme": "<path>"}`."""

import tempfile
from collections.abc import Iterable
from pathlib import Path

from trainers.artifacts.layout import fetched_data
from trainers.data.archives import readable
from trainers.data.data_root import folder_under
from trainers.data.download import Tell
from trainers.data.fetched import write_language
from trainers.data.folder import FolderData, open_folder
from trainers.data.source import RemoteSource
from trainers.data.xtreme_folder import ARCHIVES, XtremeFolder
from trainers.examples import DataError
from trainers.trial import DataReference


class XtremeSource(RemoteSource):
    """A folder of `trainers.data.xtreme_folder` under the data root, of which each language is read once."""

    name = "xtreme"
    takes = "path under the data root"

    def locate(self, value: str, home: Path, data_root: Path | None) -> DataReference:
        """The folder. DataError if there is none under the data root."""
        return DataReference(self.name, folder_under(data_root, value))

    def open(self, reference: DataReference, task: str, home: Path) -> FolderData:
        """The examples of a task that have been read."""
        return open_folder(self._folder(reference.location, task, home), task, home)

    def languages(self, location: Path, task: str) -> tuple[str, ...]:
        """Codes of the languages of which there is a test set with labels."""
        if task not in ARCHIVES:
            return ()
        with readable(f"{location.name}: no archive"):
            return XtremeFolder(location, task).languages()

    def hint(self, location: Path, task: str) -> str:
        """Where test sets with labels are."""
        if task not in ARCHIVES:
            return f"XTREME's folder has {', '.join(ARCHIVES)}"
        archives = ", ".join(ARCHIVES[task])
        return f"XTREME's scripts leave train and dev, and remove the labels of test sets, which are in {archives}"

    def fetch(self, location: Path, task: str, languages: Iterable[str], home: Path, tell: Tell) -> list[str]:
        """Read languages of a task; what is the client's own is not compared with anything.

        Raises:
            DataError: a language is not there, or malformed.
        """
        found = XtremeFolder(location, task)
        root = self._folder(location, task, home)
        left = [language for language in languages if not (root / task / language).is_dir()]
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root, prefix=".") as treebanks, readable(f"{location.name}: no archive"):
            if task == "pos" and left:
                tell("reading pos: the archives of treebanks")
                found.unpack(left, Path(treebanks))
            for number, language in enumerate(left, start=1):
                tell(f"reading {task}: {language} ({number} of {len(left)})")
                write_language(root / task / language, task, found.splits(language, Path(treebanks)))
        return []

    def title(self, value: str) -> str:
        """What it is, and its path."""
        return f"XTREME's folder {value}"

    def _folder(self, location: Path, task: str, home: Path) -> Path:
        """Where what was read lies: elsewhere once a file of the task has changed."""
        if task not in ARCHIVES:
            raise DataError(f"XTREME's folder has no examples of {task}; allowed: {', '.join(ARCHIVES)}")
        with readable(f"{location.name}: no folder"):
            return fetched_data(home, self.name) / XtremeFolder(location, task).digest()
