"""Scores of a trial's model on parts of its data, and the predictions behind them."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from trainers.artifacts import predictions
from trainers.artifacts.layout import predictions_file
from trainers.artifacts.places import place_of
from trainers.training.evaluation import predict
from trainers.training.loop import DTYPES
from trainers.training.trial_data import Tokenized
from trainers.training.trial_model import TrialModel
from trainers.trial import Score, Trial, Work


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Predictions of a model for a part of the data, one per example, and their scores.

    `step` is that of the model's weights; `one_label` is what all predictions are, None if they differ.
    """

    part: Tokenized
    step: int
    scores: tuple[Score, ...]
    predicted: list[Any]
    one_label: str | None

    def of_one_label(self) -> dict[str, Any]:
        """What was evaluated, and the label, as plain data."""
        part = {"language": self.part.language, "split": self.part.name, "step": self.step}
        return {**part, "label": self.one_label}


class Scorer:
    """Evaluates a trial's model and stores predictions.

    Args:
        trial: the trial.
        model: its model. The full table of word embeddings must be up to date when it is evaluated.

    Attributes:
        work: the cost of all evaluations so far.
    """

    def __init__(self, trial: Trial, model: TrialModel) -> None:
        self.trial, self.model, self.task = trial, model, model.task
        self.dtype = DTYPES[trial.config.training.precision]
        self.work = Work()

    def evaluate(self, parts: Sequence[Tokenized], step: int, epoch: int, surgery_overflow: bool) -> list[Evaluation]:
        """Predict and score parts of the data, whose windows share batches.

        Args:
            parts: any parts, of any languages.
            step: the step of the model's weights.
            epoch: their epoch.
            surgery_overflow: the mark of their training.
        """
        begin = time.monotonic()
        windows = [window for part in parts for window in part.windows]
        rows = self.model.rows_to_predict(windows)
        collate = partial(self.model.batch, rows, windows)
        decoded = iter(predict(self.model.model, self.task, windows, collate, self.dtype))
        found = []
        for part in parts:
            of_part = [next(decoded) for _ in part.windows]
            predicted = self.task.predictions(part.examples, part.windows, of_part, self.model.labels)
            label = self.task.one_label(predicted)
            marks = {"one_label": label is not None, "surgery_overflow": surgery_overflow}
            scores = self._scores(part, predicted, step, epoch, marks)
            found.append(Evaluation(part=part, step=step, scores=scores, predicted=predicted, one_label=label))
        self.work.sub_words += sum(len(window.input_ids) for window in windows)
        self.work.seconds += time.monotonic() - begin
        return found

    def _scores(
        self, part: Tokenized, predicted: list[Any], step: int, epoch: int, marks: Mapping[str, bool]
    ) -> tuple[Score, ...]:
        metrics = self.task.metrics([self.task.gold(example) for example in part.examples], predicted)
        return tuple(
            Score(
                step=step,
                epoch=epoch,
                language=part.language,
                split=part.name,
                metric=metric,
                value=value,
                examples=len(part.examples),
                data=part.part.digest,
                cut=part.part.sample_of is not None,
                **marks,
            )
            for metric, value in metrics.items()
        )

    def store(self, evaluation: Evaluation) -> None:
        """Write the predictions of an evaluation."""
        part = evaluation.part
        gold = [self.task.gold(example) for example in part.examples]
        places = list(part.part.places)
        file = self._file(part, evaluation.step)
        predictions.write(place_of(self.trial), file, self.task.name, places, gold, evaluation.predicted)

    def discard(self, part: Tokenized, step: int) -> None:
        """Remove the predictions that the weights of a step made for a part."""
        place_of(self.trial).remove_file(self._file(part, step))

    def _file(self, part: Tokenized, step: int) -> Path:
        home, digest = self.trial.home, self.trial.config.digest
        return predictions_file(home, digest, step=step, language=part.language, split=part.name, data=part.part.digest)
