"""Predictions in batches sorted by length: complete, in order, and independent of the batches."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from trainers.tasks.ner import NER, NamedEntityRecognition
from trainers.tasks.tagging import TaggingWindow
from trainers.training.batches import batches_by_length
from trainers.training.evaluation import predict

LENGTHS = st.lists(st.integers(1, 300), max_size=60)


@settings(deadline=None, max_examples=200)
@given(LENGTHS, st.integers(1, 2000))
def test_every_window_once_and_no_batch_beyond_the_budget(lengths: list[int], budget: int) -> None:
    batches = list(batches_by_length(lengths, budget))
    assert sorted(place for batch in batches for place in batch) == list(range(len(lengths)))
    for batch in batches:
        assert batch
        assert len(batch) == 1 or len(batch) * max(lengths[place] for place in batch) <= budget
    ordered = [lengths[place] for batch in batches for place in batch]
    assert ordered == sorted(lengths, reverse=True)


@settings(deadline=None, max_examples=100)
@given(LENGTHS, st.integers(1, 2000))
def test_no_batch_could_have_taken_the_next_window(lengths: list[int], budget: int) -> None:
    batches = list(batches_by_length(lengths, budget))
    for batch in batches[:-1]:
        assert (len(batch) + 1) * lengths[batch[0]] > budget


@pytest.fixture(scope="module")
def model(tiny_encoder: Path) -> Any:
    from transformers import AutoModelForTokenClassification

    torch.manual_seed(3)
    model = AutoModelForTokenClassification.from_pretrained(tiny_encoder, num_labels=7)
    torch.nn.init.normal_(model.classifier.weight)  # logits far apart: rounding decides nothing
    return model


class Windows:
    """Random windows whose every sub-word is a word, and their batches."""

    def __init__(self, number: int) -> None:
        generator = torch.Generator().manual_seed(number)
        lengths = torch.randint(3, 40, (number,), generator=generator).tolist()
        self.all = [
            window_of(place, torch.randint(4, 2000, (length,), generator=generator).tolist())
            for place, length in enumerate(lengths)
        ]

    def collate(self, places: Sequence[int]) -> dict[str, Tensor]:
        chosen = [torch.tensor(self.all[place].input_ids) for place in places]
        ids = torch.nn.utils.rnn.pad_sequence(chosen, batch_first=True, padding_value=1)
        mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(one) for one in chosen], batch_first=True)
        return {"input_ids": ids, "attention_mask": mask}


def window_of(example: int, ids: list[int]) -> TaggingWindow:
    everywhere = list(range(len(ids)))
    return TaggingWindow(example, ids, [], len(ids), everywhere, everywhere, [0] * len(ids))


class Spy(NamedEntityRecognition):
    """The task `ner`; remembers what it was asked to decode."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, list[TaggingWindow]]] = []

    def decode(self, outputs: Any, windows: Sequence[TaggingWindow]) -> list[list[int]]:
        self.seen.append((outputs.logits, list(windows)))
        return super().decode(outputs, windows)


def test_predictions_come_in_the_windows_order_and_do_not_depend_on_the_batches(model: Any) -> None:
    windows = Windows(50)
    alone = []
    model.eval()
    for window in windows.all:
        with torch.no_grad():
            alone.append(model(input_ids=torch.tensor([window.input_ids])).logits[0].argmax(-1).tolist())
    assert len({tuple(one) for one in alone}) > 40
    for budget in (1, 100, 4096):
        assert predict(model, NER, windows.all, windows.collate, batch_tokens=budget) == alone


def test_the_task_decodes_each_batch_with_the_windows_that_are_in_it(model: Any) -> None:
    windows, spy = Windows(50), Spy()
    predict(model, spy, windows.all, windows.collate, batch_tokens=200)
    assert len(spy.seen) > 3
    for logits, batch in spy.seen:
        assert logits.shape[:2] == (len(batch), max(len(window.input_ids) for window in batch))
    assert sorted(window.example for _, batch in spy.seen for window in batch) == list(range(50))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_forward_pass_has_the_precision_that_is_asked_for(model: Any, dtype: torch.dtype) -> None:
    windows, spy = Windows(10), Spy()
    predict(model, spy, windows.all, windows.collate, dtype)
    assert {logits.dtype for logits, _ in spy.seen} == {dtype}
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_no_window_gives_no_prediction(model: Any) -> None:
    assert predict(model, NER, [], Windows(1).collate) == []


@pytest.mark.parametrize("training", [True, False])
def test_the_models_mode_is_left_as_it_was_and_dropout_is_off(model: Any, training: bool) -> None:
    windows = Windows(10)
    model.train(training)
    first, second = (predict(model, NER, windows.all, windows.collate) for _ in range(2))
    assert first == second
    assert model.training == training
    assert model.bert.embeddings.dropout.training == training


def test_the_models_mode_is_restored_when_a_batch_fails(model: Any) -> None:
    def collate(places: Sequence[int]) -> dict[str, Tensor]:
        raise RuntimeError("no batch")

    model.train()
    with pytest.raises(RuntimeError, match="no batch"):
        predict(model, NER, Windows(3).all, collate)
    assert model.training
    assert torch.is_grad_enabled()
