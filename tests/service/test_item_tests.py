"""Tests over examples: metrics as quotients of sums, and resamples beside plain loops, seqeval and enumeration."""

import itertools
import random
import time
from typing import Any

import numpy as np
import pytest
from scipy import stats
from seqeval.metrics import f1_score

from service.reports.item_tests import (
    RESAMPLES,
    UNITS,
    bootstrap,
    gains,
    randomization_p,
    randomized,
    scores,
    shared_variance,
)
from trainers.tasks import TASKS
from trainers.tasks.ner import NER
from trainers.tasks.pos import UPOS
from trainers.tasks.xnli import LABELS

TAGS = ("O", "O", "O", "B-PER", "I-PER", "B-LOC", "I-LOC")
WITHOUT_X = tuple(tag for tag in UPOS if tag != "X")  # whose chunks depend on the sentence before
WORDS = ("Malmö", "in", "the", "7", "West", "Zürich")


def sentences(tags: tuple[str, ...], draw: random.Random, number: int) -> list[list[str]]:
    return [draw.choices(tags, k=draw.randint(1, 9)) for _ in range(number)]


def noisy(tags: list[str], of: tuple[str, ...], draw: random.Random, share: float) -> list[str]:
    return [draw.choice(of) if draw.random() < share else tag for tag in tags]


def texts(draw: random.Random) -> str:
    return " ".join(draw.choices(WORDS, k=draw.randint(1, 4)))


def answered(task: str, number: int, seed: int) -> tuple[list[Any], list[Any], list[Any]]:
    """Gold, a model's predictions and those of a worse one."""
    draw = random.Random(seed)
    if task in ("ner", "pos"):
        of = TAGS if task == "ner" else WITHOUT_X
        gold = sentences(of, draw, number)
        return gold, *([noisy(tags, of, draw, share) for tags in gold] for share in (0.2, 0.25))
    if task == "tydiqa":
        answers = [[texts(draw) for _ in range(draw.randint(1, 2))] for _ in range(number)]
        return answers, *([draw.choice(one) if draw.random() > share else texts(draw) for one in answers]
                          for share in (0.3, 0.4))  # fmt: skip
    labels = draw.choices(LABELS, k=number)
    return labels, *([draw.choice(LABELS) if draw.random() < share else one for one in labels] for share in (0.3, 0.4))


def parts(task: str, metric: str, gold: list[Any], predicted: list[Any]) -> np.ndarray:
    """`[examples, 1, 2]`"""
    return np.array([[one[metric]] for one in TASKS[task].fractions(gold, predicted)], dtype=float)


METRICS = [(name, metric) for name in ("ner", "pos", "tydiqa", "xnli") for metric in TASKS[name].metrics_names]


@pytest.mark.parametrize(("task", "metric"), METRICS)
def test_parts_give_the_metric_of_the_whole_and_of_every_resample(task: str, metric: str) -> None:
    gold, ours, theirs = answered(task, 120, 5)
    drawn = np.random.default_rng(2).integers(120, size=(10, 120))
    for predicted in (ours, theirs):
        of_each = parts(task, metric, gold, predicted)
        for places in (np.arange(120), *drawn):
            chosen = [[one[place] for place in places] for one in (gold, predicted)]
            found = scores(of_each[places].sum(axis=0))
            assert found == pytest.approx([TASKS[task].metrics(*chosen)[metric]])
            if task == "ner":
                assert found == pytest.approx([100 * f1_score(*chosen)])


def test_a_resample_without_any_entity_scores_zero() -> None:
    nothing = parts("ner", "f1", [["O"], ["O", "O"]], [["O"], ["O", "O"]])
    assert scores(nothing.sum(axis=0)) == [0.0] == [NER.metrics([["O"]], [["O"]])["f1"]]
    assert (bootstrap(nothing, nothing) == 0).all()
    assert shared_variance(np.tile(nothing, (1, 2, 1)), np.tile(nothing, (1, 2, 1))) == 0


@pytest.mark.parametrize(("task", "metric"), METRICS)
def test_the_bootstrap_is_that_of_a_plain_loop(task: str, metric: str) -> None:
    gold, ours, theirs = answered(task, 80, 11)
    draw, loop = random.Random(4), []
    for _ in range(250):
        places = draw.choices(range(80), k=80)
        of_ours, of_theirs = (
            TASKS[task].metrics([gold[place] for place in places], [one[place] for place in places])[metric]
            for one in (ours, theirs)
        )
        loop.append(of_ours - of_theirs)
    found = bootstrap(*(parts(task, metric, gold, one) for one in (ours, theirs)))
    assert found.shape == (RESAMPLES, 1)
    assert found.std() == pytest.approx(np.std(loop), rel=0.15)
    assert found.mean() == pytest.approx(np.mean(loop), abs=0.2 * np.std(loop))
    assert stats.ks_2samp(found[:, 0], loop).pvalue > 0.001


