"""SentencePiece models of the sample's German."""

import io

import sentencepiece

from trainers.data.sample import examples

# The ids of special tokens in T5 and its kin, and in fairseq's models.
OF_T5 = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
OF_FAIRSEQ = {"unk_id": 0, "bos_id": 1, "eos_id": 2}


def train_pieces(pieces: int, ids: dict[str, int]) -> bytes:
    """The file of a unigram model with so many pieces."""
    sentences = [" ".join(one["tokens"]) for one in examples("ner", "de", "train")]
    file = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences), model_writer=file, vocab_size=pieces, model_type="unigram",
        minloglevel=2, num_threads=1, **ids,
    )  # fmt: skip
    return file.getvalue()
