"""Shots that are held out select, and are not trained on: of K shots h held out is a training with K - h."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from statistics import fmean
from typing import Any

import pytest

from trainers.data.sources import open_data
from trainers.tasks.xnli import LABELS
from trainers.trial import Trial

Make = Callable[..., Trial]
Train = Callable[[Trial], Any]

EPOCHS = 4


@pytest.mark.parametrize(
    ("method", "held_out"),
    [("ord-FS", 2), ("gradient-mix-train", 1)]
    + [pytest.param(*one, marks=pytest.mark.slow) for one in (("ord-FS", 1), ("mix-FT", 2), ("gradient-mix-train", 2))],
)
def test_it_is_the_training_with_fewer_shots_and_the_others_choose_the_epoch(
    train: Train, make_trial: Make, method: str, held_out: int
) -> None:
    trial = make_trial(f"{method}+held-out", k=5, held_out=held_out, epochs=EPOCHS)
    done = train(trial)
    fewer = train(make_trial(method, k=5 - held_out, epochs=EPOCHS, test_every_report=True))
    assert done.losses == fewer.losses

    drawn, targets = done.outcome.facts["shots"], trial.config.target_languages
    more = train(make_trial(method, k=5, epochs=1)).outcome.facts["shots"]
    assert drawn == more
    for target in targets:
        trained = fewer.outcome.facts["shots"][target]["indices"]
        assert trained == drawn[target]["indices"][: 5 - held_out]
        assert [*trained, *done.outcome.facts["held_out"][target]] == drawn[target]["indices"]

    means = []
    for report in done.reports:
        assert [(one.language, one.split, one.examples) for one in report.scores] == [
            (target, "train", held_out) for target in targets
        ]
        means.append(fmean(one.value for one in report.scores))
    chosen = max(range(EPOCHS), key=lambda epoch: (means[epoch], epoch))
    step = done.reports[chosen].step
    assert done.outcome.selected == {"held-out": step}
    at_each_step = {
        (one.language, one.step): one.value for report in fewer.reports for one in report.scores if one.split == "test"
    }
    for language, score in done.test_scores.items():
        assert (score.step, score.value) == (step, at_each_step[language, step])


def test_of_tasks_with_classes_some_of_each_are_held_out(train: Train, make_trial: Make) -> None:
    trial = make_trial("naive-mix-train+held-out", task="xnli", k=3, epochs=1, evaluate=())
    facts = train(trial).outcome.facts
    for language in trial.config.target_languages:
        examples = open_data(trial.data, "xnli", trial.home).examples(language, "train")
        held_out = facts["held_out"][language]
        assert Counter(examples[place]["label"] for place in held_out) == dict.fromkeys(LABELS, 1)
        assert set(held_out) < set(facts["shots"][language]["indices"])


def test_what_is_held_out_is_part_of_the_name(make_trial: Make) -> None:
    config = make_trial("mix-FT+held-out").config
    assert len({config.digest, replace(config, held_out=2).digest, replace(config, held_out=0).digest}) == 3
    assert "held_out" not in replace(config, held_out=0).to_dict()
