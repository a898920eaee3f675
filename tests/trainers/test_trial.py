"""Whole trials with a tiny encoder: every method, repeatable to the bit, and what they leave behind."""

import errno
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

import trainers
from trainers.artifacts import atomic as disk
from trainers.data import sample, shots
from trainers.data.sources import open_data
from trainers.examples import DataError, evaluation_data
from trainers.methods import METHODS
from trainers.training.loop import Loop
from trainers.trial import DataReference, Outcome, Report, Score, Trial

SAMPLE = DataReference("sample")
TARGETS = ("de", "hi")
EVALUATE = ("en", "de", "hi")
NUMBER_OF_TESTS = 20

Make = Callable[..., Trial]


def losses(done: "Run") -> list[float]:
    return [report.measures["loss"] for report in done.reports]


@dataclass
class Run:
    """What a trial tells while it runs, and what it comes to."""

    reports: list[Report]
    outcome: Outcome


def run(trial: Trial) -> Run:
    reports: list[Report] = []
    outcome = trainers.run(trial, reports.append)
    return Run(reports, outcome)


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: without_times(part)
            for name, part in value.items()
            if name not in {"seconds", "examples_per_second", "steps_per_second", "work", "sizes"}
        }
    return [without_times(part) for part in value] if isinstance(value, list | tuple) else value


def essence(done: Run) -> list[Any]:
    """What a run tells as plain data, but for what depends on the clock and on what this attempt had to do itself."""
    return [without_times(part.to_dict()) for part in (*done.reports, done.outcome)]


def weights(model: Path) -> bytes:
    [path] = model.rglob("*.safetensors")
    return path.read_bytes()


def scores_on_test(done: Run) -> dict[str, Score]:
    return {score.language: score for score in done.outcome.scores}


EVERY_METHOD = list(METHODS)


@pytest.mark.parametrize("method", EVERY_METHOD)
def test_a_trial_scores_the_selected_weights_on_every_language(make_trial: Make, method: str) -> None:
    trial = make_trial(method)
    done = run(trial)
    assert [report.epoch for report in done.reports] == [1, 2]
    data = open_data(SAMPLE, "ner", trial.home)
    assert tuple(scores_on_test(done)) == EVALUATE
    [step] = done.outcome.selected.values()
    for language, score in scores_on_test(done).items():
        facts = data.facts(language, "test")
        assert 0.0 <= score.value <= 100.0
        assert (score.split, score.metric, score.examples, score.step) == ("test", "f1", NUMBER_OF_TESTS, step)
        assert score.cut
        assert score.data == evaluation_data(facts, NUMBER_OF_TESTS) != facts.digest
    assert losses(done)[-1] < losses(done)[0]
    facts = done.outcome.facts
    assert list(facts["shots"]) == list(trial.config.target_languages)
    for language in trial.config.target_languages:
        train = data.facts(language, "train")
        expected = shots.draw(train.digest, language, [""] * train.examples, 3, 1)
        drawn = facts["shots"][language]
        assert (drawn["split"], drawn["digest"]) == ("train", expected.digest)
        assert drawn["indices"] == drawn["ids"] == list(expected.indices)
    assert facts["training"] == done.reports[-1].measures
    assert facts["work"]["training"]["steps"] == done.reports[-1].step
    assert 0 < facts["work"]["training"]["seconds"] + facts["work"]["evaluation"]["seconds"] < facts["seconds"]
    assert facts["threads"] == 1
    assert facts["packages"]["torch"].startswith("2.")


ON_SOURCE_DEV = [name for name, method in METHODS.items() if method.selection is None]


@pytest.mark.parametrize("method", ON_SOURCE_DEV)
def test_the_first_epoch_with_the_best_source_dev_score_is_selected(make_trial: Make, method: str) -> None:
    done = run(make_trial(method))
    for report in done.reports:
        [score] = report.scores
        assert (score.language, score.split, score.metric) == ("en", "dev", "f1")
        assert (score.examples, score.cut, score.step, score.epoch) == (120, False, report.step, report.epoch)
    values = [report.scores[0].value for report in done.reports]
    best = done.reports[values.index(max(values))]
    assert max(values) > 0
    assert done.outcome.selected == {"source-dev": best.step}
    assert {(score.epoch, score.step) for score in done.outcome.scores} == {(best.epoch, best.step)}


