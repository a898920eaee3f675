"""A method's workbench: one trial's model, its data, and the training loop."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from trainers.artifacts import checkpoints, predictions
from trainers.artifacts import kept_models as models
from trainers.artifacts.atomic import checkpoints_of
from trainers.artifacts.kept_models import Model
from trainers.encoders.by_name import prepare_encoder
from trainers.encoders.vocabulary import Rows, WordEmbeddings
from trainers.methods import SOURCE_TRAINING
from trainers.protocols import PROTOCOLS
from trainers.surgery.rules import Rule
from trainers.tasks import TASKS
from trainers.tasks.task import Task, Window
from trainers.training import loop
from trainers.training.evaluation import predict
from trainers.training.trial_data import Tokenised, TrialData
from trainers.trial import Outcome, Report, Schedule, Score, Selection, Trial, TrialConfig, Work

log = logging.getLogger(__name__)

# Training goes on at least so many times longer than the last checkpoint took to be written.
CHECKPOINT_SHARE = 20


class TrialBench:
    """A model, its data and a training loop, as a method uses them (`trainers.methods.Bench`).

    Args:
        trial: what to train.
        report: called at every evaluation.
        source_model: the model that a source training selected, trained if need be.
    """

    def __init__(
        self, trial: Trial, report: Callable[[Report], None], source_model: Callable[[TrialConfig], Model]
    ) -> None:
        from transformers import AutoTokenizer

        self.trial, self.config, self.report, self.source_model = trial, trial.config, report, source_model
        self.task = TASKS[self.config.task]
        self.settings = self.task.under(self.config.protocol)
        self.encoder = prepare_encoder(self.config.encoder, trial.home)
        self.tokenizer = AutoTokenizer.from_pretrained(self.encoder, use_fast=True, trust_remote_code=False)
        self.data = TrialData(trial, self.tokenizer)
        self.data.read_all()
        self.model = fresh_model(self.task, self.encoder, self.data.labels).to(trial.device)
        self.embeddings = WordEmbeddings(self.model, self.tokenizer.pad_token_id)
        self.dtype = loop.DTYPES[self.config.training.precision]

        self.windows: list[Window] = []
        self.places: dict[str, range] = {}
        self.reports: list[Report] = []
        self.best: dict[Selection, float] = {}
        self.chosen: dict[Selection, Model] = {}
        self.changed = torch.zeros(0, dtype=torch.long)
        self.history: list[list[Any]] = []
        self.saved_at, self.saving_took = time.monotonic(), 0.0
        self.work = {"training": Work(), "evaluation": Work()}

    # What methods use

    @property
    def batch_size(self) -> int:
        """The batch size of source and mixed training."""
        return self.config.training.batch_size

    @property
    def k(self) -> int:
        """The number of shots, which is the batch size of adapting."""
        return self.config.k

    @property
    def source(self) -> Sequence[int]:
        """Places of the source language's training windows."""
        return self._added("source", self.data.source.windows)

    @property
    def shots(self) -> Sequence[int]:
        """Places of all targets' shots together."""
        return [place for language in self.config.target_languages for place in self.shots_of(language)]

    def start_from_source_model(self) -> None:
        """Take the weights that source training selected, training it first if nobody has.

        Raises:
            ValueError: the trial names no source training.
        """
        if self.trial.source is None:
            raise ValueError(f"{self.config.method} starts from a source training, and the trial names none")
        self.take(self.source_model(self.trial.source))

    def train(self, examples: Sequence[int], batch_size: int, rule: type[Rule] | None = None) -> None:
        """Train the model; afterwards `chosen` has what each of the trial's selections chose.

        Going on where an interrupted attempt at this very trial left a checkpoint.

        Args:
            examples: places of training windows.
            batch_size: windows of an update.
            rule: operate on the gradients with the targets' shots as the oracle set.
        """
        oracle = self._oracle(rule) if rule is not None else None
        operated_on = [place for places in (oracle.shots.values() if oracle else ()) for place in places]
        rows = self.rows_of([*examples, *operated_on])
        data = loop.TrainingSet(
            examples,
            [len(window.input_ids) for window in self.windows],
            [window.supervised for window in self.windows],
            partial(self.batch, rows, self.windows, with_targets=True),
            self.task.loss,
        )
        state = self._state()
        alpha, rate = self._hyperparameters(state)
        if oracle is not None and alpha is not None:
            oracle = replace(oracle, alpha=alpha)
        passes = self.trial.accumulation or self.config.training.accumulation
        hyperparameters = replace(self.config.training, learning_rate=rate, accumulation=passes)
        training = loop.Loop(self.model, data, hyperparameters, batch_size, self.config.seed, oracle)
        if state is not None:
            self._resume(training, state)
        self._run(training, rows)
        if "last" in self.trial.wanted.selections:
            self._choose("last", rows)
        if self.trial.wanted.keep or self.config.method == SOURCE_TRAINING:
            self._keep_models()

    def _run(self, training: loop.Loop, rows: Rows) -> None:
        """Train to the end, keeping account of what it took without the evaluations in between."""
        work, evaluation = self.work["training"], self.work["evaluation"]
        log.info("trains from step %d on", training.step)
        first, begin, evaluated = training.step, time.monotonic(), evaluation.seconds
        training.run(partial(self._evaluate, rows, training), partial(self._checkpoint, training))
        work.seconds = time.monotonic() - begin - (evaluation.seconds - evaluated)
        work.steps, work.sub_words = training.step - first, training.sub_words
        work.parameters = sum(parameter.numel() for parameter in self.model.parameters())

    # The end of a trial

    def take_up(self, kept: Mapping[Selection, Model]) -> None:
        """Report again what a training reported whose models were kept, instead of training again."""
        log.info("was trained before")
        self.chosen = dict(kept)
        self.reports = list(next(iter(kept.values())).reports)
        for one in self.reports:
            self.report(one)

    def outcome(self) -> Outcome:
        """The scores on the test splits of what each selection chose."""
        scores: list[Score] = []
        for model in {model.step: model for model in self.chosen.values()}.values():
            self.take(model)
            tests = [self.data.test(language) for language in self.trial.wanted.evaluate]
            for evaluation in self._evaluations([*tests, *self._unjudged(model.step)], model.step, model.epoch):
                self._keep_predictions(evaluation, model.step)
                scores += evaluation.scores
        selected = {selection: self.chosen[selection].step for selection in self.trial.wanted.selections}
        facts: dict[str, Any] = {
            "training": self.reports[-1].measures,
            "shots": self.data.shots_drawn(),
            "work": {name: asdict(work) for name, work in self.work.items()},
            "sizes": {digest: asdict(size) for digest, size in self.data.sizes.items()},
        }
        if self.config.population is not None:
            names = ("epoch", "alpha", "learning_rate")
            facts["history"] = [dict(zip(names, line, strict=True)) for line in self.history]
            # another member may have made what was chosen
            scores += [score for report in self.reports for score in report.scores if score.step in selected.values()]
        return Outcome(selected, tuple(scores), facts)

    # What Figure 1 uses as well

    def take(self, model: Model) -> None:
        """Weights of a training into the model; the rows that it trained into the full table."""
        self.embeddings.install(model.rows)
        self.model.load_state_dict(model.weights)
        self.embeddings.merge(model.rows, self.model.get_input_embeddings().weight)
        self.changed = torch.unique(torch.cat([self.changed, model.rows]))

    # Selection

    def _evaluate(self, rows: Rows, training: loop.Loop, progress: loop.Progress) -> None:
        """Report, and choose by the dev sets that the selections read."""
        found: dict[Selection, Evaluation] = {}
        others = [part for part in self.data.judge if part not in self.data.dev.values()]
        if self.trial.wanted.test_every_report:
            others += [self.data.test(language) for language in self.trial.wanted.evaluate]
        scores: list[Score] = []
        if self.data.dev or others:
            self.embeddings.merge(rows.ids, rows.module.weight)
            for selection, dev in self.data.dev.items():  # apart from others: whatever those are, it chooses the same
                [found[selection]] = self._evaluations([dev], progress.step, progress.epoch)
            further = self._evaluations(others, progress.step, progress.epoch) if others else []
            for evaluation in [*found.values(), *further]:
                scores += evaluation.scores
            self.embeddings.reinstall(rows)
        self.reports.append(Report(progress.epoch, progress.step, tuple(scores), progress.measures))
        for selection, evaluation in found.items():
            value = evaluation.scores[0].value
            if value > self.best.get(selection, -1.0):
                self.best[selection] = value
                if selection in self.chosen:
                    self._predictions(evaluation, self.chosen[selection].step).unlink(missing_ok=True)
                self._keep_predictions(evaluation, progress.step)
                self._choose(selection, rows)
        if self.trial.checkpoint_every_report:
            self._save(training)
        self.report(self.reports[-1])

    def _unjudged(self, step: int) -> list[Tokenised]:
        """The judging dev sets that these weights have no score on: those of a kept model may lack them."""
        judged = {(score.language, score.data) for report in self.reports for score in report.scores
                  if (score.step, score.split) == (step, "dev")}  # fmt: skip
        return [part for part in self.data.judge if (part.language, part.part.digest) not in judged]

    def _choose(self, selection: Selection, rows: Rows) -> None:
        """The weights of the last report are what a selection chooses."""
        last = self.reports[-1]
        same = next((model for model in self.chosen.values() if model.step == last.step), None)
        weights = same.weights if same is not None else _copy(self.model.state_dict())
        self.chosen[selection] = Model(weights, rows.ids, last.step, last.epoch, self.data.labels)

    def _keep_models(self) -> None:
        """Keep what was chosen, with every row of the word embeddings that differs from the pretrained one."""
        for selection, model in self.chosen.items():
            self.take(model)
            self.embeddings.install(self.changed)
            weights = _copy(self.model.state_dict())
            complete = replace(model, weights=weights, rows=self.changed, reports=tuple(self.reports))
            models.save(self.trial.home, self.config, selection, complete)

    # Resuming

    def _checkpoint(self, training: loop.Loop) -> None:
        """Write down all that the rest of the trial depends on, if it is time to."""
        since = time.monotonic() - self.saved_at
        if since < max(self.trial.checkpoint_seconds, CHECKPOINT_SHARE * self.saving_took):
            return
        begin = time.monotonic()
        self._save(training)
        self.saved_at = time.monotonic()
        self.saving_took = self.saved_at - begin

    def _save(self, training: loop.Loop) -> None:
        state = {
            "selections": self.trial.wanted.selections,
            "judge": tuple(self.trial.wanted.judge),
            "tests": tuple(self.trial.wanted.evaluate) if self.trial.wanted.test_every_report else (),
            "history": self.history,
            "training": training.state_dict(),
            "reports": [report.to_dict() for report in self.reports],
            "best": self.best,
            "chosen": {selection: vars(model) for selection, model in self.chosen.items()},
        }
        checkpoints.save(checkpoints_of(self.trial.home, self.trial.config.digest), state)

    def _state(self) -> dict[str, Any] | None:
        """What an attempt that was interrupted wrote down last, if it looked at the same dev sets and all the tests."""
        state = checkpoints.load(checkpoints_of(self.trial.home, self.trial.config.digest))
        if state is None:
            return None
        wanted = self.trial.wanted
        looked_at = tuple(state["selections"]), tuple(state["judge"])
        tests = set(wanted.evaluate) if wanted.test_every_report else set()
        same = looked_at == (wanted.selections, tuple(wanted.judge)) and tests <= set(state["tests"])
        return state if same else None

    def _resume(self, training: loop.Loop, state: Mapping[str, Any]) -> None:
        """Go on where the state was written down."""
        training.load_state_dict(state["training"])
        self.reports = [Report.from_dict(report) for report in state["reports"]]
        self.best = state["best"]
        self.chosen = {selection: Model(**model) for selection, model in state["chosen"].items()}

    def _hyperparameters(self, state: Mapping[str, Any] | None) -> tuple[float | Schedule | None, float | Schedule]:
        """Alpha and learning rate; of a member of a population with all that became of them from epoch to epoch."""
        alpha, rate = self.config.alpha, self.config.training.learning_rate
        if self.config.population is None:
            return alpha, rate
        self.history = [list(line) for line in state["history"]] if state is not None else [[0, alpha, rate]]
        change = self.trial.change
        if state is not None and change is not None and [change.alpha, change.learning_rate] != self.history[-1][1:]:
            self.history.append([state["training"]["epoch"], change.alpha, change.learning_rate])
        alphas = None if alpha is None else tuple((epoch, value) for epoch, value, _ in self.history)
        return alphas, tuple((epoch, value) for epoch, _, value in self.history)

    # Data

    def _added(self, name: str, windows: Sequence[Window]) -> range:
        """Places of these windows among the training windows, under a name."""
        if name not in self.places:
            self.places[name] = range(len(self.windows), len(self.windows) + len(windows))
            self.windows += windows
        return self.places[name]

    def shots_of(self, language: str) -> range:
        """Places of a language's shots among the training windows."""
        windows = self.data.shots[language].windows
        if self.settings.k_counts_windows:
            windows = windows[: self.k]
        return self._added(f"shots {language}", windows)

    def _oracle(self, rule: type[Rule]) -> loop.Oracle:
        """The oracle set: exactly the shots that are trained on, but for what the protocol makes of them."""
        assert self.config.alpha is not None
        return loop.Oracle(
            {language: self.shots_of(language)[: self.settings.oracle_limit] for language in self.data.shots},
            self.config.alpha,
            rule,
            PROTOCOLS[self.config.protocol].released_surgery,
            self.settings.oracle_sample,
        )

    def batch(
        self, rows: Rows, windows: Sequence[Window], places: Sequence[int], with_targets: bool = False
    ) -> dict[str, Tensor]:
        """A padded batch: input_ids, attention_mask and where there are any token_type_ids, each [batch, length]."""
        chosen = [windows[place] for place in places]
        ids = [torch.tensor(window.input_ids) for window in chosen]
        input_ids = pad_sequence(ids, batch_first=True, padding_value=self.embeddings.pad_id)
        mask = pad_sequence([torch.ones(len(one), dtype=torch.long) for one in ids], batch_first=True)
        batch = {"input_ids": rows.index(input_ids), "attention_mask": mask}
        if chosen[0].token_types:
            types = [torch.tensor(window.token_types) for window in chosen]
            batch["token_type_ids"] = pad_sequence(types, batch_first=True)
        if with_targets:
            targets = self.task.targets(chosen, input_ids.shape[1])
            batch |= {name: torch.tensor(values) for name, values in targets.items()}
        return {name: tensor.to(self.trial.device) for name, tensor in batch.items()}

    # Model

    def rows_of(self, places: Sequence[int]) -> Rows:
        """Give the model the rows of the word embeddings that training on these windows can change.

        Those are the rows that occur, or with weight decay all.
        """
        if self.config.training.weight_decay:
            rows = self.embeddings.everything()
        else:
            rows = self.embeddings.occurring(self.windows[place].input_ids for place in places)
        self.changed = torch.unique(torch.cat([self.changed, rows]))
        return self.embeddings.install(rows)

    # Scores

    def _evaluations(self, parts: Sequence[Tokenised], step: int, epoch: int) -> list["Evaluation"]:
        """The model's predictions and scores, all parts in common batches. The full table must be up to date."""
        begin = time.monotonic()
        pooled = [window for part in parts for window in part.windows]
        rows = self.embeddings.install(self.embeddings.occurring(window.input_ids for window in pooled))
        collate = partial(self.batch, rows, pooled)
        decoded = iter(predict(self.model, self.task, pooled, collate, self.dtype))
        found = []
        for part in parts:
            of_part = [next(decoded) for _ in part.windows]
            predicted = self.task.predictions(part.examples, part.windows, of_part, self.data.labels)
            metrics = self.task.metrics([self.task.gold(example) for example in part.examples], predicted)
            scores = tuple(
                Score(step, epoch, part.language, part.name, metric, value, len(part.examples), part.part.digest,
                      part.is_cut)
                for metric, value in metrics.items()
            )  # fmt: skip
            found.append(Evaluation(part, scores, predicted))
        self.work["evaluation"].sub_words += sum(len(window.input_ids) for window in pooled)
        self.work["evaluation"].seconds += time.monotonic() - begin
        return found

    def _keep_predictions(self, made: "Evaluation", step: int) -> None:
        gold = [self.task.gold(example) for example in made.part.examples]
        places = list(made.part.part.places)[: len(gold)]
        predictions.write(self._predictions(made, step), self.task.name, places, gold, made.predicted)

    def _predictions(self, made: "Evaluation", step: int) -> Path:
        part = made.part
        home, digest = self.trial.home, self.config.digest
        return predictions.path_of(home, digest, step, part.language, part.name, part.part.digest)


def fresh_model(task: Task[Any], encoder: Path, labels: Sequence[str]) -> Any:
    """The pretrained encoder with the task's head, which is random: the same for every method at a seed."""
    import transformers

    named: dict[str, Any] = {
        "num_labels": len(labels),
        "id2label": dict(enumerate(labels)),
        "label2id": {label: place for place, label in enumerate(labels)},
    }
    return getattr(transformers, task.model_class).from_pretrained(
        encoder, **(named if labels else {}), use_safetensors=True, trust_remote_code=False, dtype=torch.float32
    )


@dataclass(frozen=True)
class Evaluation:
    """What a model predicts for a part of the data, one value per example, and its scores."""

    part: Tokenised
    scores: tuple[Score, ...]
    predicted: list[Any]


def _copy(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in weights.items()}
