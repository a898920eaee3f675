"""Encoders of many architectures: tiny, with random weights, each with a tokenizer of the family that it comes with."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

POSITIONS = 512
VOCABULARY = 600


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """How to make a tiny encoder.

    Attributes:
        config: the class of its configuration.
        sizes: what that is given, beside the ids of special tokens.
        tokenizer: makes its tokenizer, and saves it into a folder.
    """

    config: str
    tokenizer: Callable[[Path], Any]
    sizes: Mapping[str, Any] = field(default_factory=dict)


def write(name: str, folder: Path) -> Path:
    """Write an encoder of an architecture into a folder, which it makes; returns the folder."""
    import torch
    import transformers

    folder.mkdir(parents=True)
    config = config_of(name, ARCHITECTURES[name].tokenizer(folder))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        transformers.AutoModel.from_config(config).save_pretrained(folder)
    return folder


def config_of(name: str, tokenizer: Any = None) -> Any:
    """The configuration of an architecture, with the vocabulary of a tokenizer if there is one."""
    import transformers

    special = ("pad_token_id", "bos_token_id", "eos_token_id", "sep_token_id", "cls_token_id")
    ids = {token: getattr(tokenizer, token, None) for token in special}
    known: dict[str, Any] = {token: id_ for token, id_ in ids.items() if id_ is not None}
    if tokenizer is not None:
        known["vocab_size"] = len(tokenizer)
    return getattr(transformers, ARCHITECTURES[name].config)(**known, **ARCHITECTURES[name].sizes)


# Vocabularies, trained on the sample


@cache
def texts() -> tuple[str, ...]:
    """Sentences of the sample in four languages."""
    from trainers.data.sample import examples

    languages = ("en", "de", "hi", "sw")
    return tuple(" ".join(one["tokens"]) for language in languages for one in examples("ner", language, "train"))


def _trained(model: Any, normalizer: Any, pre_tokenizer: Any, trainer: Any) -> dict[str, Any]:
    """The `model` of tokenizer.json."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer(model)
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    if pre_tokenizer is not None:
        tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.train_from_iterator(texts(), trainer)
    found: dict[str, Any] = json.loads(tokenizer.to_str())["model"]
    return found


@cache
def _word_pieces() -> list[str]:
    from tokenizers import models, normalizers, pre_tokenizers, trainers

    trainer = trainers.WordPieceTrainer(vocab_size=VOCABULARY, show_progress=False)
    lower, split = normalizers.BertNormalizer(lowercase=False), pre_tokenizers.BertPreTokenizer()
    return list(_trained(models.WordPiece(unk_token="[UNK]"), lower, split, trainer)["vocab"])


@cache
def _unigrams() -> list[tuple[str, float]]:
    from tokenizers import models, normalizers, pre_tokenizers, trainers

    trainer = trainers.UnigramTrainer(vocab_size=VOCABULARY, show_progress=False)
    found = _trained(models.Unigram(), normalizers.NFKC(), pre_tokenizers.Metaspace(), trainer)["vocab"]
    return [(piece, score) for piece, score in found]


@cache
def _byte_pairs() -> tuple[list[str], list[tuple[str, str]]]:
    from tokenizers import models, pre_tokenizers, trainers

    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, initial_alphabet=alphabet, show_progress=False)
    found = _trained(models.BPE(), None, pre_tokenizers.ByteLevel(add_prefix_space=False), trainer)
    return sorted(found["vocab"], key=found["vocab"].__getitem__), [(one, other) for one, other in found["merges"]]


@cache
def _character_pairs() -> tuple[list[str], list[tuple[str, str]]]:
    """Gemma's: no word is split off, blanks are underlines, and what is no piece is bytes."""
    from tokenizers import models, normalizers, pre_tokenizers, trainers

    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, show_progress=False)
    words = pre_tokenizers.Split("▁", "merged_with_next")
    found = _trained(models.BPE(), normalizers.Replace(" ", "▁"), words, trainer)
    pieces = sorted(found["vocab"], key=found["vocab"].__getitem__)
    return [f"<0x{byte:02X}>" for byte in range(256)] + pieces, [(one, other) for one, other in found["merges"]]


