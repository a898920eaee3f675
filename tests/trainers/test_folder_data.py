"""Examples in a folder: good ones are read, bad ones named by file and line, facts remembered."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from trainers.artifacts.layout import fetched_data
from trainers.data import sample
from trainers.data.folder import FolderData
from trainers.data.sources import open_data
from trainers.digests import digest, digest_of_all
from trainers.examples import DataError
from trainers.tasks import TASKS
from trainers.trial import DataReference

GOOD = [
    {"tokens": ["Anna", "lives", "in", "Malmö"], "tags": ["B-PER", "O", "O", "B-LOC"]},
    {"tokens": ["हाँ"], "tags": ["O"]},
    {"tokens": ["New", "York"], "tags": ["B-LOC", "I-LOC"], "id": 7},
]


def lines(examples: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in examples).encode()


class Folder:
    """A folder of a task's data with one language, `xx`."""

    def __init__(self, root: Path, task: str = "ner") -> None:
        self.root, self.task = root, task
        self.cache = root / "cache"
        self.data = FolderData(root, task, self.cache)

    def path(self, split: str = "train", language: str = "xx") -> Path:
        return self.root / self.task / language / f"{split}.jsonl"

    def write(self, content: bytes, split: str = "train", language: str = "xx") -> Path:
        path = self.path(split, language)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_good_examples_are_read_in_the_order_of_the_file(folder: Folder) -> None:
    folder.write(lines(GOOD))
    assert folder.data.examples("xx", "train") == GOOD
    facts = folder.data.facts("xx", "train")
    assert facts.examples == 3
    assert facts.labels == ("B-LOC", "B-PER", "I-LOC", "O")


def test_blank_lines_and_other_line_ends_are_no_examples(folder: Folder) -> None:
    content = lines(GOOD)
    folder.write(b"\n  \n" + content.replace(b"\n", b"\r\n\r\n").rstrip())
    assert folder.data.examples("xx", "train") == GOOD


def test_a_language_is_a_folder_with_a_test_split(folder: Folder) -> None:
    assert folder.data.languages() == ()
    for language in ("sw", "de", "hi"):
        folder.write(lines(GOOD), "test", language)
    folder.write(lines(GOOD), "train", "fi")
    (folder.root / "ner" / "README.md").write_text("about")
    assert folder.data.languages() == ("de", "hi", "sw")


ONE = b'{"tokens": ["a"], "tags": ["O"]}\n'

