"""Whole trials with a tiny encoder: every method scores the weights that it selects, repeatable to the bit."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from trainers.data import shots
from trainers.data.sources import open_data
from trainers.examples import evaluation_data
from trainers.methods import FURTHER, METHODS
from trainers.tasks.ner import NER
from trainers.trial import DataReference, Outcome, Report, Trial

SAMPLE = DataReference("sample")
TARGETS = ("de", "hi")
EVALUATE = ("en", "de", "hi")
NUMBER_OF_TESTS = 20

Make = Callable[..., Trial]
Train = Callable[[Trial], Any]

EVERY_METHOD = [name for name in METHODS if name not in FURTHER or name == "ord-FS+held-out"]
EACH_KIND = ["zero-shot", "ord-FS", "gradient-mix-train"]
EACH_KIND += [pytest.param(name, marks=pytest.mark.slow) for name in EVERY_METHOD if name not in EACH_KIND]


@pytest.mark.parametrize("method", EVERY_METHOD)
def test_a_trial_scores_the_selected_weights_on_every_language(train: Train, make_trial: Make, method: str) -> None:
    trial = make_trial(method)
    done = train(trial)
    assert [report.epoch for report in done.reports] == [1, 2]
    data = open_data(SAMPLE, "ner", trial.home)
    assert tuple(done.test_scores) == EVALUATE
    [step] = done.outcome.selected.values()
    for language, score in done.test_scores.items():
        facts = data.facts(language, "test")
        assert 0.0 <= score.value <= 100.0
        assert (score.split, score.metric, score.examples, score.step) == ("test", "f1", NUMBER_OF_TESTS, step)
        assert score.cut
        assert score.data == evaluation_data(facts, NUMBER_OF_TESTS) != facts.digest
    assert done.losses[-1] < done.losses[0]
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


@pytest.mark.parametrize("method", ["zero-shot", "gradient-mix-train"])
def test_the_first_epoch_with_the_best_source_dev_score_is_selected(
    train: Train, make_trial: Make, method: str
) -> None:
    done = train(make_trial(method))
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
def test_adapting_selects_nothing_but_its_last_epoch_and_takes_batches_of_k(
    train: Train, make_trial: Make, method: str
) -> None:
    done = train(make_trial(method))
    steps = len(make_trial(method).config.target_languages)
    assert [(report.step, report.scores) for report in done.reports] == [(steps, ()), (2 * steps, ())]
    assert done.outcome.selected == {"last": 2 * steps}
    assert all(score.split == "test" for score in done.outcome.scores)


def test_one_run_yields_the_last_and_the_best_on_target_dev_of_one_trajectory(train: Train, make_trial: Make) -> None:
    both = train(make_trial("ord-FS", epochs=6, selections=("last", "target-dev")))
    alone = train(make_trial("ord-FS", epochs=6))
    of_dev = train(make_trial("ord-FS+dev", epochs=6))
    values = [report.scores[0].value for report in both.reports]
    best = both.reports[values.index(max(values))]
    assert [score.language for report in both.reports for score in report.scores] == ["de"] * 6
    assert both.outcome.selected == {"last": 6, "target-dev": best.step}
    assert alone.outcome.selected == {"last": 6}
    assert of_dev.outcome.selected == {"target-dev": best.step}
    assert both.losses == alone.losses
    last = [score for score in both.outcome.scores if score.step == 6]
    assert last == list(alone.outcome.scores)
    assert [score for score in both.outcome.scores if score.step == best.step] == list(of_dev.outcome.scores)


def test_steps_are_counted_over_source_and_shots_together(train: Train, make_trial: Make) -> None:
    assert train(make_trial("zero-shot")).reports[-1].step == 2 * 6
    assert train(make_trial("naive-mix-train")).reports[-1].step == 2 * 7  # 96 + 2 languages x 3 shots, 16 in a batch


def test_without_a_limit_the_whole_test_split_is_scored(train: Train, make_trial: Make) -> None:
    trial = make_trial("zero-shot", max_test_examples=None, evaluate=("en", "zh"))
    data = open_data(SAMPLE, "ner", trial.home)
    for language, score in train(trial).test_scores.items():
        facts = data.facts(language, "test")
        assert (score.cut, score.examples, score.data) == (False, facts.examples, facts.digest)


def test_a_limit_beyond_the_test_split_cuts_nothing(train: Train, make_trial: Make) -> None:
    trial = make_trial("zero-shot", max_test_examples=10_000, evaluate=("de",))
    score = train(trial).test_scores["de"]
    assert (score.cut, score.examples) == (False, 120)
    assert score.data == open_data(SAMPLE, "ner", trial.home).facts("de", "test").digest


def test_a_languages_score_does_not_depend_on_which_others_are_scored(
    train: Train, make_trial: Make, tmp_path: Path
) -> None:
    alone = train(make_trial("naive-mix-train", evaluate=("hi",)))
    together = train(make_trial("naive-mix-train", evaluate=("zh", "hi", "en", "sw")))
    assert alone.test_scores["hi"] == together.test_scores["hi"]


@pytest.mark.parametrize("method", EACH_KIND)
def test_the_same_trial_gives_the_same_bits_also_after_another_in_the_same_process(
    train: Train, make_trial: Make, tmp_path: Path, method: str
) -> None:
    first = train(make_trial(method, home=tmp_path / "first"))
    other = train(make_trial("gradient-mix-train", home=tmp_path / "other", seed=2))
    second = train(make_trial(method, home=tmp_path / "second"))
    assert first.essence == second.essence
    assert first.essence != other.essence


@pytest.mark.service
def test_the_same_trial_gives_the_same_bits_in_a_process_of_its_own(
    train: Train, make_trial: Make, tmp_path: Path
) -> None:
    trial = make_trial("gradient-mix-train")
    here = train(trial)
    code = f"""
