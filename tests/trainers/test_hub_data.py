"""The tasks of the hub: fetched from folders laid out as its repositories are, and over HTTP from a hub of our own."""

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import pytest

from hub_server import Fault, Hub
from trainers.artifacts.layout import fetched_data, split_facts
from trainers.data.folder import FolderData
from trainers.data.published_counts import ACCEPT_VARIABLE
from trainers.data.xtreme_r import XtremeRSource, fetch
from trainers.examples import DataError
from trainers.tasks import TASKS
from trainers.trial import DataReference
from xtreme_r_hub import SIZES, repositories

Row = dict[str, Any]
Rows = list[Row]

HUB_SPLITS = {"train": "train", "dev": "validation", "test": "test"}
NER_TAGS = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC"]
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
TEXT = datasets.Value("string")
TEXTS = datasets.List(TEXT)


WIKIANN = datasets.Features(
    {"tokens": TEXTS, "ner_tags": datasets.List(datasets.ClassLabel(names=NER_TAGS)), "langs": TEXTS, "spans": TEXTS}
)
QUESTIONS = datasets.Features(
    {
        **dict.fromkeys(("id", "title", "context", "question"), TEXT),
        "answers": {"answer_start": datasets.List(datasets.Value("int32")), "text": TEXTS},
    }
)
PAIRS = datasets.Features({"premise": TEXT, "hypothesis": TEXT, "label": datasets.ClassLabel(names=LABELS)})


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setenv(ACCEPT_VARIABLE, "1")
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


def wikiann(language: str, number: int = 3) -> dict[str, Rows]:
    return {
        split: [
            {
                "tokens": ["Ängelholm", language, f"{split}-{n}"],
                "ner_tags": [5, 6 if n % 2 else 0, 0],
                "langs": [language] * 3,
                "spans": [f"LOC: {language}"],
            }
            for n in range(number)
        ]
        for split in HUB_SPLITS.values()
    }


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


def pairs(language: str) -> dict[str, Rows]:
    return {
        split: [{"premise": f" {language} p{n}", "hypothesis": f'"{split}" h{n} \t', "label": n % 3} for n in range(4)]
        for split in ("train", "validation", "test")
    }


