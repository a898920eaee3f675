"""The task ner: entity F1 against seqeval, windows, and the way from labels to predicted tags."""

import random
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import f1_score

from trainers.data.sample import examples
from trainers.tasks import TASKS
from trainers.tasks.ner import NER, entities
from trainers.tasks.tagging import UNLABELLED, TaggingWindow
from trainers.tasks.task import ExampleError

TYPES = ("PER", "LOC", "ORG")
LABELS = NER.label_set([f"B-{type_}" for type_ in TYPES])
SEQUENCES = st.lists(st.sampled_from(LABELS), min_size=1, max_size=12)


@pytest.fixture(scope="module")
def tokenizer(tiny_encoder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_encoder)


def sentence(*tokens: str, tag: str = "B-LOC") -> dict[str, list[str]]:
    return {"tokens": list(tokens), "tags": [tag] * len(tokens)}


def f1(gold: list[list[str]], predicted: list[list[str]]) -> float:
    return NER.metrics(gold, predicted)["f1"]


def some_examples() -> list[dict[str, list[str]]]:
    return [one for language in ("en", "hi", "zh") for one in examples("ner", language, "test")[:30]]


# F1


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@pytest.mark.parametrize("agreement", [0.0, 0.5, 0.9, 1.0])
def test_entity_f1_is_that_of_seqeval_on_thousands_of_random_tag_sequences(agreement: float) -> None:
    draw = random.Random(int(agreement * 10))
    gold = [draw.choices(LABELS, k=draw.randint(1, 15)) for _ in range(1500)]
    predicted = [[tag if draw.random() < agreement else draw.choice(LABELS) for tag in tags] for tags in gold]
    for first in range(0, 1500, 3):
        chosen, answers = gold[first : first + 3], predicted[first : first + 3]
        assert f1(chosen, answers) == pytest.approx(100 * f1_score(chosen, answers), abs=1e-9)
    assert f1(gold, predicted) == pytest.approx(100 * f1_score(gold, predicted), abs=1e-9)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(SEQUENCES, SEQUENCES), min_size=1, max_size=4))
def test_entity_f1_is_that_of_seqeval_whatever_the_tags(pairs: list[tuple[list[str], list[str]]]) -> None:
    gold = [one for one, _ in pairs]
    predicted = [(other * len(one))[: len(one)] for one, other in pairs]
    assert f1(gold, predicted) == pytest.approx(100 * f1_score(gold, predicted), abs=1e-9)


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ("O I-PER I-PER O", [("PER", 1, 3)]),
        ("B-PER I-LOC I-LOC", [("PER", 0, 1), ("LOC", 1, 3)]),
        ("B-PER B-PER I-PER", [("PER", 0, 1), ("PER", 1, 3)]),
        ("I-ORG O I-ORG", [("ORG", 0, 1), ("ORG", 2, 3)]),
        ("O O", []),
        ("", []),
    ],
)
def test_entities_of_malformed_sequences(tags: str, found: list[tuple[str, int, int]]) -> None:
    assert list(entities(tags.split())) == found


def test_entity_f1_counts_an_entity_only_in_its_own_sentence_with_both_ends_and_its_type() -> None:
    gold = [["B-PER", "I-PER", "O"], ["O", "O", "B-LOC"]]
    assert f1(gold, gold) == 100.0
    assert f1(gold, list(reversed(gold))) == 0.0
    assert f1(gold, [["B-PER", "O", "O"], ["O", "O", "B-ORG"]]) == 0.0
    assert f1(gold, [["B-PER", "I-PER", "O"], ["O", "O", "O"]]) == pytest.approx(200 / 3)


def test_entity_f1_without_any_entity_is_zero() -> None:
    assert f1([["O", "O"]], [["O", "O"]]) == 0.0


def test_metrics_name_the_score_f1() -> None:
    gold = [NER.gold(one) for one in some_examples()]
    assert gold == [one["tags"] for one in some_examples()]
    assert NER.metrics(gold, gold) == {"f1": 100.0}
    assert TASKS["ner"] is NER


# Windows


