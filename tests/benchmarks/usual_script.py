"""A ner trial as the usual scripts do it: all padded to one length, the whole vocabulary, language by language."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import AutoTokenizer

from trainers.surgery.optimizer import StochasticGradientSurgery
from trainers.tasks.ner import NER
from trainers.training.fresh_model import fresh_model
from trainers.training.loop import DTYPES
from trainers.training.schedule import linear_decay, parameter_groups
from trainers.training.trial_data import Tokenized, TrialData
from trainers.trial import Trial

EVALUATION_BATCH = 32

Features = dict[str, Tensor]  # each [windows, max_length]
Batches = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Done:
    """Seconds of a trial, and its F1 by language; none where only a part was done."""

    seconds: float
    f1: dict[str, float]


class UsualScript:
    """One trial. What is read, its windows, their batches and their order, seeds and surgery are the project's.

    Args:
        trial: a training on source and targets, selected on the source's dev set.
        fraction: of the updates and of the batches of each evaluation that are done. The others' time is added, with
            what they would have cost as the measured ones did: padded as they are, all cost the same.
    """

    def __init__(self, trial: Trial, fraction: float) -> None:
        self.trial, self.config, self.training, self.fraction = trial, trial.config, trial.config.training, fraction
        self.extrapolated = 0.0

    def run(self) -> Done:
        """Train, and score the weights of the best epoch on every language's test split."""
        torch.use_deterministic_algorithms(False)
        begin = time.perf_counter()
        self.tokenizer = AutoTokenizer.from_pretrained(self.config.encoder)
        self.data = TrialData(self.trial, self.tokenizer)
        self.data.read_all()
        torch.manual_seed(self.config.seed)
        self.model = fresh_model(NER, Path(self.config.encoder), self.data.labels).to(self.trial.device)
        self._train()
        f1 = {language: self._f1(self.data.test(language)) for language in self.trial.wanted.evaluate}
        seconds = time.perf_counter() - begin + self.extrapolated
        return Done(seconds, f1 if self.fraction == 1 else {})

    # Training

    def _train(self) -> None:
        torch.manual_seed(self.config.seed)
        windows: list[Any] = [*self.data.source.windows]
        shots = {}
        for language, tokenised in self.data.shots.items():
            shots[language] = range(len(windows), len(windows) + len(tokenised.windows))
            windows += tokenised.windows
        optimizer: Optimizer = AdamW(
            parameter_groups(self.model, self.training.weight_decay),
            lr=self.training.learning_rate,
            eps=self.training.adam_epsilon,
        )
        if self.config.alpha is not None:
            optimizer = StochasticGradientSurgery(optimizer, shots, self.config.alpha, self.config.seed)
        updates = -(-len(windows) // self.training.batch_size) * self.training.epochs
        schedule = LambdaLR(optimizer, linear_decay(self.training, updates))
        update = self._updater(self._padded(windows, with_labels=True), optimizer, schedule)
        order = torch.Generator().manual_seed(self.config.seed)
        best, chosen = -1.0, {}
        for _ in range(self.training.epochs):
            self.model.train()
            self._do(update, torch.randperm(len(windows), generator=order).split(self.training.batch_size))
            [dev] = self.data.selecting["source-dev"]
            found = self._f1(dev)
            if found > best:
                best = found
                chosen = {name: tensor.detach().cpu().clone() for name, tensor in self.model.state_dict().items()}
        self.model.load_state_dict(chosen)

    def _updater(self, features: Features, optimizer: Optimizer, schedule: LambdaLR) -> Callable[[Sequence[int]], None]:
        def backward(places: Sequence[int]) -> None:
            with self._autocast():
                loss = self.model(**self._batch(features, places)).loss
            loss.backward()

        def update(places: Sequence[int]) -> None:
            backward(places)
            if isinstance(optimizer, StochasticGradientSurgery):
                optimizer.operate(backward)
            clip_grad_norm_(self.model.parameters(), self.training.clip_norm)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()

        return update

    # Scores

    @torch.inference_mode()
    def _f1(self, part: Tokenized) -> float:
        """In batches of one language in file order."""
        self.model.eval()
        windows: Sequence[Any] = part.windows
        features = self._padded(windows)
        decoded: list[list[int]] = []

        def predict(places: Sequence[int]) -> None:
            with self._autocast():
                outputs = self.model(**self._batch(features, places))
            decoded.extend(NER.decode(outputs, [windows[place] for place in places]))

        self._do(predict, list(_fixed_batches(len(windows))))
        predicted = NER.predictions(part.examples, windows[: len(decoded)], decoded, self.data.labels)
        return NER.metrics([NER.gold(example) for example in part.examples], predicted)["f1"]

    # Both

    def _do(self, what: Callable[[Sequence[int]], None], batches: Batches) -> None:
        """The first batches, as many as the fraction says; the first of all warms up and counts once."""
        part = batches[: math.ceil(self.fraction * len(batches))]
        ends = [time.perf_counter()]
        for places in part:
            what(places)
            if self.trial.device == "cuda" and self.fraction < 1:
                torch.cuda.synchronize()
            ends.append(time.perf_counter())
        each = (ends[-1] - ends[1]) / (len(part) - 1) if len(part) > 1 else ends[1] - ends[0]
        self.extrapolated += each * (len(batches) - len(part))

    def _padded(self, windows: Sequence[Any], with_labels: bool = False) -> Features:
        length = self.training.max_length
        ids = torch.full((len(windows), length), self.tokenizer.pad_token_id)
        for row, window in zip(ids, windows, strict=True):
            row[: len(window.input_ids)] = torch.tensor(window.input_ids)
        lengths = torch.tensor([len(window.input_ids) for window in windows])
        features = {"input_ids": ids, "attention_mask": (torch.arange(length) < lengths[:, None]).long()}
        if with_labels:
            features |= {name: torch.tensor(values) for name, values in NER.targets(windows, length).items()}
        return features

    def _batch(self, features: Features, places: Sequence[int]) -> Features:
        chosen = torch.tensor(places)
        return {name: values[chosen].to(self.trial.device) for name, values in features.items()}

    def _autocast(self) -> torch.autocast:
        dtype = DTYPES[self.training.precision]
        return torch.autocast(self.trial.device, dtype, enabled=dtype != torch.float32)


def _fixed_batches(count: int) -> Iterator[range]:
    for first in range(0, count, EVALUATION_BATCH):
        yield range(first, min(first + EVALUATION_BATCH, count))