class Repositories:
    """Those of the hub, and a home to fetch them to."""

    def __init__(self, folder: Path) -> None:
        self.of = {
            name: Repository(folder / name) for name in ("unimelb-nlp/wikiann", "facebook/xnli", "google/xtreme")
        }
        self.home = folder / "home"
        self.root = fetched_data(self.home, "xtreme-r")

    @property
    def wikiann(self) -> Repository:
        return self.of["unimelb-nlp/wikiann"]

    @property
    def xnli(self) -> Repository:
        return self.of["facebook/xnli"]

    @property
    def xtreme(self) -> Repository:
        return self.of["google/xtreme"]

    def fetch(self, task: str, *languages: str) -> list[str]:
        """Returns what was told."""
        told: list[str] = []
        fetch(task, languages, self.home, told.append)
        return told

    def lines(self, task: str, language: str) -> dict[str, Rows]:
        """The splits in a language's folder."""
        return {
            path.stem: [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            for path in sorted((self.root / task / language).glob("*.jsonl"))
        }

    def names(self, task: str) -> set[str]:
        """All that lies in a task's folder, unfinished things too."""
        return {path.name for path in (self.root / task).glob("*")}

    def data(self, task: str) -> FolderData:
        return FolderData(self.root, task, split_facts(self.home))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Repositories:
    made = Repositories(tmp_path_factory.mktemp("hub"))
    for language in ("de", "sw"):
        made.wikiann.add(language, WIKIANN, wikiann(language))
        made.xnli.add(language, PAIRS, pairs(language))
    made.xtreme.add("tydiqa", QUESTIONS, tydiqa(["swahili", "arabic", "english"]))
    return made


@pytest.fixture
def hub(made: Repositories, tmp_path: Path, loaded: "Counter[str]") -> Repositories:
    hub = Repositories(tmp_path)
    for name, repository in made.of.items():
        shutil.copytree(repository.folder, hub.of[name].folder)
        hub.of[name].card = dict(repository.card)
    return hub


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Counter[str]":
    """How often each configuration is loaded; they are loaded from folders with the names of the repositories."""
    counts: Counter[str] = Counter()
    load: Callable[..., Any] = datasets.load_dataset

    def from_folder(repository: str, configuration: str) -> Any:
        counts[configuration] += 1
        return load(str(tmp_path / repository), configuration)

    monkeypatch.setattr(datasets, "load_dataset", from_folder)
    return counts


# What is fetched


def test_ner_has_the_three_splits_with_tags_as_words(hub: Repositories) -> None:
    hub.fetch("ner", "de", "sw")
    for language in ("de", "sw"):
        rows = wikiann(language)
        assert hub.lines("ner", language) == {
            split: [{"tokens": r["tokens"], "tags": [NER_TAGS[tag] for tag in r["ner_tags"]]} for r in rows[hub_split]]
            for split, hub_split in HUB_SPLITS.items()
        }
    assert hub.names("ner") == {"de", "sw"}


def test_tydiqa_has_its_languages_apart_and_no_test_set(hub: Repositories) -> None:
    hub.fetch("tydiqa", "ar", "en", "sw")
    for language in ("ar", "en", "sw"):
        rows = {split: [question(TYDI[language], split, n) for n in range(5)] for split in ("train", "validation")}
        columns = ("id", "context", "question", "answers")
        expected = {split: [{column: row[column] for column in columns} for row in rows[split]] for split in rows}
        assert hub.lines("tydiqa", language) == {"train": expected["train"], "dev": expected["validation"][:2]}


def test_xnli_has_its_quotes_and_no_blanks_around_sentences(hub: Repositories) -> None:
    hub.fetch("xnli", "de", "sw")
    for language in ("de", "sw"):
        assert hub.lines("xnli", language) == {
            split: [
                {
                    "id": f"{split}-{n}",
                    "premise": f"{language} p{n}",
                    "hypothesis": f'"{hub_split}" h{n}',
                    "label": LABELS[n % 3],
                }
                for n in range(4)
            ]
            for split, hub_split in HUB_SPLITS.items()
        }


@pytest.mark.parametrize(("task", "language"), [("ner", "de"), ("tydiqa", "ar"), ("xnli", "sw")])
def test_what_is_fetched_is_read_as_a_folder(hub: Repositories, task: str, language: str) -> None:
    hub.fetch(task, language)
    data = hub.data(task)
    assert data.languages() == (language,)
    for split in ("train", "dev", "test"):
        assert data.facts(language, split).examples == len(data.examples(language, split)) > 0


def test_all_languages_of_tydiqa_have_the_hubs_names(hub: Repositories) -> None:
    assert set(TASKS["tydiqa"].languages) == set(TYDI)
    hub.xtreme.add("tydiqa", QUESTIONS, tydiqa(list(TYDI.values())))
    hub.fetch("tydiqa", *TYDI)
    for language, name in TYDI.items():
        assert [row["id"] for row in hub.lines("tydiqa", language)["dev"]] == [f"{name}-validation-{n}" for n in (0, 1)]


def test_a_card_that_describes_its_columns_as_the_hubs_does(hub: Repositories) -> None:
    classes = "".join(f"          '{number}': {tag}\n" for number, tag in enumerate(NER_TAGS))
    described = "- config_name: de\n  features:\n  - name: tokens\n    sequence: string\n"
    described += f"  - name: ner_tags\n    sequence:\n      class_label:\n        names:\n{classes}"
    described += "".join(f"  - name: {name}\n    sequence: string\n" for name in ("langs", "spans"))
    hub.wikiann.write_card(f"dataset_info:\n{described}")
    described = "- config_name: tydiqa\n  features:\n"
    described += "".join(f"  - name: {name}\n    dtype: string\n" for name in ("id", "title", "context", "question"))
    described += "  - name: answers\n    sequence:\n    - name: answer_start\n      dtype: int32\n"
    described += "    - name: text\n      dtype: string\n"
    hub.xtreme.write_card(f"dataset_info:\n{described}")
    hub.fetch("ner", "de")
    hub.fetch("tydiqa", "ar")
    assert hub.lines("ner", "de")["test"][0]["tags"] == ["B-LOC", "O", "O"]
    assert hub.lines("tydiqa", "ar")["dev"][1]["answers"] == {"text": ["arabic", "1"], "answer_start": [9, 4]}


def test_a_split_without_a_row_in_a_language_is_left_out(hub: Repositories) -> None:
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
    hub: Repositories, context: str, answer: str, offset: int, place: int
) -> None:
    row = question("english", "train", 0) | {
        "context": context,
        "answers": {"text": [answer], "answer_start": [offset]},
    }
    hub.xtreme.add("tydiqa", QUESTIONS, {"train": [row]})
    hub.fetch("tydiqa", "en")
    assert hub.lines("tydiqa", "en")["train"][0]["answers"] == {"text": [answer], "answer_start": [place]}