# Tokenizers


def _saved(folder: Path, class_: str, **options: Any) -> Any:
    import transformers

    tokenizer = getattr(transformers, class_)(model_max_length=POSITIONS, **options)
    tokenizer.save_pretrained(folder)
    return tokenizer


def bert(folder: Path) -> Any:
    """WordPiece."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_word_pieces()]
    vocabulary = {piece: id_ for id_, piece in enumerate(pieces)}
    return _saved(folder, "BertTokenizer", vocab=vocabulary, do_lower_case=False)


def unigram(class_: str, *special: str, last: tuple[str, ...] = (), **options: Any) -> Callable[[Path], Any]:
    """Unigram, with special tokens before and behind the pieces."""

    def make(folder: Path) -> Any:
        vocabulary = [(token, 0.0) for token in special] + _unigrams() + [(token, 0.0) for token in last]
        return _saved(folder, class_, vocab=vocabulary, **options)

    return make


def byte_level(class_: str, *special: str, last: tuple[str, ...] = (), **options: Any) -> Callable[[Path], Any]:
    """Byte-level BPE, with special tokens before and behind the pieces."""

    def make(folder: Path) -> Any:
        pieces, merges = _byte_pairs()
        vocabulary = {piece: id_ for id_, piece in enumerate([*special, *pieces, *last])}
        return _saved(folder, class_, vocab=vocabulary, merges=merges, **options)

    return make


def gemma(folder: Path) -> Any:
    """BPE over characters, with bytes for what it does not know."""
    pieces, merges = _character_pairs()
    vocabulary = {piece: id_ for id_, piece in enumerate(["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *pieces])}
    return _saved(folder, "GemmaTokenizer", vocab=vocabulary, merges=merges, add_bos_token=True)


def modernbert(folder: Path) -> Any:
    """Byte-level BPE in tokenizer.json alone, as those of no class of their own."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

    pieces, merges = _byte_pairs()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {piece: id_ for id_, piece in enumerate([*special, *pieces])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    backend.add_special_tokens([AddedToken(token, special=True) for token in special])
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    return _saved(folder, "PreTrainedTokenizerFast", tokenizer_object=backend, **names)


def characters(folder: Path) -> Any:
    """A token for each character, the blank included."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    known = sorted({character for text in texts() for character in text})
    vocabulary = {piece: id_ for id_, piece in enumerate(["<pad>", "<unk>", *known])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return _saved(folder, "PreTrainedTokenizerFast", tokenizer_object=backend, pad_token="<pad>", unk_token="<unk>")


def xlm(folder: Path) -> Any:
    """XLM's, which is written in Python and needs a package of its own; its files alone."""
    (folder / "vocab.json").write_text(json.dumps({"<s>": 0, "</s>": 1, "<pad>": 2, "<unk>": 3, "a</w>": 4}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "XLMTokenizer"}))
    return None


def canine(folder: Path) -> Any:
    """CANINE's: code points, in Python."""
    return _saved(folder, "CanineTokenizer")


LAYERS = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
    "max_position_embeddings": POSITIONS + 2,
}  # fmt: skip
ONE_SEGMENT = {**LAYERS, "type_vocab_size": 1}
DECODER = {**LAYERS, "num_key_value_heads": 1, "head_dim": 16}
T5 = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 0}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": POSITIONS}
MBART = {
    "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "scale_embedding": True,
    "max_position_embeddings": POSITIONS,
}  # fmt: skip

