"""Settings, all from the environment."""

import os
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
        token: `ALLASPRAK_TOKEN`, which every request must carry then.
    """

    home: Path
    data_root: Path | None
    database_url: str
    ray_address: str | None
    token: str | None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read the settings; an empty variable counts as not set."""

        def value(name: str) -> str | None:
            return environment.get(f"ALLASPRAK_{name}") or None

        home = Path(value("HOME") or "~/.allasprak").expanduser().resolve()
        data_root = value("DATA_ROOT")
        return cls(
            home=home,
            data_root=Path(data_root).expanduser().resolve() if data_root else None,
            database_url=value("DATABASE_URL") or f"sqlite:///{home / 'allasprak.sqlite'}",
            ray_address=value("RAY_ADDRESS"),
            token=value("TOKEN"),
        )
