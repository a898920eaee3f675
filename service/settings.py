"""Settings, all from the environment."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Where the service writes, reads and runs.

    Attributes:
        home: `ALLASPRAK_HOME`, the folder for all that it writes; `~/.allasprak` if not set.
        data_root: `ALLASPRAK_DATA_ROOT`, the only folder whose sub-folders a spec may name as data.
        database_url: `ALLASPRAK_DATABASE_URL`, as SQLAlchemy writes it; an SQLite file in the home if not set.
        ray_address: `ALLASPRAK_RAY_ADDRESS`, an existing Ray cluster; if not set, a Ray of our own on this machine.
        checkpoint_seconds: `ALLASPRAK_CHECKPOINT_SECONDS`, training between two checkpoints; 300 if not set.
        token: `ALLASPRAK_TOKEN`, which every request must carry then.
    """

    home: Path
    data_root: Path | None
    database_url: str
    ray_address: str | None
    checkpoint_seconds: float
    token: str | None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read the settings; an empty variable counts as not set. ValueError names a variable that is wrong."""

        def value(name: str) -> str | None:
            return environment.get(f"ALLASPRAK_{name}") or None

        home = Path(value("HOME") or "~/.allasprak").expanduser().resolve()
        data_root = value("DATA_ROOT")
        seconds = value("CHECKPOINT_SECONDS") or "300"
        if not re.fullmatch(r"\d+(\.\d+)?", seconds):
            raise ValueError(f"ALLASPRAK_CHECKPOINT_SECONDS is {seconds!r}; allowed: a number of seconds from 0")
        return cls(
            home=home,
            data_root=Path(data_root).expanduser().resolve() if data_root else None,
            database_url=value("DATABASE_URL") or f"sqlite:///{home / 'allasprak.sqlite'}",
            ray_address=value("RAY_ADDRESS"),
            checkpoint_seconds=float(seconds),
            token=value("TOKEN"),
        )
