"""Homes that earlier versions have left (`tests/service/frozen`), unpacked."""

import json
import sqlite3
import tarfile
from pathlib import Path
from typing import Any

FROZEN = Path(__file__).parents[1] / "service" / "frozen"


def unpack(archive: Path, folder: Path) -> dict[str, Any]:
    """Put a frozen home into a folder; what is expected of it."""
    with tarfile.open(archive) as files:
        files.extractall(folder, filter="data")
    dump = folder / "store.sql"
    with sqlite3.connect(folder / "allasprak.sqlite") as connection:
        connection.executescript(dump.read_text().replace("@HOME@", str(folder)))
    dump.unlink()
    expected = archive.with_name(archive.name.replace("home-", "expected-").replace(".tar.xz", ".json"))
    return dict(json.loads(expected.read_text().replace("@HOME@", str(folder))))
