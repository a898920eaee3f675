"""The folder of XTREME's scripts, and its archives: the same examples from both, labels where they are, and safely."""

import csv
import gzip
import io
import json
import os
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from trainers.data import archives
from trainers.data.sources import SOURCES, open_data
from trainers.data.xtreme import XtremeSource
from trainers.examples import DataError, Example, MissingSplitError
from trainers.trial import SPLITS, DataReference

XTREME = SOURCES["xtreme"]
assert isinstance(XTREME, XtremeSource)

SENTENCES = {
    split: [{"tokens": [f"Haus:{split}", "Wien"], "tags": ["O", "B-LOC"]}, {"tokens": ["#"], "tags": ["O"]}]
    for split in SPLITS
}
TAGGED = {split: [{"tokens": ["zum", f"{split}10000"], "tags": ["ADP", "NUM"]}] * 2 for split in SPLITS}
PAIRS = {
    split: [
        {"id": f"{split}-0", "premise": '"Ja", sagt er', "hypothesis": f"Er sagt {split}", "label": "entailment"},
        {"id": f"{split}-1", "premise": "a", "hypothesis": 'b "c', "label": "contradiction"},
    ]
    for split in SPLITS
}


def question(language: str, number: int) -> Example:
    answers = {"text": ["Wien"], "answer_start": [0]}
    return {"id": f"{language}-{number}-0", "context": f"Wien {number}", "question": "Wo?", "answers": answers}


