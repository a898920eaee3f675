"""One trial from its configuration to its scores."""

import os
import platform
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from trainers import evaluation, loop, memory, shots, source_models
from trainers.config import Report, Score, Split, Trial
from trainers.data import open_data
from trainers.encoders import prepare_encoder
from trainers.examples import Example, evaluation_data
from trainers.methods import METHODS, SOURCE_TRAINING
from trainers.tasks import TASKS
from trainers.tasks.ner import UNLABELLED, Window
from trainers.vocabulary import Rows, WordEmbeddings


def run(trial: Trial, report: Callable[[Report], None]) -> Report:
    """Train one model by its method and score it.

    Args:
        trial: what to train and to score, and where to work.
        report: called once per epoch.

    Returns:
        A last report: the scores on the test splits, of the weights that the method selects, and what is to be
        known of the run (`training`: the last epoch's measures, `shots`, `seconds`, `device`, `threads`, `packages`).

    Raises:
        DataError: a split is missing or malformed.
        EncoderError, OfflineEncoderError: the encoder can't be had.
        OSError: the disk is full.
    """
    begin = time.monotonic()
    _set_up(trial)
    bench = TrialBench(trial, report)
    METHODS[trial.config.method].train(bench)
    final = bench.final_report()
    facts = {
        "seconds": time.monotonic() - begin,
        "device": torch.cuda.get_device_name() if trial.device == "cuda" else f"cpu ({platform.machine()})",
        "threads": trial.threads,
        "packages": {name: version(name) for name in ("allasprak", "torch", "transformers", "tokenizers")},
    }
    del bench
    memory.release()
    return replace(final, measures={**final.measures, **facts})