XLMR_TOKENIZER = unigram("XLMRobertaTokenizer", "<s>", "<pad>", "</s>", "<unk>", last=("<mask>",))
ROBERTA_TOKENIZER = byte_level("RobertaTokenizer", "<s>", "<pad>", "</s>", "<unk>", last=("<mask>",))
GPT2_TOKENIZER = byte_level("GPT2Tokenizer", last=("<|endoftext|>",))
QWEN_TOKENIZER = byte_level("Qwen2Tokenizer", last=("<|endoftext|>",))
T5_TOKENIZER = unigram("T5Tokenizer", "<pad>", "</s>", "<unk>", extra_ids=0)
BIG_BIRD_TOKENIZER = unigram("BigBirdTokenizer", "<pad>", "</s>", "<s>", "<unk>", "[CLS]", "[SEP]", "[MASK]")
DEBERTA_TOKENIZER = unigram("DebertaV2Tokenizer", "[PAD]", "[CLS]", "[SEP]", "[UNK]", last=("[MASK]",))
ALBERT_TOKENIZER = unigram("AlbertTokenizer", "<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")
REMBERT_TOKENIZER = unigram("RemBertTokenizer", "<pad>", "[CLS]", "<unk>", "[SEP]", "[MASK]")
MBART_TOKENIZER = unigram("MBartTokenizer", "<s>", "<pad>", "</s>", "<unk>", last=("<mask>",))

ARCHITECTURES: Mapping[str, Architecture] = {
    "BERT": Architecture(config="BertConfig", tokenizer=bert, sizes=LAYERS),
    "RoBERTa": Architecture(config="RobertaConfig", tokenizer=ROBERTA_TOKENIZER, sizes=ONE_SEGMENT),
    "XLM-R": Architecture(config="XLMRobertaConfig", tokenizer=XLMR_TOKENIZER, sizes=ONE_SEGMENT),
    "DistilBERT": Architecture(
        config="DistilBertConfig", tokenizer=bert,
        sizes={"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "max_position_embeddings": POSITIONS},
    ),
    "ALBERT": Architecture(config="AlbertConfig", tokenizer=ALBERT_TOKENIZER, sizes={**LAYERS, "embedding_size": 16}),
    "ELECTRA": Architecture(config="ElectraConfig", tokenizer=bert, sizes={**LAYERS, "embedding_size": 16}),
    "DeBERTa-v2": Architecture(
        config="DebertaV2Config", tokenizer=DEBERTA_TOKENIZER,
        sizes={**LAYERS, "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 32,
               "norm_rel_ebd": "layer_norm", "share_att_key": True, "position_biased_input": False},
    ),
    "RemBERT": Architecture(
        config="RemBertConfig", tokenizer=REMBERT_TOKENIZER,
        sizes={**LAYERS, "input_embedding_size": 16, "output_embedding_size": 32},
    ),
    "ModernBERT": Architecture(config="ModernBertConfig", tokenizer=modernbert, sizes=LAYERS),
    "mT5": Architecture(config="MT5Config", tokenizer=T5_TOKENIZER, sizes=T5),
    "XLM": Architecture(config="XLMConfig", tokenizer=xlm, sizes={"emb_dim": 32, "n_layers": 2, "n_heads": 2}),
    "Longformer": Architecture(
        config="LongformerConfig", tokenizer=ROBERTA_TOKENIZER,
        sizes={**ONE_SEGMENT, "attention_window": 16},
    ),
    "BigBird": Architecture(
        config="BigBirdConfig", tokenizer=BIG_BIRD_TOKENIZER,
        sizes={**LAYERS, "block_size": 16, "max_position_embeddings": POSITIONS},  # whole blocks
    ),
    "MBart": Architecture(config="MBartConfig", tokenizer=MBART_TOKENIZER, sizes=MBART),
    "Gemma3": Architecture(config="Gemma3TextConfig", tokenizer=gemma, sizes={**DECODER, "sliding_window": 32}),
    "Qwen3": Architecture(config="Qwen3Config", tokenizer=QWEN_TOKENIZER, sizes=DECODER),
    "GPT-2": Architecture(config="GPT2Config", tokenizer=GPT2_TOKENIZER, sizes=GPT2),
    "Canine": Architecture(
        config="CanineConfig", tokenizer=canine, sizes={**LAYERS, "num_hash_buckets": LAYERS["max_position_embeddings"]}
    ),
}  # fmt: skip
