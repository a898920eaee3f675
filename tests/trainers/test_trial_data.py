"""The splits that a trial reads, and those that it must not need."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainers.data import sample
from trainers.examples import DataError
from trainers.methods import NAMED
from trainers.trial import DataReference, Trial

Make = Callable[..., Trial]
Train = Callable[[Trial], Any]


@pytest.fixture
def folder(tmp_path: Path) -> DataReference:
    """A folder with some of the sample in English and German."""
    for language in ("en", "de"):
        for split in ("train", "dev", "test"):
            path = tmp_path / "data" / "ner" / language / f"{split}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = [json.dumps(one) for one in sample.examples("ner", language, split)[:100]]
            path.write_text("\n".join(lines))
    return DataReference("folder", tmp_path / "data")


def remove(data: DataReference, language: str, split: str) -> None:
    (data.location / "ner" / language / f"{split}.jsonl").unlink()


def test_the_scores_are_those_of_the_selected_weights_not_of_the_last(
    train: Train, make_trial: Make, folder: DataReference
) -> None:
    source = folder.location / "ner" / "en"
    shutil.copy(source / "dev.jsonl", source / "test.jsonl")  # the selected epoch's dev score is then the test score
    earlier = 0
    for seed in range(1, 7):
        longer = {"epochs": 4, "learning_rate": 3e-2, "seed": seed}
        done = train(make_trial("zero-shot", data=folder, evaluate=("en",), max_test_examples=None, **longer))
        values = [report.scores[0].value for report in done.reports]
        assert done.test_scores["en"].value == max(values)
        earlier += max(values) > values[-1]
    assert earlier > 0


def test_the_first_of_equal_epochs_is_selected_stored_and_adapted(
    train: Train, make_trial: Make, folder: DataReference, tmp_path: Path
) -> None:
    dev = folder.location / "ner" / "en" / "dev.jsonl"
    dev.write_text('{"tokens": ["It", "rains"], "tags": ["O", "O"]}\n')  # F1 is 0 whatever is predicted
    first = train(make_trial("zero-shot", data=folder, evaluate=("en", "de")))
    assert first.outcome.selected == {"source-dev": first.reports[0].step}
    assert train(make_trial("zero-shot", data=folder, evaluate=("en", "de"))).essence == first.essence


def test_a_target_dev_set_is_never_read(train: Train, make_trial: Make, folder: DataReference) -> None:
    remove(folder, "de", "dev")
    for method in (name for name, one in NAMED.items() if one.selection != "target-dev"):
        targets = () if method == "zero-shot" else ("de",)
        done = train(make_trial(method, data=folder, evaluate=("en", "de"), target_languages=targets))
        assert list(done.test_scores) == ["en", "de"]


def test_adapting_reads_no_dev_set_once_the_source_model_is_there(
    train: Train, make_trial: Make, folder: DataReference
) -> None:
    train(make_trial("zero-shot", data=folder, evaluate=()))
    remove(folder, "en", "dev")
    remove(folder, "de", "dev")
    done = train(make_trial("ord-FS", data=folder, evaluate=("de",)))
    assert list(done.test_scores) == ["de"]


@pytest.mark.parametrize("method", ["zero-shot", "naive-mix-train", "gradient-mix-train"])
def test_methods_that_select_on_source_dev_need_it(
    train: Train, make_trial: Make, folder: DataReference, method: str
) -> None:
    remove(folder, "en", "dev")
    targets = () if method == "zero-shot" else ("de",)
    trial = make_trial(method, data=folder, evaluate=("en",), target_languages=targets)
    with pytest.raises(DataError, match=r"en/dev\.jsonl does not exist"):
        train(trial)
    assert not (trial.home / "models").exists()


def test_training_reads_no_test_set(train: Train, make_trial: Make, folder: DataReference) -> None:
    remove(folder, "en", "test")
    remove(folder, "de", "test")
    done = train(make_trial("naive-mix-train", data=folder, evaluate=(), target_languages=("de",)))
    assert done.outcome.scores == ()


def test_too_few_examples_for_the_shots_are_refused(train: Train, make_trial: Make) -> None:
    with pytest.raises(ValueError, match="de: 61 shots asked of 60 examples"):
        train(make_trial("naive-mix-train", k=61))
