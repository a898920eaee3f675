"""Encoders by name: the offline encoder, a Hugging Face folder, or a name on the hub. No torch, no remote code."""

import hashlib
import json
import re
from pathlib import Path

from trainers import offline_encoder
from trainers.config import DIGEST_LENGTH, digest
from trainers.disk import write_text

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")

# What is fetched and what a digest covers: weights as safetensors only, never pickles, never code.
FILES = ("config.json", "*.safetensors", "model.safetensors.index.json", "tokenizer.json", "tokenizer_config.json",
         "special_tokens_map.json", "sentencepiece.bpe.model", "vocab.txt")  # fmt: skip


class EncoderError(ValueError):
    """There is no such encoder, or it cannot be had; the message says why."""


def encoder_digest(name: str, home: Path) -> str:
    """Digest of an encoder's weights and tokenizer, without fetching them.

    That of the offline encoder is known, that of a folder is computed once and remembered by size and time of change,
    that of a hub name is its commit.

    Raises:
        EncoderError: there is no such encoder, or the hub cannot be asked.
    """
    if name == offline_encoder.NAME:
        return offline_encoder.DIGEST
    if _is_path(name):
        return _folder_digest(_checked_folder(name), home / "cache" / "encoders")
    return digest([name, _hub_commit(name)])


def prepare_encoder(name: str, home: Path) -> Path:
    """A Hugging Face folder with the encoder, fetched or converted if it is not there yet.

    Raises:
        EncoderError: there is no such encoder, or it cannot be had.
        OSError: no room on the disk.
    """
    if name == offline_encoder.NAME:
        return offline_encoder.prepare(home / "encoders")
    if _is_path(name):
        return _checked_folder(name)
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(name, revision=_hub_commit(name), allow_patterns=list(FILES)))


def _is_path(name: str) -> bool:
    return name.startswith(("/", "./", "../", "~"))


def _checked_folder(name: str) -> Path:
    try:
        folder = Path(name).expanduser()
        has_config = (folder / "config.json").is_file()
    except (OSError, RuntimeError) as error:  # too long a name, no such user
        raise EncoderError(f"{name} is not a folder: {error}") from error
    if not has_config:
        raise EncoderError(f"{name} is not a Hugging Face folder: it has no config.json")
    if not any(folder.glob("*.safetensors")):
        raise EncoderError(f"{name} has no *.safetensors: other weight formats are not loaded")
    return folder


def _folder_digest(folder: Path, cache: Path) -> str:
    files = sorted({path for pattern in FILES for path in folder.glob(pattern)})
    states = [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in files]
    remembered = cache / f"{digest(states)}.json"
    if remembered.is_file():
        return str(json.loads(remembered.read_text()))
    contents = []
    for path in files:
        with path.open("rb") as file:
            contents.append([path.name, hashlib.file_digest(file, "sha256").hexdigest()])
    write_text(remembered, json.dumps(digest(contents)))
    return digest(contents)


def _hub_commit(name: str) -> str:
    """The commit of a hub name: from the hub, or that of the copy that lies in the local cache."""
    if not HUB_NAME.fullmatch(name):
        raise EncoderError(
            f"{name!r} is neither {offline_encoder.NAME!r}, nor the path of a folder, nor a Hugging Face hub name"
        )
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    try:
        return str(HfApi().model_info(name, timeout=10).sha)
    except HFValidationError as error:
        raise EncoderError(f"{name!r} is not a name on the Hugging Face hub: {error}") from error
    except RepositoryNotFoundError as error:
        raise EncoderError(f"the Hugging Face hub has no model {name!r} (or it is private)") from error
    except Exception as error:  # whatever its HTTP library raises when the hub can't be reached
        cached = try_to_load_from_cache(name, "config.json")
        if isinstance(cached, str):
            return Path(cached).parent.name  # .../snapshots/<commit>/config.json
        raise EncoderError(
            f"{name!r} is not in the local cache of the Hugging Face hub, and the hub cannot be asked"
            f" ({type(error).__name__})"
        ) from error


assert len(offline_encoder.DIGEST) == DIGEST_LENGTH
