"""An encoder on the Hugging Face hub, at one commit."""

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory

from trainers.artifacts import layout
from trainers.data.download import Patience, Tell, will_pass, words_of
from trainers.digests import digest
from trainers.encoders import pickled_shapes, pickles
from trainers.encoders.encoder import Encoder, EncoderError, EncoderSize, Need
from trainers.encoders.examination import Files, config_warnings, examine, local_files, read_config
from trainers.encoders.files import (
    ADAPTER,
    CONFIG,
    PICKLE,
    PICKLE_INDEX,
    TOKENIZER_FILES,
    WEIGHTS,
    WEIGHTS_INDEX,
    Folder,
    is_any,
)
from trainers.encoders.weights import MOST_HEADER_BYTES, Shapes, is_pickled, local_shapes, named_by, pickled, weights
from trainers.hub_client import leave_waiting_to_us
from trainers.proxies import SOCKS

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
COMMIT = re.compile(r"[0-9a-f]{40}")

# The account that proposes safetensors for repositories that have pickles alone
# (https://huggingface.co/docs/safetensors/convert-weights).
CONVERTER = "SFconvertbot"

# All that is read of an encoder but its weights.
SMALL = (CONFIG, ADAPTER, WEIGHTS_INDEX, PICKLE_INDEX, *TOKENIZER_FILES)

# Seconds that the hub may take to describe a repository.
PATIENCE = 10

# Bytes that one request for a part of a file asks for.
BLOCK_BYTES = 2**17


class HubError(EncoderError):
    """The hub has no such repository, or does not give it to us."""


class HubUnreachableError(HubError):
    """The hub does not answer, or not now."""


@dataclass(frozen=True, kw_only=True)
class Commit:
    """A commit of a repository.

    Attributes:
        repository: its name, with that of the owner, whatever it was asked for by.
        id: 40 hexadecimal digits.
        sizes: bytes of each file that lies in no folder, by name.
        contents: a digest of each.
    """

    repository: str
    id: str
    sizes: dict[str, int]
    contents: dict[str, str]


