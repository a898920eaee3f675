"""From what a spec calls its data to where they lie."""

from pathlib import Path
from typing import Literal

from search_spaces.spec import DatasetSpec, FolderSpec
from trainers.data.datasets import dataset
from trainers.examples import DataError
from trainers.trial import DataReference


def data_reference(
    data: Literal["sample", "xtreme-r"] | FolderSpec | DatasetSpec, home: Path, data_root: Path | None
) -> DataReference:
    """Where the data of a spec lie.

    Raises:
        DataError: no such dataset, a folder outside the data root, or no data root.
    """
    if isinstance(data, DatasetSpec):
        return DataReference("folder", Path(dataset(home, data.dataset).root))
    if not isinstance(data, FolderSpec):
        return DataReference(data)
    if data_root is None:
        raise DataError("folders are read only under the data root, and ALLASPRAK_DATA_ROOT is not set")
    root = data_root.resolve()
    try:
        path = (root / data.folder).resolve()
        is_folder = path.is_dir()
    except (OSError, RuntimeError) as error:  # too long a name, links in a circle
        raise DataError(f"{data.folder} is not a folder: {error}") from error
    if not path.is_relative_to(root):
        raise DataError(f"{data.folder} is not under the data root {data_root}")
    if not is_folder:
        raise DataError(f"{data.folder}: the data root {data_root} has no such folder")
    return DataReference("folder", path)
