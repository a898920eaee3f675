"""The task pos: accuracy by counting, chunk F1 against seqeval, tags and predictions."""

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import f1_score
from seqeval.metrics.sequence_labeling import get_entities

from trainers.tasks.pos import POS, UPOS, chunks

PAIRS = st.lists(st.lists(st.tuples(st.sampled_from(UPOS[:4]), st.sampled_from(UPOS[:4])), min_size=1), min_size=1)


@pytest.fixture(scope="module")
def tokenizer(tiny_encoder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_encoder)


def chunk_f1(gold: list[list[str]], predicted: list[list[str]]) -> float:
    return POS.metrics(gold, predicted)["chunk_f1"]


def of_seqeval(gold: list[list[str]], predicted: list[list[str]]) -> float:
    """F1 in percent of seqeval on bare tags, as the authors' scripts call it."""
    return 100 * float(f1_score(gold, predicted))


pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning"),
    pytest.mark.filterwarnings("ignore:.*seems not to be NE tag"),
]


@pytest.mark.parametrize("tags", [UPOS, ("NOUN", "SYM"), ("CCONJ", "SCONJ", "SYM", "X"), ("INTJ", "SCONJ", "X", "ADP")])
@pytest.mark.parametrize("agreement", [0.0, 0.5, 0.9, 1.0])
def test_chunk_f1_is_that_of_seqeval_on_thousands_of_random_tag_sequences(agreement: float, tags: list[str]) -> None:
    draw = random.Random(f"{agreement} {tags}")
    gold = [draw.choices(tags, k=draw.randint(1, 15)) for _ in range(600)]
    predicted = [[tag if draw.random() < agreement else draw.choice(tags) for tag in one] for one in gold]
    for first in range(0, 600, 3):
        chosen, answers = gold[first : first + 3], predicted[first : first + 3]
        assert chunk_f1(chosen, answers) == pytest.approx(of_seqeval(chosen, answers), abs=1e-9)
    assert chunk_f1(gold, predicted) == pytest.approx(of_seqeval(gold, predicted), abs=1e-9)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.lists(st.sampled_from(UPOS), min_size=1, max_size=6), min_size=1, max_size=6))
def test_the_chunks_are_those_of_seqeval(sentences: list[list[str]]) -> None:
    found = [chunk for one in chunks(sentences) for chunk in one]
    assert found == get_entities(sentences)


@settings(deadline=None, max_examples=200)
@given(PAIRS)
def test_accuracy_is_the_share_of_words_tagged_correctly(pairs: list[list[tuple[str, str]]]) -> None:
    gold, predicted = ([[pair[side] for pair in one] for one in pairs] for side in (0, 1))
    words = [pair for one in pairs for pair in one]
    right = len([pair for pair in words if pair[0] == pair[1]])
    scores = POS.metrics(gold, predicted)
    assert list(scores) == list(POS.metrics_names) == ["chunk_f1", "accuracy"]
    assert scores["accuracy"] == pytest.approx(100 * right / len(words))
    assert (scores["accuracy"] == 100) == (gold == predicted)


def test_words_count_alike_whatever_the_length_of_their_sentence() -> None:
    assert POS.metrics([["X"], ["X"] * 3], [["NOUN"], ["X"] * 3])["accuracy"] == 75


def test_scores_of_lists_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        POS.metrics([["X", "X"]], [["X"]])


def test_neighbours_with_one_tag_are_one_chunk() -> None:
    gold = [["NOUN", "NOUN", "VERB"]]
    assert list(chunks(gold)) == [[("OUN", 0, 1), ("ERB", 2, 2)]]
    assert chunk_f1(gold, [["NOUN", "ADJ", "VERB"]]) == 40  # 1 is right of 2 gold and 3 predicted
    assert POS.metrics(gold, [["NOUN", "ADJ", "VERB"]])["accuracy"] == pytest.approx(200 / 3)


def test_a_chunk_does_not_cross_the_end_of_a_sentence() -> None:
    assert chunk_f1([["NUM"], ["NUM"]], [["NUM"], ["ADJ"]]) == 50


def test_the_labels_are_the_17_universal_tags_whatever_occurs() -> None:
    assert len(UPOS) == len(set(UPOS)) == 17
    assert list(UPOS) == sorted(UPOS)
    assert POS.label_set([]) == POS.label_set(["X", "NOUN"]) == UPOS
    assert POS.labels_of({"tokens": ["a", "b"], "tags": ["X", "X"]}) == {"X"}


@pytest.mark.parametrize("tag", ["", "noun", "NN", "O", "X ", "CONJ", "B-X", "X\n", "_", "PROPNX"])
def test_a_tag_outside_upos_is_named_with_those_allowed(tag: str) -> None:
    assert POS.problem({"tokens": ["a", "b"], "tags": ["X", tag]}) == (
        f"{tag!r} is not a universal part-of-speech tag (ADJ, ADP, ADV, AUX, CCONJ, DET, INTJ, NOUN, NUM, PART, PRON,"
        " PROPN, PUNCT, SCONJ, SYM, VERB, X)"
    )


def test_every_universal_tag_is_allowed() -> None:
    assert POS.problem({"tokens": list(UPOS), "tags": list(UPOS)}) is None


def test_a_long_wrong_tag_is_cut_in_the_message() -> None:
    problem = POS.problem({"tokens": ["a"], "tags": ["z" * 10**6]})
    assert problem is not None
    assert problem.startswith(f"'{'z' * 80}'... is not")
    assert len(problem) < 300


def test_labels_go_to_predictions_and_back(tokenizer: Any) -> None:
    example = {"tokens": ["Der", "", "Zug", "fährt", "."], "tags": ["DET", "SYM", "NOUN", "VERB", "PUNCT"]}
    windows = POS.features([example], UPOS, tokenizer, 128)
    assert [UPOS[label] for window in windows for label in window.labels] == ["DET", "NOUN", "VERB", "PUNCT"]
    predicted = POS.predictions([example], windows, [window.labels for window in windows], UPOS)
    assert predicted == [["DET", "X", "NOUN", "VERB", "PUNCT"]]