# What stays, and how often the hub is asked


def test_what_lies_there_already_stays(hub: Repositories) -> None:
    hub.fetch("ner", "de")
    own = hub.root / "ner" / "de" / "dev.jsonl"
    own.write_text('{"tokens": ["mine"], "tags": ["O"]}\n')
    hub.fetch("ner", "de", "sw")
    assert own.read_text() == '{"tokens": ["mine"], "tags": ["O"]}\n'


def test_a_configuration_with_all_languages_is_loaded_once_a_call(hub: Repositories, loaded: "Counter[str]") -> None:
    hub.fetch("tydiqa", "ar", "en", "sw")
    hub.fetch("xnli", "de", "sw")
    hub.fetch("xnli", "de", "sw")
    assert loaded == {"tydiqa": 1, "de": 1, "sw": 1}


def test_what_a_killed_fetch_left_is_no_language(hub: Repositories) -> None:
    hub.fetch("ner", "de")
    (hub.root / "ner" / "de").rename(hub.root / "ner" / ".de.12345")
    hub.fetch("ner", "sw")
    assert hub.data("ner").languages() == ("sw",)


# What goes wrong


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("ner", "unimelb-nlp/wikiann, tlh: "),
        ("tydiqa", "google/xtreme, tydiqa: nothing in the language 'tlh'"),
        ("xnli", "facebook/xnli, tlh: "),
    ],
)
def test_a_language_that_the_hub_lacks_is_a_data_error_that_names_it(
    hub: Repositories, task: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        hub.fetch(task, "sw", "tlh", "de")
    assert hub.names(task) == {"sw"}


def test_a_broken_file_is_a_data_error(hub: Repositories) -> None:
    (hub.wikiann.folder / "de" / "test-00000-of-00001.parquet").write_bytes(b"half a file")
    with pytest.raises(DataError, match="unimelb-nlp/wikiann, de: "):
        hub.fetch("ner", "de")
    assert hub.names("ner") == set()


@pytest.mark.parametrize(
    ("task", "language", "column"),
    [("ner", "de", "ner_tags"), ("tydiqa", "ar", "id"), ("tydiqa", "ar", "answers"), ("xnli", "de", "hypothesis")],
)
def test_a_missing_column_is_a_data_error_that_names_it(
    hub: Repositories, task: str, language: str, column: str
) -> None:
    [part] = TASKS[task].hub
    configuration = part.configuration(language)
    for path in (hub.of[part.repository].folder / configuration).iterdir():
        datasets.Dataset.from_parquet(str(path)).remove_columns(column).to_parquet(path)
    with pytest.raises(DataError, match=rf"{configuration}, (train|validation): no column '{column}' among "):
        hub.fetch(task, language)
    assert hub.names(task) == set()


# Features, good rows, their split and a language of the last one, by task.
LAST: dict[str, tuple[datasets.Features, Rows, str, str]] = {
    "ner": (WIKIANN, wikiann("de")["test"], "test", "de"),
    "tydiqa": (QUESTIONS, [question("english", "train", 1), question("arabic", "train", 1)], "train", "ar"),
    "xnli": (PAIRS, pairs("de")["train"], "train", "de"),
}


@pytest.mark.parametrize(
    ("task", "changed", "problem"),
    [
        ("ner", {"ner_tags": None}, "'tags' is not a list of strings"),
        ("ner", {"ner_tags": [0, None, 0]}, "'tags' is not a list of strings"),
        ("ner", {"ner_tags": [0, -1, 0]}, "'tags' is not a list of strings"),
        ("ner", {"ner_tags": [0, 0]}, "3 tokens but 2 tags"),
        ("ner", {"tokens": [], "ner_tags": []}, "no tokens"),
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
        ("xnli", {"premise": None}, "'premise' is not a string"),
        ("xnli", {"label": -1}, "'label' is not a string"),
        ("xnli", {"label": None}, "'label' is not a string"),
    ],
)
def test_a_row_of_the_wrong_form_is_a_data_error_that_says_where_it_is(
    hub: Repositories, task: str, changed: Row, problem: str
) -> None:
    features, good, split, language = LAST[task]
    [part] = TASKS[task].hub
    configuration = part.configuration(language)
    hub.of[part.repository].add(configuration, features, {split: [*good, good[-1] | changed]})
    with pytest.raises(DataError, match=rf"{configuration}, {split}, row {len(good)}: .*{problem}"):
        hub.fetch(task, language)
    assert hub.names(task) == set()


def test_classes_without_names_are_a_data_error(hub: Repositories) -> None:
    numbers = datasets.Features({**WIKIANN, "ner_tags": datasets.List(datasets.Value("int64"))})
    hub.wikiann.add("de", numbers, wikiann("de"))
    with pytest.raises(DataError, match=r"wikiann, de, train, row 0: 'tags' is not a list of strings"):
        hub.fetch("ner", "de")


def test_a_fetch_that_breaks_off_in_its_last_split_leaves_the_languages_before_it(hub: Repositories) -> None:
    splits = wikiann("hi")
    splits["test"].append({"tokens": ["a"], "ner_tags": None, "langs": [], "spans": []})
    hub.wikiann.add("hi", WIKIANN, splits)
    with pytest.raises(DataError, match=r"wikiann, hi, test, row 3"):
        hub.fetch("ner", "de", "hi", "sw")
    assert hub.names("ner") == {"de"}
    assert hub.data("ner").languages() == ("de",)


# What is told, and the facts


def test_each_language_is_told_once_when_it_is_fetched(hub: Repositories) -> None:
    assert hub.fetch("ner", "de", "sw") == ["fetching ner: de (1 of 2)", "fetching ner: sw (2 of 2)"]
    assert hub.fetch("ner", "de", "sw") == []


def test_the_facts_of_what_was_fetched_are_known_without_reading_it(hub: Repositories) -> None:
    hub.fetch("ner", "de", "sw")
    hub.fetch("tydiqa", "ar")
    for path in hub.root.glob("*/*/*.jsonl"):
        status = path.stat()
        path.write_bytes(b"\0" * status.st_size)  # what reads it is told by an error
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    for task, language in (("ner", "de"), ("ner", "sw"), ("tydiqa", "ar")):
        assert [hub.data(task).facts(language, split).examples > 0 for split in ("train", "dev", "test")] == [True] * 3


# Numbers of examples


def test_a_verified_number_that_differs_refuses_the_language(
    hub: Repositories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(ACCEPT_VARIABLE)
    with pytest.raises(DataError, match=r"ner, de: train has 3 examples instead of 20,000, dev has 3 .*=1 accepts"):
        hub.fetch("ner", "de")
    assert hub.names("ner") == set()


def test_what_was_accepted_is_refused_later_by_a_service_that_does_not_accept_it(
    hub: Repositories, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted = fetch("xnli", ["sw"], hub.home, print)
    assert accepted == fetch("xnli", ["sw"], hub.home, print) != []
    monkeypatch.setenv(ACCEPT_VARIABLE, "0")
    with pytest.raises(DataError, match="xnli, sw: train has 4 examples instead of 392,702"):
        hub.fetch("xnli", "sw")


def test_a_number_that_is_not_verified_is_told_each_time(hub: Repositories) -> None:
    hub.wikiann.add("az", WIKIANN, wikiann("az"))
    warning = (
        "warning: ner, az: train has 3 examples instead of 10,000, dev has 3 examples instead of 1,000,"
        " test has 3 examples instead of 1,000 (not verified)"
    )
    assert hub.fetch("ner", "az") == ["fetching ner: az (1 of 1)", warning]
    assert hub.fetch("ner", "az") == [warning]
    assert fetch("ner", ["az"], hub.home, print) == []


# Over HTTP


@pytest.fixture
def online(tmp_path: Path) -> Iterator[Hub]:
    with Hub(repositories("facebook/xnli")) as hub, hub.patched(tmp_path / "huggingface"):
        yield hub


def test_what_is_fetched_over_http_is_what_is_there(online: Hub, tmp_path: Path) -> None:
    told: list[str] = []
    fetch("xnli", ["de", "sw"], tmp_path / "home", told.append)
    data = XtremeRSource().open(DataReference("xtreme-r", None), "xnli", tmp_path / "home")
    assert data.languages() == ("de", "sw")
    assert [example["premise"][-3:] for example in data.examples("sw", "train")] == [" sw"] * SIZES["train"]


@pytest.mark.parametrize(
    "fault",
    [
        Fault(path="*/sw/train-*.parquet", status=503, times=9),
        Fault(path="*/sw/train-*.parquet", status=429, retry_after=9, times=5),
        Fault(path="*/sw/*.parquet", break_after=100, times=9),
        Fault(path="*/sw/*.parquet", break_after=100, reset=True, times=3),
        Fault(path="/api/datasets/*", status=500, times=3),
    ],
    ids=["503", "429", "broken", "reset", "500"],
)
def test_an_interruption_that_passes_is_waited_out(
    online: Hub, tmp_path: Path, waited: list[float], fault: Fault
) -> None:
    online.order(fault)
    told: list[str] = []
    fetch("xnli", ["sw"], tmp_path / "home", told.append)
    assert waited
    assert "fetching xnli: sw (1 of 1): facebook/xnli, sw: " in told[1]
    assert "the next attempt is in" in told[1]


def test_a_server_that_asks_to_wait_too_long_is_not_waited_for(
    online: Hub, tmp_path: Path, waited: list[float]
) -> None:
    online.order(Fault(path="*/sw/train-*.parquet", status=429, retry_after=100_000, times=None))
    with pytest.raises(DataError, match=r"\(HTTP 429, and the server asks to wait 100000 s\)"):
        fetch("xnli", ["sw"], tmp_path / "home", print)
    assert not [seconds for seconds in waited if seconds > 600]


def test_an_interruption_that_stays_is_a_data_error_and_the_next_attempt_goes_on(
    online: Hub, tmp_path: Path, waited: list[float]
) -> None:
    fault = Fault(path="*/sw/test-*.parquet", status=503, times=None)
    online.order(fault)
    with pytest.raises(DataError, match=r"facebook/xnli, sw could not be fetched \(HTTP 503\)"):
        fetch("xnli", ["de", "sw"], tmp_path / "home", print)
    before = len(online.requests)
    fault.times = 0
    fetch("xnli", ["de", "sw"], tmp_path / "home", print)
    again = [request.path for request in online.requests[before:] if request.method == "GET" and request.sent > 0]
    assert not [path for path in again if "/de/" in path or "sw/train" in path]
