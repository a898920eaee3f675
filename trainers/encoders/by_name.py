"""Encoders by name: the offline encoder, a Hugging Face folder, or a name on the hub. No torch, no remote code."""

from pathlib import Path

from trainers.encoders.encoder import Encoder, EncoderError
from trainers.encoders.folder import FolderEncoder
from trainers.encoders.hub import HUB_NAME, HubEncoder
from trainers.encoders.offline import OfflineEncoder


def find_encoder(name: str, home: Path, revision: str | None = None) -> Encoder:
    """The encoder of a name, which has not been looked for yet.

    Args:
        name: as in a spec.
        home: the service's folder.
        revision: branch, tag or commit of a repository on the hub; None for its main branch.

    Raises:
        EncoderError: no encoder has such a name.
    """
    if name == OfflineEncoder.name:
        return OfflineEncoder(home)
    if name.startswith(("/", "./", "../", "~")):
        return FolderEncoder(name, home)
    if not HUB_NAME.fullmatch(name):
        raise EncoderError(
            f"{name!r} is neither {OfflineEncoder.name!r}, nor the path of a folder, nor a name on the hub"
        )
    return HubEncoder(name, home, revision)


def encoder_digest(name: str, home: Path, revision: str | None = None) -> str:
    """Digest of an encoder's weights and tokenizer, without fetching them. EncoderError if there is none."""
    return find_encoder(name, home, revision).digest


def prepare_encoder(name: str, home: Path, revision: str | None = None) -> Path:
    """A Hugging Face folder with an encoder, as `Encoder.prepare`.

    Raises:
        EncoderError: it does not exist or is not available.
        OSError: the disk has no room.
    """
    return find_encoder(name, home, revision).prepare()