@pytest.mark.parametrize(("task", "metric"), METRICS)
def test_randomization_is_the_enumeration_of_all_swaps(task: str, metric: str) -> None:
    gold, ours, theirs = answered(task, 9, 4)
    observed = abs(TASKS[task].metrics(gold, ours)[metric] - TASKS[task].metrics(gold, theirs)[metric])
    as_far = 0
    for swaps in itertools.product((False, True), repeat=9):
        one = [theirs[place] if swapped else ours[place] for place, swapped in enumerate(swaps)]
        other = [ours[place] if swapped else theirs[place] for place, swapped in enumerate(swaps)]
        as_far += abs(TASKS[task].metrics(gold, one)[metric] - TASKS[task].metrics(gold, other)[metric]) >= (
            observed - 1e-9
        )
    better, over = (parts(task, metric, gold, one) for one in (ours, theirs))
    [p] = randomization_p(gains(better, over), randomized(better, over))
    assert p == pytest.approx(as_far / 2**9, abs=0.02)
    assert 0 < p <= 1


def test_models_that_predict_the_same_do_not_differ() -> None:
    gold, ours, _ = answered("ner", 50, 1)
    same = parts("ner", "f1", gold, ours)
    assert randomization_p(gains(same, same), randomized(same, same)) == [1.0]
    assert (bootstrap(same, same) == 0).all()


def test_a_p_of_models_that_are_as_good_is_uniform() -> None:
    """Of many pairs of models that err at random, 5 % have p < 0.05: a test per model."""
    right = np.random.default_rng(8).random((2, 300, 400)) < 0.7
    better, over = (np.stack([one, np.ones_like(one)], axis=-1).astype(float) for one in right)
    found = randomization_p(gains(better, over), randomized(better, over))
    assert 0.02 < np.mean(found < 0.05) < 0.085
    assert np.mean(found < 0.5) == pytest.approx(0.5, abs=0.1)


def test_more_examples_than_units_come_to_the_same_in_blocks() -> None:
    """McNemar's test is the exact one for accuracy, and the bootstrap has the variance of a mean."""
    number = 10 * UNITS + 7
    right = np.random.default_rng(9).random((2, number, 3)) < np.array([0.70, 0.695])[:, None, None]
    better, over = (np.stack([one, np.ones_like(one)], axis=-1).astype(float) for one in right)
    gain = gains(better, over)
    found = randomization_p(gain, randomized(better, over))
    for model in range(3):
        won, lost = ((right[side, :, model] & ~right[1 - side, :, model]).sum() for side in (0, 1))
        assert found[model] == pytest.approx(stats.binomtest(won, won + lost).pvalue, abs=0.03)
    expected = 100 * (right[0].astype(float) - right[1]).std(axis=0) / number**0.5
    assert bootstrap(better, over).std(axis=0) == pytest.approx(expected, rel=0.06)
    assert bootstrap(better, over).mean(axis=0) == pytest.approx(gain, abs=0.05 * expected.max())


@pytest.mark.parametrize("metric", ["accuracy", "chunk_f1"])
def test_the_shared_variance_is_the_covariance_of_resamples(metric: str) -> None:
    draw = random.Random(3)
    gold = sentences(UPOS[:4], draw, 400)
    # all models of a side err on the same sentences
    hard = [[draw.random() < 0.5 for _ in gold] for _ in range(2)]
    better, over = (
        np.concatenate(
            [
                parts("pos", metric, gold, [noisy(tags, UPOS[:4], draw, 0.4 if one else 0.05)
                                            for tags, one in zip(gold, of_side, strict=True)])
                for _ in range(3)
            ],
            axis=1,
        )
        for of_side in hard
    )  # fmt: skip
    covariance = np.cov(bootstrap(better, over).T)
    expected = covariance[~np.eye(3, dtype=bool)].mean()
    assert shared_variance(better, over) == pytest.approx(expected, rel=0.08)
    assert np.isnan(shared_variance(better[:, :1], over[:, :1]))


def test_a_million_predictions_are_resampled_within_seconds() -> None:
    """In 1 s of one core; the bound is what the documentation promises. tests/benchmarks/item_tests.py measures."""
    right = np.random.default_rng(1).random((2, 1_000_000, 1)) < 0.8
    better, over = (np.stack([one, np.ones_like(one)], axis=-1).astype(float) for one in right)
    begin = time.process_time()
    bootstrap(better, over), randomized(better, over)
    assert time.process_time() - begin < 10