BAD: dict[str, bytes] = {
    "no JSON": b"tokens tags\n",
    "half a line": b'{"tokens": ["a"], "ta',
    "two on a line": b'{"tokens": ["a"], "tags": ["O"]} {}\n',
    "a list": b'["a", "O"]\n',
    "a number": b"7\n",
    "null": b"null\n",
    "not UTF-8": '{"tokens": ["Malmö"], "tags": ["O"]}\n'.encode("latin-1"),
    "UTF-16": '{"tokens": ["a"], "tags": ["O"]}'.encode("utf-16"),
    "no tags": b'{"tokens": ["a"]}\n',
    "tags of numbers": b'{"tokens": ["a"], "tags": [3]}\n',
    "wrong tag": b'{"tokens": ["a"], "tags": ["PERSON"]}\n',
    "unequal lengths": b'{"tokens": ["a", "b"], "tags": ["O"]}\n',
    "no tokens": b'{"tokens": [], "tags": []}\n',
    "nested beyond reason": b"[" * 200_000 + b"\n",
    "a number beyond reason": b'{"tokens": ["a"], "tags": ["O"], "id": ' + b"9" * 5000 + b"}\n",
    "not a number": b'{"tokens": ["a"], "tags": ["O"], "id": NaN}\n',
    "half a character": b'{"tokens": ["\\ud800"], "tags": ["O"]}\n',
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize("ask", ["examples", "facts"])
def test_a_malformed_line_is_named_by_its_file_and_number(folder: Folder, bad: bytes, ask: str) -> None:
    folder.write(ONE + b"\n" + ONE + bad)
    with pytest.raises(DataError) as caught:
        getattr(folder.data, ask)("xx", "train")
    assert str(caught.value).startswith("ner/xx/train.jsonl, line 4: ")
    assert not folder.cache.is_dir()


@pytest.mark.parametrize("content", [b"", b"\n\n  \n"])
@pytest.mark.parametrize("ask", ["examples", "facts"])
def test_an_empty_file_is_named(folder: Folder, content: bytes, ask: str) -> None:
    folder.write(content)
    with pytest.raises(DataError, match=r"^ner/xx/train\.jsonl is empty"):
        getattr(folder.data, ask)("xx", "train")


@pytest.mark.parametrize("language", ["xx", "yy"])
@pytest.mark.parametrize("ask", ["examples", "facts"])
def test_a_missing_file_is_named(folder: Folder, language: str, ask: str) -> None:
    folder.write(lines(GOOD), "test")
    words = rf"^ner/{language}/train\.jsonl does not exist, nor train\.conll, train\.tsv$"
    with pytest.raises(DataError, match=words):
        getattr(folder.data, ask)(language, "train")


def test_a_wrong_tag_is_told_what_would_be_right(folder: Folder) -> None:
    folder.write(BAD["wrong tag"])
    with pytest.raises(DataError, match=r"line 1: 'PERSON' is not an IOB2 tag \(O, B-<type> or I-<type>\)"):
        folder.data.facts("xx", "train")


def test_labels_are_as_many_as_a_model_tells_apart(folder: Folder) -> None:
    folder.write(lines([{"tokens": ["a"], "tags": [f"B-{one}"]} for one in range(1000)]))
    assert len(folder.data.facts("xx", "train").labels) == 1000
    folder.write(lines([{"tokens": ["a"], "tags": [f"B-{one}"]} for one in range(1001)]))
    with pytest.raises(DataError, match=r"^ner/xx/train\.jsonl has 1,001 different labels; allowed: 1,000"):
        folder.data.facts("xx", "train")


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_an_example_s_place_is_its_file_and_line_blank_lines_counted(folder: Folder, line_end: str) -> None:
    written = ["", json.dumps(GOOD[0]), "", "  ", json.dumps(GOOD[1]), json.dumps(GOOD[2])]
    path = folder.write(line_end.join(written).encode())
    for example, line in enumerate((2, 5, 6)):
        assert folder.data.place("xx", "train", example) == f"ner/xx/train.jsonl, line {line}"
        assert json.loads(path.read_text().splitlines()[line - 1]) == folder.data.examples("xx", "train")[example]


# Two splits


QUESTION = {
    "id": "1", "context": "Anna lives in Malmö.", "question": "Where does Anna live?",
    "answers": {"text": ["Malmö"], "answer_start": [14]},
}  # fmt: skip


def questions(split: str, number: int = 3) -> list[dict[str, Any]]:
    return [{**QUESTION, "id": f"{split} {place}"} for place in range(number)]


@pytest.fixture
def two_splits(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path, "tydiqa")
    folder.write(lines(questions("train", 5)))
    folder.write(b"\n" + lines(questions("dev")), "dev")
    return folder


def test_without_a_third_split_the_dev_set_of_tydiqa_is_its_test_set(two_splits: Folder) -> None:
    data = two_splits.data
    assert data.languages() == ("xx",)
    assert data.examples("xx", "train") == questions("train", 5)
    assert data.examples("xx", "test") == questions("dev")
    assert data.facts("xx", "test").examples == 3
    assert data.place("xx", "test", 0) == "tydiqa/xx/dev.jsonl, line 2"


def test_without_a_third_split_the_dev_set_of_tydiqa_lies_within_its_training_split(two_splits: Folder) -> None:
    facts = {split: two_splits.data.facts("xx", split) for split in ("train", "dev", "test")}  # type: ignore[arg-type]
    assert {split: known.within_train for split, known in facts.items()} == {"train": False, "dev": True, "test": False}
    assert facts["dev"].digest == facts["train"].digest
    assert two_splits.data.examples("xx", "dev") == questions("train", 5)


def test_a_third_split_of_tydiqa_counts_as_soon_as_it_is_there(two_splits: Folder) -> None:
    two_splits.data.facts("xx", "dev")
    two_splits.write(lines(questions("test", 2)), "test")
    assert two_splits.data.examples("xx", "dev") == questions("dev")
    assert two_splits.data.examples("xx", "test") == questions("test", 2)
    assert not two_splits.data.facts("xx", "dev").within_train


def test_each_language_of_tydiqa_has_two_splits_or_three(two_splits: Folder) -> None:
    for split in ("train", "dev", "test"):
        two_splits.write(lines(questions(split)), split, "yy")
    assert two_splits.data.languages() == ("xx", "yy")
    assert two_splits.data.examples("yy", "dev") == questions("dev")
    assert not two_splits.data.facts("yy", "dev").within_train
    assert two_splits.data.facts("xx", "dev").within_train


@pytest.mark.parametrize("task", [name for name, task in TASKS.items() if not task.two_splits])
def test_no_other_task_can_do_without_a_test_split(tmp_path: Path, task: str) -> None:
    folder = Folder(tmp_path, task)
    for split in ("train", "dev"):
        folder.write(lines(sample.examples(task, "de", split)[:3]), split)
    assert folder.data.languages() == ()
    with pytest.raises(DataError, match=r"test\.jsonl does not exist"):
        folder.data.facts("xx", "test")
    assert not folder.data.facts("xx", "dev").within_train


# Facts


def test_facts_count_the_examples_of_each_class_that_shots_are_drawn_of(tmp_path: Path) -> None:
    pairs = Folder(tmp_path, "xnli")
    labels = ["neutral", "entailment", "neutral"]
    pairs.write(lines([{"premise": "a", "hypothesis": "b", "label": label} for label in labels]))
    assert pairs.data.facts("xx", "train").strata == {"neutral": 2, "entailment": 1}
    assert FolderData(tmp_path, "xnli", pairs.cache).facts("xx", "train") == pairs.data.facts("xx", "train")
    sentences = Folder(tmp_path)
    sentences.write(lines(GOOD))
    assert sentences.data.facts("xx", "train").strata == {"": 3}


def test_facts_of_an_unchanged_file_are_known_without_reading_it(folder: Folder) -> None:
    path = folder.write(lines(GOOD))
    facts = folder.data.facts("xx", "train")
    status = path.stat()
    path.write_bytes(b"#" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(DataError):
        folder.data.examples("xx", "train")
    assert folder.data.facts("xx", "train") == facts
    assert FolderData(folder.root, "ner", folder.cache).facts("xx", "train") == facts


def test_facts_of_a_changed_file_are_learnt_anew(folder: Folder) -> None:
    path = folder.write(lines(GOOD))
    before = folder.data.facts("xx", "train")
    path.write_bytes(lines(GOOD[:2]))
    after = folder.data.facts("xx", "train")
    assert after.examples == 2
    assert after.labels == ("B-LOC", "B-PER", "O")
    assert after.digest != before.digest
    same_size = path.read_bytes().replace(b"Anna", b"Ania")
    old = path.stat()
    path.write_bytes(same_size)
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns + 1))
    assert folder.data.facts("xx", "train").digest != after.digest


