"""The bench that a method works on: a trial's model, its data and the training loop, wired together."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from trainers.artifacts.kept_models import Model
from trainers.encoders.by_name import prepare_encoder
from trainers.encoders.files import tokenizer_digest
from trainers.encoders.vocabulary import Rows
from trainers.marks import surgery_overflow
from trainers.methods import SOURCE_TRAINING
from trainers.protocols import PROTOCOLS
from trainers.sampling import Sampling
from trainers.selections import scored_by
from trainers.surgery.rules import Rule
from trainers.training import loop
from trainers.training.batches import padded_lengths
from trainers.training.fresh_model import load_tokenizer
from trainers.training.resuming import Checkpoints, History, last_checkpoint
from trainers.training.sampled_epochs import SampledEpochs
from trainers.training.scoring import Evaluation, Scorer
from trainers.training.selecting import Selector
from trainers.training.training_windows import TrainingWindows
from trainers.training.trial_data import TrialData
from trainers.training.trial_model import TrialModel
from trainers.trial import Interrupted, Outcome, Report, Schedule, Selection, Trial, TrialConfig, Work

log = logging.getLogger(__name__)


class TrialBench:
    """Trains and scores one trial for a method (`trainers.methods.Bench`).

    Args:
        trial: the trial.
        report: called at every evaluation.
        source_model: returns the model that a source training selected, training it if it is not kept.
        is_asked_to_end: as for `trainers.run`.

    Raises:
        DataError: a split is missing or malformed.
        EncoderError: the encoder cannot be had.
    """

    def __init__(
        self,
        trial: Trial,
        report: Callable[[Report], None],
        source_model: Callable[[TrialConfig], Model],
        is_asked_to_end: Callable[[], bool],
    ) -> None:
        self.trial, self.config, self.report, self.source_model = trial, trial.config, report, source_model
        self.is_asked_to_end = is_asked_to_end
        encoder = prepare_encoder(self.config.encoder, trial.home, self.config.encoder_revision)
        tokenizer = load_tokenizer(encoder)
        self.data = TrialData(trial, tokenizer, tokenizer_digest(encoder))
        self.data.read_all()
        self.windows = TrainingWindows(self.data)
        self.model = TrialModel(self.data.task, encoder, tokenizer, self.data.labels, trial.device)
        self.scorer = Scorer(trial, self.model)
        self.selector = Selector(trial, self.data, self.model, self.scorer)
        self.history = History()
        self.work = Work()

    # For methods

    @property
    def batch_size(self) -> int:
        """The batch size of source and mixed training."""
        return self.config.training.batch_size

    @property
    def k(self) -> int:
        """The number of a target's shots that are trained on, which is the batch size of adapting."""
        return self.config.trained_shots

    @property
    def source(self) -> Sequence[int]:
        """The source language's training windows, by index."""
        return self.windows.source

    @property
    def shots(self) -> Sequence[int]:
        """The windows of all targets' shots together, by index."""
        return self.windows.shots

    def start_from_source_model(self) -> None:
        """Take the weights that source training selected.

        Raises:
            ValueError: the trial names no source training.
        """
        if self.trial.source is None:
            raise ValueError(f"{self.config.method} starts from a source training, and the trial names none")
        self.model.load(self.source_model(self.trial.source))

    def train(self, examples: Sequence[int], batch_size: int, rule: type[Rule] | None = None) -> None:
        """Train the model, from the last checkpoint if an attempt at this trial was interrupted.

        Args:
            examples: the training windows, by index.
            batch_size: windows of an update.
            rule: a conflict rule for the gradients, with the targets' shots as the oracle set.
        """
        state = last_checkpoint(self.trial)
        self.history = History.of(self.trial, state)
        alpha, rate = self.history.hyperparameters(self.config)
        oracle = self._oracle(rule, alpha) if rule is not None else None
        rows = self._trainable_rows(examples, oracle)
        training = replace(
            self.config.training,
            batch_size=batch_size,
            learning_rate=rate,
            accumulation=self.trial.accumulation or self.config.training.accumulation,
        )
        training_loop = loop.Loop(
            self.model.model, self._training_set(examples, rows), training, self.config.seed, oracle
        )
        if state is not None:
            training_loop.load_state_dict(state["training"])
            self.selector.load_state_dict(state)
        del state  # as large as the model and the optimizer together
        self._run(training_loop, rows)
        self.selector.finish(rows)
        if self.trial.wanted.keep or self.config.method == SOURCE_TRAINING:
            self.selector.keep_models()

    def _oracle(self, rule: type[Rule], alpha: float | Schedule | None) -> loop.Oracle:
        """The oracle set: exactly the shots that are trained on, unless the protocol has it otherwise."""
        assert alpha is not None
        settings = self.data.settings
        return loop.Oracle(
            shots={language: self.windows.shots_of(language)[: settings.oracle_limit] for language in self.data.shots},
            alpha=alpha,
            rule=rule,
            released_code=PROTOCOLS[self.config.protocol].released_surgery,
            sample=settings.oracle_sample,
        )

    def _trainable_rows(self, examples: Sequence[int], oracle: loop.Oracle | None) -> Rows:
        """Install the rows of the word embeddings that training on these windows can change."""
        oracle_sets = oracle.shots.values() if oracle is not None else ()
        indices = [*examples, *(index for shots in oracle_sets for index in shots)]
        return self.model.trainable_rows(list(self.windows.at(indices)), self.config.training.weight_decay)

    def _training_set(self, examples: Sequence[int], rows: Rows) -> loop.TrainingSet:
        windows = self.windows.all
        sampling = self.config.sampling or Sampling()
        if sampling.repeat_shots is not None:
            examples = [*examples, *(list(self.shots) * (sampling.repeat_shots - 1))]
        draw = None
        if sampling.temperature is not None:
            targets = [self.windows.shots_of(language) for language in self.config.target_languages]
            draw = SampledEpochs([self.source, *targets], sampling.temperature)
        return loop.TrainingSet(
            examples=examples,
            lengths=[len(window.input_ids) for window in windows],
            supervised=[window.supervised for window in windows],
            collate=partial(
                self.model.batch,
                rows,
                windows,
                with_targets=True,
                lengths=padded_lengths(self.config.training.max_length, self.trial.device),
            ),
            loss=self.data.task.loss,
            draw=draw,
        )

    def _run(self, training: loop.Loop, rows: Rows) -> None:
        """Train to the end, and measure its cost without that of the evaluations in between."""
        checkpoints = Checkpoints(self.trial, self.history, self.selector, training)

        def report(progress: loop.Progress) -> None:
            self.selector.report(rows, progress)
            if self.trial.checkpoint_every_report:
                checkpoints.write()
            self.report(self.selector.reports[-1])

        def after_update() -> None:
            if training.position == 0:
                self.selector.end_epoch(training.epoch - 1)
            if self.is_asked_to_end():
                checkpoints.write()
                raise Interrupted(training.step)
            checkpoints.write_if_due()

        log.info("training from step %d", training.step)
        first, begin, evaluated = training.step, time.monotonic(), self.scorer.work.seconds
        training.run(report, after_update)
        self.work = Work(
            sub_words=training.tokens,
            seconds=time.monotonic() - begin - (self.scorer.work.seconds - evaluated),
            steps=training.step - first,
            parameters=sum(parameter.numel() for parameter in self.model.model.parameters()),
        )

    # Afterwards

    def reuse(self, kept: Mapping[Selection, Model]) -> None:
        """Use kept models instead of training again, and repeat the reports of their training."""
        log.info("its models are kept: it is not trained again")
        self.selector.reuse(kept)
        for report in self.selector.reports:
            self.report(report)

    def outcome(self) -> Outcome:
        """Score the weights that each selection chose on the test splits."""
        chosen, reports = self.selector.chosen, self.selector.reports
        evaluations: list[Evaluation] = []
        for selections in self.selector.by_step().values():
            model = chosen[selections[0]]
            self.model.load(model)
            languages = dict.fromkeys(
                language for selection in selections for language in scored_by(selection, self.trial.wanted.evaluate)
            )
            tests = [self.data.test(language) for language in languages]
            parts = [*tests, *self.selector.unjudged(model.step)]
            overflow = surgery_overflow(self.selector.measures(model.step))
            evaluations += self.scorer.evaluate(parts, model.step, model.epoch, overflow is not None)
        for evaluation in evaluations:
            self.scorer.store(evaluation)
        scores = [score for evaluation in evaluations for score in evaluation.scores]
        selected = {selection: chosen[selection].step for selection in self.trial.wanted.selections}
        facts: dict[str, Any] = {
            "training": reports[-1].measures,
            "shots": self.data.shots_drawn(),
            "samples": self.data.samples(),
            "work": {"training": asdict(self.work), "evaluation": asdict(self.scorer.work)},
            "sizes": {digest: asdict(size) for digest, size in self.data.sizes.items()},
        }
        one_label = [evaluation.of_one_label() for evaluation in evaluations if evaluation.one_label is not None]
        if one_label:
            facts["one_label"] = one_label
        if overflow := surgery_overflow(reports[-1].measures):
            facts["surgery_overflow"] = overflow
        if self.model.untrimmed is not None:
            facts["untrimmed"] = self.model.untrimmed
        if held_out := self.data.held_out():
            facts["held_out"] = held_out
        if self.config.population is not None:
            facts["history"] = self.history.to_dicts()
            # another member may have made what was chosen
            scores += [score for report in reports for score in report.scores if score.step in selected.values()]
        return Outcome(selected=selected, scores=tuple(scores), facts=facts)
