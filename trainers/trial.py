"""What a trial is: plain data, known to the planner, the trainer and the store alike."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from trainers.digests import digest

# Raised whenever a change to our code changes a trained model or a score: results of other numbers are never reused.
NUMERICS = 3

Split = Literal["train", "dev", "test"]

# Which checkpoint of a training counts: the best on the source's dev set, the last, the best on the target's dev set.
Selection = Literal["source-dev", "last", "target-dev"]

Precision = Literal["fp32", "bf16", "fp16"]

# A hyperparameter that changes while a model is trained: (epoch, value) in the order of their epochs, counted from 0,
# the first at 0. Each value counts from its epoch on.
Schedule = tuple[tuple[int, float], ...]


def at_epoch(value: float | Schedule, epoch: int) -> float:
    """The value of a hyperparameter in an epoch, counted from 0."""
    if isinstance(value, int | float):
        return value
    return [later for first, later in value if first <= epoch][-1]


def _schedule_or_number(value: Any) -> Any:
    """A hyperparameter after a way through JSON, which has no tuples."""
    return tuple((int(epoch), later) for epoch, later in value) if isinstance(value, list | tuple) else value


@dataclass(frozen=True)
class DataReference:
    """Where examples come from: the sample corpus, XTREME-R, or the folder at `path`."""

    kind: Literal["sample", "xtreme-r", "folder"]
    path: Path | None = None


@dataclass(frozen=True)
class Training:
    """Hyperparameters of one training.

    Attributes:
        batch_size: windows of an update, in source and mixed training.
        learning_rate: before warm-up and decay.
        accumulation: forward and backward passes that an update is divided into.
        precision: of the forward pass: "bf16" and "fp16" are autocast, "fp16" with loss scaling.
        schedule_first: the learning rate of an update is that of the schedule's next step.
        evaluate_every: updates between two evaluations on the dev set; None for one an epoch.
        max_source_examples: how many of the source language's training examples are used; None for all.
    """

    epochs: int
    batch_size: int
    learning_rate: float | Schedule
    weight_decay: float
    adam_epsilon: float
    clip_norm: float
    warmup_steps: int
    max_length: int
    accumulation: int = 1
    precision: Precision = "fp32"
    schedule_first: bool = False
    evaluate_every: int | None = None
    max_source_examples: int | None = None


@dataclass(frozen=True, kw_only=True)
class TrialConfig:
    """One training: everything that its weights depend on.

    `target_languages` are those it trains on (none for zero-shot), `k` their shots; `alpha` is None but for surgery.
    `data_digest` is that of the training and selection data, `encoder_digest` that of the pretrained weights.
    `population` names what the trial is a member of, if it is of any: it may take over another member's weights and
    change alpha and learning rate, which start as the configuration says. `plugins` are the task, rule and source that
    other packages bring: (kind, name of the distribution, its version), in the order of their kinds.
    """

    task: str
    method: str
    source_language: str
    target_languages: tuple[str, ...]
    k: int
    seed: int
    alpha: float | Schedule | None
    protocol: str
    training: Training
    encoder: str
    encoder_digest: str
    data_digest: str
    population: str | None = None
    plugins: tuple[tuple[str, str, str], ...] = ()

    @cached_property
    def digest(self) -> str:
        """The trial's name: its configuration by content, and NUMERICS. Not the encoder's name: its digest counts."""
        named = {**vars(self), "training": vars(self.training)}  # `asdict` would copy all of it: most of a plan's time
        del named["encoder"]
        if not self.plugins:
            del named["plugins"]
        return digest({**named, "numerics": NUMERICS})

    def to_dict(self) -> dict[str, Any]:
        """As plain data, with `plugins` only where there are any."""
        value = asdict(self)
        return value if self.plugins else {name: one for name, one in value.items() if name != "plugins"}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> "TrialConfig":
        """The inverse of `to_dict`, also after a way through JSON."""
        rate = _schedule_or_number(value["training"]["learning_rate"])
        training = Training(**{**value["training"], "learning_rate": rate})
        alpha, targets = _schedule_or_number(value["alpha"]), tuple(value["target_languages"])
        plugins = tuple((kind, name, version) for kind, name, version in value.get("plugins", ()))
        return cls(**{**value, "alpha": alpha, "training": training, "target_languages": targets, "plugins": plugins})


@dataclass(frozen=True)
class Change:
    """What a member of a population goes on with from its next epoch on; `alpha` is None where there is no surgery."""

    alpha: float | None
    learning_rate: float


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What an experiment wants of a trial: no weight depends on it. Plan, store and trial carry it whole.

    Attributes:
        selections: which of its checkpoints are scored. A dev set is read for one of these or to judge.
        evaluate: test splits that are scored, {language: digest of the examples}.
        judge: dev sets on which every report is scored, in the same form, so that the trials of a sweep are compared.
        sweep: trials of one sweep and seed may be compared; None for a trial that is compared with none.
        test_every_report: score the test splits at every report, not only where a selection chooses.
        keep: the selected models stay on disk. A source training's do in any case.
        estimate: seconds that the trial is expected to take, None where that is not known.
    """

    selections: tuple[Selection, ...]
    evaluate: Mapping[str, str] = field(default_factory=dict)
    judge: Mapping[str, str] = field(default_factory=dict)
    sweep: str | None = None
    test_every_report: bool = False
    keep: bool = False
    estimate: float | None = None

    def and_also(self, other: "Wanted") -> "Wanted":
        """What both want of the same trial, with the selections and the estimate of this one."""
        return replace(
            self,
            evaluate={**self.evaluate, **other.evaluate},
            judge={**self.judge, **other.judge},
            sweep=self.sweep or other.sweep,
            test_every_report=self.test_every_report or other.test_every_report,
            keep=self.keep or other.keep,
        )


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One training to run: what defines it, what is wanted of it, and where it may work.

    Attributes:
        config: what the weights depend on.
        source: the source training that the model starts from; None when it starts from the pretrained encoder.
        data: where the examples come from.
        wanted: what is scored and kept.
        max_test_examples: test examples scored per language, from the first on; None for all.
        home: folder for what is kept (`encoders/`, `models/`, `predictions/`) and for work in progress.
        checkpoint_every_report: write a checkpoint before every report, in `home`'s `checkpoints/<digest>`.
        change: what a member of a population goes on with.
        checkpoint_seconds: training between two checkpoints.
        threads: CPU threads; results are bit-exact at an equal number.
        device: "cpu" or "cuda".
        accumulation: passes that an update is divided into, where that of `config` has run out of GPU memory. The
            gradients stay the same, but for rounding.
    """

    config: TrialConfig
    source: TrialConfig | None
    data: DataReference
    wanted: Wanted
    max_test_examples: int | None
    home: Path
    checkpoint_every_report: bool = False
    change: Change | None = None
    checkpoint_seconds: float = 300.0
    threads: int = 1
    device: str = "cpu"
    accumulation: int | None = None


@dataclass(frozen=True)
class Score:
    """A metric's value in percent, over `examples` examples of a language's split.

    `step` is that of the weights: the optimizer steps that made them. `data` is the digest of those examples; `cut`
    says that the split has more.
    """

    step: int
    epoch: int
    language: str
    split: Split
    metric: str
    value: float
    examples: int
    data: str
    cut: bool


@dataclass(frozen=True)
class Report:
    """What a trial tells while it runs, at every evaluation.

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
        return cls(**{**value, "scores": tuple(Score(**score) for score in value["scores"])})


@dataclass(kw_only=True)
class Work:
    """What an attempt at a trial computed: sub-words that went through the model, in how many seconds.

    In training, `steps` are those of the optimizer and `parameters` those that it changes.
    """

    sub_words: int = 0
    seconds: float = 0.0
    steps: int = 0
    parameters: int = 0


@dataclass(frozen=True)
class Outcome:
    """What a trial came to.

    Attributes:
        selected: per selection the step whose weights it chose.
        scores: of those weights on the test splits.
        facts: what is to be known of the run (`training`: the last report's measures, `shots`, `seconds`, `device`,
            `threads`, `packages`; `work`: that of training and of evaluation, `sizes`: of each split that
            was tokenised, by digest).
    """

    selected: dict[Selection, int]
    scores: tuple[Score, ...]
    facts: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> "Outcome":
        """The inverse of `to_dict`."""
        return cls(**{**value, "scores": tuple(Score(**score) for score in value["scores"])})
