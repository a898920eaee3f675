"""What an added dataset may have at most: of an example, a file, a split and a task."""

import json
import threading
import time
from operator import sub
from pathlib import Path
from typing import Any

import pytest

from trainers.data import folder, json_files
from trainers.data import format as format_of_files
from trainers.data.datasets import add_folder
from trainers.data.folder import FolderData
from trainers.data.format import MAX_CHARACTERS, characters
from trainers.examples import DataError


def write(root: Path, name: str, content: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def pair(characters: int) -> str:
    return json.dumps({"premise": "é" * characters, "hypothesis": "b", "label": "neutral"}, ensure_ascii=False) + "\n"


def document(context: str, questions: int = 1) -> str:
    asked = [{"id": "1", "question": "q", "answers": [{"text": "a", "answer_start": 0}]}] * questions
    return json.dumps({"data": [{"paragraphs": [{"context": context, "qas": asked}]}]})


WORD = "{id}\t{form}\t_\tX\t_\t_\t0\troot\t_\t_\n"
LONG = "a" * 60_000

# Each goes on after its bound with what would be refused in other words if it were read.
ENDLESS = {
    "jsonl": ("xnli/en/train.jsonl", pair(MAX_CHARACTERS), "line 1: 200,254 characters; allowed: 200,000"),
    "values": (
        "xnli/en/train.jsonl",
        pair(1).replace("}", ', "other": [' + "1," * (MAX_CHARACTERS - 1) + "1]}"),
        "line 1: 800,464 characters; allowed",
    ),
    "numbers": (
        "xnli/en/train.jsonl",
        pair(1).replace("}", ', "other": [' + f"{'9' * 4000}," * 60 + "1]}"),
        "line 1: 266,... characters; allowed",
    ),
    "empty": (
        "xnli/en/train.jsonl",
        pair(1).replace("}", ', "other": [' + '"",' * 60_000 + '""]}'),
        "line 1: 240,... characters; allowed",
    ),
    "keys": (
        "xnli/en/train.jsonl",
        "{" + ",".join(f'"{key}":1' for key in range(100_001)) + "}",
        "line 1: .*more keys than allowed of an object: 100,000",
    ),
    "comment": ("ner/en/train.conll", f"# {LONG * 4}\n", "line 1: more characters than allowed: 200,000"),
    "column": ("pos/en/train.conllu", f"1\ta{' a' * 100_000}\n", "line 1: more characters than allowed: 200,000"),
    "conll": ("ner/en/train.conll", f"{LONG} O\n" * 4 + "?\n", "line 4: the sentence has more characters"),
    "conllu": (
        "pos/en/train.conllu",
        "".join(WORD.format(id=place, form=LONG) for place in range(1, 5)) + "?\n",
        "line 4: the sentence has more characters",
    ),
    "tsv": (
        "xnli/en/train.tsv",
        "premise\thypothesis\tlabel\n" + "\t" * (MAX_CHARACTERS + 1),
        "line 2: more characters than allowed: 200,000",
    ),
    "csv": (
        "xnli/en/train.csv",
        "premise,hypothesis,label\n" + '"' + '\n","' * 250_000,
        "line [45][0-9]{4}: the row has more characters than allowed: 200,000",
    ),
    "squad": ("tydiqa/en/train.json", document("a" * MAX_CHARACTERS), "question 1: 200,887 characters; allowed"),
}


@pytest.mark.parametrize(("name", "content", "words"), ENDLESS.values(), ids=ENDLESS)
def test_an_example_has_an_end_in_every_format(tmp_path: Path, name: str, content: str, words: str) -> None:
    write(tmp_path, name, content)
    with pytest.raises(DataError, match=words) as caught:
        FolderData(tmp_path, name.partition("/")[0], tmp_path / "facts").facts("en", "train")
    assert str(caught.value).startswith(f"{name}, ")


def test_an_example_of_almost_as_much_is_taken_and_the_next_begins_anew(tmp_path: Path) -> None:
    most = MAX_CHARACTERS - 1_000
    contents = {
        "xnli/en/train.jsonl": pair(most) * 2,
        "xnli/en/dev.csv": "premise,hypothesis,label\n" + ("a" * 150_000 + ",b,neutral\n") * 20,
        "ner/en/train.conll": (f"{'a' * most} O\n\n") * 2,
        "pos/en/train.conllu": (WORD.format(id=1, form="a" * most) + "\n") * 2,
        "tydiqa/en/train.json": document("a" * most, questions=2),
    }
    for name, content in contents.items():
        write(tmp_path, name, content)
    for name in contents:
        task, _, file = name.split("/")
        data = FolderData(tmp_path, task, tmp_path / "facts")
        assert data.facts("en", "dev" if file == "dev.csv" else "train").examples == (20 if file == "dev.csv" else 2)


def test_a_passage_counts_with_each_of_its_questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "MAX_SPLIT_CHARACTERS", 100_000)
    write(tmp_path, "tydiqa/en/train.json", document("a" * 10_000, questions=20))
    with pytest.raises(DataError, match="question 10: the split has more than 100,000 characters"):
        FolderData(tmp_path, "tydiqa", tmp_path / "facts").facts("en", "train")


