"""The four tasks from the hub: fetched from folders laid out as the hub's repositories are, without any network."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest

from trainers.data.folder import FolderData
from trainers.data.xtreme_r import fetch
from trainers.examples import DataError
from trainers.tasks import TASKS

Row = dict[str, Any]
Rows = list[Row]

HUB_SPLITS = {"train": "train", "dev": "validation", "test": "test"}
NER_TAGS = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC"]
UPOS = ["ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN", "PUNCT", "SCONJ",
        "SYM", "VERB", "X"]  # fmt: skip
LABELS = ["entailment", "neutral", "contradiction"]
TYDI = {
    "ar": "arabic",
    "bn": "bengali",
    "en": "english",
    "fi": "finnish",
    "id": "indonesian",
    "ko": "korean",
    "ru": "russian",
    "sw": "swahili",
    "te": "telugu",
}
# _UD_POS_LANG of the hub's script.
UDPOS = """
    Afrikaans Arabic Basque Bulgarian Dutch English Estonian Finnish French German Greek Hebrew Hindi Hungarian
    Indonesian Italian Japanese Kazakh Korean Chinese Marathi Persian Portuguese Russian Spanish Tagalog Tamil Telugu
    Thai Turkish Urdu Vietnamese Yoruba
"""

TEXT = datasets.Value("string")
TEXTS = datasets.List(TEXT)


def tagged(column: str, tags: list[str]) -> datasets.Features:
    return datasets.Features({"tokens": TEXTS, column: datasets.List(datasets.ClassLabel(names=tags))})


PANX = datasets.Features({**tagged("ner_tags", NER_TAGS), "langs": TEXTS})
UD = tagged("pos_tags", UPOS)
QUESTIONS = datasets.Features(
    {
        **dict.fromkeys(("id", "title", "context", "question"), TEXT),
        "answers": {"answer_start": datasets.List(datasets.Value("int32")), "text": TEXTS},
    }
)
XTREME_PAIRS = datasets.Features(dict.fromkeys(("language", "sentence1", "sentence2", "gold_label"), TEXT))
XNLI_PAIRS = datasets.Features({"premise": TEXT, "hypothesis": TEXT, "label": datasets.ClassLabel(names=LABELS)})


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


class Repository:
    """A folder with the files of a dataset repository."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.card: dict[str, list[str]] = {}

    def add(self, configuration: str, features: datasets.Features, splits: dict[str, Rows]) -> None:
        """A configuration; an earlier one of that name goes."""
        folder = self.folder / configuration
        folder.mkdir(parents=True, exist_ok=True)
        for split, rows in splits.items():
            data = datasets.Dataset.from_list(rows, features=features)
            data.to_parquet(folder / f"{split}-00000-of-00001.parquet")
        self.card[configuration] = list(splits)
        self.write_card()

    def write_card(self, information: str = "") -> None:
        lines = [f"---\n{information}configs:"]
        for configuration, splits in self.card.items():
            lines += [f"- config_name: {configuration}", "  data_files:"]
            for split in splits:
                lines += [f"  - split: {split}", f"    path: {configuration}/{split}-*"]
        (self.folder / "README.md").write_text("\n".join([*lines, "---", ""]))


def panx(language: str, number: int = 3) -> dict[str, Rows]:
    return {
        split: [
            {
                "tokens": ["Ängelholm", language, f"{split}-{n}"],
                "ner_tags": [5, 6 if n % 2 else 0, 0],
                "langs": ["x"] * 3,
            }
            for n in range(number)
        ]
        for split in HUB_SPLITS.values()
    }


def udpos(word: str, splits: tuple[str, ...] = ("train", "validation", "test")) -> dict[str, Rows]:
    return {split: [{"tokens": [word, split, "."], "pos_tags": [7, 15, 12]}] * 2 for split in splits}


def question(language: str, split: str, number: int) -> Row:
    return {
        "id": f"{language}-{split}-{number}",
        "title": "T",
        "context": f"Åbo {number} är {language}.",
        "question": f"Vad är {number}?",
        "answers": {"text": [language, str(number)], "answer_start": [len(f"Åbo {number} är "), 4]},
    }


def tydiqa(languages: list[str]) -> dict[str, Rows]:
    """As on the hub, languages follow each other without order."""
    numbers = {"train": 5, "validation": 2}
    return {
        split: [question(name, split, n) for n in range(count) for name in languages]
        for split, count in numbers.items()
    }


