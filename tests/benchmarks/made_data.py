"""Data and an encoder where neither samples nor pretrained weights are at hand, with lengths as real sentences have."""

import json
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from trainers.data.sample import examples as of_sample
from trainers.sample_corpus import LANGUAGES

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
POSITIONS = 514
PIECES = 8000  # that the corpus could need; the others of a vocabulary never occur

# Tokens of a ner sentence and of an xnli pair, and the standard deviation of their logarithms, as XLM-R's tokenizer
# has them in the English training data of WikiANN and XNLI.
LENGTHS = {"ner": (14.2, 0.46), "xnli": (43.7, 0.45)}
LONGEST = 120

Example = dict[str, Any]


def write_examples(root: Path, task: str, tokenizer: Tokenizer, sizes: dict[str, int]) -> None:
    """Write `<root>/<task>/<language>/<split>.jsonl` for each language of the sample corpus.

    Args:
        root: the folder.
        task: "ner" or "xnli".
        tokenizer: counts tokens.
        sizes: examples of each language by split; of "source" those of the English training data.
    """
    for language in LANGUAGES:
        for split in ("train", "dev", "test"):
            size = sizes["source" if (language, split) == ("en", "train") else split]
            file = root / task / language / f"{split}.jsonl"
            file.parent.mkdir(parents=True, exist_ok=True)
            lines = (json.dumps(one, ensure_ascii=False) for one in _examples(task, language, split, size, tokenizer))
            file.write_text("".join(f"{line}\n" for line in lines))


def _examples(task: str, language: str, split: str, size: int, tokenizer: Tokenizer) -> Iterator[Example]:
    """The corpus's examples with further words of it behind them, as many as make a length that is drawn."""
    random = np.random.default_rng([*f"{task} {language} {split}".encode()])
    mean, sd = LENGTHS[task]
    lengths = random.lognormal(np.log(mean) - sd**2 / 2, sd, size).clip(4, LONGEST)
    filler = of_sample("ner", language, split)
    for place, example in enumerate(islice(cycle(of_sample(task, language, split)), size)):
        others = (filler[index] for index in random.integers(len(filler), size=LONGEST))
        pairs = [pair for one in others for pair in zip(one["tokens"], one["tags"], strict=True)][:LONGEST]
        if task == "ner":
            pairs = [*zip(example["tokens"], example["tags"], strict=True), *pairs]
        counts = np.cumsum([len(tokenizer.encode(word, add_special_tokens=False)) for word, _ in pairs])
        if task == "ner":
            kept = pairs[: max(1, int((counts <= lengths[place] - 2).sum()))]
            yield {"tokens": [word for word, _ in kept], "tags": [tag for _, tag in kept]}
        else:
            own = len(tokenizer.encode(example["premise"], example["hypothesis"]))
            more = [word for word, _ in pairs[: int((counts <= lengths[place] - own).sum())]]
            yield {**example, "id": f"{language}-{split}-{place}", "premise": " ".join([example["premise"], *more])}


def write_encoder(folder: Path, hidden: int, layers: int, vocabulary: int) -> Path:
    """Write an encoder of XLM-R's architecture with random weights, and a tokenizer of the corpus's words."""
    import torch
    from transformers import XLMRobertaConfig, XLMRobertaModel

    config = XLMRobertaConfig(
        hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=max(2, hidden // 64),
        intermediate_size=4 * hidden, max_position_embeddings=POSITIONS, vocab_size=vocabulary, type_vocab_size=1,
        layer_norm_eps=1e-5, bos_token_id=0, pad_token_id=1, eos_token_id=2,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        XLMRobertaModel(config, add_pooling_layer=False).save_pretrained(folder)
    make_tokenizer(vocabulary).save(str(folder / "tokenizer.json"))
    named = dict(zip(("bos_token", "pad_token", "eos_token", "unk_token"), SPECIAL, strict=True))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "cls_token": "<s>", "sep_token": "</s>", **named}
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "model_max_length": POSITIONS - 2}))
    return folder


def make_tokenizer(vocabulary: int) -> Tokenizer:
    """A tokenizer of XLM-R's kind, trained on the corpus; pieces that never occur fill its vocabulary."""
    texts = [" ".join(one["tokens"]) for language in LANGUAGES for one in of_sample("ner", language, "train")]
    learner = Tokenizer(models.Unigram())
    learner.normalizer, learner.pre_tokenizer = normalizers.NFKC(), pre_tokenizers.Metaspace()
    size = min(PIECES, vocabulary - len(SPECIAL))
    learner.train_from_iterator(texts, trainers.UnigramTrainer(vocab_size=size, show_progress=False))
    pieces = [(piece, score) for piece, score in json.loads(learner.to_str())["model"]["vocab"]]
    filling = ((f"\ue000{place}", -30.0) for place in range(vocabulary - len(SPECIAL) - len(pieces)))
    made = Tokenizer(models.Unigram([*((token, 0.0) for token in SPECIAL), *pieces, *filling], unk_id=3))
    made.normalizer = normalizers.NFKC()
    made.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="always")
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    made.add_special_tokens(list(SPECIAL))
    return made
