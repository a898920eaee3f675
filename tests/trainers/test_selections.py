"""Several selections of one training: an epoch for each target, and averages of epochs, without any change to it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from trainers.artifacts import kept_models
from trainers.artifacts.layout import model_of
from trainers.artifacts.places import place_of
from trainers.selections import PATTERN, averaged_epochs, dev_languages, kind_of, scored_by, target_of
from trainers.training.selecting import Selector
from trainers.trial import Trial

Make = Callable[..., Trial]
Train = Callable[[Trial], Any]

EACH = ("target-dev:de", "target-dev:hi")
MANY = ("source-dev", *EACH, "average:3", "average:1", "last")
EPOCHS = 4


def saved(trial: Trial, selection: str) -> dict[str, torch.Tensor]:
    model = kept_models.load(place_of(trial), trial.config, selection)
    assert model is not None
    return dict(model.weights)


@pytest.mark.parametrize("method", ["mix-FT", "gradient-mix-train"])
def test_each_target_has_the_epoch_that_its_dev_set_likes_best(
    train: Train, make_trial: Make, tmp_path: Path, method: str
) -> None:
    own = "last" if method == "mix-FT" else "source-dev"
    shared = {"epochs": EPOCHS, "learning_rate": 2e-2}
    both = train(make_trial(method, selections=(own, *EACH), test_every_report=True, **shared))
    plain = train(make_trial(method, home=tmp_path / "plain", **shared))
    assert both.losses == plain.losses
    assert both.outcome.selected[own] == plain.outcome.selected[own]
    told = [score for report in both.reports for score in report.scores]
    found = {(score.language, score.split, score.step): score.value for score in both.outcome.scores}
    for language in ("de", "hi"):
        dev = [(score.value, score.step) for score in told if (score.language, score.split) == (language, "dev")]
        assert len(dev) == EPOCHS
        best = next(step for value, step in dev if value == max(value for value, _ in dev))
        assert both.outcome.selected[f"target-dev:{language}"] == best
        tests = {score.step: score.value for score in told if (score.language, score.split) == (language, "test")}
        assert found[language, "test", best] == tests[best]
    elsewhere = {step for step in both.outcome.selected.values() if step != both.outcome.selected[own]}
    assert all(found.keys() & {("en", "test", step) for step in elsewhere} == set() for step in elsewhere)


@pytest.mark.parametrize("method", ["ord-FS", "gradient-mix-train"])
def test_an_average_is_the_mean_of_the_weights_of_the_last_epochs(
    train: Train, make_trial: Make, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    epochs: list[dict[str, torch.Tensor]] = []
    end_epoch = Selector.end_epoch

    def watched(self: Selector, epoch: int) -> None:
        epochs.append(self.model.weights())
        end_epoch(self, epoch)

    train(make_trial("zero-shot", epochs=EPOCHS))  # which ord-FS starts from
    monkeypatch.setattr(Selector, "end_epoch", watched)
    selections = ("last", "average:3", "average:1")
    trial = make_trial(method, epochs=EPOCHS, selections=selections, keep=True)
    done = train(trial)
    last = done.reports[-1].step
    assert done.outcome.selected == {"last": last, "average:3": -3, "average:1": -1}
    assert {(score.step, score.epoch) for score in done.outcome.scores} == {(last, 4), (-3, 4), (-1, 4)}
    mean = saved(trial, "average:3")
    compared = [name for name in mean if mean[name].shape == epochs[0][name].shape]  # not rows that the source trained
    assert len(compared) >= len(mean) - 1
    for name in compared:
        stacked = torch.stack([weights[name].double() for weights in epochs[-3:]])
        torch.testing.assert_close(mean[name].double(), stacked.mean(0), rtol=0, atol=1e-6)
    assert not torch.equal(mean[compared[-1]], epochs[-1][compared[-1]])
    for name, tensor in saved(trial, "average:1").items():
        assert torch.equal(tensor, saved(trial, "last")[name])
    by_step = {
        step: {one.language: one.value for one in done.outcome.scores if one.step == step} for step in (last, -1)
    }
    assert by_step[last] == by_step[-1]


def test_models_that_chose_the_same_weights_are_once_on_the_disk_and_used_again(train: Train, make_trial: Make) -> None:
    trial = make_trial("naive-mix-train", selections=MANY, keep=True, epochs=EPOCHS)
    done = train(trial)
    files = {
        selection: [path.stat().st_ino for path in model_of(trial.home, trial.config.digest, selection).rglob("*.s*")]
        for selection in MANY
    }
    assert all(len(inodes) == 1 for inodes in files.values())
    steps = done.outcome.selected
    assert set(steps) == set(MANY)
    for one in MANY:
        assert [other for other in MANY if files[other] == files[one]] == [
            other for other in MANY if steps[other] == steps[one]
        ]
    again = train(trial)
    assert (again.outcome.selected, again.outcome.scores) == (steps, done.outcome.scores)
    assert again.outcome.facts["work"]["training"]["steps"] == 0


def test_names_of_selections() -> None:
    names = [*MANY, "target-dev", "held-out", "target-dev:zh-Hant", "average:12"]
    assert all(re.fullmatch(PATTERN, name) for name in names)
    assert not any(re.fullmatch(PATTERN, name) for name in ("best", "average", "average:0", "target-dev:", "last:1"))
    assert [kind_of(name) for name in MANY] == ["source-dev", *["target-dev"] * 2, *["average"] * 2, "last"]
    assert [averaged_epochs(name) for name in MANY] == [0, 0, 0, 3, 1, 0]
    assert [target_of(name) for name in MANY] == [None, "de", "hi", None, None, None]
    assert scored_by("target-dev:de", {"en": "1", "de": "2"}) == {"de": "2"}
    assert scored_by("average:3", {"en": "1", "de": "2"}) == {"en": "1", "de": "2"}
    assert dev_languages(MANY, "en", ("de", "hi")) == ("en", "de", "hi")
    assert dev_languages(["target-dev"], "en", ("de",)) == ("de",)
    assert dev_languages(["last", "average:3", "held-out"], "en", ("de",)) == ()