@pytest.mark.parametrize("method", ["ord-FS", "mix-FT"])
def test_adapting_selects_nothing_but_its_last_epoch_and_takes_batches_of_k(make_trial: Make, method: str) -> None:
    done = run(make_trial(method))
    steps = len(make_trial(method).config.target_languages)
    assert [(report.step, report.scores) for report in done.reports] == [(steps, ()), (2 * steps, ())]
    assert done.outcome.selected == {"last": 2 * steps}
    assert all(score.split == "test" for score in done.outcome.scores)


def test_one_run_yields_the_last_and_the_best_on_target_dev_of_one_trajectory(make_trial: Make) -> None:
    both = run(make_trial("ord-FS", epochs=6, selections=("last", "target-dev")))
    alone = run(make_trial("ord-FS", epochs=6))
    of_dev = run(make_trial("ord-FS+dev", epochs=6))
    values = [report.scores[0].value for report in both.reports]
    best = both.reports[values.index(max(values))]
    assert [score.language for report in both.reports for score in report.scores] == ["de"] * 6
    assert both.outcome.selected == {"last": 6, "target-dev": best.step}
    assert alone.outcome.selected == {"last": 6}
    assert of_dev.outcome.selected == {"target-dev": best.step}
    assert losses(both) == losses(alone)
    last = [score for score in both.outcome.scores if score.step == 6]
    assert last == list(alone.outcome.scores)
    assert [score for score in both.outcome.scores if score.step == best.step] == list(of_dev.outcome.scores)


def test_steps_are_counted_over_source_and_shots_together(make_trial: Make) -> None:
    assert run(make_trial("zero-shot")).reports[-1].step == 2 * 6
    assert run(make_trial("naive-mix-train")).reports[-1].step == 2 * 7  # 96 + 2 languages x 3 shots, 16 in a batch


def test_without_a_limit_the_whole_test_split_is_scored(make_trial: Make) -> None:
    trial = make_trial("zero-shot", max_test_examples=None, evaluate=("en", "zh"))
    data = open_data(SAMPLE, "ner", trial.home)
    for language, score in scores_on_test(run(trial)).items():
        facts = data.facts(language, "test")
        assert (score.cut, score.examples, score.data) == (False, facts.examples, facts.digest)


def test_a_limit_beyond_the_test_split_cuts_nothing(make_trial: Make) -> None:
    trial = make_trial("zero-shot", max_test_examples=10_000, evaluate=("de",))
    score = scores_on_test(run(trial))["de"]
    assert (score.cut, score.examples) == (False, 120)
    assert score.data == open_data(SAMPLE, "ner", trial.home).facts("de", "test").digest


def test_a_languages_score_does_not_depend_on_which_others_are_scored(make_trial: Make, tmp_path: Path) -> None:
    alone = run(make_trial("naive-mix-train", evaluate=("hi",)))
    together = run(make_trial("naive-mix-train", evaluate=("zh", "hi", "en", "sw")))
    assert scores_on_test(alone)["hi"] == scores_on_test(together)["hi"]


@pytest.mark.parametrize("method", EVERY_METHOD)
def test_the_same_trial_gives_the_same_bits_also_after_another_in_the_same_process(
    make_trial: Make, tmp_path: Path, method: str
) -> None:
    first = run(make_trial(method, home=tmp_path / "first"))
    other = run(make_trial("gradient-mix-train", home=tmp_path / "other", seed=2))
    second = run(make_trial(method, home=tmp_path / "second"))
    assert essence(first) == essence(second)
    assert essence(first) != essence(other)


