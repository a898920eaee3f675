"""XTREME-R from the hub: fetched from a folder that is laid out as the hub's repository is, without any network."""

from pathlib import Path
from typing import Any

import datasets
import pytest

from trainers.data.folder import FolderData
from trainers.data.hub import fetch
from trainers.examples import DataError

TAGS = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC"]
SPLITS = {"train": "train", "dev": "validation", "test": "test"}
FEATURES = datasets.Features(
    {
        "tokens": datasets.List(datasets.Value("string")),
        "ner_tags": datasets.List(datasets.ClassLabel(names=TAGS)),
        "langs": datasets.List(datasets.Value("string")),
    }
)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


def rows(language: str, split: str) -> list[dict[str, Any]]:
    number = {"train": 5, "dev": 3, "test": 4}[split]
    return [
        {
            "tokens": ["Ängelholm", language, f"{split}-{place}"],
            "ner_tags": [5, 6 if place % 2 else 0, 0],
            "langs": [language] * 3,
        }
        for place in range(number)
    ]


class Repository:
    """A folder with the files of a dataset repository."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.configurations: dict[str, list[str]] = {}

    def add(self, language: str, changed: dict[str, list[dict[str, Any]] | None] | None = None) -> None:
        """A configuration; `changed` replaces the rows of a split, None leaves the split out."""
        splits = []
        folder = self.folder / f"PAN-X.{language}"
        folder.mkdir(parents=True)
        for split, hub_split in SPLITS.items():
            content = (changed or {}).get(split, rows(language, split))
            if content is not None:
                dataset = datasets.Dataset.from_list(content, features=FEATURES)
                dataset.to_parquet(folder / f"{hub_split}-00000-of-00001.parquet")
                splits.append(hub_split)
        self.configurations[language] = splits
        self._write_card()

    def _write_card(self) -> None:
        card = ["---", "configs:"]
        for language, splits in self.configurations.items():
            card += [f"- config_name: PAN-X.{language}", "  data_files:"]
            for split in splits:
                card += [f"  - split: {split}", f"    path: PAN-X.{language}/{split}-*"]
        (self.folder / "README.md").write_text("\n".join([*card, "---", ""]))


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "repository")
    for language in ("de", "sw"):
        made.add(language)
    return made


def fetched(root: Path, language: str) -> dict[str, list[dict[str, Any]]]:
    data = FolderData(root, "ner", root / "cache")
    return {split: data.examples(language, split) for split in ("train", "dev", "test")}


def test_a_language_is_fetched_into_the_folder_layout_with_its_tags_as_words(
    repository: Repository, tmp_path: Path
) -> None:
    fetch("ner", ["de", "sw"], tmp_path / "data", str(repository.folder))
    for language in ("de", "sw"):
        expected = {
            split: [
                {"tokens": row["tokens"], "tags": [TAGS[tag] for tag in row["ner_tags"]]}
                for row in rows(language, split)
            ]
            for split in SPLITS
        }
        assert fetched(tmp_path / "data", language) == expected
    assert {path.name for path in (tmp_path / "data" / "ner").iterdir()} == {"de", "sw"}


def test_what_lies_there_already_stays(repository: Repository, tmp_path: Path) -> None:
    fetch("ner", ["de"], tmp_path / "data", str(repository.folder))
    own = tmp_path / "data" / "ner" / "de" / "dev.jsonl"
    own.write_text('{"tokens": ["mine"], "tags": ["O"]}\n')
    fetch("ner", ["de", "sw"], tmp_path / "data", str(repository.folder))
    assert own.read_text() == '{"tokens": ["mine"], "tags": ["O"]}\n'
    fetch("ner", ["de"], tmp_path / "data", str(tmp_path / "nowhere"))


def test_an_unknown_language_is_a_data_error_that_names_it(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"PAN-X\.tlh"):
        fetch("ner", ["sw", "tlh", "de"], tmp_path / "data", str(repository.folder))
    assert FolderData(tmp_path / "data", "ner", tmp_path).languages() == ("sw",)


def test_a_repository_that_is_not_there_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        fetch("ner", ["de"], tmp_path / "data", str(tmp_path / "nowhere"))
    assert not (tmp_path / "data" / "ner" / "de").exists()


# A row without tags stops the writing of its split in the middle.
TORN = [*rows("hi", "test"), {"tokens": ["a"], "ner_tags": None, "langs": ["hi"]}]


@pytest.mark.parametrize(
    "changed",
    [{"test": TORN}, {"train": TORN}, {"test": None}, {"dev": None}],
    ids=["in test", "in train", "without test", "without dev"],
)
def test_a_fetch_that_breaks_off_leaves_no_half_language(
    repository: Repository, tmp_path: Path, changed: dict[str, list[dict[str, Any]] | None]
) -> None:
    repository.add("hi", changed)
    root = tmp_path / "data"
    with pytest.raises((DataError, KeyError, TypeError)):
        fetch("ner", ["de", "hi", "sw"], root, str(repository.folder))
    assert FolderData(root, "ner", tmp_path).languages() == ("de",)
    assert [path.name for path in (root / "ner").iterdir()] == ["de"]


def test_what_a_killed_fetch_left_is_no_language(repository: Repository, tmp_path: Path) -> None:
    root = tmp_path / "data"
    fetch("ner", ["de"], root, str(repository.folder))
    (root / "ner" / "de").rename(root / "ner" / ".de.12345")
    fetch("ner", ["sw"], root, str(repository.folder))
    assert FolderData(root, "ner", tmp_path).languages() == ("sw",)