def xtreme_pairs(languages: list[str]) -> dict[str, Rows]:
    return {
        split: [
            {"language": code, "sentence1": f"{code} P{n}", "sentence2": f"{split} H{n}", "gold_label": LABELS[n % 3]}
            for code in languages
            for n in range(4)
        ]
        for split in ("validation", "test")
    }


def xnli_pairs(language: str) -> dict[str, Rows]:
    return {
        split: [{"premise": f"{language} p{n}", "hypothesis": f"{split} h{n}", "label": n % 3} for n in range(4)]
        for split in ("train", "validation", "test")
    }


class Hub:
    """Both repositories, and where to fetch them to."""

    def __init__(self, folder: Path) -> None:
        self.xtreme = Repository(folder / "xtreme")
        self.xnli = Repository(folder / "xnli")
        self.root = folder / "data"
        self.facts = folder / "facts"

    def fetch(self, task: str, *languages: str) -> None:
        folders = {"google/xtreme": self.xtreme.folder, "facebook/xnli": self.xnli.folder}
        fetch(task, languages, self.root, {name: str(folder) for name, folder in folders.items()})

    def lines(self, task: str, language: str) -> dict[str, Rows]:
        """All that lies in a language's folder, by split."""
        return {
            path.stem: [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            for path in sorted((self.root / task / language).iterdir())
        }

    def names(self, task: str) -> set[str]:
        """All that lies in a task's folder, unfinished things too."""
        return {path.name for path in (self.root / task).glob("*")}


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    made = Hub(tmp_path)
    for language in ("de", "sw"):
        made.xtreme.add(f"PAN-X.{language}", PANX, panx(language))
        made.xnli.add(language, XNLI_PAIRS, xnli_pairs(language))
    made.xtreme.add("udpos.Chinese", UD, udpos("字"))
    made.xtreme.add("udpos.Kazakh", UD, udpos("сөз", ("train", "test")))
    made.xtreme.add("udpos.Thai", UD, udpos("คำ", ("test",)))
    made.xtreme.add("tydiqa", QUESTIONS, tydiqa(["swahili", "arabic", "english"]))
    made.xtreme.add("XNLI", XTREME_PAIRS, xtreme_pairs(["ar", "de", "sw"]))
    return made


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> "Counter[str]":
    """How often each configuration is loaded."""
    counts: Counter[str] = Counter()
    load: Callable[..., Any] = datasets.load_dataset

    def counting(repository: str, configuration: str) -> Any:
        counts[configuration] += 1
        return load(repository, configuration)

    monkeypatch.setattr(datasets, "load_dataset", counting)
    return counts


# What is fetched


def test_ner_has_the_three_splits_with_tags_as_words(hub: Hub) -> None:
    hub.fetch("ner", "de", "sw")
    for language in ("de", "sw"):
        rows = panx(language)
        assert hub.lines("ner", language) == {
            split: [{"tokens": r["tokens"], "tags": [NER_TAGS[tag] for tag in r["ner_tags"]]} for r in rows[hub_split]]
            for split, hub_split in HUB_SPLITS.items()
        }
    assert hub.names("ner") == {"de", "sw"}


def test_pos_has_the_splits_that_the_hub_has(hub: Hub) -> None:
    hub.fetch("pos", "zh", "kk", "th")
    fetched = {language: hub.lines("pos", language) for language in ("zh", "kk", "th")}
    assert {language: set(splits) for language, splits in fetched.items()} == {
        "zh": {"train", "dev", "test"},
        "kk": {"train", "test"},
        "th": {"test"},
    }
    assert fetched["zh"]["dev"] == [{"tokens": ["字", "validation", "."], "tags": ["NOUN", "VERB", "PUNCT"]}] * 2


def test_tydiqa_has_its_languages_apart_and_no_test_set(hub: Hub) -> None:
    hub.fetch("tydiqa", "ar", "en", "sw")
    for language in ("ar", "en", "sw"):
        rows = {split: [question(TYDI[language], split, n) for n in range(5)] for split in ("train", "validation")}
        columns = ("id", "context", "question", "answers")
        expected = {split: [{column: row[column] for column in columns} for row in rows[split]] for split in rows}
        assert hub.lines("tydiqa", language) == {"train": expected["train"], "dev": expected["validation"][:2]}


def test_xnli_has_its_training_set_from_the_other_repository(hub: Hub) -> None:
    hub.fetch("xnli", "de", "sw")
    for language in ("de", "sw"):
        texts = {
            "train": (f"{language} p", "train h"),
            "dev": (f"{language} P", "validation H"),
            "test": (f"{language} P", "test H"),
        }
        assert hub.lines("xnli", language) == {
            split: [
                {"id": f"{split}-{n}", "premise": f"{first}{n}", "hypothesis": f"{second}{n}", "label": LABELS[n % 3]}
                for n in range(4)
            ]
            for split, (first, second) in texts.items()
        }


@pytest.mark.parametrize(("task", "language"), [("ner", "de"), ("pos", "zh"), ("tydiqa", "ar"), ("xnli", "sw")])
def test_what_is_fetched_is_read_as_a_folder(hub: Hub, task: str, language: str) -> None:
    hub.fetch(task, language)
    data = FolderData(hub.root, task, hub.facts)
    assert data.languages() == (language,)
    for split in ("train", "dev", "test"):
        assert data.facts(language, split).examples == len(data.examples(language, split)) > 0


def test_all_languages_of_pos_and_tydiqa_have_the_hubs_names(hub: Hub) -> None:
    lacked = {"lt", "pl", "ro", "uk", "wo"}
    names = UDPOS.split()
    for name in names:
        hub.xtreme.add(f"udpos.{name}", UD, udpos(name, ("test",)))
    languages = sorted({*TASKS["pos"].languages, "th", "tl", "yo"} - lacked)
    hub.fetch("pos", *languages)
    assert sorted(hub.lines("pos", language)["test"][0]["tokens"][0] for language in languages) == sorted(names)
    for language in lacked:
        with pytest.raises(DataError, match=r"udpos\.\w+"):
            hub.fetch("pos", language)

    assert set(TASKS["tydiqa"].languages) == set(TYDI)
    hub.xtreme.add("tydiqa", QUESTIONS, tydiqa(list(TYDI.values())))
    hub.fetch("tydiqa", *TYDI)
    for language, name in TYDI.items():
        assert [row["id"] for row in hub.lines("tydiqa", language)["dev"]] == [f"{name}-validation-{n}" for n in (0, 1)]


def test_a_card_that_describes_its_columns_as_the_hubs_does(hub: Hub) -> None:
    sequence = "  - name: {}\n    sequence:\n      class_label:\n        names:\n{}"
    classes = "".join(f"          '{number}': {tag}\n" for number, tag in enumerate(UPOS))
    described = "- config_name: udpos.Chinese\n  features:\n  - name: tokens\n    sequence: string\n"
    described += sequence.format("pos_tags", classes)
    described += "- config_name: tydiqa\n  features:\n"
    described += "".join(f"  - name: {name}\n    dtype: string\n" for name in ("id", "title", "context", "question"))
    described += "  - name: answers\n    sequence:\n    - name: answer_start\n      dtype: int32\n"
    described += "    - name: text\n      dtype: string\n"
    hub.xtreme.write_card(f"dataset_info:\n{described}")
    hub.fetch("pos", "zh")
    hub.fetch("tydiqa", "ar")
    assert hub.lines("pos", "zh")["test"][0]["tags"] == ["NOUN", "VERB", "PUNCT"]
    assert hub.lines("tydiqa", "ar")["dev"][1]["answers"] == {"text": ["arabic", "1"], "answer_start": [9, 4]}


def test_a_split_without_a_row_in_a_language_is_left_out(hub: Hub) -> None:
    rows = tydiqa(["arabic"]) | {"validation": [question("english", "validation", 0)]}
    hub.xtreme.add("tydiqa", QUESTIONS, rows)
    hub.fetch("tydiqa", "ar", "en")
    assert set(hub.lines("tydiqa", "ar")) == {"train"}
    assert set(hub.lines("tydiqa", "en")) == {"dev"}


# Answers beside their offsets


@pytest.mark.parametrize(
    ("context", "answer", "offset", "place"),
    [
        ("Åbo är en stad.", "stad", 10, 10),
        ("Åbo är en stad.", "stad", 12, 10),  # two blanks stood before the context
        ("Åbo är en stad.", "stad", 9, 10),  # a blank stood before the answer
        ("en stad, en by, en stad", "en", 11, 9),  # the nearest one
        ("en stad, en by, en stad", "en", 16, 16),  # not the first one
        ("Åbo", "Åbo", 3, 0),
    ],
)
def test_an_answer_beside_lost_blanks_gets_its_own_offset(
    hub: Hub, context: str, answer: str, offset: int, place: int
) -> None:
    row = question("english", "train", 0) | {
        "context": context,
        "answers": {"text": [answer], "answer_start": [offset]},
    }
    hub.xtreme.add("tydiqa", QUESTIONS, {"train": [row]})
    hub.fetch("tydiqa", "en")
    assert hub.lines("tydiqa", "en")["train"][0]["answers"] == {"text": [answer], "answer_start": [place]}


# What stays, and how often the hub is asked


def test_what_lies_there_already_stays(hub: Hub) -> None:
    hub.fetch("ner", "de")
    own = hub.root / "ner" / "de" / "dev.jsonl"
    own.write_text('{"tokens": ["mine"], "tags": ["O"]}\n')
    hub.fetch("ner", "de", "sw")
    assert own.read_text() == '{"tokens": ["mine"], "tags": ["O"]}\n'
    fetch("ner", ["de"], hub.root, {"google/xtreme": str(hub.root / "nowhere")})


def test_a_configuration_with_all_languages_is_loaded_once_a_call(hub: Hub, loaded: "Counter[str]") -> None:
    hub.fetch("tydiqa", "ar", "en", "sw")
    hub.fetch("xnli", "de", "sw")
    hub.fetch("xnli", "de", "sw")
    assert loaded == {"tydiqa": 1, "XNLI": 1, "de": 1, "sw": 1}


def test_what_a_killed_fetch_left_is_no_language(hub: Hub) -> None:
    hub.fetch("ner", "de")
    (hub.root / "ner" / "de").rename(hub.root / "ner" / ".de.12345")
    hub.fetch("ner", "sw")
    assert FolderData(hub.root, "ner", hub.facts).languages() == ("sw",)


# What goes wrong


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("ner", r"xtreme, PAN-X\.tlh"),
        ("pos", r"xtreme, udpos\.tlh"),
        ("tydiqa", "xtreme, tydiqa: nothing in the language 'tlh'"),
        ("xnli", "xtreme, XNLI: nothing in the language 'tlh'"),
    ],
)
def test_a_language_that_the_hub_lacks_is_a_data_error_that_names_it(hub: Hub, task: str, message: str) -> None:
    before = {"ner": "sw", "pos": "zh", "tydiqa": "sw", "xnli": "sw"}[task]
    with pytest.raises(DataError, match=message):
        hub.fetch(task, before, "tlh", "de")
    assert hub.names(task) == {before}


