"""Files of every format: the same examples have the same digest; what is malformed is named by file and place."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainers.data import sample
from trainers.data.formats import FORMATS, by_extension
from trainers.data.sources import open_data
from trainers.examples import Data, DataError, Example
from trainers.tasks import TASKS
from trainers.trial import SPLITS, DataReference

WORD = "{id}\t{form}\t_\t{upos}\t_\t_\t0\troot\t_\t_"


def jsonl(examples: list[Example]) -> str:
    return "".join(json.dumps(one) + "\n" for one in examples)


def two_columns(examples: list[Example]) -> str:
    return "\n".join(
        "".join(f"{token}\t{tag}\n" for token, tag in zip(one["tokens"], one["tags"], strict=True)) for one in examples
    )


def conllu(examples: list[Example]) -> str:
    sentences = (enumerate(zip(one["tokens"], one["tags"], strict=True), start=1) for one in examples)
    return "".join(
        "".join(WORD.format(id=place, form=form, upos=upos) + "\n" for place, (form, upos) in words) + "\n"
        for words in sentences
    )


def squad(examples: list[Example]) -> str:
    """As SQuAD's: the questions of a passage stand together."""
    paragraphs = []
    for one in examples:
        answers = [{"text": text, "answer_start": start} for text, start in zip(*one["answers"].values(), strict=True)]
        asked = {"id": one["id"], "question": one["question"], "answers": answers}
        if paragraphs and paragraphs[-1]["context"] == one["context"]:
            paragraphs[-1]["qas"].append(asked)
        else:
            paragraphs.append({"context": one["context"], "qas": [asked]})
    return json.dumps({"version": "1.1", "data": [{"title": "", "paragraphs": [one]} for one in paragraphs]})


def tsv(examples: list[Example]) -> str:
    rows = [list(examples[0]), *(one.values() for one in examples)]
    return "".join("\t".join(row) + "\n" for row in rows)


def csv_(examples: list[Example]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(examples[0]))
    writer.writeheader()
    writer.writerows(examples)
    return out.getvalue()


WRITERS: dict[str, Callable[[list[Example]], str]] = {
    ".jsonl": jsonl, ".conllu": conllu, ".conll": two_columns, ".json": squad, ".csv": csv_,
}  # fmt: skip


def written(extension: str, task: str, examples: list[Example]) -> str:
    if extension == ".tsv":
        return tsv(examples) if task in {"xnli", "pawsx"} else two_columns(examples)
    return WRITERS[extension](examples)


def write(root: Path, name: str, content: str | bytes) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def opened(root: Path, task: str) -> Data:
    return open_data(DataReference("folder", root), task, root / "home")


OF_EACH_TASK = [(task, extension) for task in TASKS for extension in by_extension(TASKS[task])]


def test_no_two_formats_of_a_task_have_the_same_extension() -> None:
    for task in TASKS.values():
        mine = [extension for one in FORMATS if one.suits(task) for extension in one.extensions]
        assert len(set(mine)) == len(mine)
    assert len({one.facts_form for one in FORMATS}) == len(FORMATS)


def test_which_formats_each_task_has() -> None:
    assert {task: " ".join(by_extension(TASKS[task])) for task in TASKS} == {
        "ner": ".jsonl .conll .tsv", "pos": ".jsonl .conllu .conll .tsv", "tydiqa": ".jsonl .json",
        "xnli": ".jsonl .tsv .csv", "pawsx": ".jsonl .tsv .csv",
    }  # fmt: skip


@pytest.mark.parametrize(("task", "extension"), OF_EACH_TASK)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["", "byte order mark"])
def test_the_same_examples_have_the_same_facts_in_every_format(
    tmp_path: Path, task: str, extension: str, mark: bytes
) -> None:
    for language in ("de", "hi"):
        for split in SPLITS:
            examples = sample.examples(task, language, split)
            content = mark + written(extension, task, examples).encode()
            write(tmp_path, f"{task}/{language}/{split}{extension}", content)
    data, theirs = opened(tmp_path, task), open_data(DataReference("sample"), task, tmp_path)
    assert data.languages() == ("de", "hi")
    for language in data.languages():
        for split in SPLITS:
            assert data.examples(language, split) == theirs.examples(language, split)
            assert data.facts(language, split) == theirs.facts(language, split)


@pytest.mark.parametrize(("task", "extension"), OF_EACH_TASK)
def test_the_shared_examples_have_the_same_digests_in_every_format(
    shared: Path, tmp_path: Path, task: str, extension: str
) -> None:
    if task == "pawsx":
        pytest.skip("the samples of XTREME-R have no pawsx")
    for language in ("ar", "ru"):
        for split in SPLITS:
            lines = (shared / "data" / task / language / f"{split}.jsonl").read_text().splitlines()
            examples = [json.loads(line) for line in lines]
            write(tmp_path, f"{task}/{language}/{split}{extension}", written(extension, task, examples))
    data, theirs = opened(tmp_path, task), opened(shared / "data", task)
    for language in ("ar", "ru"):
        for split in SPLITS:
            assert data.facts(language, split) == theirs.facts(language, split)


