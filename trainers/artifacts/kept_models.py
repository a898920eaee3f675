"""Trained models by content: what a trial selected, kept for whoever starts from it, scores it or exports it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from trainers.artifacts import checkpoints
from trainers.artifacts.layout import model_of
from trainers.trial import Report, Selection, TrialConfig


@dataclass(frozen=True)
class Model:
    """The weights that a selection chose, and what its training reported.

    `weights` are the model's, with the trained rows of the word embeddings only; `rows` are their token ids. `labels`
    are the head's. `step` and `epoch` are those of the weights.
    """

    weights: Mapping[str, Tensor]
    rows: Tensor  # [rows]
    step: int
    epoch: int
    labels: tuple[str, ...] = ()
    reports: tuple[Report, ...] = ()


def load(home: Path, config: TrialConfig, selection: Selection) -> Model | None:
    """A kept model; None if it has not been trained, or was not kept."""
    saved = checkpoints.load(model_of(home, config.digest, selection))
    if saved is None:
        return None
    reports = tuple(Report.from_dict(report) for report in saved.pop("reports"))
    return Model(**{**saved, "labels": tuple(saved["labels"])}, reports=reports)


def save(home: Path, config: TrialConfig, selection: Selection, model: Model) -> None:
    """Keep a model. OSError if the disk has no room."""
    reports = [report.to_dict() for report in model.reports]
    checkpoints.save(model_of(home, config.digest, selection), {**vars(model), "reports": reports})