def _set_up(trial: Trial) -> None:
    """Threads and random generators: the same trial gives the same bits in whatever process it runs."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_num_threads(trial.threads)
    random.seed(trial.config.seed)
    np.random.seed(trial.config.seed)
    torch.manual_seed(trial.config.seed)


class TrialBench:
    """A model, its data and a training loop, as a method uses them (`trainers.methods.Bench`)."""

    def __init__(self, trial: Trial, report: Callable[[Report], None]) -> None:
        from transformers import AutoTokenizer

        self.trial, self.config, self.report = trial, trial.config, report
        self.task = TASKS[self.config.task]
        self.data = open_data(trial.data, self.config.task, trial.home)
        source = self.config.source_language
        self.labels = self.task.label_set(self.data.facts(source, "train").labels)
        self.encoder = prepare_encoder(self.config.encoder, trial.home)
        self.tokenizer = AutoTokenizer.from_pretrained(self.encoder, use_fast=True, trust_remote_code=False)
        self.model = self._fresh_model()
        self.embeddings = WordEmbeddings(self.model, self.tokenizer.pad_token_id)

        self.training_windows: list[Window] = []
        self.shot_places: dict[str, range] = {}
        self.draws: dict[str, shots.Shots] = {}
        examples = self.data.examples(source, "train")[: self.config.training.max_source_examples]
        self.source: Sequence[int] = self._add(examples)
        for language in self.config.target_languages:
            self.shot_places[language] = self._add(self._draw(language))
        self.shots = [place for places in self.shot_places.values() for place in places]

        self._tokenised: dict[tuple[str, Split], tuple[list[Example], list[Window]]] = {}

        self.reports: list[Report] = []
        self.selected: Report | None = None

    @property
    def batch_size(self) -> int:
        """The batch size of source and mixed training."""
        return self.config.training.batch_size

    # What methods call

    def start_from_source_model(self) -> None:
        """Take the weights that source training selected, training it first if nobody has."""
        source = self.trial.source
        if source is None:
            raise ValueError(f"{self.config.method} starts from a source training, and the trial names none")
        model = source_models.load(self.trial.home, source)
        if model is None:
            run(replace(self.trial, config=source, source=None, evaluate=()), lambda _: None)
            _set_up(self.trial)
            model = source_models.load(self.trial.home, source)
        assert model is not None
        self._take_weights(model.weights, model.rows)

    def train(
        self, examples: Sequence[int], batch_size: int, select_on_source_dev: bool = False, surgery: bool = False
    ) -> None:
        """Train the model; afterwards it has the selected weights, all rows of its word embeddings included.

        Args:
            examples: places of training windows.
            batch_size: windows in a batch.
            select_on_source_dev: the weights of the epoch with the best score on the source dev set count, the first
                of equals; else the last. Only then is a dev set read at all.
            surgery: operate on the gradients with the targets' shots as the oracle set.
        """
        if self.config.method == SOURCE_TRAINING and self._take_up_source_model():
            return
        rows = self._trained_rows(examples)
        best: dict[str, Tensor] = {}

        def after_epoch(epoch: loop.Epoch) -> None:
            scores: tuple[Score, ...] = ()
            if select_on_source_dev:
                self.embeddings.merge(rows.ids, rows.module.weight)
                scores = self._scores("dev", (self.config.source_language,))
                self.embeddings.reinstall(rows)
            self.reports.append(Report(epoch.epoch, epoch.step, scores, epoch.measures))
            self.report(self.reports[-1])
            if not select_on_source_dev or self._is_better(self.reports[-1]):
                self.selected = self.reports[-1]
                if select_on_source_dev:
                    best.update(_copy(self.model.state_dict()))

        loop.train(
            self.model,
            [len(self.training_windows[place].input_ids) for place in examples],
            partial(self._batch, rows, [self.training_windows[place] for place in examples]),
            self.config.training,
            batch_size,
            self.config.seed,
            after_epoch,
            self._oracle(examples) if surgery else None,
        )
        if best:
            self._take_weights(best, rows.ids)
        else:
            self.embeddings.merge(rows.ids, rows.module.weight)
        if self.config.method == SOURCE_TRAINING:
            self._keep_source_model(best, rows.ids)

    def final_report(self) -> Report:
        """The scores on the test splits at the selected step."""
        assert self.selected is not None
        chosen = tuple(replace(score, selected=True) for score in self.selected.scores)
        tested = self._scores("test", self.trial.evaluate, selected=True)
        drawn = {language: {"indices": draw.indices, "digest": draw.digest} for language, draw in self.draws.items()}
        measures = {"training": self.reports[-1].measures, "shots": drawn}
        return replace(self.selected, scores=chosen + tested, measures=measures)

    # Data

    def _draw(self, language: str) -> list[Example]:
        facts = self.data.facts(language, "train")
        draw = shots.draw(facts.digest, language, facts.examples, self.config.k, self.config.seed)
        self.draws[language] = draw
        examples = self.data.examples(language, "train")
        return [examples[place] for place in draw.indices]

    def _add(self, examples: Sequence[Example]) -> range:
        """Places of these examples' windows among the training windows."""
        first = len(self.training_windows)
        self.training_windows += self._windows(examples)
        return range(first, len(self.training_windows))

    def _windows(self, examples: Sequence[Example]) -> list[Window]:
        return self.task.features(examples, self.labels, self.tokenizer, self.config.training.max_length)

    def _batch(self, rows: Rows, windows: Sequence[Window], places: Sequence[int]) -> dict[str, Tensor]:
        """A padded batch: input_ids, attention_mask and labels, each [batch, length]."""
        chosen = [windows[place] for place in places]
        ids = [torch.tensor(window.input_ids) for window in chosen]
        input_ids = pad_sequence(ids, batch_first=True, padding_value=self.embeddings.pad_id)
        mask = pad_sequence([torch.ones(len(one), dtype=torch.long) for one in ids], batch_first=True)
        labels = pad_sequence([torch.tensor(window.labels) for window in chosen], True, UNLABELLED)
        batch = {"input_ids": rows.index(input_ids), "attention_mask": mask, "labels": labels}
        return {name: tensor.to(self.trial.device) for name, tensor in batch.items()}

    def _oracle(self, examples: Sequence[int]) -> loop.Oracle:
        """The oracle set: exactly the shots that are trained on."""
        place_of = {example: place for place, example in enumerate(examples)}
        oracle = {language: [place_of[place] for place in places] for language, places in self.shot_places.items()}
        assert self.config.alpha is not None
        return loop.Oracle(oracle, self.config.alpha)

    # Model

    def _fresh_model(self) -> Any:
        """The pretrained encoder with a head, which is the same for every method at a seed."""
        import transformers

        return (
            getattr(transformers, self.task.model_class)
            .from_pretrained(
                self.encoder,
                num_labels=len(self.labels),
                id2label=dict(enumerate(self.labels)),
                label2id={label: place for place, label in enumerate(self.labels)},
                use_safetensors=True,
                trust_remote_code=False,
                dtype=torch.float32,
            )
            .to(self.trial.device)
        )

    def _trained_rows(self, examples: Sequence[int]) -> Rows:
        """The rows of the word embeddings that can change: those that occur, or with weight decay all."""
        if self.config.training.weight_decay:
            return self.embeddings.install(self.embeddings.everything())
        occurring = self.embeddings.occurring(self.training_windows[place].input_ids for place in examples)
        return self.embeddings.install(occurring)

    def _take_weights(self, weights: Mapping[str, Tensor], row_ids: Tensor) -> None:
        """Weights of a training into the model; the rows that it trained into the full table."""
        self.embeddings.install(row_ids)
        self.model.load_state_dict(weights)
        self.embeddings.merge(row_ids, self.model.get_input_embeddings().weight)

    def _keep_source_model(self, weights: Mapping[str, Tensor], row_ids: Tensor) -> None:
        assert self.selected is not None
        model = source_models.SourceModel(weights, row_ids, tuple(self.reports), self.reports.index(self.selected))
        source_models.save(self.trial.home, self.config, model)

    def _take_up_source_model(self) -> bool:
        """Whether this very source training was done before: then it is reported again, not trained again."""
        model = source_models.load(self.trial.home, self.config)
        if model is None:
            return False
        self._take_weights(model.weights, model.rows)
        self.reports = list(model.reports)
        self.selected = self.reports[model.selected]
        for epoch in self.reports:
            self.report(epoch)
        return True

    # Scores

    def _is_better(self, report: Report) -> bool:
        return self.selected is None or report.scores[0].value > self.selected.scores[0].value

    def _scores(self, split: Split, languages: Sequence[str], selected: bool = False) -> tuple[Score, ...]:
        """The model's scores on a split, all languages in common batches. The full table must be up to date."""
        pooled = [window for language in languages for window in self._scored(language, split)[1]]
        rows = self.embeddings.install(self.embeddings.occurring(window.input_ids for window in pooled))
        lengths = [len(window.input_ids) for window in pooled]
        outputs = iter(evaluation.predict(self.model, lengths, partial(self._batch, rows, pooled)))
        scores = []
        for language in languages:
            examples, windows = self._scored(language, split)
            predictions = self.task.predictions(examples, windows, [next(outputs) for _ in windows], self.labels)
            facts = self.data.facts(language, split)
            data = evaluation_data(facts, self.trial.max_test_examples if split == "test" else None)
            is_cut = len(examples) < facts.examples
            for metric, value in self.task.metrics(examples, predictions).items():
                scores.append(Score(language, split, metric, value, len(examples), data, is_cut, selected))
        return tuple(scores)

    def _scored(self, language: str, split: Split) -> tuple[list[Example], list[Window]]:
        """The examples of a split that are scored, and their windows; tokenised once."""
        if (language, split) not in self._tokenised:
            examples = self.data.examples(language, split)
            if split == "test":
                examples = examples[: self.trial.max_test_examples]
            self._tokenised[language, split] = examples, self._windows(examples)
        return self._tokenised[language, split]


def _copy(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in weights.items()}
