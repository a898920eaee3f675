"""Words of tagging have the tokens of running text, whatever the tokenizer does with blanks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import encoder_families
from trainers.data import sample
from trainers.tasks.frame import Frame
from trainers.tasks.ner import NER
from trainers.training.fresh_model import load_tokenizer

with_prefix = encoder_families.byte_level(
    "RobertaTokenizer", "<s>", "<pad>", "</s>", "<unk>", last=("<mask>",), add_prefix_space=True
)
FAMILIES: dict[str, Callable[[Path], Any]] = {
    "WordPiece": encoder_families.bert,
    "Unigram, split at blanks": encoder_families.XLMR_TOKENIZER,
    "Unigram, not split": encoder_families.DEBERTA_TOKENIZER,
    "Unigram, lower case without accents": encoder_families.ALBERT_TOKENIZER,
    "byte-level BPE": encoder_families.ROBERTA_TOKENIZER,
    "byte-level BPE with a prefix": with_prefix,
    "byte-level BPE, composed": encoder_families.QWEN_TOKENIZER,
    "byte-level BPE of no class": encoder_families.modernbert,
    "BPE over underlines": encoder_families.gemma,
    "characters": encoder_families.characters,
}


@pytest.fixture(scope="module", params=FAMILIES)
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    from transformers import BertConfig

    folder = tmp_path_factory.mktemp("tokenizer")
    FAMILIES[request.param](folder)
    BertConfig().save_pretrained(folder)
    return load_tokenizer(folder)


# White_Space of Unicode's PropList.txt
WHITE_SPACE = "\t\n\v\f\r \u0085\u00a0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))


def check(tokenizer: Any, words: list[str], max_length: int = 512) -> None:
    """The windows of a sentence have the tokens of its running text, and each word begins where its text does."""
    written = [word for word in range(len(words)) if not all(one in WHITE_SPACE for one in words[word])]
    text = " ".join(words[word] for word in written)
    running = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids, spans = running["input_ids"], running["offset_mapping"]
    frame = Frame(tokenizer, 1)
    begin, end = frame.before[0], frame.special - frame.before[0]
    found: list[int] = []
    first_of: dict[int, int] = {}
    for window in NER.features([{"tokens": words, "tags": ["O"] * len(words)}], ["O"], tokenizer, max_length):
        for word, position in zip(window.words, window.positions, strict=True):
            first_of[word] = len(found) + position - begin
        found += window.input_ids[begin : len(window.input_ids) - end]
    assert found == ids
    starts = [sum(len(words[one]) + 1 for one in written[:place]) for place in range(len(written))]
    for word, start in zip(written, starts, strict=True):
        there = {running.char_to_token(place) for place in range(start, start + len(words[word]))} - {None}
        own = [place for place in there if not text[slice(*spans[place])].isspace()]
        if own:  # a tokenizer may drop a word
            blanks = range(first_of[word], min(own))
            assert all(text[slice(*spans[place])].isspace() or spans[place][0] == spans[place][1] for place in blanks)


@pytest.mark.parametrize("language", ["en", "de", "hi", "zh", "ar"])
def test_sentences_have_the_tokens_of_their_running_text(tokenizer: Any, language: str) -> None:
    for sentence in sample.examples("ner", language, "train")[:15]:
        check(tokenizer, sentence["tokens"])


def test_windows_of_a_long_sentence_have_the_tokens_of_the_whole(tokenizer: Any) -> None:
    words = [word for example in sample.examples("ner", "en", "train")[:10] for word in example["tokens"]]
    check(tokenizer, words, max_length=40)


WORDS = st.text(
    st.one_of(st.sampled_from(" \u00a0\u3000\x1f\u0301\u200d\u00ad'.-_▁Ġ()१ä你ا"), st.characters(codec="utf-8")),
    min_size=1,
    max_size=6,
)


@settings(deadline=None, max_examples=60)
@example(words=["0 "])
@example(words=["\x1f"])
@given(st.lists(WORDS, min_size=1, max_size=6))
def test_strange_words_too(tokenizer: Any, words: list[str]) -> None:
    check(tokenizer, words)
