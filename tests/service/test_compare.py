"""Comparisons: what intervals and tests must obey, by their definitions rather than by another implementation."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.reports.compare import bootstrap_interval, comparison, holm, permutation_p

OURS, THEIRS = "gradient-mix-train", "ord-FS"

numbers = st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=6)
briefly = settings(max_examples=50, deadline=None)


def score_rows(differences: dict[str, list[float]], k: int = 5) -> pd.DataFrame:
    """Scores of two methods that are apart by so much, per language and seed; the source language has 90 throughout."""
    rows = []
    for language, values in {**differences, "en": [0.0] * len(next(iter(differences.values())))}.items():
        for seed, value in enumerate(values, start=1):
            rows += [
                {"method": OURS, "k": k, "seed": seed, "language": language, "value": 40 + seed + value},
                {"method": THEIRS, "k": k, "seed": seed, "language": language, "value": 40.0 + seed},
            ]
    return pd.DataFrame(rows)


def test_one_method_over_another_in_the_figures_of_a_hand() -> None:
    found = comparison(score_rows({"de": [1, 2, 3, 4, 5], "hi": [-1, 0, 1, 0, 0]}), OURS, THEIRS, 5, "en")
    german, hindi = (row for _, row in found.languages.iterrows())
    assert (german["language"], german["gain"], german["p"]) == ("de", 3.0, 2 / 32)
    assert (german["wins"], german["ties"], german["losses"]) == (5, 0, 0)
    assert german["sd"] == pytest.approx(math.sqrt(2.5))
    assert (hindi["language"], hindi["gain"], hindi["p"]) == ("hi", 0.0, 1.0)
    assert (hindi["wins"], hindi["ties"], hindi["losses"]) == (1, 3, 1)
    assert found.languages["p_holm"].tolist() == [4 / 32, 1.0]
    assert found.overall["gain"] == 1.5  # of each seed's mean over both
    assert (found.overall["wins"], found.overall["ties"], found.overall["losses"]) == (6, 3, 1)
    assert (found.overall["seeds"], found.overall["smallest_p"]) == (5, 0.0625)


def test_the_other_way_round_everything_is_turned() -> None:
    rows = score_rows({"de": [1, 2, 3, -4, 5], "hi": [-1, 0, 2, 0.5, 0]})
    one, other = (comparison(rows, *pair, 5, "en") for pair in ((OURS, THEIRS), (THEIRS, OURS)))
    assert one.overall["p"] == other.overall["p"]
    assert one.overall["gain"] == -other.overall["gain"]
    assert (one.overall["low"], one.overall["high"]) == pytest.approx((-other.overall["high"], -other.overall["low"]))
    assert (one.overall["wins"], one.overall["losses"]) == (other.overall["losses"], other.overall["wins"])


def test_seeds_that_one_of_them_lacks_are_named() -> None:
    rows = score_rows({"de": [1, 2, 3]})
    with pytest.raises(ValueError, match="ord-FS lacks seeds 3"):
        comparison(rows[(rows["method"] == OURS) | (rows["seed"] < 3)], OURS, THEIRS, 5, "en")


def test_one_seed_says_nothing() -> None:
    found = comparison(score_rows({"de": [3]}), OURS, THEIRS, 5, "en").overall
    assert (found["p"], found["smallest_p"]) == (1.0, 1.0)
    assert math.isnan(found["sd"])
    assert math.isnan(found["low"])


@briefly
@given(numbers)
def test_a_p_is_as_rare_as_it_says(values: list[float]) -> None:
    """If the methods' names mean nothing, each choice of signs is as likely: p <= t must be no more likely than t."""
    sizes = np.abs(np.array(values)) + 1e-3
    found = [permutation_p(sizes * signs) for signs in itertools.product((1, -1), repeat=len(sizes))]
    for p in found:
        assert np.mean(np.array(found) <= p) <= p + 1e-12
        assert p >= min(1.0, 2 ** (1 - len(sizes)))


@briefly
@given(numbers, st.floats(0.5, 100))
def test_neither_units_nor_order_matter(values: list[float], factor: float) -> None:
    found = np.array(values)
    assert permutation_p(found) == permutation_p(found[::-1]) == permutation_p(-found)
    if len(values) > 1:
        assert bootstrap_interval(factor * found) == pytest.approx([factor * end for end in bootstrap_interval(found)])
        assert bootstrap_interval(found + 7) == pytest.approx([end + 7 for end in bootstrap_interval(found)], abs=1e-4)


@briefly
@given(st.lists(st.floats(-50, 50, width=32), min_size=2, max_size=9))
def test_an_interval_lies_among_the_differences_and_holds_their_mean(values: list[float]) -> None:
    low, high = bootstrap_interval(np.array(values))
    assert min(values) - 1e-9 <= low <= np.mean(values) + 1e-9
    assert np.mean(values) - 1e-9 <= high <= max(values) + 1e-9


def test_many_seeds_are_drawn_and_come_to_about_the_same_as_counted() -> None:
    found = np.random.default_rng(3).normal(0.4, 1.0, 14)
    means = np.abs(np.array(list(itertools.product((1.0, -1.0), repeat=14))) @ found)
    assert permutation_p(found) == pytest.approx(np.mean(means >= means[0] * (1 - 1e-9)), abs=0.01)
    low, high = bootstrap_interval(found)
    error = found.std(ddof=0) / math.sqrt(14)  # of the resampled mean, which is close to normal
    assert (low, high) == pytest.approx((found.mean() - 1.96 * error, found.mean() + 1.96 * error), abs=0.15 * error)


def test_holm_by_its_own_steps() -> None:
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.5, 0.9])) == pytest.approx([1.0, 1.0])
    assert holm(np.array([0.2])) == pytest.approx([0.2])