import json, sys
from pathlib import Path
import trainers
from trainers.trial import DataReference, Trial, TrialConfig, Wanted
config = TrialConfig.from_dict(json.loads({json.dumps(asdict(trial.config))!r}))
wanted = Wanted(selections={trial.wanted.selections}, evaluate={dict.fromkeys(EVALUATE, "")})
there = Path({str(tmp_path / "there")!r})
trial = Trial(config=config, source=None, data=DataReference("sample"), wanted=wanted, device={trial.device!r},
              max_test_examples={NUMBER_OF_TESTS}, home=there)
reports = []
outcome = trainers.run(trial, reports.append)
json.dump([part.to_dict() for part in (*reports, outcome)], sys.stdout)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *reports, outcome = json.loads(done.stdout)
    there = replace(here, reports=list(map(Report.from_dict, reports)), outcome=Outcome.from_dict(outcome))
    assert there.essence == here.essence


@pytest.mark.parametrize("changed", [{"seed": 2}, {"k": 2}, {"target_languages": ("de", "sw")}])
def test_another_seed_number_of_shots_or_target_gives_another_training(
    train: Train, make_trial: Make, tmp_path: Path, changed: dict[str, Any]
) -> None:
    first = train(make_trial("naive-mix-train"))
    second = train(make_trial("naive-mix-train", **changed))
    assert first.reports[0].measures["loss"] != second.reports[0].measures["loss"]
    assert first.outcome.facts["shots"] != second.outcome.facts["shots"]


def test_surgery_with_alpha_zero_is_naive_mixed_training(train: Train, make_trial: Make) -> None:
    naive = train(make_trial("naive-mix-train"))
    surgery = train(make_trial("gradient-mix-train", alpha=0.0))
    assert surgery.outcome.scores == naive.outcome.scores
    for with_surgery, without in zip(surgery.reports, naive.reports, strict=True):
        assert with_surgery.measures["loss"] == without.measures["loss"]
        assert with_surgery.measures["surgery"]["operations"] == 0
        assert with_surgery.measures["surgery"]["skipped"] == with_surgery.step
        assert "surgery" not in without.measures


def test_surgery_with_alpha_one_operates_at_every_step_and_changes_the_training(train: Train, make_trial: Make) -> None:
    naive = train(make_trial("naive-mix-train", epochs=6))
    surgery = train(make_trial("gradient-mix-train", epochs=6))
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


