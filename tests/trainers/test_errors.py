"""Kinds of errors: each wrong piece is in one error, and their numbers are those that scorers count."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from trainers.data.sample import examples
from trainers.tasks import TASKS
from trainers.tasks.errors import MISSED, SPURIOUS, WRONG, WRONG_BOTH, WRONG_BOUNDARY, WRONG_TYPE
from trainers.tasks.ner import NER
from trainers.tasks.pos import POS, UPOS
from trainers.tasks.task import Task
from trainers.tasks.tydiqa import TYDIQA
from trainers.tasks.xnli import LABELS

TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


def both(tags: tuple[str, ...]) -> st.SearchStrategy[tuple[list[str], list[str]]]:
    """Gold and predicted tags of a sentence."""
    return st.integers(1, 12).flatmap(
        lambda words: st.tuples(*[st.lists(st.sampled_from(tags), min_size=words, max_size=words)] * 2)
    )


def entities(tags: list[str]) -> set[tuple[str, int, int]]:
    """As seqeval, an independent implementation, finds them, with the word after the last."""
    return {(kind, first, last + 1) for kind, first, last in get_entities(tags)}


@settings(deadline=None, max_examples=300)
@given(both(TAGS))
def test_each_wrong_entity_is_in_one_error_and_no_right_one_is(tags: tuple[list[str], list[str]]) -> None:
    gold, found = map(entities, tags)
    errors = NER.errors(*tags)
    missed = [error.gold for error in errors if error.gold is not None]
    made = [error.predicted for error in errors if error.predicted is not None]
    assert sorted(missed) == sorted((first, after) for _, first, after in gold - found)
    assert sorted(made) == sorted((first, after) for _, first, after in found - gold)


@settings(deadline=None, max_examples=300)
@given(both(TAGS))
def test_kinds_of_errors_of_entities_are_what_they_are_called(tags: tuple[list[str], list[str]]) -> None:
    types = [{(first, after): kind for kind, first, after in entities(side)} for side in tags]
    for error in NER.errors(*tags):
        gold, found = error.gold, error.predicted
        if error.kind == MISSED:
            assert gold is not None
            assert found is None
            continue
        if error.kind == SPURIOUS:
            assert found is not None
            assert gold is None
            continue
        assert gold is not None
        assert found is not None
        assert max(gold[0], found[0]) < min(gold[1], found[1]), "they share a word"
        same_type, same_place = types[0][gold] == types[1][found], gold == found
        kinds = {(False, True): WRONG_TYPE, (True, False): WRONG_BOUNDARY, (False, False): WRONG_BOTH}
        assert error.kind == kinds[same_type, same_place]


@settings(deadline=None, max_examples=200)
@given(both(TAGS))
def test_errors_of_entities_give_the_f1(tags: tuple[list[str], list[str]]) -> None:
    """Of tp true positives F1 is 2 tp / (2 tp + missed and wrong + spurious and wrong)."""
    gold, found = map(entities, tags)
    counts = Counter(error.kind for error in NER.errors(*tags))
    taken = counts[WRONG_TYPE] + counts[WRONG_BOUNDARY] + counts[WRONG_BOTH]
    right = len(gold) - counts[MISSED] - taken
    assert right == len(found) - counts[SPURIOUS] - taken
    below = len(gold) + len(found)
    assert NER.metrics([tags[0]], [tags[1]])["f1"] == pytest.approx(200 * right / below if below else 0.0)


@settings(deadline=None, max_examples=200)
@given(both(UPOS))
def test_each_word_with_a_wrong_tag_is_one_error_and_their_number_gives_the_accuracy(
    tags: tuple[list[str], list[str]],
) -> None:
    errors = POS.errors(*tags)
    assert all(error.gold == error.predicted for error in errors)
    wrong = {error.gold[0]: error.kind for error in errors if error.gold is not None}
    assert len(wrong) == len(errors)
    assert wrong == {
        place: f"{one} → {other}" for place, (one, other) in enumerate(zip(*tags, strict=True)) if one != other
    }
    assert POS.metrics([tags[0]], [tags[1]])["accuracy"] == pytest.approx(100 * (1 - len(errors) / len(tags[0])))


@pytest.mark.parametrize(
    ("predicted", "kinds"),
    [
        ("Malmö", []),
        ("malmö!", []),
        ("in Malmö", ["partial"]),
        ("Lund", ["no overlap"]),
        ("", ["no answer"]),
        ("7", []),
    ],
)
def test_an_answer_is_right_or_partial_or_has_no_word_of_any_gold_one(predicted: str, kinds: list[str]) -> None:
    assert [error.kind for error in TYDIQA.errors(["Malmö", "7"], predicted)] == kinds


WORDS = st.lists(st.sampled_from(["a", "Malmö", "the", "7", "Lund", "."]), max_size=4).map(" ".join)


@settings(deadline=None)
@given(st.lists(WORDS.filter(str.strip), min_size=1, max_size=2), WORDS)
def test_an_answer_has_one_kind_of_error_or_is_an_exact_match(gold: list[str], predicted: str) -> None:
    scores = TYDIQA.metrics([gold], [predicted])
    errors = [error.kind for error in TYDIQA.errors(gold, predicted)]
    assert (errors == []) == (scores["exact_match"] == 100)
    if errors:
        assert errors == (["partial"] if scores["f1"] else ["no overlap"] if predicted else ["no answer"])


@pytest.mark.parametrize("gold", LABELS)
@pytest.mark.parametrize("predicted", LABELS)
def test_a_wrong_label_is_one_error_of_its_pair(gold: str, predicted: str) -> None:
    kinds = [error.kind for error in TASKS["xnli"].errors(gold, predicted)]
    assert kinds == ([] if gold == predicted else [f"{gold} → {predicted}"])


class Plain(Task[Any]):
    """A task of another package, which says nothing of errors."""

    def text(self, example: dict[str, Any]) -> str:
        return str(example["text"])

    def gold(self, example: dict[str, Any]) -> Any:
        return example["color"]


Plain.__abstractmethods__ = frozenset()


def test_a_task_that_says_nothing_of_errors_has_one_kind() -> None:
    task, example = Plain(), {"text": "the red one", "color": "red"}  # type: ignore[abstract]
    assert [error.kind for error in task.errors("red", "blue")] == [WRONG]
    assert task.errors("red", "red") == []
    assert task.parts(example) == {"text": "the red one"}
    assert task.gold_marks(example) == task.marks(example, "blue") == []


@pytest.mark.parametrize("language", ["ar", "en", "zh"])
@pytest.mark.parametrize("task", TASKS)
def test_marks_lie_within_the_parts_of_an_example_and_gold_has_no_error(task: str, language: str) -> None:
    of = TASKS[task]
    for example in examples(task, language, "test")[:40]:
        parts, gold = of.parts(example), of.gold(example)
        assert of.errors(gold, gold[0] if task == "tydiqa" else gold) == []
        for mark in of.gold_marks(example):
            first, after = mark.place
            assert 0 <= first < after <= len(parts[mark.part])
            if task == "tydiqa":
                assert parts["context"][first:after] in gold


def test_an_answer_that_stands_in_several_places_is_marked_next_to_the_gold_one() -> None:
    example = {
        "id": "1", "question": "?", "context": "Lund, Malmö, Lund and Lund",
        "answers": {"text": ["Lund"], "answer_start": [13]},
    }  # fmt: skip
    [mark] = TYDIQA.marks(example, "Lund")
    assert (mark.part, mark.place) == ("context", (13, 17))
    assert TYDIQA.marks(example, "") == TYDIQA.marks(example, "Paris") == []
