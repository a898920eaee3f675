"""Fixtures that several rooms share: a tiny encoder in the layout of a real one, and the data beside the project."""

import json
import shutil
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder `shared/` beside the project."""
    if not (SHARED / "data" / "ner").is_dir():
        pytest.skip(f"the shared data are not there: {SHARED} has no data/ner")
    return SHARED


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder: a random BERT with 2 layers of 32, and a fast tokenizer of about 2,000 pieces.

    Special tokens have XLM-R's ids: <s> 0, <pad> 1, </s> 2, <unk> 3. The tokenizer knows the sample's en, de, hi, sw.
    """
    import torch
    import transformers
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("encoders") / "tiny"
    folder.mkdir()
    pieces = _write_tokenizer(folder)
    config = BertConfig(
        vocab_size=pieces,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        transformers.logging.disable_progress_bar()
        BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_encoder_for_all(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Path:
    """The tiny encoder with the 512 positions that tydiqa's windows need."""
    from transformers import AutoConfig, BertModel

    folder = tmp_path_factory.mktemp("encoders") / "long"
    shutil.copytree(tiny_encoder, folder)
    config = AutoConfig.from_pretrained(tiny_encoder, max_position_embeddings=512)
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "model_max_length": 512}))
    return folder


def _write_tokenizer(folder: Path) -> int:
    """tokenizer.json and tokenizer_config.json, as `trainers.offline_encoder` writes them; the number of pieces."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    from trainers.data.sample import examples

    special = ["<s>", "<pad>", "</s>", "<unk>"]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace("▁", prepend_scheme="always")]
    )
    sentences = [
        " ".join(sentence["tokens"])
        for language in ("en", "de", "hi", "sw")
        for sentence in examples("ner", language, "train")
    ]
    tokenizer.train_from_iterator(
        sentences,
        trainers.BpeTrainer(vocab_size=2000, special_tokens=special, show_progress=False),
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 128, "bos_token": "<s>", "eos_token": "</s>",
        "cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>",
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return tokenizer.get_vocab_size()