class HubEncoder(Encoder):
    """The encoder in a repository.

    Args:
        name: of the repository.
        home: the service's folder, where pickles are converted.
        revision: branch, tag or commit. None for the main branch, or the hub's own conversion of the pickles there.
    """

    def __init__(self, name: str, home: Path, revision: str | None) -> None:
        self.name, self.home, self.asked = name, home, revision

    @cached_property
    def revision(self) -> str:
        """The commit, which stays the same once it is known."""
        if self.asked is not None and COMMIT.fullmatch(self.asked):
            return self.asked
        try:
            return self._commit.id
        except HubUnreachableError:
            if (cached := self._cached(self.asked)) is not None:
                return cached.name
            raise

    @property
    def digest(self) -> str:
        """Digest of name and commit."""
        return digest([self.name, self.revision])

    @property
    def size(self) -> EncoderSize | None:
        """As its configuration says, if that is available."""
        try:
            return EncoderSize.of(read_config(Folder(self._fetch([CONFIG]))))
        except EncoderError:
            return None

    @property
    def warnings(self) -> list[str]:
        """Those of its configuration, if that is available."""
        try:
            return config_warnings(read_config(Folder(self._fetch([CONFIG]))))
        except EncoderError:
            return []

    def examine(self, need: Need) -> None:
        """Judge whether a task can train it, by its small files and the beginning of each file of weights."""
        try:
            examine(self._files(), need)
        except HubError:
            raise
        except EncoderError as error:
            raise EncoderError(f"{self.name}: {error}") from error

    def prepare(self, tell: Tell | None = None) -> Path:
        """A folder of the hub's cache, or one with safetensors that were pickles."""
        patience = Patience(self.name, tell) if tell is not None else None
        while True:
            try:
                return self._prepare()
            except HubUnreachableError as error:
                if patience is None or not will_pass(error):
                    raise
                patience.wait(error)

    def _prepare(self) -> Path:
        converted = layout.encoders_folder(self.home) / f"{self.name.replace('/', '--')}-{self.digest}"
        if converted.is_dir():
            return converted
        folder = Folder(self._fetch([*SMALL, WEIGHTS]))
        if WEIGHTS in folder.sizes:
            return folder.path
        if WEIGHTS_INDEX in folder.sizes:
            return self._fetch([*SMALL, *named_by(folder, WEIGHTS_INDEX)])
        pickles_there = named_by(folder, PICKLE_INDEX) if PICKLE_INDEX in folder.sizes else [PICKLE]
        self._convert(self._fetch([*SMALL, *pickles_there]), converted)
        return converted

    # What the hub says

    @cached_property
    def _commit(self) -> Commit:
        """The commit, with its files."""
        found = self._describe(self.asked or "main")
        if self.asked is None and is_pickled(found.sizes):
            return self._conversion(found) or found
        return found

    def _describe(self, revision: str) -> Commit:
        from huggingface_hub import HfApi

        with self._asking():
            info = HfApi().model_info(self.name, revision=revision, files_metadata=True, timeout=PATIENCE)
        files = [one for one in info.siblings or () if "/" not in one.rfilename]
        return Commit(
            repository=info.id,
            id=str(info.sha),
            sizes={one.rfilename: one.size or 0 for one in files},
            contents={one.rfilename: one.lfs.sha256 if one.lfs else one.blob_id for one in files},
        )

    def _conversion(self, main: Commit) -> Commit | None:
        """The hub's own conversion of pickles: a pull request that changes nothing else that is read."""
        from huggingface_hub import HfApi

        with self._asking():
            proposals = list(
                HfApi().get_repo_discussions(
                    self.name, author=CONVERTER, discussion_type="pull_request", discussion_status="open"
                )
            )
        read = {name: one for name, one in main.contents.items() if is_any(name, (*SMALL, "pytorch_model*.bin"))}
        for proposal in proposals:
            found = self._describe(f"refs/pr/{proposal.num}")
            if proposal.author == CONVERTER and not is_pickled(found.sizes) and read.items() <= found.contents.items():
                return found
        return None

    def _files(self) -> Files:
        """Its files: small ones are fetched; of its weights only the beginning is."""
        try:
            commit = self._commit
        except HubUnreachableError:
            cached = self._cached(self.revision)
            if cached is None or not {WEIGHTS, WEIGHTS_INDEX}.intersection(path.name for path in cached.iterdir()):
                raise
            return local_files(Folder(cached))
        if CONFIG not in commit.sizes:
            raise EncoderError(f"its repository has no {CONFIG} at its top")
        small = Folder(self._fetch(SMALL))
        named = pickled(commit.sizes, small) if is_pickled(commit.sizes) else weights(commit.sizes, small)
        return Files(small=small, weights=named, shapes=lambda name: self._shapes(commit, name))

    def _shapes(self, commit: Commit, name: str) -> Shapes:
        """The tensors in a file of weights, of which only the beginning is fetched."""
        from huggingface_hub import HfFileSystem

        place = f"{commit.repository}@{commit.id}/{name}"
        with self._asking(), HfFileSystem(skip_instance_cache=True).open(place, block_size=BLOCK_BYTES) as file:
            if not name.endswith(".safetensors"):
                return pickled_shapes.shapes(file)
            length = file.read(8)
            size = int.from_bytes(length, "little")
            header = file.read(size) if size <= MOST_HEADER_BYTES else b""  # which is refused
        with TemporaryDirectory() as folder:  # a file with the same header, and a hole in the place of the values
            beginning = Path(folder, name)
            beginning.write_bytes(length + header)
            os.truncate(beginning, commit.sizes[name])
            return local_shapes(Folder(Path(folder)), name)

    # What is fetched

    def _fetch(self, names: Iterable[str]) -> Path:
        """The folder of the hub's cache with files of the commit, which are fetched if they are not there."""
        from huggingface_hub import snapshot_download

        with self._asking():
            return Path(snapshot_download(self.name, revision=self.revision, allow_patterns=list(names)))

    def _cached(self, revision: str | None) -> Path | None:
        """The folder of the hub's cache with what was fetched of a revision before."""
        from huggingface_hub import try_to_load_from_cache

        cached = try_to_load_from_cache(self.name, CONFIG, revision=revision)
        return Path(cached).parent if isinstance(cached, str) else None  # .../snapshots/<commit>/config.json

    def _convert(self, fetched: Path, target: Path) -> None:
        unfinished = target.with_name(f".{target.name}.{token_hex(8)}")
        unfinished.mkdir(parents=True)
        try:
            pickles.convert(fetched, unfinished)
            for name in Folder(fetched).sizes:
                if is_any(name, (CONFIG, *TOKENIZER_FILES)):
                    shutil.copyfile(fetched / name, unfinished / name)
            if not target.is_dir():  # another process may have been faster; both wrote the same
                unfinished.replace(target)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """What goes wrong between us and the hub, in our words."""
        from huggingface_hub import errors

        leave_waiting_to_us()
        try:
            yield
        except EncoderError:
            raise
        except errors.HFValidationError as error:
            raise HubError(f"{self.name!r} is not a name on the Hugging Face hub: {error}") from error
        except errors.GatedRepoError as error:
            raise HubError(
                f"{self.name!r} is gated: ask for access on its page of the hub, and set HF_TOKEN"
            ) from error
        except errors.DisabledRepoError as error:
            raise HubError(f"the hub has closed {self.name!r}") from error
        except errors.RepositoryNotFoundError as error:
            raise HubError(f"the Hugging Face hub has no model {self.name!r} (or it is private)") from error
        except errors.RevisionNotFoundError as error:
            raise HubError(f"{self.name!r} has no branch, tag or commit {self.asked!r}") from error
        except errors.RemoteEntryNotFoundError as error:
            raise HubError(f"{self.name!r} lacks a file: {error}") from error
        except ImportError as error:
            raise HubError(f"{self.name!r} cannot be asked for: {words_of(error)}") from error
        except Exception as error:  # any error of its HTTP library
            status = getattr(getattr(error, "response", None), "status_code", None)
            why = (
                f"answers {status}, {HTTPStatus(status).phrase}"
                if status
                else f"cannot be reached ({SOCKS if words_of(error) == SOCKS else type(error).__name__})"
            )
            raise HubUnreachableError(
                f"{self.name!r} is not in the local cache of the Hugging Face hub, and the hub {why}"
            ) from error
