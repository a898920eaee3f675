"""The published numbers of examples: the table, and what is compared with it."""

import pytest

from trainers.data.published_counts import ACCEPT_VARIABLE, Differences, published_counts
from trainers.data.treebanks import treebank_files
from trainers.examples import DataError
from trainers.tasks import TASKS

SOURCES = {"scripts": True, "statistics": True, "cards": True, "card": False, "sum": False}


def of(task: str) -> dict[tuple[str, str], int]:
    return {
        (count.language, count.split): count.examples
        for (name, _), counts in published_counts().items()
        if name == task
        for count in counts
    }


def test_every_split_has_a_number_but_for_one() -> None:
    whole = ("train", "dev", "test")
    expected = {
        "ner": {(language, split) for language in TASKS["ner"].languages for split in whole},
        "xnli": {(language, split) for language in TASKS["xnli"].languages for split in whole},
        "pawsx": {(language, split) for language in TASKS["pawsx"].languages for split in whole},
        "tydiqa": {(language, split) for language in TASKS["tydiqa"].languages for split in ("train", "dev")},
        "pos": {(one.language, one.split) for one in treebank_files()} - {("fr", "train")},
    }
    assert {task: set(of(task)) for task in expected} == expected
    assert {task for task, _ in published_counts()} == set(expected)


def test_a_number_is_verified_by_its_source() -> None:
    counts = [count for counts in published_counts().values() for count in counts]
    assert {(count.source, count.is_verified) for count in counts} == set(SOURCES.items())


def test_the_numbers_are_those_that_the_publishers_give_in_sum() -> None:
    tydiqa, xnli = of("tydiqa"), of("xnli")
    for split, total in {"train": 49_881, "dev": 5_077}.items():
        assert sum(number for (_, name), number in tydiqa.items() if name == split) == total
    for split, number in {"train": 392_702, "dev": 2_490, "test": 5_010}.items():
        assert {xnli[language, split] for language in TASKS["xnli"].languages} == {number}
    assert {of("ner")[language, "train"] for language in ("gu", "jv", "my", "pa", "qu", "yo")} == {100}


def test_equal_numbers_say_nothing() -> None:
    differences = Differences()
    differences.compare("ner", "de", {"train": 20_000, "dev": 10_000, "test": 10_000})
    differences.compare("pos", "kk", {"train": 31, "test": 1_047})
    differences.compare("color", "de", {"train": 1})
    assert vars(differences) == {"accepted": [], "warnings": []}


def test_a_verified_number_that_differs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ACCEPT_VARIABLE, raising=False)
    message = r"not as published: ner, de: train has 19,999 examples instead of 20,000, test has 0 examples instead of"
    with pytest.raises(DataError, match=message):
        Differences().compare("ner", "de", {"train": 19_999, "dev": 10_000})


def test_or_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ACCEPT_VARIABLE, "1")
    differences = Differences()
    differences.compare("tydiqa", "ko", {"train": 1_626, "dev": 276})
    assert differences.accepted == ["tydiqa, ko: train has 1,626 examples instead of 1,625"]
    assert not differences.warnings


def test_one_that_is_not_verified_is_a_warning() -> None:
    differences = Differences()
    differences.compare("tydiqa", "fi", {"train": 6_000, "dev": 782})
    assert differences.warnings == ["tydiqa, fi: train has 6,000 examples instead of 6,855 (not verified)"]
    assert not differences.accepted
