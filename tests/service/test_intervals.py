"""Intervals and tests over seeds: coverage by simulation, scipy.stats as an oracle, and what definitions demand."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from service.reports.intervals import (
    beyond_the_examples,
    bootstrap_interval,
    holm,
    permutation_p,
    smallest_p,
    t_interval,
    t_test_p,
)
from service.reports.item_tests import gains, shared_variance

numbers = st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=6)
briefly = settings(max_examples=50, deadline=None)


def varying(values: list[float]) -> np.ndarray:
    """Values that are apart by more than rounding."""
    assume(max(values) - min(values) > 1e-3)
    return np.array(values)


# Coverage


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_the_interval_covers_the_mean_of_normal_differences_in_95_percent(seeds: int) -> None:
    drawn = np.random.default_rng(seeds).normal(1.5, 2.0, (6000, seeds))
    ends = np.array([t_interval(one) for one in drawn])
    covered = np.mean((ends[:, 0] <= 1.5) & (ends[:, 1] >= 1.5))
    assert 0.94 < covered < 0.96


@pytest.mark.parametrize(("seeds", "least", "most"), [(3, 0.63, 0.73), (5, 0.79, 0.87)])
def test_the_bootstrap_covers_as_little_as_its_documentation_says(seeds: int, least: float, most: float) -> None:
    ends = np.array([bootstrap_interval(one) for one in np.random.default_rng(7).normal(0, 1, (1500, seeds))])
    assert least < np.mean((ends[:, 0] <= 0) & (ends[:, 1] >= 0)) < most


@pytest.mark.parametrize("seeds", [3, 10])
@pytest.mark.parametrize("spread", [(1.0, 0.0), (1.0, 1.0), (0.3, 1.0)], ids=["seeds", "both", "mostly examples"])
def test_with_the_examples_it_covers_what_new_seeds_and_new_examples_have(
    seeds: int, spread: tuple[float, float]
) -> None:
    """F1 on 300 examples that all seeds share: seeds, examples and both together shift the gain, which is 2 points."""
    random = np.random.default_rng([seeds, *(int(10 * one) for one in spread)])
    covered = []
    for _ in range(2000):
        items = random.integers(1, 6, 300)  # in the gold standard
        of_seeds = random.normal(0, 0.01 * spread[0], seeds)
        of_examples = random.normal(0, 0.01 * spread[1] * math.sqrt(300), 300)
        gain = 0.02 + of_seeds[:, None] + of_examples + random.normal(0, 0.1, (seeds, 300))
        over = np.full((seeds, 300), 0.6)
        better, other = (np.stack([2 * items * part, np.broadcast_to(2 * items, part.shape)], axis=-1).swapaxes(0, 1)
                         for part in (over + gain, over))  # fmt: skip
        low, high, p = beyond_the_examples(gains(better, other), shared_variance(better, other))
        covered.append(low <= 2 <= high)
        assert (p < 0.05) == (not low <= 0 <= high)
    assert 0.93 < np.mean(covered) < 0.97


# Beside scipy


@briefly
@given(st.lists(st.floats(-50, 50, width=32), min_size=2, max_size=12))
def test_the_t_test_is_that_of_scipy(values: list[float]) -> None:
    found = varying(values)
    oracle = stats.ttest_rel(found + 7, np.full(len(found), 7.0))
    interval = oracle.confidence_interval(0.95)
    assert t_interval(found) == pytest.approx((interval.low, interval.high), rel=1e-6, abs=1e-6)
    assert t_test_p(found) == pytest.approx(oracle.pvalue, rel=1e-6, abs=1e-9)


def test_the_quantile_is_that_of_printed_tables() -> None:
    low, high = t_interval(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert (high - low) / 2 == pytest.approx(2.776 * math.sqrt(2.5 / 5), abs=1e-3)


@briefly
@given(st.lists(st.floats(-5, 5, width=32), min_size=2, max_size=12))
def test_p_is_below_5_percent_where_the_interval_excludes_zero_and_only_there(values: list[float]) -> None:
    found = varying(values)
    low, high = t_interval(found)
    assert (t_test_p(found) < 0.05) == (low > 0 or high < 0)


def test_the_p_of_permutations_is_that_of_scipy() -> None:
    for values in np.random.default_rng(3).normal(0.5, 1, (20, 6)):
        oracle = stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=np.inf)
        assert permutation_p(values) == pytest.approx(oracle.pvalue)


# Where nothing varies


@pytest.mark.parametrize("values", [[3.0], [0.0], [2.0, 2.0], [0.0, 0.0, 0.0], [43.1 - 40.1, 44.1 - 41.1, 3.0]])
def test_nothing_is_tested_where_nothing_varies(values: list[float]) -> None:
    found = np.array(values)
    assert np.isnan([*t_interval(found), t_test_p(found), *beyond_the_examples(found, 0.1)]).all()


# Permutations, the bootstrap, Holm


@briefly
@given(numbers)
def test_a_p_is_as_rare_as_it_says(values: list[float]) -> None:
    """If the sides' names mean nothing, each choice of signs is as likely: p <= t must be no more likely than t."""
    sizes = np.abs(np.array(values)) + 1e-3
    found = [permutation_p(sizes * signs) for signs in itertools.product((1, -1), repeat=len(sizes))]
    for p in found:
        assert np.mean(np.array(found) <= p) <= p + 1e-12
        assert p >= smallest_p(len(sizes))


def test_the_smallest_p_is_that_of_seeds_that_agree() -> None:
    for seeds in range(1, 13):
        assert permutation_p(np.arange(1.0, seeds + 1)) == smallest_p(seeds) == min(1, 2 / 2**seeds)
    assert permutation_p(np.arange(1.0, 31)) >= smallest_p(30) == 1 / 50_001


@briefly
@given(numbers, st.floats(0.5, 100))
def test_neither_units_nor_order_matter(values: list[float], factor: float) -> None:
    found = np.array(values)
    assert permutation_p(found) == permutation_p(found[::-1]) == permutation_p(-found)
    if len(values) > 1:
        assert bootstrap_interval(factor * found) == pytest.approx([factor * end for end in bootstrap_interval(found)])
        assert bootstrap_interval(found + 7) == pytest.approx([end + 7 for end in bootstrap_interval(found)], abs=1e-4)
        found = varying(values)
        assert t_interval(factor * found) == pytest.approx([factor * end for end in t_interval(found)], abs=1e-9)
        assert t_test_p(found) == pytest.approx(t_test_p(-factor * found[::-1]))


@briefly
@given(st.lists(st.floats(-50, 50, width=32), min_size=2, max_size=9))
def test_a_bootstrap_interval_lies_among_the_differences_and_holds_their_mean(values: list[float]) -> None:
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


def test_holm_counts_a_test_without_p() -> None:
    assert holm(np.array([0.01, math.nan, 0.02])) == pytest.approx([0.03, math.nan, 0.04], nan_ok=True)
    assert np.isnan(holm(np.array([math.nan, math.nan]))).all()
