"""A trial and its results: plain data that planner, trainers and store share.

More than 300 lines: every field says here, and here alone, what it is.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from trainers.digests import digest
from trainers.sampling import Sampling

# Raised by a release whose code trains other weights or gives other scores: earlier results are shown, never reused.
NUMERICS = 6
FIRST_NUMERICS = 3  # of version 0.1.0, whose stored configurations do not name it
FIRST_BATCHING = "bucketed"  # the only one before NUMERICS 5

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")

# What in `TrialConfig.plugins` is a part of the method: other methods of the same experiment do not have it.
RULE = "rule"

# Which weights of a training count, by name (`trainers.selections`).
Selection = str

Precision = Literal["fp32", "bf16", "fp16"]

# How the windows of an epoch become updates.
Batching = Literal["shuffled", "bucketed", "micro-batches"]

# A hyperparameter that changes during training: (epoch, value) pairs, each valid from its epoch on, the first from 0.
Schedule = tuple[tuple[int, float], ...]


def at_epoch(value: float | Schedule, epoch: int) -> float:
    """The value of a hyperparameter in an epoch, counted from 0."""
    if isinstance(value, int | float):
        return value
    return [later for first, later in value if first <= epoch][-1]


def _schedule_or_number(value: Any) -> Any:
    """A hyperparameter read from JSON, which has no tuples."""
    return tuple((int(epoch), later) for epoch, later in value) if isinstance(value, list | tuple) else value


@dataclass(frozen=True)
class DataReference:
    """Where examples come from: a source by name, and what it needs to open them, such as the path of a folder."""

    source: str
    location: Any = None


@dataclass(frozen=True, kw_only=True)
class Training:
    """Hyperparameters of one training.

    Attributes:
        epochs: passes over the training data.
        batch_size: windows of an update; those of a configuration are for source and mixed training.
        learning_rate: the peak, before warm-up and decay.
        weight_decay: AdamW's, not applied to biases and the weights of LayerNorm.
        adam_epsilon: AdamW's.
        clip_norm: the norm to which gradients are clipped.
        warmup_steps: updates over which the learning rate rises linearly.
        max_length: tokens of a window, special tokens included.
        accumulation: gradient-accumulation steps of an update.
        precision: of the forward pass: "bf16" and "fp16" are autocast, "fp16" with loss scaling.
        schedule_first: an update has the learning rate of the schedule's next step.
        evaluate_every: updates between two evaluations on the dev set; None for one an epoch.
        batching: "shuffled" takes windows in random order, "bucketed" those of similar length together, which is
            another objective (`bucketed_batches`). Both follow the mean loss over all of a batch's terms; updates of
            "micro-batches", in random order, the mean of the mean losses of their gradient-accumulation steps.
        max_source_examples: training examples of the source language, a sample of them; None for all.
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
    batching: Batching = "shuffled"
    max_source_examples: int | None = None


