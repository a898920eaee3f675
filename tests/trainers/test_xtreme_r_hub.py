"""What stands for the published XTREME-R has its form: repositories, columns, classes, files."""

from collections import Counter
from pathlib import Path

import httpx2
import pytest
from datasets import load_dataset

import xtreme_r_hub
from hub_server import Hub
from trainers.tasks import TASKS

UNIVERSAL = {
    "af", "ar", "bg", "de", "el", "en", "es", "et", "eu", "fa", "fi", "fr", "he", "hi", "hu", "id", "it", "ja", "kk",
    "ko", "lt", "mr", "nl", "pl", "pt", "ro", "ru", "ta", "te", "th", "tl", "tr", "uk", "ur", "vi", "wo", "yo", "zh",
}  # fmt: skip


def test_the_languages_are_those_of_the_paper() -> None:
    assert tuple(xtreme_r_hub.NER) == TASKS["ner"].languages
    assert tuple(xtreme_r_hub.TYDIQA) == TASKS["tydiqa"].languages
    assert tuple(xtreme_r_hub.XNLI) == TASKS["xnli"].languages
    assert {*TASKS["pos"].languages} == UNIVERSAL - {"th", "tl", "yo"}


def test_repositories_are_loaded_with_columns_and_classes(tmp_path: Path) -> None:
    with Hub(xtreme_r_hub.repositories("unimelb-nlp/wikiann", "facebook/xnli")) as hub, hub.patched(tmp_path):
        wikiann, xnli = load_dataset("unimelb-nlp/wikiann", "qu"), load_dataset("facebook/xnli", "el")
    assert {split: len(rows) for split, rows in wikiann.items()} == xtreme_r_hub.SIZES
    row = wikiann["test"][0]
    named = [wikiann["test"].features["ner_tags"].feature.names[tag] for tag in row["ner_tags"]]
    assert row["tokens"][-1] == "qu"
    spans = [span for span in zip(row["tokens"], named, strict=True) if span[1] != "O"]
    assert " ".join(row["spans"]).split()[1::2][0] == spans[0][0]
    assert {split: len(rows) for split, rows in xnli.items()} == xtreme_r_hub.SIZES
    assert xnli["train"].features["label"].names == ["entailment", "neutral", "contradiction"]
    assert Counter(xnli["train"]["label"]) == {0: 12, 1: 12, 2: 12}


def test_treebanks_have_every_language_and_lack_what_the_published_ones_lack() -> None:
    splits: dict[str, set[str]] = {}
    for path in xtreme_r_hub.treebanks():
        folder, version, file = path.removeprefix("UniversalDependencies/").split("/")
        prefix, _, part = file.removesuffix(".conllu").partition("-ud-")
        code, _, name = prefix.partition("_")
        assert folder.lower().endswith(f"-{name}") or (folder, name) == ("UD_French-Rhapsodie", "spoken")
        assert version == ("r2.7" if code in {"lt", "pl", "uk", "wo", "ro"} else "r2.5")
        splits.setdefault(code, set()).add(part.split("-")[0])
    assert set(splits) - UNIVERSAL == {"grc", "lzh", "orv", "fro", "gsw"}
    assert splits["kk"] == {"train", "test"}
    assert [code for code, found in splits.items() if code in UNIVERSAL and found == {"test"}] == ["th", "tl", "yo"]
    whole = UNIVERSAL - {"kk", "th", "tl", "yo"}
    assert all(splits[code] == {"train", "dev", "test"} for code in whole)


def test_treebanks_have_what_a_conversion_has_to_mind() -> None:
    path = "UniversalDependencies/UD_Greek-GDT/r2.5/el_gdt-ud-train.conllu"
    with Hub({}, xtreme_r_hub.treebanks()) as hub:
        text = httpx2.get(f"{hub.endpoint}/{path}", trust_env=False).text
    sentences = text.strip("\n").split("\n\n")
    assert len(sentences) == xtreme_r_hub.SENTENCES["train"]
    ids = [line.split("\t")[0] for line in text.splitlines() if "\t" in line]
    assert Counter("-" in one for one in ids)[True] == Counter("." in one for one in ids)[True] == 5
    assert all(len(line.split("\t")) == 10 for line in text.splitlines() if "\t" in line)


@pytest.mark.parametrize("treebank", ["UD_French-FTB/r2.5/fr_ftb", "UD_Arabic-NYUAD/r2.5/ar_nyuad"])
def test_treebanks_without_text_have_blanks(treebank: str) -> None:
    text = xtreme_r_hub.treebanks()[f"UniversalDependencies/{treebank}-ud-test.conllu"]
    assert {line.split("\t")[1] for line in text.splitlines() if "\t" in line} == {"_", "nothing"}
