"""An encoder in a Hugging Face folder of this machine."""

import json
from functools import cached_property
from pathlib import Path

from trainers.artifacts import layout
from trainers.artifacts.atomic import write_text
from trainers.data.download import Tell
from trainers.digests import digest
from trainers.encoders.encoder import Encoder, EncoderError, EncoderSize, Need
from trainers.encoders.examination import config_warnings, examine, local_files, read_config
from trainers.encoders.files import COUNTED, Folder, is_any
from trainers.encoders.weights import weights


class FolderEncoder(Encoder):
    """The encoder in a folder, which may be read but is never written.

    Args:
        name: the path of the folder, as in a spec.
        home: the service's folder, where digests are cached.
    """

    def __init__(self, name: str, home: Path) -> None:
        self.name, self.home = name, home

    @cached_property
    def folder(self) -> Folder:
        """Its files. EncoderError if they cannot be those of an encoder."""
        try:
            folder = Folder(Path(self.name).expanduser())
            read_config(folder)
            weights(folder.sizes, folder)
        except (EncoderError, RuntimeError) as error:  # no such user
            raise EncoderError(f"{self.name}: {error}") from error
        return folder

    @cached_property
    def digest(self) -> str:
        """Digest of the files' names and contents, cached by their sizes and modification times."""
        folder = self.folder
        names = sorted(name for name in folder.sizes if is_any(name, COUNTED))
        cached = layout.encoder_digests(self.home) / f"{digest(folder.states(names))}.json"
        if cached.is_file():
            return str(json.loads(cached.read_text(encoding="utf-8")))
        found = digest([[name, folder.sha256(name)] for name in names])
        write_text(cached, json.dumps(found))
        return found

    @property
    def size(self) -> EncoderSize | None:
        """As its configuration says."""
        return EncoderSize.of(read_config(self.folder))

    @property
    def warnings(self) -> list[str]:
        """Those of its configuration."""
        return config_warnings(read_config(self.folder))

    def examine(self, need: Need) -> None:
        """Judge whether a task can train it."""
        folder = self.folder
        try:
            examine(local_files(folder), need)
        except EncoderError as error:
            raise EncoderError(f"{self.name}: {error}") from error

    def prepare(self, tell: Tell | None = None) -> Path:
        """The folder itself."""
        return self.folder.path
