"""Where examples come from: one interface over the sample corpus and folders (XTREME-R is fetched into a folder)."""

from pathlib import Path
from typing import Final

from trainers.artifacts import layout
from trainers.data.folder import FolderData
from trainers.data.sample_data import SampleData
from trainers.examples import Data
from trainers.trial import DataReference

XTREME_R: Final = "xtreme-r"


def xtreme_r_folder(home: Path) -> Path:
    """Where XTREME-R lies once it has been fetched from the hub (`trainers.data.xtreme_r.fetch`)."""
    return layout.fetched_data(home, XTREME_R)


def open_data(reference: DataReference, task: str, home: Path) -> Data:
    """The examples of a task from a source of data.

    Args:
        reference: which source.
        task: which task.
        home: where fetched data lie and what was learnt about files is remembered.
    """
    if reference.kind == "sample":
        return SampleData(task)
    root = reference.path if reference.path is not None else xtreme_r_folder(home)
    return FolderData(root, task, facts_cache=layout.split_facts(home))
