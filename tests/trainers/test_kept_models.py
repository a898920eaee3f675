"""Models that a trial keeps: source models, trained once and shared, and those that are asked for."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from trainers.trial import Trial

Make = Callable[..., Trial]
Train = Callable[[Trial], Any]


def weights(model: Path) -> bytes:
    [path] = model.rglob("*.safetensors")
    return path.read_bytes()


def test_adapting_trains_the_source_model_that_it_lacks_and_gives_the_same_as_with_one(
    train: Train, make_trial: Make, tmp_path: Path
) -> None:
    source = train(make_trial("zero-shot", home=tmp_path / "with"))
    [stored] = (tmp_path / "with" / "models").iterdir()
    with_one = train(make_trial("ord-FS", home=tmp_path / "with"))
    without = train(make_trial("ord-FS", home=tmp_path / "without"))
    assert with_one.essence == without.essence
    [trained] = (tmp_path / "without" / "models").iterdir()
    assert trained.name == stored.name
    assert weights(trained) == weights(stored)
    of_both = [[score.value for score in done.outcome.scores] for done in (with_one, source)]
    assert of_both[0] != of_both[1]
    again = train(make_trial("zero-shot", home=tmp_path / "without"))
    assert again.essence == source.essence


@pytest.mark.service
def test_two_processes_that_want_the_same_source_model_train_it_once(
    train: Train, make_trial: Make, tmp_path: Path
) -> None:
    code = """
import json, sys
from pathlib import Path
import trainers
from trainers.training import loop
from trainers.trial import DataReference, Trial, TrialConfig, Wanted
config, source = (TrialConfig.from_dict(json.loads(one)) for one in sys.argv[1:3])
trained = []
class Watched(loop.Loop):
    def __init__(self, *arguments):
        trained.append(len(arguments[1].examples))
        super().__init__(*arguments)
loop.Loop = Watched
trial = Trial(config=config, source=source, data=DataReference("sample"), max_test_examples=20,
              wanted=Wanted(selections=("last",), evaluate=dict(de="")), home=Path(sys.argv[3]))
outcome = trainers.run(trial, lambda report: None)
json.dump([trained, outcome.scores[0].value], sys.stdout)
"""
    alone = make_trial("ord-FS", evaluate=("de",), home=tmp_path / "alone")
    assert alone.source is not None
    expected = [
        train(make_trial("ord-FS", evaluate=("de",), home=tmp_path / "alone", k=k, source=alone.source))
        .outcome.scores[0]
        .value
        for k in (3, 2)
    ]
    processes = []
    for k in (3, 2):  # two trials, and one source training
        given = [json.dumps(asdict(one)) for one in (replace(alone.config, k=k), alone.source)]
        command = [sys.executable, "-c", code, *given, str(tmp_path / "both")]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    answers = [json.loads(process.communicate()[0]) for process in processes]
    source_trainings = [size for sizes, _ in answers for size in sizes if size > 3]
    assert len(source_trainings) == 1
    assert [value for _, value in answers] == expected


def test_adapting_to_each_target_starts_from_the_same_source_model(train: Train, make_trial: Make) -> None:
    train(make_trial("ord-FS"))
    before = {path: path.read_bytes() for path in (make_trial("ord-FS").home / "models").rglob("*.safetensors")}
    train(make_trial("ord-FS", target_languages=("hi",)))
    after = {path: path.read_bytes() for path in (make_trial("ord-FS").home / "models").rglob("*.safetensors")}
    assert after == before
    assert len(before) == 1


def test_adapting_without_a_source_training_is_refused(train: Train, make_trial: Make) -> None:
    with pytest.raises(ValueError, match="starts from a source training"):
        train(make_trial("ord-FS", source=None))


def test_zero_shot_a_second_time_reports_again_without_training_and_scores_further_languages(
    train: Train, make_trial: Make
) -> None:
    first = train(make_trial("zero-shot", evaluate=("en",)))
    second = train(make_trial("zero-shot", evaluate=("en", "zh", "sw")))
    assert second.reports == first.reports  # examples per second included: nothing was trained
    assert second.test_scores["en"] == first.test_scores["en"]
    assert list(second.test_scores) == ["en", "zh", "sw"]
    assert [one.outcome.facts["work"]["training"]["steps"] > 0 for one in (first, second)] == [True, False]
    fresh = train(make_trial("zero-shot", evaluate=("zh", "sw"), home=make_trial("zero-shot").home / "fresh"))
    assert fresh.test_scores == {language: second.test_scores[language] for language in ("zh", "sw")}


@pytest.mark.parametrize("method", ["ord-FS", "gradient-mix-train"])
def test_models_stay_only_if_they_are_to_be_kept(train: Train, make_trial: Make, method: str) -> None:
    trial = make_trial(method)
    train(trial)
    kept = {path.name for path in (trial.home / "models").glob("*")}
    assert kept == ({trial.source.digest} if trial.source else set())
    train(replace(trial, wanted=replace(trial.wanted, keep=True)))
    assert {path.name for path in (trial.home / "models").glob("*")} == kept | {trial.config.digest}


def test_what_a_killed_process_left_half_written_is_no_model(train: Train, make_trial: Make) -> None:
    trial = make_trial("zero-shot")
    first = train(trial)
    [version] = (trial.home / "models" / trial.config.digest / "source-dev").iterdir()
    half = version.with_name(".1.12345")
    version.rename(half)
    (half / "state.json").unlink()
    assert train(trial).essence == first.essence
    assert version.is_dir()
    assert not half.exists()
