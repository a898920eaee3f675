"""Predictions on disk: every task's come back as they were, and give its scores again."""

import errno
import shutil
from pathlib import Path
from typing import Any

import pyarrow.feather
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers.artifacts.folder_place import FolderPlace
from trainers.artifacts.predictions import read, score_again, write
from trainers.tasks import TASKS
from trainers.tasks.pos import UPOS
from trainers.tasks.xnli import LABELS

NER_TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def sentences(tags: tuple[str, ...]) -> st.SearchStrategy[tuple[Any, Any]]:
    return st.integers(1, 6).flatmap(
        lambda words: st.tuples(*[st.lists(st.sampled_from(tags), min_size=words, max_size=words)] * 2)
    )


# (gold, prediction) of an example
EXAMPLES: dict[str, st.SearchStrategy[tuple[Any, Any]]] = {
    "ner": sentences(NER_TAGS),
    "pos": sentences(UPOS),
    "tydiqa": st.tuples(st.lists(TEXTS, min_size=1, max_size=3), TEXTS | st.just("")),
    "xnli": st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)),
    "pawsx": st.tuples(*[st.sampled_from(["different", "paraphrase"])] * 2),
}


def test_no_task_is_forgotten() -> None:
    assert set(EXAMPLES) == set(TASKS)


@pytest.mark.parametrize("task", TASKS)
@settings(deadline=None, max_examples=40)
@given(st.data())
def test_what_is_written_is_read_and_gives_the_tasks_scores_again(
    tmp_path_factory: pytest.TempPathFactory, task: str, data: st.DataObject
) -> None:
    drawn = data.draw(st.lists(EXAMPLES[task], min_size=1, max_size=8))
    gold, predicted = ([one[side] for one in drawn] for side in (0, 1))
    places = data.draw(st.lists(st.integers(0, 10**6), min_size=len(drawn), max_size=len(drawn)))
    place = FolderPlace(tmp_path_factory.getbasetemp())
    path = place.home / "predictions" / f"{task}.arrow"
    write(place, path, task, places, gold, predicted)
    assert read(place, path) == (task, {"example": places, "gold": gold, "prediction": predicted})
    assert score_again(place, path) == TASKS[task].metrics(gold, predicted)


KNOWN: dict[str, tuple[list[Any], list[Any], dict[str, float]]] = {
    "ner": ([["B-PER", "O"], ["B-LOC"]], [["B-PER", "O"], ["O"]], {"f1": 100 * 2 / 3}),
    "pos": ([["NOUN", "VERB"], ["NUM"]], [["NOUN", "NOUN"], ["NUM"]], {"accuracy": 200 / 3, "chunk_f1": 40.0}),
    "tydiqa": ([["Malmö", "in Malmö"], ["7"]], ["malmö!", ""], {"f1": 50.0, "exact_match": 50.0}),
    "xnli": (["neutral", "entailment"], ["neutral", "neutral"], {"accuracy": 50.0}),
}


@pytest.mark.parametrize("task", KNOWN)
def test_scores_of_stored_predictions_are_those_that_one_counts_by_hand(tmp_path: Path, task: str) -> None:
    gold, predicted, scores = KNOWN[task]
    write(FolderPlace(tmp_path), tmp_path / "p.arrow", task, range(2), gold, predicted)
    found = score_again(FolderPlace(tmp_path), tmp_path / "p.arrow")
    assert list(found) == list(TASKS[task].metrics_names)
    assert found == pytest.approx(scores)


def test_the_file_is_plain_arrow_with_three_columns(tmp_path: Path) -> None:
    write(FolderPlace(tmp_path), tmp_path / "p.arrow", "xnli", [4, 7], ["neutral"] * 2, ["neutral", "entailment"])
    table = pyarrow.feather.read_table(str(tmp_path / "p.arrow"))
    assert table.column_names == ["example", "gold", "prediction"]
    assert table.to_pydict()["example"] == [4, 7]


def test_what_is_written_again_replaces_itself_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "folder" / "p.arrow"
    for predicted in ("neutral", "entailment"):
        write(FolderPlace(tmp_path), path, "xnli", [0], ["neutral"], [predicted])
    assert read(FolderPlace(tmp_path), path)[1]["prediction"] == ["entailment"]
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "p.arrow"
    write(FolderPlace(tmp_path), path, "xnli", [0], ["neutral"], ["neutral"])
    monkeypatch.setattr("trainers.artifacts.atomic.RESERVE_BYTES", shutil.disk_usage(tmp_path).total)
    with pytest.raises(OSError, match="the disk is full") as caught:
        write(FolderPlace(tmp_path), path, "xnli", [0], ["neutral"], ["entailment"])
    assert caught.value.errno == errno.ENOSPC
    assert read(FolderPlace(tmp_path), path)[1]["prediction"] == ["neutral"]
    assert list(tmp_path.iterdir()) == [path]
