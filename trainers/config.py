"""What a trial is: plain data, known to the planner, the trainer and the store alike."""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

# Raised whenever a change to our code changes a trained model or a score: results of other numbers are never reused.
NUMERICS = 1

Split = Literal["train", "dev", "test"]

# Digests are cut to 80 bits: enough for as many trials as anyone will ever train, and short enough to read.
DIGEST_LENGTH = 20


def digest(value: Any) -> str:
    """Name of a plain (JSON) value by its content: equal values have equal digests."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]


@dataclass(frozen=True)
class DataReference:
    """Where examples come from: the sample corpus, XTREME-R, or the folder at `path`."""

    kind: Literal["sample", "xtreme-r", "folder"]
    path: Path | None = None


@dataclass(frozen=True)
class Training:
    """Hyperparameters of one training. `max_source_examples` cuts the source language's training data."""

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    adam_epsilon: float
    clip_norm: float
    warmup_steps: int
    max_length: int
    max_source_examples: int | None = None


@dataclass(frozen=True)
class TrialConfig:
    """One training: everything that its weights depend on.

    `target_languages` are those it trains on (none for zero-shot), `k` their shots; `alpha` is None but for surgery.
    `data_digest` is that of the training and selection data, `encoder_digest` that of the pretrained weights.
    """

    task: str
    method: str
    source_language: str
    target_languages: tuple[str, ...]
    k: int
    seed: int
    alpha: float | None
    protocol: str
    training: Training
    encoder: str
    encoder_digest: str
    data_digest: str

    @property
    def digest(self) -> str:
        """The trial's name: its configuration by content, and NUMERICS. Not the encoder's name: its digest counts."""
        named = {name: value for name, value in asdict(self).items() if name != "encoder"}
        return digest({**named, "numerics": NUMERICS})

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> "TrialConfig":
        """The inverse of `dataclasses.asdict`, also after a way through JSON."""
        training = Training(**value["training"])
        targets = tuple(value["target_languages"])
        return cls(**{**value, "training": training, "target_languages": targets})


@dataclass(frozen=True)
class Trial:
    """One training to run: what defines it, what to score, and where it may work.

    Attributes:
        config: what the weights depend on.
        source: the source training that the model starts from; None when it starts from the pretrained encoder.
        data: where the examples come from.
        evaluate: languages whose test split is scored.
        max_test_examples: test examples scored per language, from the first on; None for all.
        home: folder for what is kept (`encoders/`, `source-models/`) and for work in progress.
        threads: CPU threads; results are bit-exact at an equal number.
        device: "cpu" or "cuda".
    """

    config: TrialConfig
    source: TrialConfig | None
    data: DataReference
    evaluate: tuple[str, ...]
    max_test_examples: int | None
    home: Path
    threads: int = 1
    device: str = "cpu"


@dataclass(frozen=True)
class Score:
    """A metric's value in percent, over `examples` examples of a language's split.

    `data` is the digest of those examples; `cut` says that the split has more; `selected` that the weights are those
    that the method selects.
    """

    language: str
    split: Split
    metric: str
    value: float
    examples: int
    data: str
    cut: bool
    selected: bool


@dataclass(frozen=True)
class Report:
    """What a trial tells: once per epoch while it runs, and at its end the scores on the test splits.

    `step` counts optimizer steps, `epoch` passes over the training data; `measures` are loss, examples per second and
    what surgery met.
    """

    epoch: int
    step: int
    scores: tuple[Score, ...]
    measures: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> "Report":
        """The inverse of `to_dict`."""
        kept = {field.name: value[field.name] for field in fields(cls)}
        return cls(**{**kept, "scores": tuple(Score(**score) for score in value["scores"])})