def test_a_language_without_a_training_set_in_xnli_is_not_half_fetched(hub: Hub) -> None:
    with pytest.raises(DataError, match="xnli, ar: "):
        hub.fetch("xnli", "de", "ar")
    assert hub.names("xnli") == {"de"}


@pytest.mark.parametrize("task", ["ner", "pos", "tydiqa", "xnli"])
def test_a_repository_that_is_not_there_is_a_data_error(hub: Hub, task: str) -> None:
    with pytest.raises(DataError, match="nowhere"):
        fetch(task, ["de"], hub.root, {part.repository: str(hub.root / "nowhere") for part in TASKS[task].hub})
    assert hub.names(task) == set()


def test_a_hub_that_cannot_be_reached_is_a_data_error(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match=r"google/xtreme, udpos\.Chinese: "):
        fetch("pos", ["zh"], hub.root)


def test_a_broken_file_is_a_data_error(hub: Hub) -> None:
    (hub.xtreme.folder / "udpos.Chinese" / "test-00000-of-00001.parquet").write_bytes(b"half a file")
    with pytest.raises(DataError, match=r"xtreme, udpos\.Chinese: "):
        hub.fetch("pos", "zh")
    assert hub.names("pos") == set()


@pytest.mark.parametrize(
    ("task", "configuration", "column", "language"),
    [
        ("ner", "PAN-X.de", "ner_tags", "de"),
        ("pos", "udpos.Chinese", "pos_tags", "zh"),
        ("tydiqa", "tydiqa", "id", "ar"),
        ("tydiqa", "tydiqa", "answers", "ar"),
        ("xnli", "XNLI", "language", "de"),
        ("xnli", "XNLI", "gold_label", "de"),
        ("xnli", "de", "hypothesis", "de"),
    ],
)
def test_a_missing_column_is_a_data_error_that_names_it(
    hub: Hub, task: str, configuration: str, column: str, language: str
) -> None:
    repository = hub.xnli if configuration == "de" else hub.xtreme
    for path in (repository.folder / configuration).iterdir():
        datasets.Dataset.from_parquet(str(path)).remove_columns(column).to_parquet(path)
    with pytest.raises(DataError, match=rf"{configuration}, (train|validation): no column '{column}' among "):
        hub.fetch(task, language)
    assert hub.names(task) == set()