def test_facts_of_a_deleted_file_are_forgotten(folder: Folder) -> None:
    path = folder.write(lines(GOOD))
    folder.data.facts("xx", "train")
    path.unlink()
    with pytest.raises(DataError, match="does not exist"):
        folder.data.facts("xx", "train")


def test_lost_memories_are_learnt_again(folder: Folder) -> None:
    folder.write(lines(GOOD))
    facts = folder.data.facts("xx", "train")
    for path in folder.cache.iterdir():
        path.unlink()
    assert folder.data.facts("xx", "train") == facts


def test_the_digest_is_of_the_content_and_of_nothing_else(folder: Folder, tmp_path: Path) -> None:
    folder.write(lines(GOOD))
    elsewhere = Folder(tmp_path / "elsewhere")
    reordered = [dict(reversed(one.items())) for one in GOOD]
    elsewhere.write(
        b"\n" + json.dumps(reordered[0], indent=None, separators=(" ,  ", ":")).encode() + b"\n", "dev", "yy"
    )
    with elsewhere.path("dev", "yy").open("ab") as file:
        file.write(lines(reordered[1:]))
    assert elsewhere.data.facts("yy", "dev") == folder.data.facts("xx", "train")


@pytest.mark.parametrize("values", [[], [1], [{"b": "é", "a": [1.5, None]}, "x", {}]])
def test_the_digest_of_many_values_is_that_of_their_list(values: list[Any]) -> None:
    assert digest_of_all(iter(values)) == digest(values)


