"""What a spec is validated against: the folders that it may read, and the size of the pool."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Environment:
    """What a spec is checked against.

    `data_root` is the only place where folders are read (None: nowhere); `cpus` and `gpus` are what the pool has,
    None when it may grow; `memory` are the bytes beside its CPUs, None when they are not known.
    """

    home: Path
    data_root: Path | None
    cpus: int | None
    gpus: int | None
    memory: int | None = None