def test_blanks_and_quotes_in_texts_stay_as_they_are(tmp_path: Path) -> None:
    pair = {"premise": ' "No, " he said', "hypothesis": "''5'' 3,5\" ", "label": "neutral"}
    for extension in (".tsv", ".csv"):
        write(tmp_path, f"xnli/xx/test{extension}", written(extension, "xnli", [pair]))
        assert opened(tmp_path, "xnli").examples("xx", "test") == [pair]
        (tmp_path / f"xnli/xx/test{extension}").unlink()


def test_a_cell_of_csv_may_have_line_breaks_and_the_place_is_the_row_s_first_line(tmp_path: Path) -> None:
    rows = 'label,premise,hypothesis\nneutral,"a\nb",c\n\nneutral,d,e\n'
    write(tmp_path, "xnli/xx/test.csv", rows)
    data = opened(tmp_path, "xnli")
    assert [one["premise"] for one in data.examples("xx", "test")] == ["a\nb", "d"]
    assert [data.place("xx", "test", place) for place in (0, 1)] == [f"xnli/xx/test.csv, line {n}" for n in (2, 5)]


def test_a_document_s_places_are_its_questions(tmp_path: Path) -> None:
    examples = sample.examples("tydiqa", "de", "test")[:3]
    write(tmp_path, "tydiqa/de/test.json", squad(examples))
    data = opened(tmp_path, "tydiqa")
    assert data.place("de", "test", 2) == "tydiqa/de/test.json, question 3"
    examples[1]["answers"]["answer_start"] = [99999]
    write(tmp_path, "tydiqa/de/test.json", squad(examples))
    with pytest.raises(DataError, match=r"^tydiqa/de/test\.json, question 2: at offset 99999 "):
        data.examples("de", "test")


@pytest.mark.parametrize(("task", "extension"), OF_EACH_TASK)
def test_two_files_for_one_split_are_refused_and_both_are_named(tmp_path: Path, task: str, extension: str) -> None:
    others = [other for other in by_extension(TASKS[task]) if other != extension]
    examples = sample.examples(task, "de", "train")[:2]
    for one in (extension, *others):
        write(tmp_path, f"{task}/de/train{one}", written(one, task, examples))
    for ask in ("facts", "examples"):
        with pytest.raises(DataError, match="are files of one split; allowed: one of them") as caught:
            getattr(opened(tmp_path, task), ask)("de", "train")
        assert all(f"{task}/de/train{one}" in str(caught.value) for one in (extension, *others))


PAIRS = "premise\thypothesis\tlabel\n"