def test_the_digest_tells_other_content_apart(folder: Folder) -> None:
    contents = [
        GOOD,
        GOOD[:2],
        GOOD[::-1],
        [*GOOD, GOOD[0]],
        [{**GOOD[0], "tags": ["B-PER", "O", "O", "O"]}, *GOOD[1:]],
        [{**GOOD[0], "tokens": ["Anna", "lives", "in", "Lund"]}, *GOOD[1:]],
    ]
    digests = set()
    for place, content in enumerate(contents):
        folder.write(lines(content), language=f"x{place}")
        digests.add(folder.data.facts(f"x{place}", "train").digest)
    assert len(digests) == len(contents)


def test_a_reference_to_a_folder_and_a_reference_to_fetched_data_open_the_same_layout(tmp_path: Path) -> None:
    fetched = Folder(fetched_data(tmp_path, "xtreme-r"))
    fetched.write(lines(GOOD), "test")
    by_path = open_data(DataReference("folder", fetched.root), "ner", tmp_path)
    by_name = open_data(DataReference("xtreme-r"), "ner", tmp_path)
    assert by_path.languages() == by_name.languages() == ("xx",)
    assert by_path.examples("xx", "test") == by_name.examples("xx", "test") == GOOD
    assert by_path.facts("xx", "test") == by_name.facts("xx", "test")


def test_the_sample_answers_through_the_same_door(tmp_path: Path) -> None:
    data = open_data(DataReference("sample"), "ner", tmp_path)
    assert data.languages() == tuple(sorted(data.languages()))
    facts = data.facts("de", "train")
    examples = data.examples("de", "train")
    assert facts.examples == len(examples)
    assert set(facts.labels) == {tag for one in examples for tag in one["tags"]}
    with pytest.raises(DataError, match="no language 'xx'"):
        data.facts("xx", "train")
    with pytest.raises(ValueError, match="xx"):
        data.examples("xx", "train")


def test_all_languages_beside_the_project_are_good(shared: Path, tmp_path: Path) -> None:
    data = FolderData(shared / "data", "ner", tmp_path)
    languages = data.languages()
    assert len(languages) >= 30
    assert "en" in languages
    labels = set(TASKS["ner"].label_set(data.facts("en", "train").labels))
    digests = set()
    for language in languages:
        for split in ("train", "dev", "test"):
            facts = data.facts(language, split)  # type: ignore[arg-type]
            assert facts.examples > 0
            assert set(facts.labels) <= labels
            digests.add(facts.digest)
    assert len(digests) == 3 * len(languages)


@pytest.mark.parametrize("forbidden", ["ner", "ner/xx"])
def test_a_folder_that_may_not_be_read_is_named(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, forbidden: str
) -> None:
    folder.write(lines(GOOD), "test")
    stat = Path.stat

    def refusing(self: Path, **options: Any) -> os.stat_result:  # as for whoever may not enter a folder
        if self.parent == folder.root / forbidden:
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return stat(self, **options)

    monkeypatch.setattr(Path, "stat", refusing)
    with pytest.raises(DataError, match=rf"^{forbidden} cannot be read \(Permission denied\)$"):
        folder.data.splits()
