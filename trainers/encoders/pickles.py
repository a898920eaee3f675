"""Weights as pickles, and their conversion to safetensors.

No pickle is executed: values are read by torch's unpickler that knows nothing but tensors (`weights_only=True`), in a
process of its own: `python -m trainers.encoders.pickles <folder> <new folder>`.
"""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

from trainers.artifacts.atomic import need_room, unfinished_file, write_text
from trainers.child_process import python
from trainers.encoders.encoder import EncoderError
from trainers.encoders.files import PICKLE, PICKLE_INDEX, WEIGHTS_INDEX, Folder
from trainers.encoders.weights import is_pickled, pickled


def convert(folder: Path, target: Path) -> list[Path]:
    """Write the tensors in a folder's pickles as safetensors, by a process of its own.

    Args:
        folder: has `pytorch_model.bin`, or the index `pytorch_model.bin.index.json` with the files that it names.
        target: an existing folder, which may be the same.

    Returns:
        The files that were written.

    Raises:
        EncoderError: there are no pickles alone, or they hold something else than tensors.
        OSError: the disk has no room.
    """
    inside = Folder(folder)
    if not is_pickled(inside.sizes):
        raise EncoderError(f"{folder} has safetensors, or no {PICKLE} and no {PICKLE_INDEX}")
    names = pickled(inside.sizes, inside)
    need_room(target, sum(inside.sizes[name] for name in names))
    command = python("trainers.encoders.pickles", str(folder), str(target))
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"its process ended with {done.returncode}"])[-1]
        raise EncoderError(f"the pickles in {folder} cannot be converted: {reason}")
    return [target / _converted(name) for name in names]


def main() -> None:
    """Convert the pickles in the first folder that the command line names into the second."""
    folder, target = map(Path, sys.argv[1:])
    inside = Folder(folder)
    for name in pickled(inside.sizes, inside):
        _convert(folder / name, target / _converted(name))
    if PICKLE not in inside.sizes:
        index = inside.read_json(PICKLE_INDEX)
        places = {tensor: _converted(name) for tensor, name in index["weight_map"].items()}
        write_text(target / WEIGHTS_INDEX, json.dumps({**index, "weight_map": places}))


def _converted(name: str) -> str:
    """What a file is called once it is converted, such as model-00001-of-00002.safetensors."""
    return f"{name.removeprefix('pytorch_').removesuffix('.bin')}.safetensors"


def _convert(source: Path, target: Path) -> None:
    import torch
    from safetensors.torch import save_file

    try:
        saved = torch.load(source, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(source))
    except Exception as error:  # a pickle makes anything fail
        sys.exit(f"{source.name}: {str(error).partition('. ')[0].splitlines()[0]}")
    tensors, storages = {}, set()
    for name, tensor in saved.items():
        if isinstance(tensor, torch.Tensor):
            storage = tensor.untyped_storage().data_ptr()
            # What shares its values, as tied weights do, gets its own: safetensors has no other way.
            whole = tensor.detach().contiguous()
            tensors[name] = whole.clone() if storage in storages else whole
            storages.add(storage)
    if not tensors:
        sys.exit(f"{source.name} has no tensors at its top")
    with unfinished_file(target) as unfinished:
        save_file(tensors, unfinished, metadata={"format": "pt"})


if __name__ == "__main__":
    main()
