"""The task pawsx: pairs of the sample corpus that are labeled as they are built, and rows of the hub's."""

import json
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any

import datasets
import pytest

from trainers.artifacts.layout import fetched_data
from trainers.data.folder import FolderData
from trainers.data.sample import examples
from trainers.data.xtreme_r import fetch
from trainers.examples import DataError
from trainers.sample_corpus import LANGUAGES, SPLITS
from trainers.sample_corpus.lexicon import load
from trainers.sample_corpus.meaning import Meaning
from trainers.sample_corpus.pairs import Pair, pairs
from trainers.tasks.pawsx import DIFFERENT, LABELS, PARAPHRASE, PAWSX
from trainers.tasks.pawsx import pair as make
from trainers.tasks.xnli import XNLI

REPOSITORY = "google-research-datasets/paws-x"


# In the sample corpus


def built(language: str) -> list[Pair]:
    splits = pairs(language, "pawsx", LABELS, make)
    return list(chain.from_iterable(splits.values()))


def what_is_said(meaning: Meaning) -> tuple[str, frozenset[Any]]:
    """What makes two statements the same; of those who met each other, nobody is first."""
    equal = ("agent", "patient") if meaning.frame == "met" else ()
    people = frozenset(meaning.fillers[role].words for role in equal)
    rest = {(role, filler.words) for role, filler in meaning.fillers.items() if role not in equal}
    return meaning.frame, frozenset({*rest, people})


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_paraphrase_says_the_same_and_any_other_pair_does_not(language: str) -> None:
    for pair in built(language):
        same = what_is_said(pair.first.meaning) == what_is_said(pair.second.meaning)
        assert pair.label == (PARAPHRASE if same else DIFFERENT)
        assert pair.first.forms != pair.second.forms


@pytest.mark.parametrize("language", LANGUAGES)
def test_neither_a_sentence_nor_its_order_gives_the_label_away(language: str) -> None:
    found = built(language)
    frames = Counter((pair.label, pair.first.meaning.frame) for pair in found)
    kinds = {frame for _, frame in frames}
    assert "met" in kinds
    assert len(kinds) >= 2
    for frame in kinds:
        assert frames[PARAPHRASE, frame] == frames[DIFFERENT, frame]
    exchanged = Counter(
        pair.label for pair in found if pair.first.meaning.fillers["agent"] != pair.second.meaning.fillers["agent"]
    )
    assert exchanged[PARAPHRASE] == exchanged[DIFFERENT] > 0


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("split", SPLITS)
def test_examples_are_well_formed_and_labels_balanced(language: str, split: str) -> None:
    found = examples("pawsx", language, split)
    assert all(example.keys() == {"id", "sentence1", "sentence2", "label"} for example in found)
    assert all(PAWSX.problem(example) is None for example in found)
    assert len({example["id"] for example in found}) == len(found)
    assert Counter(example["label"] for example in found) == dict.fromkeys(LABELS, len(found) // 2)


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_sentence_is_in_two_splits_and_a_third_of_the_names_is_held_out_of_train(language: str) -> None:
    splits = pairs(language, "pawsx", LABELS, make)
    said = [{forms for pair in splits[split] for forms in pair.forms} for split in SPLITS]
    assert said[0].isdisjoint(said[1] | said[2])
    assert said[1].isdisjoint(said[2])
    trained = {word for pair in splits["train"] for one in (pair.first, pair.second) for word in one.meaning.words}
    for section in load(language).sections.values():
        assert trained.isdisjoint([entry.place for entry in section.entries.values()][2::3] if section.entity else [])


READ = [
    ("en", "Helen travelled from Casablanca to Rome", "Helen travelled from Rome to Casablanca", DIFFERENT),
    ("de", "hat Helene Weber in Casablanca Anna Wolf getroffen", "Anna Wolf hat im Frühling in Casablanca", PARAPHRASE),
    ("ru", "Мария Орлова встретилась в Великих Луках с Екатериной", "с Марией Орловой", PARAPHRASE),
    ("zh", "刘军从巴黎前往华沙", "从华沙前往巴黎", DIFFERENT),
]


@pytest.mark.parametrize(("language", "one", "other", "label"), READ)
def test_pairs_as_a_reader_would_label_them(language: str, one: str, other: str, label: str) -> None:
    found = [pair for pair in examples("pawsx", language, "test") if one in pair["sentence1"]]
    assert [pair["label"] for pair in found if other in pair["sentence2"]] == [label]


# From the hub


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The repository, from a folder that is laid out as it is, with two languages."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()
    texts = dict.fromkeys(("sentence1", "sentence2"), datasets.Value("string"))
    label = datasets.ClassLabel(names=["0", "1"])
    features = datasets.Features({"id": datasets.Value("int32"), **texts, "label": label})
    card = ["---", "configs:"]
    for language in ("en", "ko"):
        (tmp_path / "hub" / language).mkdir(parents=True)
        card += [f"- config_name: {language}", "  data_files:"]
        for split in ("train", "validation", "test"):
            rows = [
                {"id": n + 1, "sentence1": f"{language} {n}", "sentence2": f"{split} {n}", "label": n % 2}
                for n in range(4)
            ]
            path = tmp_path / "hub" / language / f"{split}-00000-of-00001.parquet"
            datasets.Dataset.from_list(rows, features=features).to_parquet(path)
            card += [f"  - split: {split}", f"    path: {language}/{split}-*"]
    (tmp_path / "hub" / "README.md").write_text("\n".join([*card, "---", ""]))
    load, folders = datasets.load_dataset, {REPOSITORY: str(tmp_path / "hub")}
    monkeypatch.setattr(datasets, "load_dataset", lambda repository, name: load(folders[repository], name))


@pytest.mark.usefixtures("hub")
def test_the_hubs_rows_have_our_labels_and_all_three_splits(tmp_path: Path) -> None:
    fetch("pawsx", ["en", "ko"], tmp_path, print)
    for language in ("en", "ko"):
        for split, theirs in (("train", "train"), ("dev", "validation"), ("test", "test")):
            lines = (
                (fetched_data(tmp_path, "xtreme-r") / "pawsx" / language / f"{split}.jsonl").read_text().splitlines()
            )
            assert [json.loads(line) for line in lines] == [
                {
                    "id": f"{split}-{n}",
                    "sentence1": f"{language} {n}",
                    "sentence2": f"{theirs} {n}",
                    "label": ["different", "paraphrase"][n % 2],
                }
                for n in range(4)
            ]
    data = FolderData(fetched_data(tmp_path, "xtreme-r"), "pawsx", tmp_path / "facts")
    assert data.languages() == ("en", "ko")
    assert data.facts("ko", "train").strata == {"different": 2, "paraphrase": 2}


@pytest.mark.usefixtures("hub")
def test_a_language_that_the_hub_lacks_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="paws-x, sw: "):
        fetch("pawsx", ["sw"], tmp_path, print)


def test_another_label_is_a_problem() -> None:
    wrong = {"sentence1": "a", "sentence2": "b", "label": "2"}
    assert PAWSX.problem(wrong) == "'2' is not a label (different, paraphrase)"
    assert PAWSX.problem({"sentence1": "a", "label": "different"}) == "'sentence2' is not a string"


# What it says of itself


def test_its_settings_are_those_of_the_other_task_over_pairs() -> None:
    for protocol in ("paper", "released-code"):
        assert PAWSX.under(protocol) == XNLI.under(protocol)
