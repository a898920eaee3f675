"""Source-trained models by content: trained once, shared by every method and K that needs them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from trainers import checkpoints
from trainers.config import Report, TrialConfig


@dataclass(frozen=True)
class SourceModel:
    """The weights that source training selected, and what it reported, epoch by epoch.

    `weights` are the model's, with the trained rows of the word embeddings only; `rows` are their token ids.
    `selected` is the place in `reports` of the selected epoch.
    """

    weights: Mapping[str, Tensor]
    rows: Tensor  # [rows]
    reports: tuple[Report, ...]
    selected: int


def load(home: Path, config: TrialConfig) -> SourceModel | None:
    """The model of a source training; None if it has not been trained."""
    saved = checkpoints.load(_folder(home, config))
    if saved is None:
        return None
    tensors, manifest = saved
    rows = tensors.pop("vocabulary.rows")
    reports = tuple(Report.from_dict(report) for report in manifest["reports"])
    return SourceModel(tensors, rows, reports, manifest["selected"])


def save(home: Path, config: TrialConfig, model: SourceModel) -> None:
    """Keep a source training's model. OSError if the disk has no room."""
    manifest = {"reports": [report.to_dict() for report in model.reports], "selected": model.selected}
    checkpoints.save(_folder(home, config), {**model.weights, "vocabulary.rows": model.rows}, manifest)


def _folder(home: Path, config: TrialConfig) -> Path:
    return home / "source-models" / config.digest
