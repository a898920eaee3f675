"""An encoder: its digest, its size, whether a task can train it, and the folder from which it is loaded."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from trainers.data.download import Tell


class EncoderError(ValueError):
    """The encoder does not exist, is not available, or cannot be trained; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Need:
    """What a task asks of an encoder.

    Attributes:
        task: its name.
        heads: for each task the class of `transformers` that has the encoder and a head.
        max_length: tokens of a window, special tokens included.
    """

    task: str
    heads: Mapping[str, str]
    max_length: int


class Encoder(ABC):
    """A pretrained model with its tokenizer.

    Attributes:
        name: as in a spec.
    """

    name: str

    @property
    def revision(self) -> str | None:
        """The commit of a repository on the hub; None for others. EncoderError if there is no such repository."""
        return None

    @property
    @abstractmethod
    def digest(self) -> str:
        """Digest of the weights and the tokenizer. EncoderError if there is no such encoder."""

    @property
    @abstractmethod
    def size(self) -> "EncoderSize | None":
        """None where its configuration does not say, or is not available. EncoderError if there is no such encoder."""

    @property
    def warnings(self) -> list[str]:
        """In words, what is odd about it, but taken as it is."""
        return []

    @abstractmethod
    def examine(self, need: Need) -> None:
        """Judge whether a task can train it, without loading its weights.

        Raises:
            EncoderError: it cannot: what was found, and what would be right.
        """

    @abstractmethod
    def prepare(self, tell: Tell | None = None) -> Path:
        """A Hugging Face folder with the encoder, which is fetched or converted first if need be.

        Args:
            tell: is told why one waits for the hub; without it nobody waits.

        Raises:
            EncoderError: it does not exist or is not available.
            DataError: the hub could not be reached for so long that one gives up.
            OSError: the disk has no room.
        """


@dataclass(frozen=True)
class EncoderSize:
    """The size of an encoder of BERT's architecture (BERT, RoBERTa, XLM-R), from its config.json."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    vocabulary: int
    positions: int
    types: int

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self | None:
        """The size in a config.json; None if it does not say."""
        size = cls(
            layers=config.get("num_hidden_layers", 0),
            hidden=config.get("hidden_size", 0),
            intermediate=config.get("intermediate_size", 0),
            heads=config.get("num_attention_heads", 0),
            vocabulary=config.get("vocab_size", 0),
            positions=config.get("max_position_embeddings", 0),
            types=config.get("type_vocab_size", 0),
        )
        known = {one.name: getattr(size, one.name) for one in fields(size)}
        return size if all(type(one) is int and (one > 0 or name == "types") for name, one in known.items()) else None

    @property
    def layers_parameters(self) -> int:
        """Parameters of its layers, through which every token passes."""
        attention = 4 * (self.hidden * self.hidden + self.hidden)
        feed_forward = 2 * self.hidden * self.intermediate + self.intermediate + self.hidden
        return self.layers * (attention + feed_forward + 4 * self.hidden)

    @property
    def body(self) -> int:
        """All parameters except the word embeddings."""
        return self.layers_parameters + (self.positions + self.types + 2) * self.hidden

    @property
    def head(self) -> int:
        """An upper bound of a head's parameters: a dense layer and a few dozen labels."""
        return self.hidden * (self.hidden + 64)

    @property
    def parameters(self) -> int:
        """All parameters, without a pooler."""
        return self.body + self.vocabulary * self.hidden
