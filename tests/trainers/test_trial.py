"""Whole trials with a tiny encoder: four methods, repeatable to the bit, and what they leave behind."""

import errno
import gc
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import trainers
from trainers import disk, shots
from trainers.config import DataReference, Report, Score, Training, Trial, TrialConfig
from trainers.data import open_data, sample
from trainers.examples import DataError, evaluation_data

TRAINING = Training(
    epochs=2, batch_size=16, learning_rate=1e-2, weight_decay=0.0, adam_epsilon=1e-8, clip_norm=1.0, warmup_steps=0,
    max_length=64, max_source_examples=96,
)  # fmt: skip
SAMPLE = DataReference("sample")
TARGETS = ("de", "hi")
EVALUATE = ("en", "de", "hi")
NUMBER_OF_TESTS = 20

Make = Callable[..., Trial]


@pytest.fixture(autouse=True, scope="module")
def _freeze() -> Iterator[None]:
    """What is imported is not looked through by every trial's garbage collection: a third of a tiny trial's time."""
    import transformers  # noqa: F401

    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def make(tiny_encoder: Path, tmp_path: Path) -> Make:
    """Makes a trial of a method; further arguments replace parts of the trial or of its configuration."""

    def make(method: str, **changed: Any) -> Trial:
        few_shot = method != "zero-shot"
        targets = {"zero-shot": (), "ord-FS": ("de",)}.get(method, TARGETS)
        config = TrialConfig(
            task="ner",
            method=method,
            source_language="en",
            target_languages=targets,
            k=3 if few_shot else 0,
            seed=1,
            alpha=1.0 if method == "gradient-mix-train" else None,
            protocol="paper",
            training=TRAINING,
            encoder=str(tiny_encoder),
            encoder_digest="e" * 20,
            data_digest="d" * 20,
        )
        names = {name for name in changed if name in TrialConfig.__dataclass_fields__}
        config = replace(config, **{name: changed[name] for name in names})
        source = None
        if method == "ord-FS":
            source = replace(config, method="zero-shot", target_languages=(), k=0, alpha=None)
        trial = Trial(config, source, SAMPLE, EVALUATE, NUMBER_OF_TESTS, tmp_path / "home")
        return replace(trial, **{name: value for name, value in changed.items() if name not in names})

    return make


def run(trial: Trial) -> list[Report]:
    """All that is reported, the last report last."""
    reports: list[Report] = []
    final = trainers.run(trial, reports.append)
    return [*reports, final]


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: without_times(part) for name, part in value.items() if name not in {"seconds", "examples_per_second"}
        }
    return [without_times(part) for part in value] if isinstance(value, list | tuple) else value


def essence(reports: list[Report]) -> list[Any]:
    """Reports as plain data, but for what depends on the clock."""
    return [without_times(report.to_dict()) for report in reports]


def scores_on_test(report: Report) -> dict[str, Score]:
    return {score.language: score for score in report.scores if score.split == "test"}


METHODS = ["zero-shot", "ord-FS", "naive-mix-train", "gradient-mix-train"]


@pytest.mark.parametrize("method", METHODS)
def test_a_trial_scores_the_selected_weights_on_every_language(make: Make, method: str) -> None:
    trial = make(method)
    *epochs, final = run(trial)
    assert [report.epoch for report in epochs] == [1, 2]
    data = open_data(SAMPLE, "ner", trial.home)
    assert tuple(scores_on_test(final)) == EVALUATE
    for language, score in scores_on_test(final).items():
        facts = data.facts(language, "test")
        assert 0.0 <= score.value <= 100.0
        assert (score.metric, score.examples, score.selected, score.cut) == ("f1", NUMBER_OF_TESTS, True, True)
        assert score.data == evaluation_data(facts, NUMBER_OF_TESTS) != facts.digest
    losses = [report.measures["loss"] for report in epochs]
    assert losses[-1] < losses[0]
    drawn = final.measures["shots"]
    assert list(drawn) == list(trial.config.target_languages)
    for language in trial.config.target_languages:
        facts = data.facts(language, "train")
        expected = shots.draw(facts.digest, language, facts.examples, 3, 1)
        assert drawn[language] == {"indices": expected.indices, "digest": expected.digest}
    assert final.measures["training"] == epochs[-1].measures
    assert final.measures["threads"] == 1
    assert final.measures["packages"]["torch"].startswith("2.")


