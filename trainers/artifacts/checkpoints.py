"""State dicts on disk: tensors as safetensors, everything else as JSON, written atomically and never pickled."""

import json
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from trainers.artifacts.atomic import need_room


def save(folder: Path, state: Any) -> None:
    """Write a state (dicts, lists and tuples of tensors and plain values) to a folder, replacing the state there.

    The state is a folder `<folder>/<number>`, which appears once it is complete; then the one before is removed. Only
    one process at a time may write to a folder: unfinished states of others are removed.

    Raises:
        OSError: the disk has no room for it and the reserve; the state before stays.
    """
    tensors: dict[str, Tensor] = {}
    plain = _without_tensors(state, tensors, {})
    folder.mkdir(parents=True, exist_ok=True)
    need_room(folder, sum(tensor.nbytes for tensor in tensors.values()))
    before = list(_versions(folder))
    version = folder / str(max((int(path.name) for path in before), default=0) + 1)
    unfinished = folder / f".{version.name}"
    for left in folder.glob(".*"):
        shutil.rmtree(left, ignore_errors=True)
    unfinished.mkdir()
    try:
        save_file(tensors, unfinished / "tensors.safetensors")
        (unfinished / "state.json").write_text(json.dumps(plain), encoding="utf-8")
        unfinished.replace(version)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    for path in before:
        shutil.rmtree(path, ignore_errors=True)


def link(folder: Path, other: Path) -> None:
    """Give the state that `save` wrote last another folder as well, of the same files, replacing the state there."""
    linked = other.with_name(f".{other.name}")
    shutil.rmtree(linked, ignore_errors=True)
    shutil.copytree(folder, linked, copy_function=os.link)
    shutil.rmtree(other, ignore_errors=True)
    linked.replace(other)


def load(folder: Path, tensors: bool = True) -> Any:
    """The state that `save` wrote last; None if there is none. Tensors are on the CPU, tuples have become lists.

    Args:
        folder: as for `save`.
        tensors: read the tensors; otherwise each is None.
    """
    version = max(_versions(folder), key=lambda path: int(path.name), default=None)
    if version is None:
        return None
    found = load_file(version / "tensors.safetensors") if tensors else defaultdict[str, Any](lambda: None)
    return _with_tensors(json.loads((version / "state.json").read_text(encoding="utf-8")), found)


def _versions(folder: Path) -> Iterator[Path]:
    return (path for path in folder.glob("*") if path.name.isdigit())


def _without_tensors(value: Any, tensors: dict[str, Tensor], names: dict[int, dict[Any, str]]) -> Any:
    """The value as JSON, with each tensor replaced by a number under which it is added to `tensors`, once.

    `names` maps each storage to the numbers of the tensors in it.
    """
    if isinstance(value, Tensor):
        in_storage = names.setdefault(value.untyped_storage().data_ptr(), {})
        place = (value.storage_offset(), value.shape, value.stride(), value.dtype)
        if place not in in_storage:
            name = str(len(tensors))
            tensors[name] = _whole(value.detach(), is_first=not in_storage)
            in_storage[place] = name
        return {"tensor": in_storage[place]}
    if isinstance(value, dict):
        pairs = [[key, _without_tensors(part, tensors, names)] for key, part in value.items()]
        return {"dict": pairs}  # JSON would make the keys strings
    if isinstance(value, list | tuple):
        return [_without_tensors(part, tensors, names) for part in value]
    return value


def _whole(tensor: Tensor, is_first: bool) -> Tensor:
    """The tensor as safetensors needs it: contiguous and not sharing a storage, which the first tensor in one keeps."""
    return tensor.contiguous() if is_first else tensor.clone(memory_format=torch.contiguous_format)


def _with_tensors(value: Any, tensors: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        if "tensor" in value:
            return tensors[value["tensor"]]
        return {key: _with_tensors(part, tensors) for key, part in value["dict"]}
    if isinstance(value, list):
        return [_with_tensors(part, tensors) for part in value]
    return value
