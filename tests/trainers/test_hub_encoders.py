"""Encoders on the hub: judged by their beginnings, pinned to a commit, and converted where they are pickles."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file

from faulty_encoders import FAULTS, shard
from hub_server import Fault, Hub, PullRequest, Repository
from sentencepiece_models import OF_FAIRSEQ, OF_T5, train_pieces
from tiny_encoders import tokenizer, write_encoder
from trainers.encoders.by_name import encoder_digest, find_encoder, prepare_encoder
from trainers.encoders.encoder import EncoderError, Need
from trainers.examples import DataError
from trainers.tasks import TASKS
from trainers.training.fresh_model import load_tokenizer

NAME = "org/tiny"
NEED = Need(task="ner", heads={name: task.model_class for name, task in TASKS.items()}, max_length=128)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The tiny encoder, with so many positions that its weights are of some size."""
    return write_encoder(tmp_path / "encoder", positions=20_000)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with Hub({}) as hub, hub.patched(tmp_path / "cache"):
        yield hub


def files(folder: Path) -> dict[str, bytes]:
    """As they are now."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def pickled(folder: Path) -> dict[str, bytes]:
    """The same with its weights as a pickle."""
    tensors = load_file(folder / "model.safetensors")
    torch.save(tensors, folder / "pytorch_model.bin")
    found = files(folder)
    del found["model.safetensors"]
    return found


def examine(home: Path, revision: str | None = None) -> str:
    """The commit of an encoder that is accepted."""
    encoder = find_encoder(NAME, home, revision)
    encoder.examine(NEED)
    assert encoder.revision is not None
    return encoder.revision


def test_an_encoder_is_examined_without_its_weights(hub: Hub, folder: Path, tmp_path: Path) -> None:
    hub.put(f"models/{NAME}", Repository(folder))
    assert examine(tmp_path) == hub.commit(f"models/{NAME}")
    sent = sum(request.sent for request in hub.requests if request.path.endswith("model.safetensors"))
    assert 0 < sent < 2**18 < (folder / "model.safetensors").stat().st_size


def test_shards_are_examined_each(hub: Hub, folder: Path, tmp_path: Path) -> None:
    shard(folder)
    hub.put(f"models/{NAME}", Repository(folder))
    examine(tmp_path)
    prepared = prepare_encoder(NAME, tmp_path)
    assert {path.name for path in prepared.iterdir()} == {path.name for path in folder.iterdir()}


def test_only_what_is_read_is_fetched(hub: Hub, folder: Path, tmp_path: Path) -> None:
    read = {"merges.txt": b"", "spiece.model": b"x", "added_tokens.json": b"{}"}
    others = {"README.md": b"# Mine", "model.py": b"raise", "onnx/model.onnx": b"x", "pytorch_model.bin": b"x"}
    hub.put(f"models/{NAME}", Repository({**files(folder), **read, **others}))
    prepared = prepare_encoder(NAME, tmp_path)
    assert {path.name for path in prepared.rglob("*")} == {*files(folder), *read}


def test_what_was_examined_is_what_is_trained(hub: Hub, folder: Path, tmp_path: Path) -> None:
    hub.put(f"models/{NAME}", Repository(files(folder)))
    commit = examine(tmp_path)
    before, weights = encoder_digest(NAME, tmp_path, commit), (folder / "model.safetensors").read_bytes()
    hub.put(f"models/{NAME}", Repository({**files(folder), "model.safetensors": b"others"}))
    assert hub.commit(f"models/{NAME}") != commit
    assert encoder_digest(NAME, tmp_path, commit) == before != encoder_digest(NAME, tmp_path)
    assert (prepare_encoder(NAME, tmp_path, commit) / "model.safetensors").read_bytes() == weights


@pytest.mark.parametrize("contents", [{}, {"README.md": b"# Mine"}, {"encoder/config.json": b"{}"}])
def test_a_repository_without_an_encoder_is_refused(hub: Hub, tmp_path: Path, contents: dict[str, bytes]) -> None:
    hub.put(f"models/{NAME}", Repository(contents))
    with pytest.raises(EncoderError, match=rf"{NAME}: its repository has no config\.json"):
        examine(tmp_path)


def test_a_revision_may_be_named(hub: Hub, folder: Path, tmp_path: Path) -> None:
    hub.put(f"models/{NAME}", Repository({"config.json": "[]"}, tags={"v1": files(folder)}))
    assert examine(tmp_path, "v1") == hub.commit(f"models/{NAME}", "v1")
    with pytest.raises(EncoderError, match=f"'{NAME}' has no branch, tag or commit 'v2'"):
        examine(tmp_path, "v2")


REMOTE = [
    "weights: no weights", "weights: TensorFlow", "weights: adapter", "weights: empty", "weights: cut by a byte",
    "weights: no safetensors", "weights: one tensor missing", "weights: another shape", "weights: missing shard",
    "weights: index is a list", "weights: header of everything", "weights: quantized in silence",
    "config: list", "config: own code", "config: size 0", "tokenizer: none",
    "tokenizer: no merges", "tokenizer: more tokens than rows", "tokenizer: slow",
]  # fmt: skip


@pytest.mark.parametrize("fault", REMOTE)
def test_an_encoder_that_cannot_be_trained_is_refused_as_a_folder_is(hub: Hub, tmp_path: Path, fault: str) -> None:
    damage, expected = FAULTS[fault]
    damage(write_encoder(tmp_path / "encoder"))
    hub.put(f"models/{NAME}", Repository(tmp_path / "encoder"))
    with pytest.raises(EncoderError) as caught:
        examine(tmp_path)
    assert str(caught.value).startswith(f"{NAME}: ")
    assert re.search(expected, str(caught.value))


# What the hub says


@pytest.mark.parametrize(
    ("repository", "expected"),
    [
        (None, f"the Hugging Face hub has no model '{NAME}' (or it is private)"),
        ({"private": True}, f"the Hugging Face hub has no model '{NAME}' (or it is private)"),
        (
            {"gated": True},
            f"'{NAME}' is gated: ask for access on its page of the hub, and set HF_TOKEN",
        ),
    ],
    ids=["none", "private", "gated"],
)
def test_a_repository_that_we_may_not_read_is_refused(
    hub: Hub, folder: Path, tmp_path: Path, repository: dict[str, Any] | None, expected: str
) -> None:
    if repository is not None:
        hub.put(f"models/{NAME}", Repository(folder, **repository))
    with pytest.raises(EncoderError) as caught:
        examine(tmp_path)
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(path=f"/api/models/{NAME}*", times=None, status=429), "the hub answers 429, Too Many Requests"),
        (Fault(path=f"/api/models/{NAME}*", times=None, status=500), "the hub answers 500, Internal Server Error"),
        (
            Fault(path=f"/api/models/{NAME}*", times=None, break_after=5),
            "the hub cannot be reached (RemoteProtocolError)",
        ),
    ],
    ids=["too many requests", "broken", "the connection ends"],
)
def test_a_hub_that_does_not_answer_now_is_told_in_our_words(
    hub: Hub, folder: Path, tmp_path: Path, fault: Fault, expected: str
) -> None:
    hub.put(f"models/{NAME}", Repository(folder))
    hub.order(fault)
    with pytest.raises(EncoderError) as caught:
        examine(tmp_path)
    assert str(caught.value).startswith(f"'{NAME}' is not in the local cache of the Hugging Face hub, and {expected}")


def test_an_encoder_that_was_fetched_before_needs_no_hub(hub: Hub, folder: Path, tmp_path: Path) -> None:
    hub.put(f"models/{NAME}", Repository(folder))
    commit = examine(tmp_path)
    prepared = prepare_encoder(NAME, tmp_path, commit)
    hub.order(Fault(path="*", times=None, status=503))
    asked = len(hub.requests)
    assert prepare_encoder(NAME, tmp_path, commit) == prepared
    assert encoder_digest(NAME, tmp_path, commit)
    assert len(hub.requests) == asked
    examine(tmp_path, commit)


def test_a_hub_that_asks_to_wait_is_not_waited_for_when_an_encoder_is_examined(
    hub: Hub, folder: Path, tmp_path: Path, waited: list[float]
) -> None:
    hub.put(f"models/{NAME}", Repository(folder))
    hub.order(Fault(path="*/tokenizer.json", times=None, status=429, retry_after=100_000))
    with pytest.raises(EncoderError, match="the hub answers 429, Too Many Requests"):
        examine(tmp_path)
    assert not waited


@pytest.mark.parametrize(
    "fault",
    [
        Fault(path="*/model.safetensors", times=2, status=429, retry_after=9),
        Fault(path="*/model.safetensors", times=9, status=503),
        Fault(path="*/model.safetensors", times=9, break_after=100),
    ],
    ids=["429", "503", "broken"],
)
def test_while_an_encoder_is_fetched_an_interruption_is_waited_out_and_told(
    hub: Hub, folder: Path, tmp_path: Path, waited: list[float], fault: Fault
) -> None:
    hub.put(f"models/{NAME}", Repository(folder))
    encoder = find_encoder(NAME, tmp_path)
    assert encoder.revision
    hub.order(fault)
    told: list[str] = []
    prepared = encoder.prepare(told.append)
    assert (prepared / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    assert waited
    assert told[0].startswith(f"{NAME}: ")
    assert "the next attempt is in" in told[0]


def test_a_hub_that_asks_to_wait_too_long_is_given_up_in_our_words(
    hub: Hub, folder: Path, tmp_path: Path, waited: list[float]
) -> None:
    hub.put(f"models/{NAME}", Repository(folder))
    hub.order(Fault(path="*/model.safetensors", times=None, status=429, retry_after=100_000))
    with pytest.raises(
        DataError, match=rf"{NAME} could not be fetched \(HTTP 429, and the server asks to wait 100000 s"
    ):
        find_encoder(NAME, tmp_path).prepare(print)


# Pickles


def test_the_hub_s_own_conversion_of_a_pickle_is_used_at_its_commit(hub: Hub, folder: Path, tmp_path: Path) -> None:
    weights = (folder / "model.safetensors").read_bytes()
    proposal = PullRequest(files={"model.safetensors": weights})
    hub.put(f"models/{NAME}", Repository(pickled(folder), pull_requests={5: proposal}))
    commit = examine(tmp_path)
    assert commit == hub.commit(f"models/{NAME}", "refs/pr/5")
    prepared = prepare_encoder(NAME, tmp_path, commit)
    assert (prepared / "model.safetensors").read_bytes() == weights
    assert not any(request.path.endswith("pytorch_model.bin") for request in hub.requests)


@pytest.mark.parametrize(
    "proposal",
    [{"author": "someone"}, {"status": "closed"}, {"files": {}}, {"files": {"config.json": "{}"}},
     {"files": {"tokenizer.json": "{}"}}, {"files": {"pytorch_model.bin": b"another"}}],
    ids=["another's", "closed", "without weights", "another config", "another tokenizer", "of another pickle"],
)  # fmt: skip
def test_other_proposals_are_not_taken(hub: Hub, folder: Path, tmp_path: Path, proposal: dict[str, Any]) -> None:
    weights = {"model.safetensors": (folder / "model.safetensors").read_bytes()} if proposal.get("files") != {} else {}
    made = PullRequest(**{**proposal, "files": {**weights, **proposal.get("files", {})}})
    hub.put(f"models/{NAME}", Repository(pickled(folder), pull_requests={5: made}))
    assert examine(tmp_path) == hub.commit(f"models/{NAME}")


@pytest.mark.service
def test_a_pickle_is_examined_by_its_beginning_and_converted_once(hub: Hub, folder: Path, tmp_path: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    hub.put(f"models/{NAME}", Repository(pickled(folder)))
    commit = examine(tmp_path)
    sent = sum(request.sent for request in hub.requests if request.path.endswith("pytorch_model.bin"))
    assert sent < (folder / "pytorch_model.bin").stat().st_size
    prepared = prepare_encoder(NAME, tmp_path, commit)
    assert {path.name for path in prepared.iterdir()} == {
        "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip
    converted = load_file(prepared / "model.safetensors")
    assert converted.keys() == weights.keys()
    assert all(torch.equal(converted[name], one) for name, one in weights.items())
    written = (prepared / "model.safetensors").stat().st_mtime_ns
    hub.order(Fault(path="*", times=None, status=503))
    assert prepare_encoder(NAME, tmp_path, commit) == prepared
    assert (prepared / "model.safetensors").stat().st_mtime_ns == written
    assert [path.name for path in prepared.parent.iterdir()] == [prepared.name]


def test_a_pickle_that_lacks_tensors_is_refused_before_it_is_fetched(hub: Hub, folder: Path, tmp_path: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["embeddings.LayerNorm.bias"]
    found = pickled(folder)
    torch.save(tensors, folder / "pytorch_model.bin")
    found["pytorch_model.bin"] = (folder / "pytorch_model.bin").read_bytes()
    hub.put(f"models/{NAME}", Repository(found))
    with pytest.raises(EncoderError, match=r"lack 1 of the 21 .*\.embeddings\.LayerNorm\.bias"):
        examine(tmp_path)


@pytest.mark.service
def test_a_pickle_that_would_run_code_is_refused(hub: Hub, folder: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (ran,)

    found = pickled(folder)
    torch.save({"embeddings": Evil()}, folder / "pytorch_model.bin")
    found["pytorch_model.bin"] = (folder / "pytorch_model.bin").read_bytes()
    hub.put(f"models/{NAME}", Repository(found))
    with pytest.raises(EncoderError, match="is no tensor"):
        examine(tmp_path)
    with pytest.raises(EncoderError, match="cannot be converted: "):
        prepare_encoder(NAME, tmp_path)
    assert not ran.exists()
    assert not any((tmp_path / "encoders").iterdir())


# The files of repositories that are often used, with weights of our own: the class that wrote them and its sizes, the
# files of the tokenizer, and some that are not read.
PIECES, ROWS = 180, 512
SIZES = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
OF_T5_BASE = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
REPOSITORIES: dict[str, tuple[str, dict[str, Any], dict[str, Any], list[str]]] = {
    "microsoft/mdeberta-v3-base": (
        "DebertaV2ForMaskedLM",
        {**SIZES, "type_vocab_size": 0, "relative_attention": True, "position_biased_input": False,
         "pos_att_type": ["p2c", "c2p"]},
        {"spm.model": OF_T5, "tokenizer_config.json": {"do_lower_case": False, "vocab_type": "spm"}},
        ["pytorch_model.generator.bin", "tf_model.h5", "generator_config.json"],
    ),
    "google/mt5-base": (
        "MT5ForConditionalGeneration",
        {"d_model": 8, "d_kv": 4, "d_ff": 16, "num_layers": 1, "num_heads": 2},
        {"spiece.model": OF_T5, "special_tokens_map.json": OF_T5_BASE,
         "tokenizer_config.json": {"tokenizer_class": "T5Tokenizer", "extra_ids": 0, **OF_T5_BASE}},
        ["flax_model.msgpack", "tf_model.h5", "generation_config.json"],
    ),
    "jhu-clsp/mmBERT-base": (
        "ModernBertForMaskedLM",
        {**SIZES, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "cls_token_id": 0, "sep_token_id": 2},
        {"tokenizer.json": None, "tokenizer_config.json": {"pad_token": "<pad>"}, "special_tokens_map.json": {}},
        [],
    ),
    "BAAI/bge-m3": (
        "XLMRobertaModel",
        {**SIZES, "max_position_embeddings": 514},
        {"tokenizer.json": None, "sentencepiece.bpe.model": OF_FAIRSEQ,
         "tokenizer_config.json": {"pad_token": "<pad>"}},
        ["colbert_linear.pt", "sparse_linear.pt", "modules.json", "1_Pooling/config.json", "onnx/model.onnx"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    "is_converted",
    [True, pytest.param(False, marks=pytest.mark.slow)],
    ids=["converted by the hub", "pickles alone"],
)
@pytest.mark.parametrize("name", REPOSITORIES)
def test_repositories_with_pickles_are_usable(hub: Hub, tmp_path: Path, name: str, is_converted: bool) -> None:
    class_, sizes, tokenizer_files, others = REPOSITORIES[name]
    model_class = getattr(transformers, class_)
    model = model_class(model_class.config_class(**sizes, vocab_size=ROWS))
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    contents: dict[str, Any] = dict.fromkeys([*others, "README.md", ".gitattributes"], b"not read")
    for file, content in tokenizer_files.items():
        if file == "tokenizer.json":
            contents[file] = tokenizer().to_str()
        else:
            contents[file] = train_pieces(PIECES, content) if file.endswith(".model") else json.dumps(content)
    contents |= {"config.json": model.config.to_json_string(), "pytorch_model.bin": tmp_path / "pytorch_model.bin"}
    model.save_pretrained(tmp_path / "converted")
    proposal = PullRequest(files={"model.safetensors": tmp_path / "converted" / "model.safetensors"})
    hub.put(f"models/{name}", Repository(contents, pull_requests={7: proposal} if is_converted else {}))

    encoder = find_encoder(name, tmp_path)
    encoder.examine(NEED)
    assert encoder.revision == hub.commit(f"models/{name}", "refs/pr/7" if is_converted else "main")
    prepared = encoder.prepare()
    assert {path.name for path in prepared.iterdir()} == {"config.json", "model.safetensors", *tokenizer_files}
    fetched = {Path(request.path).name for request in hub.requests if request.method == "GET" and request.sent}
    assert not fetched.intersection(others)
    assert load_tokenizer(prepared).is_fast
    _, loaded = transformers.AutoModelForTokenClassification.from_pretrained(prepared, output_loading_info=True)
    assert all(key.startswith(("classifier.", "head.")) for key in loaded["missing_keys"]), loaded["missing_keys"]