@pytest.mark.parametrize("method", ["zero-shot", "naive-mix-train", "gradient-mix-train"])
def test_the_first_epoch_with_the_best_source_dev_score_is_selected(make: Make, method: str) -> None:
    *epochs, final = run(make(method))
    for report in epochs:
        [score] = report.scores
        assert (score.language, score.split, score.metric) == ("en", "dev", "f1")
        assert (score.examples, score.cut, score.selected) == (120, False, False)
    values = [report.scores[0].value for report in epochs]
    best = epochs[values.index(max(values))]
    assert max(values) > 0
    assert (final.epoch, final.step) == (best.epoch, best.step)
    assert final.scores[0] == replace(best.scores[0], selected=True)


def test_adapting_selects_nothing_but_its_last_epoch_and_takes_the_shots_as_one_batch(make: Make) -> None:
    *epochs, final = run(make("ord-FS"))
    assert [(report.step, report.scores) for report in epochs] == [(1, ()), (2, ())]
    assert (final.epoch, final.step) == (2, 2)
    assert all(score.split == "test" for score in final.scores)


def test_steps_are_counted_over_source_and_shots_together(make: Make) -> None:
    assert run(make("zero-shot"))[-2].step == 2 * 6
    assert run(make("naive-mix-train"))[-2].step == 2 * 7  # 96 + 2 languages x 3 shots, 16 in a batch


def test_without_a_limit_the_whole_test_split_is_scored(make: Make) -> None:
    trial = make("zero-shot", max_test_examples=None, evaluate=("en", "zh"))
    data = open_data(SAMPLE, "ner", trial.home)
    for language, score in scores_on_test(run(trial)[-1]).items():
        facts = data.facts(language, "test")
        assert (score.cut, score.examples, score.data) == (False, facts.examples, facts.digest)


def test_a_limit_beyond_the_test_split_cuts_nothing(make: Make) -> None:
    trial = make("zero-shot", max_test_examples=10_000, evaluate=("de",))
    score = scores_on_test(run(trial)[-1])["de"]
    assert (score.cut, score.examples) == (False, 120)
    assert score.data == open_data(SAMPLE, "ner", trial.home).facts("de", "test").digest


def test_a_languages_score_does_not_depend_on_which_others_are_scored(make: Make, tmp_path: Path) -> None:
    alone = run(make("naive-mix-train", evaluate=("hi",)))[-1]
    together = run(make("naive-mix-train", evaluate=("zh", "hi", "en", "sw")))[-1]
    assert scores_on_test(alone)["hi"] == scores_on_test(together)["hi"]


@pytest.mark.parametrize("method", METHODS)
def test_the_same_trial_gives_the_same_bits_also_after_another_in_the_same_process(
    make: Make, tmp_path: Path, method: str
) -> None:
    first = run(make(method, home=tmp_path / "first"))
    other = run(make("gradient-mix-train", home=tmp_path / "other", seed=2))
    second = run(make(method, home=tmp_path / "second"))
    assert essence(first) == essence(second)
    assert essence(first) != essence(other)