NO_EXAMPLES = {
    "ner/en/train.jsonl": "\n" * 11, "ner/en/train.conll": "# a\n" * 11, "pos/en/train.conllu": "# a\n" * 11,
    "xnli/en/train.tsv": "\n" * 11, "xnli/en/train.csv": "\n" * 11,
}  # fmt: skip


@pytest.mark.parametrize(("name", "content"), NO_EXAMPLES.items(), ids=NO_EXAMPLES)
def test_lines_are_bounded_also_where_no_example_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: str
) -> None:
    monkeypatch.setattr(format_of_files, "MAX_LINES", 10)
    write(tmp_path, name, content)
    with pytest.raises(DataError, match=r", line 11: more lines than allowed of a file: 10$"):
        FolderData(tmp_path, name.partition("/")[0], tmp_path / "facts").facts("en", "train")


def test_facts_that_were_found_before_more_was_checked_are_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "xnli/en/train.jsonl", pair(MAX_CHARACTERS))
    with monkeypatch.context() as before:
        before.setattr(folder, "CHECKS", folder.CHECKS - 1)
        before.setattr(folder, "MAX_CHARACTERS", 10**9)
        assert FolderData(tmp_path, "xnli", tmp_path / "facts").facts("en", "train").examples == 1
    with pytest.raises(DataError, match="characters; allowed"):
        FolderData(tmp_path, "xnli", tmp_path / "facts").facts("en", "train")


@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize(
    ("other", "words"),
    [
        ("[1\u0663]", "not a line of JSON"),
        ("2.\u0663", "not a line of JSON"),
        ("1e\u0663", "not a line of JSON"),
        ("[" * 101 + "]" * 101, "nested too deep; allowed: 100 "),
        ("[" * 400 + "]" * 400, "nested too deep; allowed: 100 "),
        ("[" * 2000 + "]" * 2000, "nested too deep; allowed: 100 "),
        ("[1,]", "not a line of JSON"),
        ('{"a": 1, "a": 2}', "the key 'a' stands twice"),
        ("-Infinity", "is no value of JSON"),
        ("1e999", "a number that is too large"),
        ("9" * 5000, "4300 digits"),
    ],
)
def test_long_lines_and_short_ones_are_the_same_json(tmp_path: Path, long: bool, other: str, words: str) -> None:
    for name, value in (("good", "[" * 98 + "13, 2.5, -1e3" + "]" * 98), ("bad", other)):
        line = pair(70_000 if long else 1).replace("}", f', "other": {value}}}')
        write(tmp_path / name, "xnli/en/train.jsonl", line)
    data = FolderData(tmp_path / "good", "xnli", tmp_path / "facts")
    assert data.facts("en", "train").examples == 1
    with pytest.raises(DataError, match=words):
        FolderData(tmp_path / "bad", "xnli", tmp_path / "facts").facts("en", "train")


def test_labels_are_bounded_over_all_splits_of_a_task(tmp_path: Path) -> None:
    for number, language in enumerate(("de", "en")):
        tags = [f"B-{label}" for label in range(number * 600, (number + 1) * 600)]
        write(tmp_path, f"data/ner/{language}/train.jsonl", json.dumps({"tokens": ["a"] * 600, "tags": tags}))
    with pytest.raises(DataError, match=r"^ner/en/train: more labels than allowed of a task: 1,000$"):
        add_folder(tmp_path / "home", "mine", tmp_path / "data")


@pytest.mark.parametrize(("value", "count"), [("ab", 6), (7, 5), (10**300, 336), ({"a": ["bc", None, {}]}, 615)])
def test_characters_are_those_of_all_texts_and_some_of_each_other_value(value: Any, count: int) -> None:
    assert characters(value) == count


def test_characters_are_counted_however_deep() -> None:
    value: Any = []
    for _ in range(100_000):
        value = [value]
    assert characters(value) == 100_001 * 200
    while value:  # or its end would be as deep
        value = value.pop()


def test_a_document_has_so_many_lists_and_objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_files, "MAX_CONTAINERS", 30_000)
    write(tmp_path, "tydiqa/en/train.json", '{"a": [' + "[],{}," * 15_000 + "?")
    with pytest.raises(DataError, match=r"the file: .*more lists and objects than allowed: 30,000"):
        FolderData(tmp_path, "tydiqa", tmp_path / "facts").facts("en", "train")


def test_other_threads_run_while_much_is_read(tmp_path: Path) -> None:
    write(tmp_path, "tydiqa/en/train.json", '{"data": [], "other": [' + "1, " * 1_000_000 + "1]}")
    turns, done = [time.perf_counter()], threading.Event()

    def take_turns() -> None:
        while not done.wait(0.001):
            turns.append(time.perf_counter())

    other = threading.Thread(target=take_turns)
    other.start()
    with pytest.raises(DataError, match="is empty"):
        FolderData(tmp_path, "tydiqa", tmp_path / "facts").facts("en", "train")
    turns.append(time.perf_counter())
    done.set()
    other.join()
    assert max(map(sub, turns[1:], turns)) < (turns[-1] - turns[0]) / 2  # in one step of C it is nearly all of it
