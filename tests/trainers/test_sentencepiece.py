"""Tokenizers that exist as SentencePiece models alone are converted to fast ones."""

from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import transformers

from encoder_families import config_of
from sentencepiece_models import OF_FAIRSEQ, OF_T5, train_pieces
from trainers.data.sample import examples
from trainers.encoders.by_name import find_encoder
from trainers.encoders.encoder import EncoderError, Need
from trainers.tasks import TASKS
from trainers.training.fresh_model import load_tokenizer

PIECES = 180
NEED = Need(task="ner", heads={"ner": TASKS["ner"].model_class}, max_length=22)


@pytest.fixture(scope="module")
def model() -> bytes:
    return train_pieces(PIECES, OF_T5)


def write(folder: Path, architecture: str, file: str, model: bytes, rows: int) -> Path:
    config = config_of(architecture)
    config.vocab_size = rows
    transformers.AutoModel.from_config(config).save_pretrained(folder)
    (folder / file).write_bytes(model)
    return folder


@pytest.mark.parametrize(
    ("architecture", "file", "ids"),
    [("mT5", "spiece.model", OF_T5), ("DeBERTa-v2", "spm.model", OF_T5),
     ("XLM-R", "sentencepiece.bpe.model", OF_FAIRSEQ)],
)  # fmt: skip
def test_a_converted_tokenizer_has_the_pieces_of_its_model(
    architecture: str, file: str, ids: dict[str, int], tmp_path: Path
) -> None:
    model = train_pieces(PIECES, ids)
    folder = write(tmp_path / "encoder", architecture, file, model, PIECES + 200)
    find_encoder(str(folder), tmp_path).examine(NEED)
    tokenizer: Any = load_tokenizer(folder)
    assert tokenizer.is_fast
    own = sentencepiece.SentencePieceProcessor(model_proto=model)
    for one in examples("ner", "de", "test")[:20]:
        text = " ".join(one["tokens"])
        assert tokenizer.tokenize(text) == own.encode(text, out_type=str)


def test_a_model_with_more_pieces_than_rows_is_refused(model: bytes, tmp_path: Path) -> None:
    folder = write(tmp_path / "encoder", "mT5", "spiece.model", model, PIECES - 1)
    with pytest.raises(EncoderError, match=rf"tokens, and its weights have {PIECES - 1} rows"):
        find_encoder(str(folder), tmp_path).examine(NEED)


def test_what_is_no_sentencepiece_model_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "encoder", "mT5", "spiece.model", b"nonsense", PIECES)
    with pytest.raises(EncoderError, match="not converted to a fast one"):
        find_encoder(str(folder), tmp_path).examine(NEED)