# (task, features, good rows, their split, a language of the last one) of configurations that get a wrong row.
CONFIGURATIONS: dict[str, tuple[str, datasets.Features, Rows, str, str]] = {
    "PAN-X.de": ("ner", PANX, panx("de")["test"], "test", "de"),
    "udpos.German": ("pos", tagged("pos_tags", [*UPOS, "_"]), udpos("Wort")["test"], "test", "de"),
    "tydiqa": ("tydiqa", QUESTIONS, [question("english", "train", 1), question("arabic", "train", 1)], "train", "ar"),
    "XNLI": ("xnli", XTREME_PAIRS, xtreme_pairs(["ar", "de"])["test"], "test", "de"),
    "de": ("xnli", XNLI_PAIRS, xnli_pairs("de")["train"], "train", "de"),
}


@pytest.mark.parametrize(
    ("configuration", "changed", "problem"),
    [
        ("PAN-X.de", {"ner_tags": None}, "'tags' is not a list of strings"),
        ("PAN-X.de", {"ner_tags": [0, None, 0]}, "'tags' is not a list of strings"),
        ("PAN-X.de", {"ner_tags": [0, -1, 0]}, "'tags' is not a list of strings"),
        ("PAN-X.de", {"ner_tags": [0, 0]}, "3 tokens but 2 tags"),
        ("PAN-X.de", {"tokens": [], "ner_tags": []}, "no tokens"),
        ("udpos.German", {"tokens": ["zum", "zu", "dem"], "pos_tags": [17, 1, 5]}, "'_' is not a universal"),
        ("tydiqa", {"answers": {"text": ["zzz"], "answer_start": [0]}}, "at offset 0 .* not the answer 'zzz'"),
        (
            "tydiqa",
            {"context": "arabic" + "." * 30, "answers": {"text": ["arabic"], "answer_start": [25]}},
            "at offset 25 .* not the answer 'arabic'",
        ),
        ("tydiqa", {"answers": {"text": [], "answer_start": []}}, "'answers' of .* is not"),
        ("tydiqa", {"answers": {"text": ["arabic", "1"], "answer_start": [9]}}, "'answers' of .* is not"),
        ("tydiqa", {"answers": None}, "'answers' of .* is not"),
        ("tydiqa", {"context": None}, "'context' is not a string"),
        ("XNLI", {"gold_label": "-"}, "'-' is not a label"),
        ("XNLI", {"sentence2": None}, "'hypothesis' is not a string"),
        ("de", {"label": -1}, "'label' is not a string"),
        ("de", {"label": None}, "'label' is not a string"),
    ],
)
def test_a_row_of_the_wrong_form_is_a_data_error_that_says_where_it_is(
    hub: Hub, configuration: str, changed: Row, problem: str
) -> None:
    task, features, good, split, language = CONFIGURATIONS[configuration]
    repository = hub.xnli if configuration == "de" else hub.xtreme
    repository.add(configuration, features, {split: [*good, good[-1] | changed]})
    with pytest.raises(DataError, match=rf"{configuration}, {split}, row {len(good)}: .*{problem}"):
        hub.fetch(task, language)
    assert hub.names(task) == set()


def test_classes_without_names_are_a_data_error(hub: Hub) -> None:
    numbers = datasets.Features({"tokens": TEXTS, "pos_tags": datasets.List(datasets.Value("int64"))})
    hub.xtreme.add("udpos.Chinese", numbers, udpos("字"))
    with pytest.raises(DataError, match=r"udpos\.Chinese, train, row 0: 'tags' is not a list of strings"):
        hub.fetch("pos", "zh")


def test_a_fetch_that_breaks_off_in_its_last_split_leaves_the_languages_before_it(hub: Hub) -> None:
    splits = panx("hi")
    splits["test"].append({"tokens": ["a"], "ner_tags": None, "langs": []})
    hub.xtreme.add("PAN-X.hi", PANX, splits)
    with pytest.raises(DataError, match=r"PAN-X\.hi, test, row 3"):
        hub.fetch("ner", "de", "hi", "sw")
    assert hub.names("ner") == {"de"}
    assert FolderData(hub.root, "ner", hub.facts).languages() == ("de",)
