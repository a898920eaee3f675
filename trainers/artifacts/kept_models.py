"""Models that a trial selected, kept to adapt, score or export them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from trainers.artifacts import checkpoints
from trainers.artifacts.layout import model_of
from trainers.artifacts.place import Place
from trainers.trial import Report, Selection, TrialConfig


@dataclass(frozen=True, kw_only=True)
class Model:
    """The weights that a selection chose.

    Attributes:
        weights: the model's state dict, with only those rows of the word embeddings that were trained.
        rows: token ids of these rows.  # [rows]
        step: optimizer steps that the weights were trained for; -n for the mean of the last n epochs' weights.
        epoch: their epoch, counted from 1.
        labels: the labels that the head tells apart, in its order.
        reports: the reports of the training, if the model is kept.
    """

    weights: Mapping[str, Tensor]
    rows: Tensor
    step: int
    epoch: int
    labels: tuple[str, ...] = ()
    reports: tuple[Report, ...] = ()


def load(place: Place, config: TrialConfig, selection: Selection) -> Model | None:
    """A kept model; None if there is none."""
    saved = checkpoints.load(place, model_of(place.home, config.digest, selection))
    if saved is None:
        return None
    reports = tuple(Report.from_dict(report) for report in saved.pop("reports"))
    return Model(**{**saved, "labels": tuple(saved["labels"])}, reports=reports)


def save(place: Place, config: TrialConfig, selections: Sequence[Selection], model: Model) -> None:
    """Keep a model that these selections chose, once on a disk. OSError as `checkpoints.save`."""
    reports = [report.to_dict() for report in model.reports]
    first, *others = (model_of(place.home, config.digest, selection) for selection in selections)
    checkpoints.save(place, first, {**vars(model), "reports": reports}, others)
