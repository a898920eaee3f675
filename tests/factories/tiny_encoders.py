"""The smallest encoder that transformers takes: XLM-R with one layer of 8, made without torch."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors

HIDDEN, INTERMEDIATE, POSITIONS = 8, 16, 514
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
LETTERS = tuple("▁abcdefghijklmnopqrstuvwxyz0123456789")

CONFIG: Mapping[str, Any] = {
    "architectures": ["XLMRobertaModel"], "model_type": "xlm-roberta", "hidden_size": HIDDEN, "num_hidden_layers": 1,
    "num_attention_heads": 2, "intermediate_size": INTERMEDIATE, "max_position_embeddings": POSITIONS,
    "vocab_size": len(SPECIAL) + len(LETTERS), "type_vocab_size": 1, "pad_token_id": 1, "bos_token_id": 0,
    "eos_token_id": 2,
}  # fmt: skip


def tensors(prefix: str = "", positions: int = POSITIONS) -> dict[str, np.ndarray[Any, Any]]:
    """Its weights, at random."""
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (CONFIG["vocab_size"], HIDDEN),
        "embeddings.position_embeddings.weight": (positions, HIDDEN),
        "embeddings.token_type_embeddings.weight": (1, HIDDEN),
    }
    layer = "encoder.layer.0"
    linear = {f"{layer}.attention.self.{name}": (HIDDEN, HIDDEN) for name in ("query", "key", "value")}
    linear[f"{layer}.attention.output.dense"] = (HIDDEN, HIDDEN)
    linear[f"{layer}.intermediate.dense"] = (INTERMEDIATE, HIDDEN)
    linear[f"{layer}.output.dense"] = (HIDDEN, INTERMEDIATE)
    for name, shape in linear.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    for name in ("embeddings", f"{layer}.attention.output", f"{layer}.output"):
        shapes |= {f"{name}.LayerNorm.weight": (HIDDEN,), f"{name}.LayerNorm.bias": (HIDDEN,)}
    random = np.random.default_rng(1)
    return {prefix + name: random.normal(0, 0.02, shape).astype(np.float32) for name, shape in shapes.items()}


def tokenizer() -> Tokenizer:
    """Tokens are letters; a word begins with "▁"."""
    made = Tokenizer(
        models.Unigram([*((token, 0.0) for token in SPECIAL), *((one, -1.0) for one in LETTERS)], unk_id=3)
    )
    made.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="always")
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    made.add_special_tokens(list(SPECIAL))
    return made


def write_encoder(folder: Path, positions: int = POSITIONS) -> Path:
    """Write a Hugging Face folder; `positions`: the rows of its position embeddings."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({**CONFIG, "max_position_embeddings": positions}))
    save_file(tensors(positions=positions), folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer().save(str(folder / "tokenizer.json"))
    named = dict(zip(("bos_token", "pad_token", "eos_token", "unk_token"), SPECIAL, strict=True))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "cls_token": "<s>", "sep_token": "</s>", **named}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder
