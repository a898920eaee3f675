"""What is known of a dataset that was added: its `dataset.json`, which whoever has the home may have broken."""

import json
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from trainers.artifacts.layout import dataset_folder
from trainers.examples import DataError

Kind = Literal["zip", "folder", "hub"]


class BrokenDatasetError(DataError):
    """What is known of a dataset cannot be read, or its files are gone: it can only be deleted."""


@dataclass(frozen=True)
class Dataset:
    """What is known of a dataset.

    `root` is the folder with its tasks; `tasks` has for each task its `labels` and `languages`: for each language and
    split the number of `examples` and their `digest`. `digest` is that of all; `created` in seconds since 1970.
    `warnings` say in words what is odd, but taken as it is. `owner` is the name of whoever added it, if known.
    """

    name: str
    kind: Kind
    root: str
    created: float
    digest: str
    tasks: dict[str, Any]
    warnings: list[str] = field(default_factory=list)
    owner: str | None = None

    def public(self) -> dict[str, Any]:
        """What clients may know: all but the folder."""
        return {name: value for name, value in vars(self).items() if name != "root"}


def read_dataset(home: Path, name: str) -> Dataset:
    """A dataset from its file. What we hold lies beside it, also where the home has another path since.

    What a later version has added to the file is left out.

    Raises:
        BrokenDatasetError: the file is missing, unreadable or malformed, or the folder with the tasks is gone.
    """
    folder = dataset_folder(home, name)
    try:
        found = _parsed(_content(folder / "dataset.json"))
        found = replace(found, name=name, root=found.root if found.kind == "folder" else str(folder / "data"))
        if not Path(found.root).is_dir():
            raise ValueError("the folder with its files is gone")
    except OSError as error:
        raise _broken(name, error.strerror or type(error).__name__) from error
    except ValueError as error:
        raise _broken(name, str(error)) from error
    return found


def _broken(name: str, why: str) -> BrokenDatasetError:
    return BrokenDatasetError(f"the dataset {name!r} is broken ({why}); allowed: to delete it, and add it again")


def _content(path: Path) -> Any:
    content = path.read_bytes()
    try:
        given = json.loads(content)
        json.dumps(given, ensure_ascii=False, allow_nan=False).encode()  # or it can't be answered
    except (ValueError, RecursionError) as error:
        raise ValueError("dataset.json is no JSON") from error
    return given


def _parsed(given: Any) -> Dataset:
    """ValueError: a field is missing, or not of its type."""
    if not isinstance(given, dict):
        raise ValueError("dataset.json is no object")
    named = {one.name: given[one.name] for one in fields(Dataset) if one.name in given}
    named = {"warnings": [], "owner": None} | named  # which earlier versions did not write
    for name in (one.name for one in fields(Dataset)):
        if name not in named or not _is_valid(name, named[name]):
            raise ValueError(f"{name!r} in dataset.json is {'not allowed' if name in named else 'missing'}")
    return Dataset(**named)


def _is_valid(name: str, value: Any) -> bool:
    match name:
        case "kind":
            return value in get_args(Kind)
        case "created":
            return _is_time(value)
        case "tasks":
            return isinstance(value, dict) and all(map(_is_summary, value.values()))
        case "warnings":
            return _are_texts(value)
        case "owner" if value is None:
            return True
    return isinstance(value, str) and "\0" not in value


def _is_time(value: Any) -> bool:
    try:
        datetime.fromtimestamp(value, UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return False
    return True


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _is_summary(of_task: Any) -> bool:
    """Whether it is as `tasks` has it for each task."""
    match of_task:
        case {"labels": labels, "languages": dict(languages)} if _are_texts(labels):
            return all(
                isinstance(splits, dict) and all(map(_is_count, splits.values())) for splits in languages.values()
            )
    return False


def _is_count(of_split: Any) -> bool:
    match of_split:
        case {"examples": int(), "digest": str()}:
            return True
    return False