def test_the_same_trial_gives_the_same_bits_in_a_process_of_its_own(make: Make, tmp_path: Path) -> None:
    trial = make("gradient-mix-train")
    here = essence(run(trial))
    code = f"""
import json, sys
from pathlib import Path
import trainers
from trainers.config import DataReference, Trial, TrialConfig
config = TrialConfig.from_dict(json.loads({json.dumps(asdict(trial.config))!r}))
trial = Trial(config, None, DataReference("sample"), {EVALUATE}, {NUMBER_OF_TESTS}, Path({str(tmp_path / "there")!r}))
reports = []
reports.append(trainers.run(trial, reports.append))
json.dump([report.to_dict() for report in reports], sys.stdout)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert without_times(json.loads(done.stdout)) == json.loads(json.dumps(here))


@pytest.mark.parametrize("changed", [{"seed": 2}, {"k": 2}, {"target_languages": ("de", "sw")}])
def test_another_seed_number_of_shots_or_target_gives_another_training(
    make: Make, tmp_path: Path, changed: dict[str, Any]
) -> None:
    first = run(make("naive-mix-train"))
    second = run(make("naive-mix-train", **changed))
    assert first[0].measures["loss"] != second[0].measures["loss"]
    assert first[-1].measures["shots"] != second[-1].measures["shots"]


def test_surgery_with_alpha_zero_is_naive_mixed_training(make: Make) -> None:
    naive = run(make("naive-mix-train"))
    surgery = run(make("gradient-mix-train", alpha=0.0))
    assert [report.scores for report in surgery] == [report.scores for report in naive]
    for with_surgery, without in zip(surgery[:-1], naive[:-1], strict=True):
        assert with_surgery.measures["loss"] == without.measures["loss"]
        assert with_surgery.measures["surgery"]["operations"] == 0
        assert with_surgery.measures["surgery"]["skipped"] == with_surgery.step
        assert "surgery" not in without.measures


def test_surgery_with_alpha_one_operates_at_every_step_and_changes_the_training(make: Make) -> None:
    longer = replace(TRAINING, epochs=6)
    naive = run(make("naive-mix-train", training=longer))
    surgery = run(make("gradient-mix-train", training=longer))
    for report in surgery[:-1]:
        met = report.measures["surgery"]
        assert (met["operations"], met["skipped"], met["nonfinite"]) == (report.step, 0, 0)
        assert set(met["per_language"]) == set(TARGETS)
        assert 0.0 <= met["conflict_rate"] <= 1.0
        assert -1.0 <= met["mean_cosine"] <= 1.0
    assert surgery[-2].measures["surgery"]["conflict_rate"] > 0
    assert [report.measures.get("loss") for report in surgery] != [report.measures.get("loss") for report in naive]
    assert surgery[-1].measures["shots"] == naive[-1].measures["shots"]


def test_adapting_trains_the_source_model_that_it_lacks_and_gives_the_same_as_with_one(
    make: Make, tmp_path: Path
) -> None:
    source = run(make("zero-shot", home=tmp_path / "with"))
    [stored] = (tmp_path / "with" / "source-models").iterdir()
    with_one = run(make("ord-FS", home=tmp_path / "with"))
    without = run(make("ord-FS", home=tmp_path / "without"))
    assert essence(with_one) == essence(without)
    [trained] = (tmp_path / "without" / "source-models").iterdir()
    assert trained.name == stored.name
    assert (trained / "weights.safetensors").read_bytes() == (stored / "weights.safetensors").read_bytes()
    assert scores_on_test(with_one[-1])["de"].value != scores_on_test(source[-1])["de"].value
    again = run(make("zero-shot", home=tmp_path / "without"))
    assert essence(again) == essence(source)


def test_adapting_to_each_target_starts_from_the_same_source_model(make: Make) -> None:
    run(make("ord-FS"))
    weights = {path: path.read_bytes() for path in (make("ord-FS").home / "source-models").rglob("*.safetensors")}
    run(make("ord-FS", target_languages=("hi",)))
    after = {path: path.read_bytes() for path in (make("ord-FS").home / "source-models").rglob("*.safetensors")}
    assert after == weights
    assert len(weights) == 1


def test_adapting_without_a_source_training_is_refused(make: Make) -> None:
    with pytest.raises(ValueError, match="starts from a source training"):
        run(make("ord-FS", source=None))


def test_zero_shot_a_second_time_reports_again_without_training_and_scores_further_languages(make: Make) -> None:
    first = run(make("zero-shot", evaluate=("en",)))
    second = run(make("zero-shot", evaluate=("en", "zh", "sw")))
    assert second[:-1] == first[:-1]  # examples per second included: nothing was trained
    assert scores_on_test(second[-1])["en"] == scores_on_test(first[-1])["en"]
    assert list(scores_on_test(second[-1])) == ["en", "zh", "sw"]
    fresh = run(make("zero-shot", evaluate=("zh", "sw"), home=make("zero-shot").home / "fresh"))
    assert scores_on_test(fresh[-1]) == {language: scores_on_test(second[-1])[language] for language in ("zh", "sw")}


@pytest.mark.parametrize("method", METHODS)
def test_the_encoder_stays_as_it_is(make: Make, tiny_encoder: Path, method: str) -> None:
    def contents() -> dict[str, str]:
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in tiny_encoder.iterdir()}

    before = contents()
    run(make(method))
    assert contents() == before


def test_weight_decay_trains_all_rows_of_the_vocabulary(make: Make) -> None:
    plain = run(make("zero-shot"))
    decayed = run(make("zero-shot", training=replace(TRAINING, weight_decay=0.1)))
    assert plain[0].measures["loss"] == pytest.approx(decayed[0].measures["loss"], rel=1e-2)
    assert plain[0].measures["loss"] != decayed[0].measures["loss"]


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
    assert data.path is not None
    (data.path / "ner" / language / f"{split}.jsonl").unlink()


def test_the_scores_are_those_of_the_selected_weights_not_of_the_last(make: Make, folder: DataReference) -> None:
    assert folder.path is not None
    source = folder.path / "ner" / "en"
    shutil.copy(source / "dev.jsonl", source / "test.jsonl")  # the selected epoch's dev score is then the test score
    training = replace(TRAINING, epochs=4, learning_rate=3e-2)
    earlier = 0
    for seed in range(1, 7):
        trial = make("zero-shot", data=folder, evaluate=("en",), max_test_examples=None, seed=seed, training=training)
        *epochs, final = run(trial)
        values = [report.scores[0].value for report in epochs]
        assert scores_on_test(final)["en"].value == max(values)
        earlier += max(values) > values[-1]
    assert earlier > 0


def test_the_first_of_equal_epochs_is_selected_stored_and_adapted(
    make: Make, folder: DataReference, tmp_path: Path
) -> None:
    assert folder.path is not None
    dev = folder.path / "ner" / "en" / "dev.jsonl"
    dev.write_text('{"tokens": ["It", "rains"], "tags": ["O", "O"]}\n')  # F1 is 0 whatever is predicted
    first = run(make("zero-shot", data=folder, evaluate=("en", "de")))
    assert first[-1].epoch == 1
    assert essence(run(make("zero-shot", data=folder, evaluate=("en", "de")))) == essence(first)


def test_a_target_dev_set_is_never_read(make: Make, folder: DataReference) -> None:
    remove(folder, "de", "dev")
    for method in METHODS:
        targets = () if method == "zero-shot" else ("de",)
        final = run(make(method, data=folder, evaluate=("en", "de"), target_languages=targets))[-1]
        assert list(scores_on_test(final)) == ["en", "de"]


def test_adapting_reads_no_dev_set_at_all_once_the_source_model_is_there(make: Make, folder: DataReference) -> None:
    run(make("zero-shot", data=folder, evaluate=()))
    remove(folder, "en", "dev")
    remove(folder, "de", "dev")
    final = run(make("ord-FS", data=folder, evaluate=("de",)))[-1]
    assert list(scores_on_test(final)) == ["de"]


@pytest.mark.parametrize("method", ["zero-shot", "naive-mix-train", "gradient-mix-train"])
def test_methods_that_select_on_source_dev_need_it(make: Make, folder: DataReference, method: str) -> None:
    remove(folder, "en", "dev")
    targets = () if method == "zero-shot" else ("de",)
    trial = make(method, data=folder, evaluate=("en",), target_languages=targets)
    with pytest.raises(DataError, match=r"en/dev\.jsonl does not exist"):
        run(trial)
    assert not (trial.home / "source-models").exists()


def test_training_reads_no_test_set(make: Make, folder: DataReference) -> None:
    remove(folder, "en", "test")
    remove(folder, "de", "test")
    final = run(make("naive-mix-train", data=folder, evaluate=(), target_languages=("de",)))[-1]
    assert [score.split for score in final.scores] == ["dev"]


def test_too_few_examples_for_the_shots_are_refused(make: Make) -> None:
    with pytest.raises(ValueError, match="de: 61 shots asked of a training split of 60 examples"):
        run(make("naive-mix-train", k=61))


# A full disk


@pytest.mark.parametrize("method", ["zero-shot", "ord-FS"])
def test_a_full_disk_ends_a_source_training_and_leaves_no_half_model(
    make: Make, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    trial = make(method)
    with monkeypatch.context() as full:
        full.setattr(disk.shutil, "disk_usage", lambda _: SimpleNamespace(total=1, used=1, free=0))
        with pytest.raises(OSError, match="the disk is full") as caught:
            run(trial)
    assert caught.value.errno == errno.ENOSPC
    assert list((trial.home / "source-models").iterdir()) == []
    assert list(scores_on_test(run(trial)[-1])) == list(EVALUATE)


def test_mixed_training_keeps_nothing_on_disk(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: SimpleNamespace(total=1, used=1, free=0))
    trial = make("gradient-mix-train")
    assert list(scores_on_test(run(trial)[-1])) == list(EVALUATE)
    assert not (trial.home / "source-models").exists()


def test_what_a_killed_process_left_half_written_is_no_model(make: Make) -> None:
    trial = make("zero-shot")
    first = run(trial)
    [model] = (trial.home / "source-models").iterdir()
    half = model.with_name(f".{model.name}.12345")
    model.rename(half)
    (half / "manifest.json").unlink()
    assert essence(run(trial)) == essence(first)
    shutil.rmtree(half)
    assert model.is_dir()


# Imports


@pytest.mark.parametrize(
    "module", ["trainers", "trainers.data", "trainers.encoders", "search_spaces.plan", "service.api"]
)
def test_importing_what_plans_and_serves_loads_no_torch(module: str) -> None:
    code = f"import sys, {module}; print(*({{'torch', 'transformers', 'datasets', 'ray'}} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "torch" not in done.stdout.split()
    assert "transformers" not in done.stdout.split()
