"""A place in an object store, such as S3.

A file is one object, which such stores show whole or not at all. A state is several, and is believed once its manifest
is there, an object that is written last: it names the others, with their lengths and digests.

    <prefix>/models/<trial>/<selection>/manifest.json
    <prefix>/models/<trial>/<selection>/<version>/state.json, tensors.safetensors

What a manifest names is never changed. Whoever replaces a state writes a version beside it, then the manifest, and then
removes the version before. Of two that do so at once either counts: both are of the same trial.
"""

import hashlib
import json
import logging
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trainers.artifacts.disk import Taken
from trainers.artifacts.object_store import ObjectStore
from trainers.artifacts.place import Place
from trainers.artifacts.scratch import scratch

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"

# What no manifest names was left by a killed process, if it is so many seconds older than the version that is written.
ABANDONED_SECONDS = 3600.0

# Reading a state that is replaced meanwhile is begun so often.
MOST_BEGUN = 5


@dataclass(frozen=True)
class Manifest:
    """What a state consists of.

    Attributes:
        version: the folder of its objects.
        files: of each, by its name, its `bytes` and its `sha256`.
    """

    version: str
    files: dict[str, dict[str, Any]]


class UrlPlace(Place):
    """Artifacts at a URL.

    Args:
        home: as for `Place`.
        url: of the prefix below which they lie.
        patience: seconds that the store is waited for.
    """

    def __init__(self, home: Path, url: str, patience: float) -> None:
        super().__init__(home)
        self.store, self._hasty = ObjectStore(url, patience), ObjectStore(url, 0.0)

    def _key(self, path: Path) -> str:
        return path.relative_to(self.home).as_posix()

    # States

    @contextmanager
    def writing(self, folder: Path, *others: Path, size: int) -> Iterator[Path]:
        """As `Place.writing`: a local folder, which is sent under each name when the block ends."""
        with scratch(size) as local:
            yield local
            for name in (folder, *others):
                self._publish(self._key(name), local)

    def _publish(self, key: str, local: Path) -> None:
        before = self._manifest(key)
        manifest = Manifest(version=secrets.token_hex(8), files={})
        for file in sorted(local.iterdir()):
            self.store.send(file, f"{key}/{manifest.version}/{file.name}")
            manifest.files[file.name] = {"bytes": file.stat().st_size, "sha256": _digest(file)}
        self.store.write(f"{key}/{MANIFEST}", json.dumps(asdict(manifest), indent=1).encode())
        with suppress(OSError):  # what is not removed now is removed the next time
            self._remove_others(key, manifest.version, before.version if before is not None else None)

    def _remove_others(self, key: str, version: str, before: str | None) -> None:
        written: dict[str, float] = {}
        for one in self._hasty.below(key):
            name, _, rest = one.name.partition("/")
            if rest:
                written[name] = max(one.written, written.get(name, 0.0))
        oldest = written.get(version, 0.0) - ABANDONED_SECONDS
        for name, at in written.items():
            if name != version and (name == before or at < oldest):
                self._hasty.delete_below(f"{key}/{name}")

    @contextmanager
    def reading(self, folder: Path, *files: str) -> Iterator[Path | None]:
        """As `Place.reading`: a local copy. OSError if it is not what was written."""
        key = self._key(folder)
        for _ in range(MOST_BEGUN):
            manifest = self._manifest(key)
            if manifest is None:
                break
            wanted = {name: about for name, about in manifest.files.items() if not files or name in files}
            with scratch(sum(about["bytes"] for about in wanted.values())) as local:
                if self._received(f"{key}/{manifest.version}", wanted, local):
                    yield local
                    return
        else:
            log.warning("%s lacks what its manifest names, and counts as not there", self.shown(folder))
        yield None

    def _received(self, version: str, files: dict[str, dict[str, Any]], local: Path) -> bool:
        """Copy objects of a version to a local folder; False if they are not there any more."""
        for name, about in files.items():
            try:
                self.store.receive(f"{version}/{name}", local / name)
                if _digest(local / name) != about["sha256"]:  # once more: it may have been damaged on its way
                    self.store.receive(f"{version}/{name}", local / name)
            except FileNotFoundError:
                return False
            if _digest(local / name) != about["sha256"]:
                where = self._shown(f"{version}/{name}")
                raise OSError(f"{where} is damaged: its digest is not that in {MANIFEST}; remove both to do without")
        return True

    def written(self, folder: Path) -> float | None:
        """As `Place.written`."""
        found = self.store.about(f"{self._key(folder)}/{MANIFEST}")
        return found.written if found is not None else None

    def _manifest(self, key: str) -> Manifest | None:
        try:
            return Manifest(**json.loads(self.store.read(f"{key}/{MANIFEST}")))
        except FileNotFoundError:
            return None

    # Files

    @contextmanager
    def writing_file(self, path: Path, size: int) -> Iterator[Path]:
        """As `Place.writing_file`: a local file, which is sent when the block ends."""
        with scratch(size) as local:
            yield local / path.name
            self.store.send(local / path.name, self._key(path))

    @contextmanager
    def reading_file(self, path: Path) -> Iterator[Path]:
        """As `Place.reading_file`: a local copy."""
        with scratch(0) as local:
            self.store.receive(self._key(path), local / path.name)
            yield local / path.name

    def has_file(self, path: Path) -> bool:
        """As `Place.has_file`."""
        return self.store.about(self._key(path)) is not None

    def remove_file(self, path: Path) -> None:
        """As `Place.remove_file`."""
        with suppress(FileNotFoundError):
            self.store.delete(self._key(path))

    # Folders

    def complete(self, folder: Path) -> list[str]:
        """As `Place.complete`."""
        parts = [one.name.partition("/") for one in self.store.below(self._key(folder))]
        return sorted({name for name, _, rest in parts if rest in ("", MANIFEST)})

    def names(self, folder: Path) -> list[str]:
        """As `Place.names`."""
        return self.store.names(self._key(folder))

    def taken(self, folders: Iterable[Path]) -> Taken:
        """As `Place.taken`."""
        found = [one for folder in folders for one in self.store.below(self._key(folder))]
        return Taken(sum(one.bytes for one in found), max((one.written for one in found), default=0.0))

    def remove(self, folder: Path) -> None:
        """As `Place.remove`: first the manifests, so that what is left where this is interrupted is no state."""
        key = self._key(folder)
        with suppress(FileNotFoundError):
            for one in self.store.below(key):
                if one.name.rpartition("/")[2] == MANIFEST:
                    self.store.delete(f"{key}/{one.name}")
            self.store.delete_below(key)

    def detach(self, path: Path) -> Callable[[], None]:
        """As `Place.detach`: a folder is removed at once."""
        self.remove(path)
        return lambda: None

    def shown(self, path: Path) -> str:
        """As `Place.shown`."""
        return self._shown(self._key(path))

    def _shown(self, key: str) -> str:
        return f"{self.store.url.partition('?')[0].rstrip('/')}/{key}"

    def check(self) -> None:
        """As `Place.check`, without patience."""
        self.store.check()


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
