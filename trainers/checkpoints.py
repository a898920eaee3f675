"""Weights on disk: safetensors and a plain manifest, complete or absent."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from trainers.disk import need_room


def save(folder: Path, tensors: Mapping[str, Tensor], manifest: Mapping[str, Any]) -> None:
    """Write a folder with `weights.safetensors` and `manifest.json`; it appears when it is complete.

    Raises:
        OSError: no room on the disk for it and for the reserve; nothing is left behind.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    need_room(folder.parent, sum(tensor.nbytes for tensor in tensors.values()))
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    try:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, unfinished / "weights.safetensors")
        (unfinished / "manifest.json").write_text(json.dumps(manifest))
        if not folder.is_dir():  # another process may have been faster; both wrote the same
            unfinished.replace(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def load(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Weights and manifest of a folder that `save` wrote; None if there is none."""
    if not folder.is_dir():
        return None
    return load_file(folder / "weights.safetensors"), json.loads((folder / "manifest.json").read_text())
