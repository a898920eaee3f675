"""Encoders by name: the offline encoder, a Hugging Face folder, or a name on the hub. No torch, no remote code."""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers.artifacts import layout
from trainers.artifacts.atomic import write_text
from trainers.digests import DIGEST_LENGTH, digest
from trainers.encoders import offline as offline_encoder

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")

# The files that are fetched and that a digest covers: weights as safetensors only, no pickles and no code.
FILES = ("config.json", "*.safetensors", "model.safetensors.index.json", "tokenizer.json", "tokenizer_config.json",
         "special_tokens_map.json", "sentencepiece.bpe.model", "vocab.txt")  # fmt: skip


@dataclass(frozen=True)
class EncoderSize:
    """The size of an encoder of BERT's architecture (BERT, RoBERTa, XLM-R), from its config.json."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    vocabulary: int
    positions: int
    types: int

    @property
    def layers_parameters(self) -> int:
        """Parameters of its layers, through which every token passes."""
        attention = 4 * (self.hidden * self.hidden + self.hidden)
        feed_forward = 2 * self.hidden * self.intermediate + self.intermediate + self.hidden
        return self.layers * (attention + feed_forward + 4 * self.hidden)

    @property
    def body(self) -> int:
        """All parameters except the word embeddings."""
        return self.layers_parameters + (self.positions + self.types + 2) * self.hidden

    @property
    def head(self) -> int:
        """An upper bound of a head's parameters: a dense layer and a few dozen labels."""
        return self.hidden * (self.hidden + 64)

    @property
    def parameters(self) -> int:
        """All parameters, without a pooler."""
        return self.body + self.vocabulary * self.hidden


class EncoderError(ValueError):
    """The encoder does not exist or is not available; the message says why."""


def encoder_digest(name: str, home: Path) -> str:
    """Digest of an encoder's weights and tokenizer, without fetching them.

    That of the offline encoder is a constant; that of a folder is computed from its files, and cached by their sizes
    and modification times; that of a hub name is computed from its commit.

    Raises:
        EncoderError: the encoder does not exist, or the hub cannot be reached.
    """
    if name == offline_encoder.NAME:
        return offline_encoder.DIGEST
    if _is_path(name):
        return _folder_digest(_checked_folder(name), layout.encoder_digests(home))
    return digest([name, _hub_commit(name)])


def encoder_size(name: str, home: Path) -> EncoderSize | None:
    """An encoder's size; None if its config.json does not give it or is not available yet.

    Raises:
        EncoderError, OfflineEncoderError: the encoder does not exist.
    """
    if name == offline_encoder.NAME:
        config = offline_encoder.shape()
    elif _is_path(name):
        config = json.loads((_checked_folder(name) / "config.json").read_text())
    else:
        config = _hub_config(name)
    try:
        return EncoderSize(
            layers=config["num_hidden_layers"],
            hidden=config["hidden_size"],
            intermediate=config["intermediate_size"],
            heads=config["num_attention_heads"],
            vocabulary=config["vocab_size"],
            positions=config["max_position_embeddings"],
            types=config.get("type_vocab_size", 0),
        )
    except KeyError:
        return None


def prepare_encoder(name: str, home: Path) -> Path:
    """A Hugging Face folder with the encoder, which is fetched or converted first if need be.

    Raises:
        EncoderError: the encoder does not exist or is not available.
        OSError: the disk has no room.
    """
    if name == offline_encoder.NAME:
        return offline_encoder.prepare(layout.encoders_folder(home))
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
    cached_digest = cache / f"{digest(states)}.json"
    if cached_digest.is_file():
        return str(json.loads(cached_digest.read_text()))
    contents = []
    for path in files:
        with path.open("rb") as file:
            contents.append([path.name, hashlib.file_digest(file, "sha256").hexdigest()])
    write_text(cached_digest, json.dumps(digest(contents)))
    return digest(contents)


def _hub_config(name: str) -> dict[str, Any]:
    """The config.json of a hub name; empty if it is not available."""
    from huggingface_hub import hf_hub_download

    try:
        config: dict[str, Any] = json.loads(Path(hf_hub_download(name, "config.json")).read_text())
    except Exception:  # any error of its HTTP library when the hub cannot be reached
        return {}
    return config


def _hub_commit(name: str) -> str:
    """The commit of a hub name: from the hub, or of the copy in the local cache."""
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
    except Exception as error:  # any error of its HTTP library when the hub cannot be reached
        cached = try_to_load_from_cache(name, "config.json")
        if isinstance(cached, str):
            return Path(cached).parent.name  # .../snapshots/<commit>/config.json
        raise EncoderError(
            f"{name!r} is not in the local cache of the Hugging Face hub, and the hub cannot be reached"
            f" ({type(error).__name__})"
        ) from error


assert len(offline_encoder.DIGEST) == DIGEST_LENGTH
