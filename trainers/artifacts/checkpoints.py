"""State dicts as files: tensors as safetensors, everything else as JSON, written atomically and never pickled."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from trainers.artifacts.place import Place

TENSORS, PLAIN = "tensors.safetensors", "state.json"


def save(place: Place, folder: Path, state: Any, others: Sequence[Path] = ()) -> None:
    """Write a state (dicts, lists and tuples of tensors and plain values), replacing the one before.

    Only one process at a time should write it.

    Args:
        place: where to.
        folder: its name.
        state: the state.
        others: further names for it.

    Raises:
        OSError: a disk has no room for it and the reserve, or the place is lost; the state before stays.
    """
    tensors: dict[str, Tensor] = {}
    plain = _without_tensors(state, tensors, {})
    with place.writing(folder, *others, size=sum(tensor.nbytes for tensor in tensors.values())) as unfinished:
        save_file(tensors, unfinished / TENSORS)
        (unfinished / PLAIN).write_text(json.dumps(plain), encoding="utf-8")


def load(place: Place, folder: Path, tensors: bool = True) -> Any:
    """The state that `save` wrote last; None if there is none. Tensors are on the CPU, tuples have become lists.

    Args:
        place: as for `save`.
        folder: as for `save`.
        tensors: read the tensors; otherwise each is None.
    """
    with place.reading(folder, *([] if tensors else [PLAIN])) as files:
        if files is None:
            return None
        found = load_file(files / TENSORS) if tensors else defaultdict[str, Any](lambda: None)
        return _with_tensors(json.loads((files / PLAIN).read_text(encoding="utf-8")), found)


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
