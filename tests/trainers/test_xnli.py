"""The task xnli: pairs as the tokenizer makes them, cut pairs, labels there and back."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers.tasks.task import ExampleError
from trainers.tasks.xnli import LABELS, XNLI

TEXTS = st.lists(st.sampled_from(["Der", "Zug", "nach", "Berlin", "zzyzx", "war", "."]), max_size=30).map(" ".join)


@pytest.fixture(scope="module")
def tokenizer(tiny_encoder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_encoder)


def pair(premise: str = "a b", hypothesis: str = "c", label: str = "neutral") -> dict[str, str]:
    return {"premise": premise, "hypothesis": hypothesis, "label": label}


@given(st.lists(st.sampled_from(LABELS), min_size=1, max_size=20))
@settings(deadline=None, max_examples=50)
def test_labels_go_to_predictions_and_back(tokenizer: Any, labels: list[str]) -> None:
    examples = [pair(label=label) for label in labels]
    windows = XNLI.features(examples, LABELS, tokenizer, 128)
    targets = XNLI.targets(windows, 40)
    logits = torch.nn.functional.one_hot(torch.tensor(targets["labels"]), 3).float()
    decoded = XNLI.decode(SimpleNamespace(logits=logits), windows)
    predicted = XNLI.predictions(examples, windows, decoded, LABELS)
    assert predicted == labels == [XNLI.gold(example) for example in examples]
    assert XNLI.metrics(labels, predicted) == {"accuracy": 100.0}
    assert [window.example for window in windows] == list(range(len(labels)))
    assert {window.supervised for window in windows} == {1}


@pytest.mark.parametrize(("predicted", "accuracy"), [("nnn", 100 / 3), ("enc", 100.0), ("cen", 0.0), ("ecn", 100 / 3)])
def test_accuracy(predicted: str, accuracy: float) -> None:
    whole = {label[0]: label for label in LABELS}
    assert XNLI.metrics(LABELS, [whole[letter] for letter in predicted]) == {"accuracy": pytest.approx(accuracy)}


@given(TEXTS, TEXTS)
@settings(deadline=None, max_examples=100)
def test_a_pair_that_fits_is_the_tokenizers_own(tokenizer: Any, premise: str, hypothesis: str) -> None:
    [own] = tokenizer([premise], [hypothesis])["input_ids"]
    if len(own) <= 128:
        [window] = XNLI.features([pair(premise, hypothesis)], LABELS, tokenizer, 128)
        assert window.input_ids == own
        assert window.token_types == []


@given(TEXTS, TEXTS, st.integers(6, 40))
@settings(deadline=None, max_examples=200)
def test_the_longer_loses_its_end(tokenizer: Any, premise: str, hypothesis: str, max_length: int) -> None:
    whole = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in (premise, hypothesis)]
    if sum(map(len, whole)) + 4 > 128:
        return
    [window] = XNLI.features([pair(premise, hypothesis)], LABELS, tokenizer, max_length)
    middle = next(place for place in range(1, max_length) if window.input_ids[place : place + 2] == [2, 2])
    kept = [window.input_ids[1:middle], window.input_ids[middle + 2 : -1]]
    assert all(one == all_[: len(one)] for one, all_ in zip(kept, whole, strict=True))
    assert len(window.input_ids) == min(max_length, sum(map(len, whole)) + 4)
    lost = [len(all_) - len(one) for one, all_ in zip(kept, whole, strict=True)]
    for mine, other in ((0, 1), (1, 0)):
        if lost[mine]:  # what was cut is not shorter than the other, but for an odd place
            assert len(kept[mine]) >= len(kept[other]) - 1


def test_a_pair_that_the_encoder_cannot_read_is_an_error(tokenizer: Any) -> None:
    long = pair("zq " * 80)
    length = len(tokenizer(long["premise"], long["hypothesis"])["input_ids"])
    assert tokenizer.model_max_length == 128 < length
    with pytest.raises(ExampleError) as error:
        XNLI.features([pair(), pair(), long], LABELS, tokenizer, 128)
    assert error.value.place == 2
    assert str(error.value) == (
        f"the pair with the premise {long['premise'][:80]!r}... has {length} tokens; the encoder reads 128"
    )
    assert len(XNLI.features([long], LABELS, tokenizer, length)[0].input_ids) == length
    assert len(XNLI.features([long], LABELS, tokenizer, length + 1)[0].input_ids) == length


def test_a_tokenizer_without_a_limit_makes_no_such_error(tiny_encoder: Path) -> None:
    from transformers import AutoTokenizer

    unlimited = AutoTokenizer.from_pretrained(tiny_encoder, model_max_length=int(1e30))
    [window] = XNLI.features([pair("zq " * 500)], LABELS, unlimited, 128)
    assert len(window.input_ids) == 128


def test_a_window_without_room_for_a_pair_is_an_error(tokenizer: Any) -> None:
    with pytest.raises(ExampleError, match=r"a window of 5 has no room for a pair beside 4 special tokens"):
        XNLI.features([pair()], LABELS, tokenizer, 5)
    assert len(XNLI.features([pair()], LABELS, tokenizer, 6)[0].input_ids) == 6


@pytest.mark.parametrize(
    ("example", "message"),
    [
        (["a"], "not a JSON object"),
        (None, "not a JSON object"),
        ({"hypothesis": "a", "label": "neutral"}, "'premise' is not a string"),
        ({"premise": 3, "hypothesis": "a", "label": "neutral"}, "'premise' is not a string"),
        ({"premise": "a", "hypothesis": None, "label": "neutral"}, "'hypothesis' is not a string"),
        ({"premise": "a", "hypothesis": "b"}, "'label' is not a string"),
        ({"premise": "a", "hypothesis": "b", "label": 1}, "'label' is not a string"),
        ({"premise": "a", "hypothesis": "b", "label": ["neutral"]}, "'label' is not a string"),
        *(
            (
                {"premise": "a", "hypothesis": "b", "label": label},
                f"{label!r} is not a label (entailment, neutral, contradiction)",
            )
            for label in ("", "-", "Neutral", "contradictory", "entailment ")
        ),
    ],
)
def test_what_is_wrong_with_an_example_is_said(example: object, message: str) -> None:
    assert XNLI.problem(example) == message


def test_the_labels_are_always_the_three_in_one_order_and_shots_are_drawn_of_each() -> None:
    assert all(XNLI.problem(pair(label=label)) is None for label in LABELS)
    assert XNLI.label_set([]) == XNLI.label_set(["neutral"]) == LABELS == ("entailment", "neutral", "contradiction")
    assert XNLI.labels_of(pair(label="neutral")) == {"neutral"}
    assert [XNLI.stratum(pair(label=label)) for label in LABELS] == list(LABELS)