BAD: dict[str, tuple[str, str | bytes, str]] = {
    "key twice": ("ner/xx/test.jsonl", '{"tokens": ["a"], "tags": ["O"], "tags": ["O"]}', "line 1: .*the key 'tags'"),
    "key twice within": (
        "tydiqa/xx/test.json", '{"data": [{"paragraphs": [], "paragraphs": []}]}', "the file: .*the key 'paragraphs'",
    ),
    "empty token": ("ner/xx/test.jsonl", '{"tokens": [""], "tags": ["O"]}', "line 1: all tokens are empty or white"),
    "ideographic blank": ("pos/xx/test.jsonl", '{"tokens": ["\u3000"], "tags": ["X"]}', "line 1: all tokens are empty"),
    "joiner alone": ("pos/xx/test.conll", "a X\n\n\u200d X\n", "line 3: all tokens are empty or white space"),
    "empty pair": ("xnli/xx/test.tsv", f"{PAIRS}\u3000\t\tneutral\n", "line 2: 'premise' and 'hypothesis' are both em"),
    "empty question": (
        "tydiqa/xx/test.jsonl",
        json.dumps({"id": "1", "context": "a", "question": "\u200b", "answers": {"text": ["a"], "answer_start": [0]}}),
        "line 1: 'question' is empty",
    ),
    "UTF-16": ("pos/xx/test.conllu", "1\ta".encode("utf-16"), "line 1: not UTF-8 .*; allowed: UTF-8"),
    "UTF-16 without a mark": ("ner/xx/test.tsv", "a\tO".encode("utf-16-le"), "line 1: a NUL character, as in UTF-16"),
    "Latin-1": ("xnli/xx/test.csv", "premise,hypothesis,label\né,b,neutral".encode("latin-1"), "line 2: not UTF-8"),
    "Latin-1 document": ("tydiqa/xx/test.json", '{"data":\n"é"}'.encode("latin-1"), "line 2: not UTF-8"),
    "mark twice": ("ner/xx/test.jsonl", b"\xef\xbb\xbf\xef\xbb\xbf{}", "line 1: not a line of JSON"),
    "a wrong tag": ("pos/xx/test.conllu", WORD.format(id=1, form="a", upos="NN"), "line 1: 'NN' is not a universal"),
    "two columns": ("pos/xx/test.conllu", "a\tNOUN\n", "line 1: 2 columns; allowed: the 10 of CoNLL-U"),
    "no header": ("xnli/xx/test.tsv", "a\tb\tneutral\n", "line 1: the header has no column 'premise'; allowed: "),
    "a column twice": ("xnli/xx/test.tsv", "premise\tpremise\n", "line 1: the header has the column 'premise' twice"),
    "a long row": ("xnli/xx/test.tsv", f"{PAIRS}a\tb\tneutral\tc\n", "line 2: 4 columns; allowed: 3, as in the header"),
    "an open quote": ("xnli/xx/test.csv", 'premise,hypothesis,label\n"a,b,neutral\n', "line 2: not CSV"),
    "a wrong label": ("xnli/xx/test.tsv", f"{PAIRS}a\tb\tcontradictory\n", "line 2: 'contradictory' is not a label"),
    "not JSON": ("tydiqa/xx/test.json", '{"data":\n oops}', "line 2: not JSON"),
    "NaN": ("tydiqa/xx/test.json", '{"data": NaN}', "the file: not JSON"),
    "infinite": (
        "tydiqa/xx/test.json",
        '{"data": [{"paragraphs": [{"context": 1e999, "qas": [{"answers": []}]}]}]}',
        "question 1: not JSON",
    ),
    "half a character": (
        "tydiqa/xx/test.json",
        '{"data": [{"paragraphs": [{"context": "\\ud800", "qas": [{"answers": []}]}]}]}',
        "question 1: not JSON",
    ),
    "a list": ("tydiqa/xx/test.json", "[]", "after question 0: no list 'data'; allowed: SQuAD's"),
    "no answers": (
        "tydiqa/xx/test.json",
        '{"data": [{"paragraphs": [{"context": "a", "qas": [{"id": "1", "question": "b"}]}]}]}',
        "after question 0: no list 'answers'",
    ),
    "unanswerable": (
        "tydiqa/xx/test.json",
        '{"data": [{"paragraphs": [{"context": "a", "qas": [{"id": "1", "question": "b", "answers": []}]}]}]}',
        "question 1: 'answers' of '1' is not",
    ),
    "answers of text": (
        "tydiqa/xx/test.json",
        '{"data": [{"paragraphs": [{"context": "a", "qas": [{"id": "1", "question": "b", "answers": ["a"]}]}]}]}',
        "question 1: 'answers' of '1' is not",
    ),
    "nothing": ("pos/xx/test.conllu", "# newdoc\n\n", "is empty"),
    "a header alone": ("xnli/xx/test.tsv", PAIRS, "is empty"),
    "no question": ("tydiqa/xx/test.json", '{"data": []}', "is empty"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "content", "words"), BAD.values(), ids=BAD)
def test_what_is_malformed_is_named_by_its_file_and_place(
    tmp_path: Path, name: str, content: str | bytes, words: str
) -> None:
    write(tmp_path, name, content)
    with pytest.raises(DataError, match=words) as caught:
        opened(tmp_path, name.partition("/")[0]).facts("xx", "test")
    assert str(caught.value).startswith(name)


def test_a_blank_beside_tokens_is_none_of_our_business(tmp_path: Path) -> None:
    write(tmp_path, "ner/xx/test.tsv", "\u3000\tO\na\tO\n")
    assert opened(tmp_path, "ner").examples("xx", "test") == [{"tokens": ["\u3000", "a"], "tags": ["O", "O"]}]


def test_conllu_is_converted_by_the_language_of_its_folder(tmp_path: Path) -> None:
    parts: list[dict[str, Any]] = [
        {"id": "1-2", "form": "alla", "upos": "_"}, {"id": 1, "form": "a", "upos": "PRON"},
        {"id": 2, "form": "la", "upos": "ADV"},
    ]  # fmt: skip
    for language in ("it", "fr"):
        write(tmp_path, f"pos/{language}/test.conllu", "\n".join(WORD.format(**part) for part in parts))
    data = opened(tmp_path, "pos")
    assert data.examples("it", "test") == [{"tokens": ["alla"], "tags": ["ADV"]}]
    assert data.examples("fr", "test") == [{"tokens": ["alla"], "tags": ["PRON"]}]


def test_an_entity_that_begins_with_i_is_a_warning_with_its_first_place(tmp_path: Path) -> None:
    write(tmp_path, "ner/xx/test.tsv", "a\tB-PER\nb\tI-PER\n\nc\tI-LOC\n\nd\tB-LOC\ne\tI-PER\n")
    data = opened(tmp_path, "ner")
    words = "an entity begins with I-, where IOB2 has B-; it counts as an entity"
    for _ in ("read", "remembered"):
        assert data.facts("xx", "test").warnings == (f"ner/xx/test.tsv, line 4, and 1 more: {words}",)
    write(tmp_path, "ner/xx/train.tsv", "a\tB-PER\nb\tI-PER\nc\tB-PER\n")
    assert data.facts("xx", "train").warnings == ()
