"""What GPUs reach in trainings of this kind: measured for the cards that were at hand, else guessed."""

from collections.abc import Mapping
from dataclasses import dataclass

from trainers.trial import Precision


@dataclass(frozen=True, kw_only=True)
class Card:
    """The speed of a GPU, as `python -m tests.benchmarks.gpu` measures it: in its gpu.json, keys of `costs`' rows.

    Attributes:
        flops: operations per second of forward and backward passes by precision, 6 per weight of the layers and token
            (`flops`, of XLM-R large).
        bytes_per_second: of clipping and AdamW, which move 40 bytes per parameter (`bytes_per_second`).
        seconds_of_a_layer: per part of a batch, whatever its size: Python, launching kernels (`seconds_of_a_layer`).
        basis: in words, where the figures come from.
    """

    flops: Mapping[Precision, float]
    bytes_per_second: float
    seconds_of_a_layer: float
    basis: str


# For every card that is not among CARDS.
GUESSED = Card(
    flops={"fp32": 20e12, "bf16": 100e12, "fp16": 100e12},
    bytes_per_second=1e12,
    seconds_of_a_layer=1e-3,
    basis="guessed",
)

# By name, as `torch.cuda.get_device_name` says it: `machine.card` in gpu.json.
CARDS: Mapping[str, Card] = {
    "NVIDIA H100 80GB HBM3": Card(
        flops={"fp32": 35e12, "bf16": 300e12, "fp16": 300e12},
        bytes_per_second=1.1e12,
        seconds_of_a_layer=1.8e-4,
        basis="measured on 28 November 2026: steps of XLM-R large at bf16, evaluation at fp32; fp16 as bf16",
    ),
}


def card(name: str | None) -> Card:
    """The speed of the card of this name; a guess if its name is unknown or it has not been measured."""
    return CARDS.get(name or "", GUESSED)
