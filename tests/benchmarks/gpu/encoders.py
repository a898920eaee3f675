"""Encoders by shape with random weights, as folders that a trial takes, with a tokenizer of the sample corpus."""

import json
from pathlib import Path

import torch
from steps import Shape

from tests.benchmarks.gpu.subjects import config
from trainers.data.sample import examples
from trainers.sample_corpus import LANGUAGES

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
PIECES = 8000


def write(of: Shape, folder: Path, device: str) -> Path:
    """Write an encoder of a shape, with XLM-R's ids of special tokens, unless the folder is there."""
    if (folder / "model.safetensors").is_file():
        return folder
    from transformers import XLMRobertaModel

    _write_tokenizer(folder, min(PIECES, of.vocabulary))
    torch.manual_seed(1)
    with torch.device(device):
        model = XLMRobertaModel(config(of, bos_token_id=0, eos_token_id=2), add_pooling_layer=False)
    model.save_pretrained(folder)
    return folder


def _write_tokenizer(folder: Path, pieces: int) -> None:
    """The files that `trainers.encoders.offline` writes; the pieces are those of the sample's training sentences."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace("▁", prepend_scheme="always")]
    )
    sentences = [" ".join(one["tokens"]) for language in LANGUAGES for one in examples("ner", language, "train")]
    trainer = trainers.BpeTrainer(vocab_size=pieces, special_tokens=list(SPECIAL), show_progress=False)
    tokenizer.train_from_iterator(sentences, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    named = dict(zip(("bos_token", "pad_token", "eos_token", "unk_token"), SPECIAL, strict=True))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512, "cls_token": "<s>",
                "sep_token": "</s>", **named}  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