def test_the_same_trial_gives_the_same_bits_in_a_process_of_its_own(make_trial: Make, tmp_path: Path) -> None:
    trial = make_trial("gradient-mix-train")
    here = essence(run(trial))
    code = f"""
import json, sys
from pathlib import Path
import trainers
from trainers.trial import DataReference, Trial, TrialConfig, Wanted
config = TrialConfig.from_dict(json.loads({json.dumps(asdict(trial.config))!r}))
wanted = Wanted(selections={trial.wanted.selections}, evaluate={dict.fromkeys(EVALUATE, "")})
there = Path({str(tmp_path / "there")!r})
trial = Trial(config=config, source=None, data=DataReference("sample"), wanted=wanted,
              max_test_examples={NUMBER_OF_TESTS}, home=there)
reports = []
outcome = trainers.run(trial, reports.append)
json.dump([part.to_dict() for part in (*reports, outcome)], sys.stdout)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert without_times(json.loads(done.stdout)) == json.loads(json.dumps(here))


@pytest.mark.parametrize("changed", [{"seed": 2}, {"k": 2}, {"target_languages": ("de", "sw")}])
def test_another_seed_number_of_shots_or_target_gives_another_training(
    make_trial: Make, tmp_path: Path, changed: dict[str, Any]
) -> None:
    first = run(make_trial("naive-mix-train"))
    second = run(make_trial("naive-mix-train", **changed))
    assert first.reports[0].measures["loss"] != second.reports[0].measures["loss"]
    assert first.outcome.facts["shots"] != second.outcome.facts["shots"]


def test_surgery_with_alpha_zero_is_naive_mixed_training(make_trial: Make) -> None:
    naive = run(make_trial("naive-mix-train"))
    surgery = run(make_trial("gradient-mix-train", alpha=0.0))
    assert surgery.outcome.scores == naive.outcome.scores
    for with_surgery, without in zip(surgery.reports, naive.reports, strict=True):
        assert with_surgery.measures["loss"] == without.measures["loss"]
        assert with_surgery.measures["surgery"]["operations"] == 0
        assert with_surgery.measures["surgery"]["skipped"] == with_surgery.step
        assert "surgery" not in without.measures


def test_surgery_with_alpha_one_operates_at_every_step_and_changes_the_training(make_trial: Make) -> None:
    naive = run(make_trial("naive-mix-train", epochs=6))
    surgery = run(make_trial("gradient-mix-train", epochs=6))
    for report in surgery.reports:
        met = report.measures["surgery"]
        assert (met["operations"], met["skipped"], met["nonfinite"]) == (report.step, 0, 0)
        assert set(met["per_language"]) == set(TARGETS)
        assert 0.0 <= met["conflict_rate"] <= 1.0
        assert -1.0 <= met["mean_cosine"] <= 1.0
    assert surgery.reports[-1].measures["surgery"]["conflict_rate"] > 0
    assert [report.measures["loss"] for report in surgery.reports] != [
        report.measures["loss"] for report in naive.reports
    ]
    assert surgery.outcome.facts["shots"] == naive.outcome.facts["shots"]


def test_adapting_trains_the_source_model_that_it_lacks_and_gives_the_same_as_with_one(
    make_trial: Make, tmp_path: Path
) -> None:
    source = run(make_trial("zero-shot", home=tmp_path / "with"))
    [stored] = (tmp_path / "with" / "models").iterdir()
    with_one = run(make_trial("ord-FS", home=tmp_path / "with"))
    without = run(make_trial("ord-FS", home=tmp_path / "without"))
    assert essence(with_one) == essence(without)
    [trained] = (tmp_path / "without" / "models").iterdir()
    assert trained.name == stored.name
    assert weights(trained) == weights(stored)
    assert scores_on_test(with_one)["de"].value != scores_on_test(source)["de"].value
    again = run(make_trial("zero-shot", home=tmp_path / "without"))
    assert essence(again) == essence(source)


def test_two_processes_that_want_the_same_source_model_train_it_once(make_trial: Make, tmp_path: Path) -> None:
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
        run(make_trial("ord-FS", evaluate=("de",), home=tmp_path / "alone", k=k, source=alone.source))
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


def test_adapting_to_each_target_starts_from_the_same_source_model(make_trial: Make) -> None:
    run(make_trial("ord-FS"))
    before = {path: path.read_bytes() for path in (make_trial("ord-FS").home / "models").rglob("*.safetensors")}
    run(make_trial("ord-FS", target_languages=("hi",)))
    after = {path: path.read_bytes() for path in (make_trial("ord-FS").home / "models").rglob("*.safetensors")}
    assert after == before
    assert len(before) == 1


def test_adapting_without_a_source_training_is_refused(make_trial: Make) -> None:
    with pytest.raises(ValueError, match="starts from a source training"):
        run(make_trial("ord-FS", source=None))


def test_zero_shot_a_second_time_reports_again_without_training_and_scores_further_languages(make_trial: Make) -> None:
    first = run(make_trial("zero-shot", evaluate=("en",)))
    second = run(make_trial("zero-shot", evaluate=("en", "zh", "sw")))
    assert second.reports == first.reports  # examples per second included: nothing was trained
    assert scores_on_test(second)["en"] == scores_on_test(first)["en"]
    assert list(scores_on_test(second)) == ["en", "zh", "sw"]
    assert [one.outcome.facts["work"]["training"]["steps"] > 0 for one in (first, second)] == [True, False]
    fresh = run(make_trial("zero-shot", evaluate=("zh", "sw"), home=make_trial("zero-shot").home / "fresh"))
    assert scores_on_test(fresh) == {language: scores_on_test(second)[language] for language in ("zh", "sw")}


@pytest.mark.parametrize("method", EVERY_METHOD)
def test_the_encoder_stays_as_it_is(make_trial: Make, tiny_encoder: Path, method: str) -> None:
    def contents() -> dict[str, str]:
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in tiny_encoder.iterdir()}

    before = contents()
    run(make_trial(method))
    assert contents() == before


def test_weight_decay_trains_all_rows_of_the_vocabulary(make_trial: Make) -> None:
    plain = run(make_trial("zero-shot"))
    decayed = run(make_trial("zero-shot", weight_decay=0.1))
    assert plain.reports[0].measures["loss"] == pytest.approx(decayed.reports[0].measures["loss"], rel=1e-2)
    assert plain.reports[0].measures["loss"] != decayed.reports[0].measures["loss"]


# Which data are read


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


def test_the_scores_are_those_of_the_selected_weights_not_of_the_last(make_trial: Make, folder: DataReference) -> None:
    source = folder.location / "ner" / "en"
    shutil.copy(source / "dev.jsonl", source / "test.jsonl")  # the selected epoch's dev score is then the test score
    earlier = 0
    for seed in range(1, 7):
        longer = {"epochs": 4, "learning_rate": 3e-2, "seed": seed}
        done = run(make_trial("zero-shot", data=folder, evaluate=("en",), max_test_examples=None, **longer))
        values = [report.scores[0].value for report in done.reports]
        assert scores_on_test(done)["en"].value == max(values)
        earlier += max(values) > values[-1]
    assert earlier > 0


def test_the_first_of_equal_epochs_is_selected_stored_and_adapted(
    make_trial: Make, folder: DataReference, tmp_path: Path
) -> None:
    dev = folder.location / "ner" / "en" / "dev.jsonl"
    dev.write_text('{"tokens": ["It", "rains"], "tags": ["O", "O"]}\n')  # F1 is 0 whatever is predicted
    first = run(make_trial("zero-shot", data=folder, evaluate=("en", "de")))
    assert first.outcome.selected == {"source-dev": first.reports[0].step}
    assert essence(run(make_trial("zero-shot", data=folder, evaluate=("en", "de")))) == essence(first)


def test_a_target_dev_set_is_never_read(make_trial: Make, folder: DataReference) -> None:
    remove(folder, "de", "dev")
    for method in (name for name in METHODS if name != "ord-FS+dev"):
        targets = () if method == "zero-shot" else ("de",)
        done = run(make_trial(method, data=folder, evaluate=("en", "de"), target_languages=targets))
        assert list(scores_on_test(done)) == ["en", "de"]


def test_adapting_reads_no_dev_set_once_the_source_model_is_there(make_trial: Make, folder: DataReference) -> None:
    run(make_trial("zero-shot", data=folder, evaluate=()))
    remove(folder, "en", "dev")
    remove(folder, "de", "dev")
    done = run(make_trial("ord-FS", data=folder, evaluate=("de",)))
    assert list(scores_on_test(done)) == ["de"]


@pytest.mark.parametrize("method", ["zero-shot", "naive-mix-train", "gradient-mix-train"])
def test_methods_that_select_on_source_dev_need_it(make_trial: Make, folder: DataReference, method: str) -> None:
    remove(folder, "en", "dev")
    targets = () if method == "zero-shot" else ("de",)
    trial = make_trial(method, data=folder, evaluate=("en",), target_languages=targets)
    with pytest.raises(DataError, match=r"en/dev\.jsonl does not exist"):
        run(trial)
    assert not (trial.home / "models").exists()


def test_training_reads_no_test_set(make_trial: Make, folder: DataReference) -> None:
    remove(folder, "en", "test")
    remove(folder, "de", "test")
    done = run(make_trial("naive-mix-train", data=folder, evaluate=(), target_languages=("de",)))
    assert done.outcome.scores == ()


def test_too_few_examples_for_the_shots_are_refused(make_trial: Make) -> None:
    with pytest.raises(ValueError, match="de: 61 shots asked of 60 examples"):
        run(make_trial("naive-mix-train", k=61))


# A full disk


@pytest.mark.parametrize("method", ["zero-shot", "ord-FS"])
def test_a_full_disk_ends_a_source_training_and_leaves_no_half_model(
    make_trial: Make, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    trial = make_trial(method)
    with monkeypatch.context() as full:
        full.setattr(disk.shutil, "disk_usage", lambda _: SimpleNamespace(total=1, used=1, free=0))
        with pytest.raises(OSError, match="the disk is full") as caught:
            run(trial)
    assert caught.value.errno == errno.ENOSPC
    assert list((trial.home / "models").rglob("*.safetensors")) == []
    assert list(scores_on_test(run(trial))) == list(EVALUATE)


@pytest.mark.parametrize("method", ["ord-FS", "gradient-mix-train"])
# A GPU's memory that runs out: a GPU costs money, so that the loop says it has


def runs_out(monkeypatch: pytest.MonkeyPatch, windows: int) -> None:
    """Passes of more windows than so many are too much."""
    whole = Loop._backward

    def backward(loop: Loop, places: Sequence[int], share: float) -> Tensor:
        if len(places) > windows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 80 GiB.")
        return whole(loop, places, share)

    monkeypatch.setattr(Loop, "_backward", backward)


@pytest.mark.parametrize("method", ["zero-shot", "gradient-mix-train"])
def test_where_the_memory_runs_out_updates_are_made_in_more_passes(
    make_trial: Make, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    expected = run(make_trial(method, accumulation=8))
    runs_out(monkeypatch, 4)
    done = run(make_trial(method))
    assert done.outcome.facts["out_of_memory"] == "CUDA out of memory"
    assert done.outcome.facts["accumulation"] == 8
    assert losses(done) == losses(expected)


def test_where_the_memory_runs_out_again_the_trial_fails_with_advice(
    make_trial: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs_out(monkeypatch, 0)
    with pytest.raises(MemoryError, match="CUDA out of memory, also with 8 passes an update; what helps: a smaller"):
        run(make_trial("zero-shot"))
    with pytest.raises(MemoryError, match="CUDA out of memory; what helps"):
        run(make_trial("zero-shot", protocol="released-code"))


@pytest.mark.parametrize("method", ["ord-FS", "gradient-mix-train"])
def test_models_stay_only_if_they_are_to_be_kept(make_trial: Make, method: str) -> None:
    trial = make_trial(method)
    run(trial)
    kept = {path.name for path in (trial.home / "models").glob("*")}
    assert kept == ({trial.source.digest} if trial.source else set())
    run(replace(trial, wanted=replace(trial.wanted, keep=True)))
    assert {path.name for path in (trial.home / "models").glob("*")} == kept | {trial.config.digest}


def test_what_a_killed_process_left_half_written_is_no_model(make_trial: Make) -> None:
    trial = make_trial("zero-shot")
    first = run(trial)
    [version] = (trial.home / "models" / trial.config.digest / "source-dev").iterdir()
    half = version.with_name(".1.12345")
    version.rename(half)
    (half / "state.json").unlink()
    assert essence(run(trial)) == essence(first)
    assert version.is_dir()
    assert not half.exists()


# Imports


@pytest.mark.parametrize(
    "module", ["trainers", "trainers.data", "trainers.encoders.by_name", "search_spaces.plan", "service.api"]
)
def test_importing_what_plans_and_serves_loads_no_torch(module: str) -> None:
    code = f"import sys, {module}; print(*({{'torch', 'transformers', 'datasets', 'ray'}} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "torch" not in done.stdout.split()
    assert "transformers" not in done.stdout.split()


def test_files_of_a_trial_that_is_at_work_are_not_removed_and_one_that_ends_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = disk.log_of(tmp_path, "digest")
    log.parent.mkdir(parents=True)
    log.write_text("it begins")
    with disk.lock(tmp_path / "locks" / "digest"):
        monkeypatch.setattr(disk, "END_SECONDS", 0.1)
        disk.remove_trial(tmp_path, "digest")
        assert log.exists()
        monkeypatch.setattr(disk, "END_SECONDS", 30.0)
        removing = Thread(target=disk.remove_trial, args=(tmp_path, "digest"))
        removing.start()
    removing.join()
    assert not log.exists()