@pytest.mark.parametrize("max_length", [12, 13, 20, 128])
def test_predictions_made_of_gold_labels_give_back_the_gold_tags(tokenizer: Any, max_length: int) -> None:
    some = some_examples()
    windows = NER.features(some, LABELS, tokenizer, max_length)
    decoded = [window.labels for window in windows]
    assert NER.predictions(some, windows, decoded, LABELS) == [one["tags"] for one in some]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.lists(st.tuples(st.text(max_size=9), st.sampled_from(LABELS)), min_size=1, max_size=12),
        min_size=1,
        max_size=4,
    ),
    st.integers(3, 16),
)
def test_whatever_the_words_each_has_one_label_or_no_position_or_is_too_long(
    tokenizer: Any, sentences: list[list[tuple[str, str]]], max_length: int
) -> None:
    some = [{"tokens": [word for word, _ in one], "tags": [tag for _, tag in one]} for one in sentences]
    too_long = [
        place
        for place, one in enumerate(some)
        if any(len(pieces_of(tokenizer, word)) > max_length - 2 for word in one["tokens"])
    ]
    if too_long:
        with pytest.raises(ExampleError) as error:
            NER.features(some, LABELS, tokenizer, max_length)
        assert error.value.place == too_long[0]
        return
    windows = NER.features(some, LABELS, tokenizer, max_length)
    check_windows(windows, max_length)
    placed = {(window.example, word) for window in windows for word in window.words}
    assert len(placed) == sum(len(window.words) for window in windows)
    decoded = [window.labels for window in windows]
    expected = [
        [tag if (place, word) in placed else "O" for word, tag in enumerate(one["tags"])]
        for place, one in enumerate(some)
    ]
    assert NER.predictions(some, windows, decoded, LABELS) == expected


def pieces_of(tokenizer: Any, word: str) -> list[int]:
    return tokenizer([word], is_split_into_words=True)["input_ids"][1:-1]


def check_windows(windows: list[TaggingWindow], max_length: int) -> None:
    for window in windows:
        assert len(window.input_ids) <= max_length
        assert (window.input_ids[0], window.input_ids[-1]) == (0, 2)
        assert window.token_types == []
        assert window.supervised == len(window.labels) == len(window.words) > 0
        assert window.words == sorted(set(window.words))
        assert window.positions == sorted(set(window.positions))
        assert window.positions[0] == 1
        assert window.positions[-1] < len(window.input_ids) - 1


@pytest.mark.parametrize("max_length", [12, 13, 20])
def test_long_sentences_are_split_between_words_and_nothing_is_lost(tokenizer: Any, max_length: int) -> None:
    some = some_examples()
    windows = NER.features(some, LABELS, tokenizer, max_length)
    assert len(windows) > len(some)
    check_windows(windows, max_length)
    order = [(window.example, word) for window in windows for word in window.words]
    assert order == [(place, word) for place, one in enumerate(some) for word in range(len(one["tokens"]))]
    for place, one in enumerate(some):
        ids = [id_ for window in windows if window.example == place for id_ in window.input_ids[1:-1]]
        assert ids == [id_ for word in one["tokens"] for id_ in pieces_of(tokenizer, word)]


def test_windows_are_as_few_as_filling_each_in_turn_gives(tokenizer: Any) -> None:
    some = some_examples()
    windows = NER.features(some, LABELS, tokenizer, 12)
    assert any(first.example == second.example for first, second in pairwise(windows))
    for first, second in pairwise(windows):
        if first.example == second.example:
            word = some[second.example]["tokens"][second.words[0]]
            assert len(first.input_ids) + len(pieces_of(tokenizer, word)) > 12


def test_a_sentence_that_fits_is_one_window_with_the_tokenizers_own_ids(tokenizer: Any) -> None:
    some = some_examples()
    windows = NER.features(some, LABELS, tokenizer, 128)
    own = tokenizer([one["tokens"] for one in some], is_split_into_words=True)["input_ids"]
    assert [window.input_ids for window in windows] == own


def test_the_label_stands_on_the_first_sub_word_only(tokenizer: Any) -> None:
    words = ["Stockholm", "zzyzx", "in"]
    pieces = [pieces_of(tokenizer, word) for word in words]
    assert len(pieces[1]) > 1
    windows = NER.features([sentence(*words)], LABELS, tokenizer, 64)
    expected = [label for word in pieces for label in [LABELS.index("B-LOC"), *[UNLABELLED] * (len(word) - 1)]]
    length = len(expected) + 5
    assert NER.targets(windows, length) == {"labels": [[UNLABELLED, *expected, *[UNLABELLED] * 4]]}
    assert [window.supervised for window in windows] == [3]


