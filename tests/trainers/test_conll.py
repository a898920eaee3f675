"""Two-column CoNLL files: the same examples as JSON Lines, whatever blanks, comments and line ends."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainers.data import sample
from trainers.data.sources import open_data
from trainers.examples import Data, DataError
from trainers.tasks import TASKS
from trainers.tasks.task import is_blank
from trainers.trial import SPLITS, DataReference

# Of any characters but those that end a line or a column: "#", no-break spaces and emoji are among them.
TOKENS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0\t\r\n\ufeff"), min_size=1, max_size=6
).filter(lambda token: token == token.strip(" ") and token.partition(" ")[0] != "-DOCSTART-")  # fmt: skip
SENTENCES = st.lists(
    st.lists(st.tuples(TOKENS, st.sampled_from(["O", "B-PER", "I-PER", "B-x.y"])), min_size=1, max_size=4),
    min_size=1, max_size=4,
).filter(lambda sentences: not any(all(is_blank(token) for token, _ in one) for one in sentences))  # fmt: skip


def conll(examples: list[dict[str, Any]], separator: str = "\t") -> str:
    sentences = [zip(one["tokens"], one["tags"], strict=True) for one in examples]
    return "".join("".join(f"{token}{separator}{tag}\n" for token, tag in one) + "\n" for one in sentences)


def written(root: Path, content: str | bytes, name: str = "ner/xx/train.conll") -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def opened(root: Path, source: str = "folder", task: str = "ner") -> Data:
    return open_data(DataReference(source, root), task, root / "home")


def read(root: Path, content: str | bytes) -> list[dict[str, Any]]:
    written(root, content)
    return opened(root).examples("xx", "train")


@pytest.mark.parametrize("extension", [".conll", ".tsv"])
@pytest.mark.parametrize("separator", ["\t", " ", "   "])
@pytest.mark.parametrize("task", ["ner", "pos"])
def test_facts_and_examples_are_those_of_json_lines_with_the_same_content(
    tmp_path: Path, task: str, separator: str, extension: str
) -> None:
    for split in SPLITS:
        examples = sample.examples(task, "hi", split)
        written(tmp_path / "conll", conll(examples, separator), f"{task}/hi/{split}{extension}")
        written(tmp_path / "json", "".join(json.dumps(one) + "\n" for one in examples), f"{task}/hi/{split}.jsonl")
    ours, theirs = opened(tmp_path / "conll", task=task), opened(tmp_path / "json", task=task)
    assert ours.languages() == theirs.languages() == ("hi",)
    for split in SPLITS:
        assert ours.examples("hi", split) == theirs.examples("hi", split)
        assert ours.facts("hi", split) == theirs.facts("hi", split)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(SENTENCES, st.sampled_from(["\n", "\r\n"]), st.booleans(), st.integers(1, 3))
def test_tokens_come_back_as_they_were_written(
    tmp_path: Path, sentences: list[list[tuple[str, str]]], end: str, mark: bool, blank: int
) -> None:
    lines = ["".join(f"{token}\t{tag}{end}" for token, tag in one) for one in sentences]
    found = read(tmp_path, b"\xef\xbb\xbf" * mark + (end * blank).join(lines).encode())
    assert [list(zip(one["tokens"], one["tags"], strict=True)) for one in found] == sentences


def test_comments_and_starts_of_documents_are_skipped_but_not_the_token_of_a_comment(tmp_path: Path) -> None:
    found = read(tmp_path, (
        "-DOCSTART- -X- O O\n\n"
        "# id: 1f\tdomain=news\n# text = Anna # O\n#\nAnna B-PER\n# O\n-DOCSTART-\n"
        "# O\n#1 O\n\n"
        "# newdoc\n"
    ))  # fmt: skip
    assert found == [
        {"tokens": ["Anna", "#"], "tags": ["B-PER", "O"]},
        {"tokens": ["#", "#1"], "tags": ["O", "O"]},
    ]


GOOD = "# id: 1\nAnna B-PER\nsings O\n\n"

BAD = {
    "one column": (b"Anna\n", "not two columns; allowed: a token and its tag"),
    "three columns": (b"Anna B-PER O\n", "not two columns"),
    "three columns by tabs": (b"Anna\tB-PER\tO\n", "not two columns"),
    "no token": (b"\tO\n", "not two columns"),
    "an empty column": (b"Anna\t\tO\n", "not two columns"),
    "a wrong tag": (b"Anna PERSON\n", "'PERSON' is not an IOB2 tag (O, B-<type> or I-<type>)"),
    "a comment without a blank": (b"#id: 1\n", "'1' is not an IOB2 tag"),
    "not UTF-8": ("Malmö B-LOC\n".encode("latin-1"), "not UTF-8"),
    "a mark within": (b"\xef\xbb\xbf# id\n", "is not an IOB2 tag"),
    "endless": (b"a" * (2**22 + 1), "longer than 4 MiB"),
}  # fmt: skip


@pytest.mark.parametrize(("line", "words"), BAD.values(), ids=BAD)
def test_a_malformed_line_is_named_by_its_file_and_number(tmp_path: Path, line: bytes, words: str) -> None:
    written(tmp_path, GOOD.encode() + line)
    with pytest.raises(DataError) as caught:
        opened(tmp_path).facts("xx", "train")
    assert str(caught.value).startswith("ner/xx/train.conll, line 5: ")
    assert words in str(caught.value)


def test_a_comment_within_a_sentence_is_not_skipped(tmp_path: Path) -> None:
    written(tmp_path, "Anna B-PER\n# id: 2\nsings O\n")
    with pytest.raises(DataError) as caught:
        opened(tmp_path).facts("xx", "train")
    assert str(caught.value).startswith("ner/xx/train.conll, line 2: ")


@pytest.mark.parametrize("content", ["", "\n \n", "# id: 1\n", "-DOCSTART- O\n"])
def test_a_file_without_a_sentence_is_empty(tmp_path: Path, content: str) -> None:
    written(tmp_path, content)
    with pytest.raises(DataError, match="is empty") as caught:
        opened(tmp_path).examples("xx", "train")
    assert str(caught.value).startswith("ner/xx/train.conll is empty")


def test_a_sentence_without_an_end_is_refused_before_it_is_read(tmp_path: Path) -> None:
    written(tmp_path, "a O\n" * 10_000)
    assert len(opened(tmp_path).examples("xx", "train")[0]["tokens"]) == 10_000
    written(tmp_path, "a O\n" * 10_001 + "\0\n")  # what comes after it is not read
    with pytest.raises(DataError, match=r"train\.conll, line 10001: the sentence goes on after 10,000 words"):
        opened(tmp_path).examples("xx", "train")


@pytest.mark.parametrize("tag", ["B-" + "x" * 199, "B-\x07", "I-a\u200e"])
def test_a_tag_is_short_and_can_be_printed(tmp_path: Path, tag: str) -> None:
    written(tmp_path, f"Anna {tag}\n")
    with pytest.raises(DataError, match=r"line 1: the tag .*; allowed: up to 200 characters that can be printed"):
        opened(tmp_path).examples("xx", "train")


def test_an_example_s_place_is_the_line_of_its_first_token(tmp_path: Path) -> None:
    written(tmp_path, "\n# id: 1\n\nAnna B-PER\nsings O\n\n\nAlone O\n")
    for example, line in enumerate((4, 8)):
        assert opened(tmp_path).place("xx", "train", example) == f"ner/xx/train.conll, line {line}"
    assert opened(tmp_path).examples("xx", "train")[1]["tokens"] == ["Alone"]


def test_the_source_of_conll_files_alone_reads_no_others(tmp_path: Path) -> None:
    written(tmp_path, "Anna\tB-PER\n", "ner/xx/test.tsv")
    written(tmp_path, '{"tokens": ["Bo"], "tags": ["O"]}', "ner/xx/test.jsonl")
    assert opened(tmp_path, "conll").examples("xx", "test")[0]["tokens"] == ["Anna"]
    with pytest.raises(DataError, match=r"^ner/xx/test\.jsonl and ner/xx/test\.tsv are files of one split"):
        opened(tmp_path).examples("xx", "test")


def test_only_tasks_that_tag_words_have_such_files(tmp_path: Path) -> None:
    for task in TASKS:
        written(tmp_path, "Anna X\n", f"{task}/xx/test.conll")
        assert opened(tmp_path, task=task).languages() == (("xx",) if task in {"ner", "pos"} else ())
