"""What a spec is validated against: the folders that it may read, and the size of the pool."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Environment:
    """The folders and the pool of a service.

    Attributes:
        home: the service's own folder.
        data_root: the only folder whose contents a spec may name; None if there is none.
        cpus: CPU threads of the pool; None if it may grow.
        gpus: GPUs of the pool; None if it may grow.
        memory: bytes of the pool; None if unknown.
        artifacts: the URL of the place for checkpoints, models and predictions; None for the home.
    """

    home: Path
    data_root: Path | None
    cpus: int | None
    gpus: int | None
    memory: int | None = None
    artifacts: str | None = None