def test_a_word_longer_than_a_window_is_an_error_that_names_it(tokenizer: Any) -> None:
    long = "zq" * 20
    count = len(pieces_of(tokenizer, long))
    with pytest.raises(ExampleError) as error:
        NER.features([sentence("in"), sentence("in", long, "in")], LABELS, tokenizer, count + 1)
    assert error.value.place == 1
    assert str(error.value) == (
        f"the word '{long}' has {count} tokens; a window of {count + 1} holds {count - 1} beside special tokens"
    )
    windows = NER.features([sentence("in", long, "in")], LABELS, tokenizer, count + 2)
    assert [window.words for window in windows] == [[0], [1], [2]]


def test_words_that_the_tokenizer_drops_are_predicted_o_and_disturb_no_other(tokenizer: Any) -> None:
    some = [sentence("in", "\u3000", "", "Berlin"), sentence(" "), sentence("in")]
    windows = NER.features(some, LABELS, tokenizer, 16)
    assert [(window.example, window.words) for window in windows] == [(0, [0, 3]), (2, [0])]
    predicted = NER.predictions(some, windows, [window.labels for window in windows], LABELS)
    assert predicted == [["B-LOC", "O", "O", "B-LOC"], ["O"], ["B-LOC"]]


def test_what_is_predicted_for_later_sub_words_does_not_count(tokenizer: Any) -> None:
    some = some_examples()
    windows = NER.features(some, LABELS, tokenizer, 128)
    wrong = LABELS.index("I-ORG")
    length = max(len(window.input_ids) for window in windows)
    rows = [
        [wrong if label == UNLABELLED else label for label in row] for row in NER.targets(windows, length)["labels"]
    ]
    outputs = SimpleNamespace(logits=torch.nn.functional.one_hot(torch.tensor(rows), len(LABELS)).float())
    decoded = NER.decode(outputs, windows)
    assert NER.predictions(some, windows, decoded, LABELS) == [one["tags"] for one in some]


# Examples and labels


@pytest.mark.parametrize(
    ("example", "message"),
    [
        (["a"], "not a JSON object"),
        (None, "not a JSON object"),
        ({"tags": ["O"]}, "'tokens' is not a list of strings"),
        ({"tokens": "a", "tags": ["O"]}, "'tokens' is not a list of strings"),
        ({"tokens": ["a", 1], "tags": ["O", "O"]}, "'tokens' is not a list of strings"),
        ({"tokens": ["a"]}, "'tags' is not a list of strings"),
        ({"tokens": ["a"], "tags": [0]}, "'tags' is not a list of strings"),
        ({"tokens": [], "tags": []}, "no tokens"),
        ({"tokens": ["a", "b"], "tags": ["O"]}, "2 tokens but 1 tags"),
        *(
            ({"tokens": ["a"], "tags": [tag]}, f"{tag!r} is not an IOB2 tag (O, B-<type> or I-<type>)")
            for tag in ("", "o", "PER", "B-", "B", "S-PER", "B_PER", "B-PER ", "B-P R", "O\n", "OO", "b-PER")
        ),
    ],
)
def test_what_is_wrong_with_an_example_is_said(example: object, message: str) -> None:
    assert NER.problem(example) == message


def test_nothing_is_wrong_with_a_good_example() -> None:
    assert NER.problem({"tokens": ["a", "b", "c"], "tags": ["O", "B-PER", "I-x.y-Z"], "id": 3}) is None


def test_the_label_set_has_both_tags_of_every_type_that_occurs_and_o_first() -> None:
    assert NER.label_set(["I-PER", "O", "B-LOC"]) == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
    assert NER.label_set(["B-LOC", "B-PER"]) == NER.label_set(["I-PER", "B-LOC", "O", "B-LOC"])
    assert NER.label_set([]) == ("O",)
    assert NER.labels_of({"tokens": ["a", "b"], "tags": ["O", "B-X"]}) == {"O", "B-X"}


def test_shots_of_ner_are_drawn_of_all_sentences() -> None:
    assert {NER.stratum(one) for one in some_examples()} == {""}
