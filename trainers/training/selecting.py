"""Selection of weights: a training is scored at every report, and each of the trial's selections chooses a report."""

from collections.abc import Mapping
from dataclasses import replace
from statistics import fmean
from typing import Any

from trainers.artifacts import kept_models
from trainers.artifacts.kept_models import Model
from trainers.artifacts.places import place_of
from trainers.encoders.vocabulary import Rows
from trainers.marks import surgery_overflow
from trainers.selections import HELD_OUT, averaged_epochs
from trainers.training.epoch_average import EpochAverage
from trainers.training.loop import Progress
from trainers.training.scoring import Evaluation, Scorer
from trainers.training.trial_data import Tokenized, TrialData
from trainers.training.trial_model import TrialModel
from trainers.trial import Report, Selection, Trial


class Selector:
    """The reports of a training, and the weights that each selection has chosen so far.

    Args:
        trial: the trial; what is wanted of it says which selections there are.
        data: its examples, those of selections among them, which nothing else reads.
        model: its model.
        scorer: evaluates the model.

    Attributes:
        reports: all reports so far.
        best: per selection that is made by scores the best so far, in percent: the mean over its languages.
        chosen: per selection the weights.
        averages: per selection of an average the weights that were added up for it.
    """

    def __init__(self, trial: Trial, data: TrialData, model: TrialModel, scorer: Scorer) -> None:
        self.trial, self.data, self.model, self.scorer = trial, data, model, scorer
        self.reports: list[Report] = []
        self.best: dict[Selection, float] = {}
        self.chosen: dict[Selection, Model] = {}
        self.averages: dict[Selection, EpochAverage] = {
            selection: EpochAverage(epochs, trial.config.training.epochs)
            for selection in trial.wanted.selections
            if (epochs := averaged_epochs(selection))
        }

    def report(self, rows: Rows, progress: Progress) -> None:
        """Add a report with its scores, and choose these weights for each selection whose score they improve.

        Of equal epochs the first is chosen; by held-out shots, of which there are few, the last.
        """
        selecting, others = self._evaluate(rows, progress)
        every = [*(one for evaluations in selecting.values() for one in evaluations), *others]
        scores = tuple(score for evaluation in every for score in evaluation.scores)
        self.reports.append(Report(epoch=progress.epoch, step=progress.step, scores=scores, measures=progress.measures))
        for selection, evaluations in selecting.items():
            value, best = fmean(one.scores[0].value for one in evaluations), self.best.get(selection, -1.0)
            if value > best or (value == best and selection == HELD_OUT):  # so few examples that many epochs are equal
                self.best[selection] = value
                for evaluation in evaluations:
                    if selection in self.chosen:
                        self.scorer.discard(evaluation.part, self.chosen[selection].step)
                    self.scorer.store(evaluation)
                self._choose(selection, rows)

    def end_epoch(self, epoch: int) -> None:
        """Add the weights after an epoch to the averages that are of it."""
        adding = [average for average in self.averages.values() if average.is_of(epoch)]
        if adding:
            weights = self.model.weights()
            for average in adding:
                average.add(weights)

    def finish(self, rows: Rows) -> None:
        """Choose the weights of the last report for the selection "last", and the averages for theirs."""
        if "last" in self.trial.wanted.selections:
            self._choose("last", rows)
        epoch, labels = self.reports[-1].epoch, self.data.labels
        for selection, average in self.averages.items():
            weights, step = average.mean(), -average.epochs
            self.chosen[selection] = Model(weights=weights, rows=rows.ids, step=step, epoch=epoch, labels=labels)

    def reuse(self, kept: Mapping[Selection, Model]) -> None:
        """Use kept models, and the reports of their training."""
        self.chosen = dict(kept)
        self.reports = list(next(iter(kept.values())).reports)

    def keep_models(self) -> None:
        """Keep the chosen models on disk, each once."""
        for selections in self.by_step().values():
            complete = replace(self.model.complete(self.chosen[selections[0]]), reports=tuple(self.reports))
            kept_models.save(place_of(self.trial), self.trial.config, selections, complete)

    def by_step(self) -> dict[int, list[Selection]]:
        """The selections that have chosen each step."""
        found: dict[int, list[Selection]] = {}
        for selection, model in self.chosen.items():
            found.setdefault(model.step, []).append(selection)
        return found

    def measures(self, step: int) -> dict[str, Any]:
        """What was measured by the report of a step; of an average, by the last."""
        return next((report for report in self.reports if report.step == step), self.reports[-1]).measures

    def unjudged(self, step: int) -> list[Tokenized]:
        """The judging dev sets on which the weights of a step have no score, as those of a kept model may not."""
        judged = {(score.language, score.data) for report in self.reports for score in report.scores
                  if (score.step, score.split) == (step, "dev")}  # fmt: skip
        return [part for part in self.data.judge if (part.language, part.part.digest) not in judged]

    def state_dict(self) -> dict[str, Any]:
        """Reports and choices so far: tensors and plain values."""
        return {
            "reports": [report.to_dict() for report in self.reports],
            "best": self.best,
            "chosen": {selection: vars(model) for selection, model in self.chosen.items()},
            "averages": {selection: average.state_dict() for selection, average in self.averages.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from `state_dict()`."""
        self.reports = [Report.from_dict(report) for report in state["reports"]]
        self.best = state["best"]
        self.chosen = {selection: Model(**model) for selection, model in state["chosen"].items()}
        for selection, average in self.averages.items():
            average.load_state_dict(state["averages"][selection])

    def _evaluate(self, rows: Rows, progress: Progress) -> tuple[dict[Selection, list[Evaluation]], list[Evaluation]]:
        """Evaluate on each selection's examples, and on the parts that select nothing."""
        devs = [part for parts in self.data.selecting.values() for part in parts]
        others = [part for part in self.data.judge if part not in devs]
        if self.trial.wanted.test_every_report:
            others += [self.data.test(language) for language in self.trial.wanted.evaluate]
        if not devs and not others:
            return {}, []
        of_weights = progress.step, progress.epoch, surgery_overflow(progress.measures) is not None
        with self.model.other_rows(rows):
            selecting = {  # apart from others: whatever those are, each chooses the same
                selection: self.scorer.evaluate(parts, *of_weights) for selection, parts in self.data.selecting.items()
            }
            further = self.scorer.evaluate(others, *of_weights) if others else []
        return selecting, further

    def _choose(self, selection: Selection, rows: Rows) -> None:
        """Choose the weights of the last report; selections that choose the same share one copy."""
        last = self.reports[-1]
        same = next((model for model in self.chosen.values() if model.step == last.step), None)
        weights = same.weights if same is not None else self.model.weights()
        self.chosen[selection] = Model(
            weights=weights, rows=rows.ids, step=last.step, epoch=last.epoch, labels=self.data.labels
        )