def zipped(contents: dict[str, str | bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return out.getvalue()


def tarred(contents: dict[str, str | bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, content in contents.items():
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def squad(asked: list[Example]) -> str:
    paragraphs = [
        {"context": one["context"], "qas": [{"id": one["id"], "question": one["question"], "answers": [
            {"text": one["answers"]["text"][0], "answer_start": one["answers"]["answer_start"][0]}]}]}
        for one in asked
    ]  # fmt: skip
    return json.dumps({"version": "1.1", "data": [{"paragraphs": paragraphs}]})


def columns(examples: list[Example], prefix: str = "", labels: bool = True) -> str:
    return "\n".join(
        "".join(f"{prefix}{token}\t{tag}\n" if labels else f"{prefix}{token}\n" for token, tag in zip(*one.values()))  # noqa: B905
        for one in examples
    )


def treebank(split: str) -> str:
    number = ["1-2\tzum", "1\tzu\t_\tADP\t_\t_\t3", "2\tdem\t_\tDET\t_\t_\t3", f"3\t{split}10 000\t_\tNUM\t_\t_\t0"]
    return "".join(line + "\t_" * (9 - line.count("\t")) + "\n" for line in number) + "\n"


def write(root: Path, name: str, content: str | bytes) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def preprocessed(root: Path, *, labels: bool = False) -> None:
    """What the scripts write: test sets without labels, unless asked for."""
    for split in SPLITS:
        labelled = labels or split != "test"
        write(root, f"panx/{split}-de.tsv", columns(SENTENCES[split], labels=labelled))
        write(root, f"udpos/{split}-de.tsv", columns(TAGGED[split], labels=labelled))
        cells = io.StringIO()
        writer = csv.writer(cells, delimiter="\t")
        writer.writerows(list(one.values())[1:] if labelled else list(one.values())[1:3] for one in PAIRS[split])
        write(root, f"xnli/{split}-de.tsv", cells.getvalue())


def upstream(root: Path) -> None:
    """The archives that the scripts download."""
    panx = {split: columns(SENTENCES[split], prefix="de:") for split in ("test", "train", "dev")}
    photos = {"panx_dataset/de.tar.gz": tarred({**panx, "extra": "de:x\tO\n"}), "panx_dataset/xx.tar.gz": b"none"}
    write(root, "AmazonPhotos.zip", zipped(photos))
    files = {
        f"ud-treebanks-v2.5/UD_German-{name}/{prefix}_{name.lower()}-ud-{split}.conllu": treebank(split)
        for name, prefix in (("HDT", "de"), ("GSD", "de"), ("UZH", "gsw"))
        for split in SPLITS
    }
    blank = "1\t_\t_\tX" + "\t_" * 6 + "\n\n"
    files["ud-treebanks-v2.5/UD_German-X/de_x-ud-train.conllu"] = blank
    write(root, "udpos-tmp/ud-treebanks-v2.5.tgz", tarred({"ud-treebanks-v2.5/README.txt": "about", **files}))
    write(root, "tydiqa/tydiqa-goldp-v1.1-train.json", squad([question("german", 1), question("finnish", 2)]))
    folder = "tydiqa-goldp-v1.1-dev"
    dev = {f"{folder}/tydiqa-goldp-dev-finnish.json": squad([question("finnish", 3)]), f"{folder}/._x.json": b"\0"}
    write(root, "tydiqa-goldp-v1.1-dev.tgz", tarred(dev))
    begin = "language\tgold_label\tsentence1_binary_parse\tsentence1\tsentence2\n"
    label = {"entailment": "entailment", "contradiction": "contradictory"}
    rows = {
        split: [f"de\t{one['label']}\t\t{one['premise']} \t{one['hypothesis']}\n" for one in PAIRS[split]]
        for split in SPLITS
    }
    xnli = {
        f"XNLI-1.0/xnli.{split}.tsv": begin + "fr\tneutral\t\ta\tb\n" + "".join(rows[split])
        for split in ("dev", "test")
    }
    write(root, "xnli-tmp/XNLI-1.0.zip", zipped({**xnli, "__MACOSX/XNLI-1.0/._xnli.dev.tsv": b"\0"}))
    machine = "premise\thypo\tlabel\n" + "".join(
        f"{one['premise']}\t{one['hypothesis']}\t{label[one['label']]}\n" for one in PAIRS["train"]
    )
    write(root, "xnli-tmp/XNLI-MT-1.0.zip", zipped({"XNLI-MT-1.0/multinli/multinli.train.de.tsv": machine}))


WANTED: dict[str, dict[str, list[Example]]] = {"ner": SENTENCES, "pos": TAGGED, "xnli": PAIRS}


def fetched(root: Path, home: Path, task: str, *languages: str) -> Any:
    assert isinstance(XTREME, XtremeSource)
    assert XTREME.fetch(root, task, languages, home, lambda _: None) == []
    return open_data(DataReference("xtreme", root), task, home)


@pytest.mark.parametrize("task", WANTED)
@pytest.mark.parametrize("below", ["", "download"])
def test_the_archives_and_what_the_scripts_make_of_them_have_the_same_examples(
    tmp_path: Path, task: str, below: str
) -> None:
    upstream(tmp_path / "archives" / below)
    preprocessed(tmp_path / "made" / below, labels=True)
    ours, theirs = (fetched(tmp_path / name, tmp_path / "home", task, "de") for name in ("archives", "made"))
    for split in SPLITS:
        assert ours.examples("de", split) == theirs.examples("de", split) == WANTED[task][split]
        assert ours.facts("de", split) == theirs.facts("de", split)


@pytest.mark.parametrize("task", WANTED)
def test_test_sets_without_labels_are_left_out_and_the_archives_that_have_them_are_named(
    tmp_path: Path, task: str
) -> None:
    assert isinstance(XTREME, XtremeSource)
    preprocessed(tmp_path)
    assert XTREME.languages(tmp_path, task) == ()
    assert "leave train and dev, and remove the labels of test sets, which are in" in XTREME.hint(tmp_path, task)
    data = fetched(tmp_path, tmp_path / "home", task, "de")
    assert data.examples("de", "train") == WANTED[task]["train"]
    assert data.languages() == ()
    assert data.lacking() == [f"{task}/de has no test split, only train and dev: nothing can be scored on it"]
    upstream(tmp_path)
    assert "de" in XTREME.languages(tmp_path, task)
    assert fetched(tmp_path, tmp_path / "home", task, "de").examples("de", "test") == WANTED[task]["test"]


def test_tydiqa_has_a_training_and_a_dev_set_of_each_language_told_by_the_ids(tmp_path: Path) -> None:
    assert isinstance(XTREME, XtremeSource)
    upstream(tmp_path)
    assert XTREME.languages(tmp_path, "tydiqa") == ("ar", "bn", "en", "fi", "id", "ko", "ru", "sw", "te")
    data = fetched(tmp_path, tmp_path / "home", "tydiqa", "fi")
    assert data.examples("fi", "train") == [question("finnish", 2)]
    assert data.examples("fi", "test") == [question("finnish", 3)]
    with pytest.raises(DataError, match="no examples of tydiqa in 'ko'"):
        fetched(tmp_path, tmp_path / "home", "tydiqa", "ko")
    (tmp_path / "tydiqa-goldp-v1.1-dev.tgz").unlink()
    for language, code in (("finnish", "fi"), ("korean", "ko")):  # as the scripts leave them
        write(tmp_path, f"tydiqa/tydiqa-goldp-v1.1-dev/tydiqa.{code}.dev.json", squad([question(language, 6)]))
    for code, language in (("fi", "finnish"), ("ko", "korean")):
        assert fetched(tmp_path, tmp_path / "home", "tydiqa", code).examples(code, "test") == [question(language, 6)]
    write(tmp_path, "tydiqa-goldp-v1.1-dev.json", squad([question("korean", 4), question("finnish", 5)]))
    assert fetched(tmp_path, tmp_path / "home", "tydiqa", "fi").examples("fi", "test") == [question("finnish", 5)]


def test_a_language_of_universal_dependencies_is_in_the_version_that_xtreme_r_takes(tmp_path: Path) -> None:
    assert isinstance(XTREME, XtremeSource)
    upstream(tmp_path)
    assert {"de", "el", "kk"} <= set(XTREME.languages(tmp_path, "pos"))
    assert not {"lt", "pl", "ro", "uk", "wo", "th"} & set(XTREME.languages(tmp_path, "pos"))
    write(tmp_path, "ud-treebanks-v2.7.tgz", tarred({"a/pl_lfg-ud-test.conllu": treebank("test")}))
    assert {"lt", "pl", "ro", "uk", "wo"} <= set(XTREME.languages(tmp_path, "pos"))
    assert fetched(tmp_path, tmp_path / "home", "pos", "pl", "de").examples("pl", "test") == TAGGED["test"][:1]


def test_what_was_read_is_read_again_only_when_a_file_has_changed(tmp_path: Path) -> None:
    preprocessed(tmp_path, labels=True)
    path = tmp_path / "panx" / "dev-de.tsv"
    status = path.stat()
    assert fetched(tmp_path, tmp_path / "home", "ner", "de").examples("de", "dev") == SENTENCES["dev"]
    path.write_text("x" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert fetched(tmp_path, tmp_path / "home", "ner", "de").examples("de", "dev") == SENTENCES["dev"]
    path.write_text(columns(SENTENCES["train"]))
    assert fetched(tmp_path, tmp_path / "home", "ner", "de").examples("de", "dev") == SENTENCES["train"]


LONG = "".join(f"de:{number**5}\tO\n" for number in range(999))

MALFORMED = {
    "one column": ("panx/train-de.tsv", "a\tO\nb\n", "ner", "train-de.tsv, line 2: 1 columns; allowed: a token"),
    "a wrong tag": ("panx/dev-de.tsv", "a\tO\n\nb\tNN\n", "ner", "dev-de.tsv, line 3: 'NN' is not an IOB2 tag"),
    "no label": ("xnli/dev-de.tsv", "a\tb\tneutral\na\tb\n", "xnli", "dev-de.tsv, line 2: 2 columns; allowed: 3"),
    "an open quote": ("xnli/dev-de.tsv", '"a\tb\tc\n' + "c\td\te\n" * 40_000, "xnli", "dev-de.tsv, line 1: not a row"),
    "a break in a line": ("xnli/dev-de.tsv", "a\rb\tc\tneutral\n", "xnli", "dev-de.tsv, line 1: not a row"),
    "not UTF-8": ("udpos/dev-de.tsv", "é\tX\na\tX".encode("latin-1"), "pos", "dev-de.tsv, line 1: not UTF-8"),
    "no zip": ("XNLI-1.0.zip", b"PK no zip", "xnli", "XNLI-1.0.zip: no archive that can be read"),
    "a cut zip": ("XNLI-1.0.zip", zipped({"xnli.dev.tsv": "a" * 999})[:-40], "xnli", "no archive that can be read"),
    "a cut tar": ("panx_dataset/de.tar.gz", tarred({"train": LONG})[:-99], "ner", "de.tar.gz"),
    "no tar": ("panx_dataset/de.tar.gz", gzip.compress(b"no tar" * 999), "ner", "no archive that can be read"),
    "a malformed treebank": (
        "ud-treebanks-v2.5.tgz", tarred({"de_x-ud-dev.conllu": "1\ta\n"}), "pos", "de_x-ud-dev.conllu, line 1: 2",
    ),
    "no JSON": ("tydiqa-goldp-v1.1-train.json", "{", "tydiqa", "tydiqa-goldp-v1.1-train.json, line 1: not JSON"),
    "no document": ("tydiqa-goldp-v1.1-train.json", "[]", "tydiqa", "train.json, after question 0: no list 'data'"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "content", "task", "words"), MALFORMED.values(), ids=MALFORMED)
def test_what_is_malformed_is_named_and_nothing_is_kept(
    tmp_path: Path, name: str, content: str | bytes, task: str, words: str
) -> None:
    write(tmp_path / "root", name, content)
    with pytest.raises(DataError) as caught:
        fetched(tmp_path / "root", tmp_path / "home", task, "de")
    assert words in str(caught.value)
    assert not [path for path in (tmp_path / "home").rglob("*") if path.is_file()]


def test_a_split_without_examples_of_a_language_is_none(tmp_path: Path) -> None:
    begin = "language\tgold_label\tsentence1\tsentence2\n"
    rows = {
        "XNLI-1.0/xnli.dev.tsv": f"{begin}fr\tneutral\ta\tb\n",
        "XNLI-1.0/xnli.test.tsv": f"{begin}de\tneutral\ta\tb\n",
    }
    write(tmp_path, "XNLI-1.0.zip", zipped(dict(rows)))
    data = fetched(tmp_path, tmp_path / "home", "xnli", "de")
    with pytest.raises(MissingSplitError, match=r"xnli/de/dev\.jsonl does not exist"):
        data.facts("de", "dev")
    assert data.facts("de", "test").examples == 1


def test_nothing_is_written_by_the_names_in_an_archive_and_no_link_is_followed(tmp_path: Path) -> None:
    secret = write(tmp_path, "secret", treebank("train"))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name in ("../../de_a-ud-train.conllu", "/tmp/de_b-ud-train.conllu"):
            info = tarfile.TarInfo(name)
            info.size = len(treebank("dev"))
            archive.addfile(info, io.BytesIO(treebank("dev").encode()))
        for type_ in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            link = tarfile.TarInfo("de_c-ud-train.conllu")
            link.type, link.linkname = type_, str(secret)
            archive.addfile(link)
    write(tmp_path / "root", "ud-treebanks-v2.5.tgz", out.getvalue())
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    data = fetched(tmp_path / "root", tmp_path / "home", "pos", "de")
    assert [one["tokens"][1] for one in data.examples("de", "train")] == ["dev10000", "dev10000"]
    after = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    assert {path.name for path in after} == {"train.jsonl"}


@pytest.mark.parametrize(
    ("name", "limit", "words"),
    [
        ("MAX_FILE_BYTES", 1000, "is larger than allowed"), ("MAX_BYTES", 2000, "unpacked it is larger than allowed"),
        ("MAX_FILES", 2, "more files than allowed"), ("MAX_DIRECTORY_BYTES", 300, "its directory has"),
    ],
)  # fmt: skip
def test_an_archive_beyond_all_bounds_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, limit: int, words: str
) -> None:
    content = tarred({f"{'long' * 50}/{number}": b"\0" * 1500 for number in range(3)})
    path = write(tmp_path, "ud-treebanks-v2.5.tgz", content)
    monkeypatch.setattr(archives, name, limit)
    with path.open("rb") as file, pytest.raises(DataError, match=words), archives.readable("none"):
        list(archives.members(file))
