"""Encoders that cannot be trained: each damages a folder of the tiny encoder, and says what the refusal says.

More than 300 lines: it is one list.
"""

import json
import os
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from tiny_encoders import CONFIG, SPECIAL, tensors

Fault = Callable[[Path], object]


def write(name: str, content: str | bytes) -> Fault:
    data = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(data)


def change(name: str, **values: Any) -> Fault:
    """Other values in a file of JSON; None removes one."""

    def fault(folder: Path) -> None:
        before = json.loads((folder / name).read_text())
        after = {key: value for key, value in {**before, **values}.items() if value is not None}
        (folder / name).write_text(json.dumps(after))

    return fault


def remove(*names: str) -> Fault:
    return lambda folder: [(folder / name).unlink() for name in names]


def instead(name: str, make: Fault) -> Fault:
    """Something else of the same name."""

    def fault(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        make(folder / name)

    return fault


def listen(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path is short
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


def reweigh(**changed: Any) -> Fault:
    """Other tensors; None removes one. Keys have "/" for "."."""

    def fault(folder: Path) -> None:
        named = {name.replace("/", "."): value for name, value in changed.items()}
        kept = {name: value for name, value in {**tensors(), **named}.items() if value is not None}
        save_file(kept, folder / "model.safetensors")

    return fault


def cut(name: str, size: int) -> Fault:
    return lambda folder: os.truncate(folder / name, size)


def shard(folder: Path) -> None:
    """Its weights in two files, with their index."""
    everything = load_file(folder / "model.safetensors")
    places = {name: f"model-0000{1 + place % 2}-of-00002.safetensors" for place, name in enumerate(everything)}
    for file in set(places.values()):
        save_file({name: one for name, one in everything.items() if places[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    (folder / "model.safetensors").unlink()


def sharded_but(fault: Fault) -> Fault:
    return lambda folder: (shard(folder), fault(folder))


def extend_tokenizer(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"] += [[f"▁{place}", -9.0] for place in range(5)]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


def of_model(**values: Any) -> Fault:
    """Other values in the model of tokenizer.json."""

    def fault(folder: Path) -> None:
        tokenizer = json.loads((folder / "tokenizer.json").read_text())
        tokenizer["model"].update(values)
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer))

    return fault


def of_vocabulary(place: int, entry: Any) -> Fault:
    def fault(folder: Path) -> None:
        vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
        of_model(vocab=[*vocabulary[:place], entry, *vocabulary[place + 1 :]])(folder)

    return fault


def slow_tokenizer(folder: Path) -> None:
    remove("tokenizer.json")(folder)
    change("tokenizer_config.json", tokenizer_class="CanineTokenizer")(folder)


def vocabulary_without_merges(folder: Path) -> None:
    remove("tokenizer.json")(folder)
    change("tokenizer_config.json", tokenizer_class="RobertaTokenizer")(folder)
    write("vocab.json", json.dumps({token: id_ for id_, token in enumerate(SPECIAL)}))(folder)


POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 2243000000\n"
ROWS = CONFIG["vocab_size"]
VOCABULARY = {"<unk>": 0, "a": 1, "b": 2}

CONFIGS: dict[str, tuple[Fault, str]] = {
    "no config": (remove("config.json"), "no config.json"),
    "empty": (write("config.json", ""), "config.json is not JSON"),
    "blank": (write("config.json", " \n"), "config.json is not JSON"),
    "truncated": (cut("config.json", 40), "config.json is not JSON"),
    "not UTF-8": (write("config.json", b'{"model_type": "\xe9"}'), "config.json is not UTF-8"),
    "UTF-16": (write("config.json", '{"model_type": "bert"}'.encode("utf-16")), "config.json is not UTF-8"),
    "list": (write("config.json", "[]"), "config.json is not a JSON object, but a list"),
    "string": (write("config.json", '"bert"'), "not a JSON object, but a string"),
    "number": (write("config.json", "7"), "not a JSON object, but a number"),
    "true": (write("config.json", "true"), "not a JSON object, but true or false"),
    "null": (write("config.json", "null"), "not a JSON object, but null"),
    "NaN": (change("config.json", layer_norm_eps=float("nan")), "NaN is no number"),
    "infinite": (change("config.json", initializer_range=float("inf")), "Infinity is no number"),
    "too large a float": (write("config.json", '{"dropout": 1e400}'), "config.json has a dropout that is infinite"),
    "too many digits": (write("config.json", f'{{"hidden_size": {"9" * 5000}}}'), "config.json is not JSON"),
    "nested": (write("config.json", '{"a": ' + '{"a": ' * 60 + "1" + "}" * 61), "nested too deeply"),
    "nested without end": (write("config.json", '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}"), "nested too deeply"),
    "LFS": (write("config.json", POINTER), "config.json is a Git LFS pointer.*git lfs pull"),
    "no model_type": (change("config.json", model_type=None), "config.json has no model_type"),
    "empty object": (write("config.json", "{}"), "config.json has no model_type"),
    "model_type 5": (change("config.json", model_type=5), "config.json has no model_type"),
    "unknown model_type": (change("config.json", model_type="xlm-robberta"), "'xlm-robberta', which .* does not know"),
    "own code": (
        change("config.json", model_type="mine", auto_map={"AutoModel": "modeling_mine.Mine"}),
        r"'mine', which .* does not know; code of an encoder's own \(auto_map\) is never run",
    ),
    "own code is null": (write("config.json", json.dumps({**CONFIG, "auto_map": None})), "auto_map that names no code"),
    "own code is a list": (
        change("config.json", auto_map={"AutoModel": ["modeling_mine.Mine"]}),
        "auto_map that names no code",
    ),
    "own code for a known model_type with other weights": (
        lambda folder: (
            change("config.json", auto_map={"AutoModel": "modeling_mine.Mine"})(folder),
            save_file(
                {**tensors(), "embeddings.LayerNorm.bias": np.zeros(9, np.float32)}, folder / "model.safetensors"
            ),
        ),
        r"LayerNorm\.bias as \[9\]",
    ),
    "size 0": (change("config.json", hidden_size=0), "hidden_size 0; allowed: from 1"),
    "negative size": (change("config.json", hidden_size=-8), "hidden_size -8; allowed: from 1"),
    "negative layers": (change("config.json", num_hidden_layers=-1), "num_hidden_layers -1; allowed: from 1"),
    "no layers": (change("config.json", num_hidden_layers=0), "num_hidden_layers 0; allowed: from 1"),
    "no heads": (change("config.json", num_attention_heads=0), "num_attention_heads 0; allowed: from 1"),
    "no rows": (change("config.json", vocab_size=0), "vocab_size 0; allowed: from 1"),
    "no positions": (change("config.json", max_position_embeddings=0), "max_position_embeddings 0; allowed"),
    "float size": (change("config.json", hidden_size=8.5), "hidden_size.*expected int, got float"),
    "text size": (change("config.json", num_hidden_layers="1"), "num_hidden_layers.*expected int, got str"),
    "true size": (change("config.json", intermediate_size=True), "intermediate_size.*expected int, got bool"),
    "list size": (change("config.json", vocab_size=[40]), "vocab_size.*expected int, got list"),
    "huge size": (change("config.json", hidden_size=10**12), "hidden_size 1000000000000; allowed: up to"),
    "huge layers": (
        change("config.json", num_hidden_layers=10**9),
        "num_hidden_layers 1000000000; allowed: up to 1000",
    ),
    "huge labels": (change("config.json", num_labels=10**9), "num_labels 1000000000; allowed: up to"),
    "heads do not divide": (change("config.json", num_attention_heads=3), "not a multiple of the number of attention"),
    "unknown activation": (change("config.json", hidden_act="glue"), "config.json is refused by .*'glue'"),
    "labels": (change("config.json", id2label=5), "config.json is refused by"),
    "quantized by nothing": (change("config.json", quantization_config={}), "quantization_config; allowed"),
    "negative epsilon": (change("config.json", layer_norm_eps=-5.0), r"layer_norm_eps -5\.0; allowed: from 0"),
    "negative range": (change("config.json", initializer_range=-0.1), r"initializer_range -0\.1; allowed: from 0"),
    "no padding": (
        write("config.json", json.dumps({**CONFIG, "pad_token_id": None})),
        "no pad_token_id, from which .* counts",
    ),
    "attention for some GPUs": (
        change("config.json", _attn_implementation="flex_attention"),
        "asks for 'flex_attention'; allowed: 'sdpa'",
    ),
    "quantized": (change("config.json", quantization_config={"bits": 4}), "quantization_config; allowed"),
    "weights elsewhere": (change("config.json", transformers_weights="../x.bin"), "transformers_weights; allowed"),
}

WEIGHTS: dict[str, tuple[Fault, str]] = {
    "no weights": (remove("model.safetensors"), "no model.safetensors$"),
    "TensorFlow": (
        instead("model.safetensors", lambda path: path.with_name("tf_model.h5").write_bytes(b"x")),
        "no model.safetensors, only tf_model.h5",
    ),
    "pickle": (
        lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"),
        "only pickles.*`allasprak convert .*/encoder`",
    ),
    "LFS": (write("model.safetensors", POINTER), "model.safetensors is a Git LFS pointer.*git lfs pull"),
    "empty": (write("model.safetensors", ""), "model.safetensors is damaged or incomplete"),
    "cut in its header": (cut("model.safetensors", 100), "model.safetensors is damaged or incomplete"),
    "cut by a byte": (
        lambda folder: os.truncate(folder / "model.safetensors", (folder / "model.safetensors").stat().st_size - 1),
        "model.safetensors is damaged or incomplete",
    ),
    "no safetensors": (write("model.safetensors", "x" * 5000), "model.safetensors is damaged or incomplete"),
    "adapter": (
        lambda folder: (
            remove("model.safetensors")(folder),
            write("adapter_config.json", '{"base_model_name_or_path": "xlm-roberta-large"}')(folder),
            write("adapter_model.safetensors", "x")(folder),
        ),
        "an adapter of xlm-roberta-large is no encoder: merge it",
    ),
    "one tensor missing": (
        reweigh(**{"encoder/layer/0/attention/self/query/weight": None}),
        r"lack 1 of the 21 tensors that XLMRobertaForTokenClassification needs, such as .*query\.weight",
    ),
    "a bias missing": (reweigh(**{"encoder/layer/0/output/dense/bias": None}), r"lack 1 of .*output\.dense\.bias"),
    "a layer missing": (change("config.json", num_hidden_layers=2), r"lack 16 of the 37 tensors .*layer\.1\."),
    "another shape": (
        reweigh(**{"encoder/layer/0/output/dense/weight": np.zeros((8, 15), np.float32)}),
        r"layer\.0\.output\.dense\.weight as \[8, 15\]; allowed by config\.json: \[8, 16\]",
    ),
    "fewer rows than config.json says": (
        change("config.json", vocab_size=ROWS + 1),
        rf"word_embeddings\.weight as \[{ROWS}, 8\]; allowed by config.json: \[{ROWS + 1}, 8\]",
    ),
    "quantized in silence": (
        reweigh(**{"encoder/layer/0/output/dense/weight": np.zeros((8, 16), np.int8)}),
        r"layer\.0\.output\.dense\.weight as I8, which is quantized or no weight; allowed: F16, BF16, F32, F64",
    ),
    "header of everything": (
        write("model.safetensors", (2**24).to_bytes(8, "little") + bytes(2**24)), "a header of 16777216 bytes; allowed",
    ),
    "header larger than the file": (write("model.safetensors", b"\xff" * 100), "is damaged or incomplete"),
    "foreign names": (
        lambda folder: save_file(tensors("transformer.h."), folder / "model.safetensors"),
        "lack 21 of the 21 tensors",
    ),
    "no tensors": (lambda folder: save_file({}, folder / "model.safetensors"), "lack 21 of the 21 tensors"),
    "missing shard": (
        sharded_but(remove("model-00002-of-00002.safetensors")),
        "1 of the 2 files that model.safetensors.index.json names are missing: model-00002-of-00002",
    ),
    "cut shard": (
        sharded_but(cut("model-00002-of-00002.safetensors", 300)),
        "model-00002-of-00002.safetensors is damaged or incomplete",
    ),
    "index is a list": (
        sharded_but(write("model.safetensors.index.json", "[]")), "index.json is not a JSON object, but a list",
    ),
    "index without a map": (sharded_but(write("model.safetensors.index.json", "{}")), "has no weight_map"),
    "index that leads outside": (
        sharded_but(change("model.safetensors.index.json", weight_map={"a": "../secret.safetensors"})),
        r"1 of the 1 files .* missing: \.\./secret",
    ),
}  # fmt: skip

TOKENIZERS: dict[str, tuple[Fault, str]] = {
    "none": (remove("tokenizer.json", "tokenizer_config.json"), "neither tokenizer.json nor sentencepiece"),
    "none but its settings": (remove("tokenizer.json"), "no tokenizer: neither tokenizer.json nor"),
    "no merges": (vocabulary_without_merges, r"neither tokenizer.json nor merges.txt \(RobertaTokenizer\)"),
    "LFS": (write("tokenizer.json", POINTER), "tokenizer.json is a Git LFS pointer"),
    "LFS of its pieces": (
        lambda folder: (remove("tokenizer.json")(folder), write("sentencepiece.bpe.model", POINTER)(folder)),
        "sentencepiece.bpe.model is a Git LFS pointer",
    ),
    "LFS of its settings": (write("tokenizer_config.json", POINTER), "tokenizer_config.json is a Git LFS pointer"),
    "empty": (write("tokenizer.json", ""), "tokenizer.json is not JSON"),
    "list": (write("tokenizer.json", "[]"), "tokenizer.json is not a JSON object"),
    "no model": (write("tokenizer.json", "{}"), "tokenizer.json is not a tokenizer"),
    "no tokens": (change("tokenizer.json", model={"type": "BPE", "vocab": {}, "merges": []}), "vocabulary is empty"),
    "unknown parts": (change("tokenizer.json", normalizer={"type": "Nonsense"}), "tokenizer.json is not a tokenizer"),
    "a score that is a text": (of_vocabulary(20, ["h", "x"]), "a score that is no number"),
    "a token without a score": (of_vocabulary(20, ["h"]), "tokenizer.json is not a tokenizer"),
    "half a character": (of_vocabulary(20, ["\ud800", -1.0]), "tokenizer.json is not a tokenizer"),
    "no unknown token": (of_model(unk_id=None), "no unk_id, and stumbles over the first unknown character"),
    "no unknown word": (of_model(type="WordLevel", vocab={"a": 0}, unk_token="<unk>"), "lacks the unk_token"),
    "merges of others": (
        of_model(type="BPE", vocab=VOCABULARY, merges=["a z"], unk_token="<unk>"), "lacks a part of the merge 'a z'",
    ),
    "merges are numbers": (of_model(type="BPE", vocab=VOCABULARY, merges=[5]), "tokenizer.json is not a tokenizer"),
    "over which Rust panics": (
        change("tokenizer.json", normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
        "tokenizer.json is not a tokenizer: .*precompiled_charsmap",
    ),
    "a template of others": (
        change("tokenizer.json", post_processor={"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 999],
                                                 "trim_offsets": True, "add_prefix_space": True}),
        "a token around texts whose id its vocabulary does not have",
    ),
    "added ids are texts": (write("added_tokens.json", '{"x": "y"}'), "added_tokens.json has an id that is no number"),
    "added tokens are a number": (change("tokenizer_config.json", added_tokens_decoder=5), "no map from ids to tokens"),
    "added tokens by names": (
        change("tokenizer_config.json", added_tokens_decoder={"x": {"content": "a"}}), "no map from ids to tokens",
    ),
    "special tokens are a text": (
        write("special_tokens_map.json", '{"additional_special_tokens": "xyz"}'), "additional_special_tokens that are",
    ),
    "a token that is a number": (change("tokenizer_config.json", pad_token=5), "a pad_token that is no text"),
    "padding upwards": (change("tokenizer_config.json", padding_side="up"), "the padding_side 'up'; allowed"),
    "a length that is a text": (change("tokenizer_config.json", model_max_length="x"), "a model_max_length that is no"),
    "settings are a list": (write("tokenizer_config.json", "[]"), "tokenizer_config.json is not a JSON object"),
    "more tokens than rows": (extend_tokenizer, f"tokenizer has {ROWS + 5} tokens, and its weights have {ROWS} rows"),
    "a pad token that was added": (
        change("tokenizer_config.json", pad_token="[PAD]"), f"tokenizer has {ROWS + 1} tokens, and .* {ROWS} rows",
    ),
    "slow": (slow_tokenizer, "a slow one.*allowed: fast ones"),
}  # fmt: skip

FILES: dict[str, tuple[Fault, str]] = {
    f"{kind} {name}": (instead(name, make), f"{re.escape(name)} is {kind}, not a file")
    for kind, make in {"a FIFO": os.mkfifo, "a socket": listen, "a folder": Path.mkdir}.items()
    for name in ("config.json", "model.safetensors", "tokenizer.json", "vocab.txt", "adapter_config.json")
} | {
    "a name that is not UTF-8": (write(os.fsdecode(b"vocab\xff.txt"), "x"), r"'vocab\\udcff.txt' is no name of a file"),
    "a FIFO of another name": (lambda folder: os.mkfifo(folder / "pipe"), "pipe is a FIFO, not a file"),
    "a device": (instead("config.json", lambda path: path.symlink_to("/dev/zero")), "config.json is a device"),
    "a link to nothing": (
        instead("model.safetensors", lambda path: path.symlink_to("nowhere")),
        "model.safetensors is a link that leads nowhere",
    ),
    "a link to itself": (
        instead("config.json", lambda path: path.symlink_to(path)), "config.json is a link that leads nowhere",
    ),
}  # fmt: skip

FAULTS = {
    f"{kind}: {name}": fault
    for kind, faults in {"config": CONFIGS, "weights": WEIGHTS, "tokenizer": TOKENIZERS, "files": FILES}.items()
    for name, fault in faults.items()
}
