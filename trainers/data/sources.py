"""The sources of data, by name."""

from pathlib import Path

from trainers.data.datasets import DatasetSource
from trainers.data.folder import ConllSource, FolderSource
from trainers.data.sample import SampleSource
from trainers.data.source import Source
from trainers.data.xtreme import XtremeSource
from trainers.data.xtreme_r import XtremeRSource
from trainers.examples import Data, DataError
from trainers.registry import Registry
from trainers.trial import DataReference

SOURCES: Registry[Source] = Registry(
    "allasprak.sources",
    (SampleSource(), XtremeRSource(), DatasetSource(), FolderSource(), XtremeSource(), ConllSource()),
)


def open_data(reference: DataReference, task: str, home: Path) -> Data:
    """The examples of a task at a reference.

    Args:
        reference: as a source located it.
        task: its name.
        home: where fetched data lie and facts about files are cached.

    Raises:
        DataError: the source has no such examples, or no installed package brings it.
    """
    source = SOURCES.get(reference.source)
    if source is None:
        raise DataError(f"no installed package brings the data source {reference.source!r}")
    return source.open(reference, task, home)