@dataclass(frozen=True, kw_only=True)
class TrialConfig:
    """One training: everything that its weights depend on.

    `target_languages` are those it trains on (none for zero-shot), `k` their shots; `alpha` is None but for surgery.
    `data_digest` is that of the training and selection data, `encoder_digest` that of the pretrained weights.
    `population` names what the trial is a member of, if it is of any: it may take over another member's weights and
    change alpha and learning rate, which start as the configuration says. `plugins` are the task, rule and source that
    other packages bring: (kind, name of the distribution, its version), in the order of their kinds. `numerics` is the
    NUMERICS of the code that trains it, `encoder_revision` the commit of an encoder on the hub. `sampling` is how mixed
    training samples languages; None for each example once. `held_out` of the `k` shots,
    the last, are not trained on: they select.
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
    numerics: int = NUMERICS
    encoder_revision: str | None = None
    sampling: Sampling | None = None
    held_out: int = 0

    @property
    def trained_shots(self) -> int:
        """The shots of a target that are trained on."""
        return self.k - self.held_out

    @cached_property
    def digest(self) -> str:
        """The trial's name: its configuration by content. Not the encoder's name and commit: its digest counts."""
        named = self.to_dict()
        if self.training.batching == FIRST_BATCHING:
            del named["training"]["batching"]
        for name in ("encoder", "encoder_revision"):
            named.pop(name, None)
        return digest(named)

    def require_current(self) -> None:
        """Raise ValueError if the trial is of code with another NUMERICS: this code would train another model."""
        if self.numerics != NUMERICS:
            raise ValueError(f"the trial {self.digest} is of NUMERICS {self.numerics}; allowed: {NUMERICS}")

    def to_dict(self) -> dict[str, Any]:
        """As plain data, without the fields of `ADDED` that are as they always were."""
        # `asdict` would copy every value: most of the time of a large plan
        named = {name: value for name, value in vars(self).items() if name != "digest"}
        named["training"] = dict(vars(self.training))
        if self.sampling is not None:
            named["sampling"] = dict(vars(self.sampling))
        return _without_defaults(named)

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> "TrialConfig":
        """The inverse of `to_dict`, also after a way through JSON."""
        rate = _schedule_or_number(value["training"]["learning_rate"])
        training = Training(**{"batching": FIRST_BATCHING, **value["training"], "learning_rate": rate})
        alpha, targets = _schedule_or_number(value["alpha"]), tuple(value["target_languages"])
        plugins = tuple((kind, name, version) for kind, name, version in value.get("plugins", ()))
        sampling = Sampling(**value["sampling"]) if value.get("sampling") else None
        read = {"alpha": alpha, "training": training, "target_languages": targets, "plugins": plugins,
                "sampling": sampling}  # fmt: skip
        return cls(**{"numerics": FIRST_NUMERICS, **value, **read})


# Fields of a configuration that came later: without a value, a trial keeps its name and its form.
ADDED = ("plugins", "sampling", "encoder_revision", "held_out")


def _without_defaults(named: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in named.items() if value or name not in ADDED}


@dataclass(frozen=True)
class Change:
    """Hyperparameters of a member of a population from its next epoch on; `alpha` is None without surgery."""

    alpha: float | None
    learning_rate: float


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What an experiment wants of a trial. The trained weights do not depend on it.

    Attributes:
        selections: which of its checkpoints are scored. A dev set is read only for a selection or for `judge`.
        evaluate: the test splits that are scored, {language: digest of the examples}.
        judge: the dev sets that are scored at every report to compare the trials of a sweep, in the same form.
        sweep: the sweep it belongs to, whose trials of equal seed are compared; None if it belongs to none.
        test_every_report: score the test splits at every report, not only the selected weights.
        keep: keep the selected models on disk. Those of a source training are kept in any case.
        estimate: the expected duration in seconds; None if unknown.
    """

    selections: tuple[Selection, ...]
    evaluate: Mapping[str, str] = field(default_factory=dict)
    judge: Mapping[str, str] = field(default_factory=dict)
    sweep: str | None = None
    test_every_report: bool = False
    keep: bool = False
    estimate: float | None = None

    def and_also(self, other: "Wanted") -> "Wanted":
        """The union of what both want of the same trial, with the selections and the estimate of this one."""
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
    """One training to run: what defines it, what is wanted of it, and where it runs.

    Attributes:
        config: everything that the weights depend on.
        source: the source training from which the model starts; None if it starts from the pretrained encoder.
        data: where the examples come from.
        wanted: what is scored and kept.
        max_test_examples: test examples scored per language, a sample of them; None for all.
        home: the folder of all files (`trainers.artifacts.layout`).
        checkpoint_every_report: write a checkpoint before every report.
        change: hyperparameters with which a member of a population resumes; None if they stay.
        checkpoint_seconds: seconds of training between two checkpoints.
        threads: CPU threads; results are bit-exact for an equal number of threads.
        device: "cpu" or "cuda".
        accumulation: gradient-accumulation steps, where those of `config` need too much GPU memory; None for the
            configuration's. The gradients are equal up to rounding.
        artifacts: the URL of the place for checkpoints, models and predictions; None for the home.
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
    artifacts: str | None = None


class Interrupted(Exception):  # noqa: N818  (asked for, and no error)
    """A trial was asked to end, and has written a checkpoint to go on from.

    Attributes:
        step: optimizer steps up to that checkpoint.
    """

    def __init__(self, step: int) -> None:
        super().__init__(f"asked to end after step {step}")
        self.step = step


@dataclass(frozen=True, kw_only=True)
class Score:
    """A score on a part of one language's data.

    Attributes:
        step: optimizer steps that the scored weights were trained for; -n for the mean of the last n epochs' weights.
        epoch: their epoch, counted from 1; for a mean the last one.
        language: code of the language.
        split: which of its splits was scored.
        metric: name of the metric.
        value: in percent.
        examples: the number of examples.
        data: digest of the examples.
        cut: the split has more examples.
        one_label: the model predicts the same label everywhere.
        surgery_overflow: more than a tenth of the surgery operations of its training, all or one language's, were lost
            to overflow.
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
    one_label: bool = False
    surgery_overflow: bool = False


@dataclass(frozen=True, kw_only=True)
class Report:
    """The progress of a trial at one of its evaluations.

    Attributes:
        epoch: the pass over the training data, counted from 1.
        step: optimizer steps so far.
        scores: of the current weights.
        measures: loss, examples and steps per second, statistics of surgery, loss scale of fp16.
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
    """The cost of one attempt's training, or of its evaluations.

    Attributes:
        sub_words: tokens that passed through the model (`trainers.data.token_counts`).
        seconds: how long it took.
        steps: optimizer steps; 0 for evaluations.
        parameters: the parameters that the optimizer changes; 0 for evaluations.
    """

    sub_words: int = 0
    seconds: float = 0.0
    steps: int = 0
    parameters: int = 0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The results of a trial.

    Attributes:
        selected: per selection the step whose weights it chose, as in `Score`.
        scores: of those weights on the test splits.
        facts: `training` (the last report's measures), `shots`, `samples`, `work` of training and evaluation, `sizes`
            of tokenized splits, `seconds`, `device`, `threads`, `packages`; `held_out`, the places of shots that select
            instead of being trained on; `history` of a member of a population; `out_of_memory` and `accumulation` after
            a retry; `untrimmed`, why all rows of the word embeddings were trained although fewer occur; and,
            by the names of marks (`trainers.marks`), `one_label`, the test sets on which the model predicts the same
            label everywhere, and which, and `surgery_overflow`, how many operations were lost, and of which languages.
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