@pytest.mark.parametrize("method", EACH_KIND)
def test_the_encoder_stays_as_it_is(train: Train, make_trial: Make, tiny_encoder: Path, method: str) -> None:
    def contents() -> dict[str, str]:
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in tiny_encoder.iterdir()}

    before = contents()
    train(make_trial(method))
    assert contents() == before


def test_weight_decay_trains_all_rows_of_the_vocabulary(train: Train, make_trial: Make) -> None:
    plain = train(make_trial("zero-shot"))
    decayed = train(make_trial("zero-shot", weight_decay=0.1))
    assert plain.reports[0].measures["loss"] == pytest.approx(decayed.reports[0].measures["loss"], rel=1e-2)
    assert plain.reports[0].measures["loss"] != decayed.reports[0].measures["loss"]


def test_a_training_that_loses_its_surgery_to_overflow_says_so_in_scores_and_facts(
    train: Train, make_trial: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trial = make_trial("gradient-mix-train", precision="fp16", home=tmp_path / "usual")
    usual = train(trial)
    assert not any(score.surgery_overflow for score in usual.outcome.scores)
    assert "surgery_overflow" not in usual.outcome.facts
    monkeypatch.setattr(torch.amp, "GradScaler", partial(torch.amp.GradScaler, init_scale=2.0**60))
    done = train(make_trial("gradient-mix-train", precision="fp16"))
    assert all(score.surgery_overflow for score in done.outcome.scores)
    assert all(score.surgery_overflow for report in done.reports for score in report.scores)
    met = done.outcome.facts["training"]["surgery"]
    assert (met["finite"], met["conflict_rate"], met["nonfinite"]) == (0, None, met["operations"])
    languages = ", ".join(f"{language} {of['nonfinite']} of {of['nonfinite']}"
                          for language, of in met["per_language"].items())  # fmt: skip
    told = f"{met['nonfinite']} of {met['nonfinite']} surgery operations were lost to overflow ({languages})"
    assert done.outcome.facts["surgery_overflow"] == told


def test_weights_are_marked_by_what_was_lost_until_then(
    train: Train, make_trial: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scale is halved at each overflow: what is much of the first epochs is little of all."""
    monkeypatch.setattr(torch.amp, "GradScaler", partial(torch.amp.GradScaler, init_scale=2.0**21))
    trial = make_trial("gradient-mix-train", precision="fp16", epochs=14, selections=("source-dev", "last"))
    done = train(trial)
    marks = []
    for report in done.reports:
        met = report.measures["surgery"]
        marks.append(any(of["nonfinite"] > of["operations"] / 10 for of in (met, *met["per_language"].values())))
        assert {score.surgery_overflow for score in report.scores} == {marks[-1]}
    assert (marks[0], marks[-1]) == (True, False)
    marked = {report.step: mark for report, mark in zip(done.reports, marks, strict=True)}
    assert all(score.surgery_overflow == marked[score.step] for score in done.outcome.scores)
    assert "surgery_overflow" not in done.outcome.facts


def test_a_model_that_predicts_one_label_is_said_so_in_scores_and_facts(
    train: Train, make_trial: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trial = make_trial("zero-shot", home=tmp_path / "usual")
    usual = train(trial)
    assert not any(score.one_label for score in usual.outcome.scores)
    assert "one_label" not in usual.outcome.facts
    decode = type(NER).decode
    monkeypatch.setattr(type(NER), "decode", lambda *of: [[0] * len(labels) for labels in decode(*of)])
    done = train(make_trial("zero-shot"))
    assert all(score.one_label for score in done.outcome.scores)
    assert all(score.one_label for report in done.reports for score in report.scores)
    [step] = done.outcome.selected.values()
    label = NER.label_set(open_data(SAMPLE, "ner", trial.home).facts("en", "train").labels)[0]
    assert done.outcome.facts["one_label"] == [
        {"language": language, "split": "test", "step": step, "label": label} for language in EVALUATE
    ]
