"""What is trained: token classifiers of XLM-R's shapes with random weights, on random windows of given lengths."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from steps import LABELS, PAD, SHOTS, SPECIAL, Always, Shape
from surgery_step import SIZES, VOCABULARY
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from trainers.encoders.vocabulary import WordEmbeddings
from trainers.tasks.ner import NER
from trainers.training.batches import Batch
from trainers.training.loop import Loop, Oracle, TrainingSet
from trainers.trial import Precision, Training

OCCURRING = 30_000  # tokens that the training data have
MAX_LENGTH = 128


def shape(size: str, trimmed: bool = True, quick: bool = False) -> Shape:
    """XLM-R base or large, trimmed to the rows that occur or with all of them; tiny to try the benchmark out."""
    rows = "trimmed" if trimmed else "all rows"
    if quick:
        return Shape(f"tiny, {rows}", 500, 100, trimmed, **SIZES["tiny"])
    return Shape(f"XLM-R {size}, {rows}", VOCABULARY, OCCURRING, trimmed, **SIZES[size])


def layers_parameters(of: Shape) -> int:
    """The weights of the layers, which every token passes: 4 h² of attention and 8 h² of feed-forward in each."""
    return 12 * of.hidden**2 * of.layers


def flops(of: Shape, lengths: Sequence[int]) -> int:
    """Floating-point operations of a training step on these windows, without word embeddings and head.

    6 for each weight and token, forward and backward, and 12 for each layer, dimension and pair of tokens in attention.
    """
    return sum(6 * layers_parameters(of) * one + 12 * of.layers * of.hidden * one**2 for one in lengths)


def mixed_lengths(number: int, quick: bool = False) -> list[int]:
    """Lengths as sentences have them: log-normal around 25 tokens, 6 to 128."""
    drawn = torch.empty(number).log_normal_(3.2, 0.5, generator=torch.Generator().manual_seed(0))
    return [min(max(int(one), 6), 16 if quick else MAX_LENGTH) for one in drawn.tolist()]


@dataclass(frozen=True)
class Windows:
    """Random windows, every other token with a label.

    Attributes:
        ids: tokens of each.
        device: of the batches.
    """

    ids: list[Tensor]
    device: str

    @classmethod
    def of(cls, shape: Shape, lengths: Sequence[int], device: str) -> "Windows":
        """Windows of these lengths, from the tokens that occur."""
        generator = torch.Generator().manual_seed(0)
        tokens = torch.randperm(shape.vocabulary - SPECIAL, generator=generator)[: shape.occurring] + SPECIAL
        return cls([tokens[torch.randint(len(tokens), (length,), generator=generator)] for length in lengths], device)

    def collate(self, places: Sequence[int]) -> Batch:
        """A padded batch, made on the CPU, as `TrialModel.batch` does."""
        ids = [self.ids[place] for place in places]
        labels = [one % LABELS for one in ids]
        for one in labels:
            one[1::2] = -100
        batch = {
            "input_ids": pad_sequence(ids, batch_first=True, padding_value=PAD),
            "attention_mask": pad_sequence([torch.ones_like(one) for one in ids], batch_first=True),
            "labels": pad_sequence(labels, batch_first=True, padding_value=-100),
        }
        return {name: part.to(self.device) for name, part in batch.items()}

    def training_set(self) -> TrainingSet:
        """All of them."""
        lengths = [len(one) for one in self.ids]
        return TrainingSet(
            examples=range(len(lengths)),
            lengths=lengths,
            supervised=[(length + 1) // 2 for length in lengths],
            collate=self.collate,
            loss=NER.loss,
        )


def loop(of: Shape, windows: Windows, precision: str, rows: int, surgery: bool = False) -> Loop:
    """A training of a new model, whose weights are drawn on its device.

    Args:
        of: its shape.
        windows: the training data, of which the last are the oracle set.
        precision: one of `PRECISIONS`.
        rows: windows of an update.
        surgery: operate at every update, as if every operation met a conflict.
    """
    torch.manual_seed(0)
    model = classifier(of, windows.device)
    if of.trimmed:
        generator = torch.Generator().manual_seed(0)
        tokens = torch.randperm(of.vocabulary - SPECIAL, generator=generator)[: of.occurring] + SPECIAL
        embeddings = WordEmbeddings(model, PAD)
        embeddings.install(embeddings.occurring([tokens.tolist()]))
    data = windows.training_set()
    shots = data.examples[-SHOTS:]
    oracle = Oracle(shots={"one": shots, "other": shots}, alpha=1.0, rule=Always) if surgery else None
    made = Loop(model, data, training(precision, rows), 1, oracle)
    model.train()
    return made


def training(precision: str, rows: int) -> Training:
    """As the paper trains. TF32 is no precision of a trial, but a setting of torch."""
    named: Precision = "fp32" if precision == "tf32" else precision  # type: ignore[assignment]
    return Training(
        epochs=1000, batch_size=rows, learning_rate=1e-5, weight_decay=0.0, adam_epsilon=1e-8, clip_norm=1.0,
        warmup_steps=0, max_length=MAX_LENGTH, precision=named,
    )  # fmt: skip


def config(of: Shape, **changed: Any) -> Any:
    """The configuration of XLM-R in a shape."""
    from transformers import XLMRobertaConfig

    return XLMRobertaConfig(
        vocab_size=of.vocabulary, hidden_size=of.hidden, num_hidden_layers=of.layers, num_attention_heads=of.heads,
        intermediate_size=4 * of.hidden, max_position_embeddings=514, type_vocab_size=1, pad_token_id=PAD, **changed,
    )  # fmt: skip


def classifier(of: Shape, device: str) -> Any:
    """A token classifier with random weights."""
    from transformers import XLMRobertaForTokenClassification

    with torch.device(device):
        return XLMRobertaForTokenClassification(config(of, num_labels=LABELS))
