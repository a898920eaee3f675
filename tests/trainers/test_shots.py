"""Shots: nested, distinct, the same for everybody, different by seed, language and data, and uniform."""

from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers.data.shots import Shots, draw, hashed_order
from trainers.digests import digest

DATA = "0123456789abcdef0123"
CLASSES = ("entailment", "neutral", "contradiction")


def draw_of(number: int, k: int, seed: int, language: str = "de", data: str = DATA) -> Shots:
    """K of so many examples without classes."""
    return draw(data, language, [""] * number, k, seed)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 80), st.integers(0, 2**31), st.data())
def test_fewer_shots_are_a_prefix_of_more_and_all_are_distinct(examples: int, seed: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, examples))
    fewer, all_ = (draw_of(examples, number, seed).indices for number in (k, examples))
    assert fewer == all_[:k]
    assert sorted(all_) == list(range(examples))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 300), st.integers(0, 2**31), st.text(max_size=8))
def test_the_order_is_that_of_the_digests_of_data_language_seed_and_place(
    examples: int, seed: int, language: str
) -> None:
    by_digest = sorted(range(examples), key=lambda place: digest([DATA, language, seed, place]))
    assert hashed_order((DATA, language, seed), examples) == tuple(by_digest)


STRATA = st.lists(st.sampled_from(CLASSES), min_size=1, max_size=60)


def by_stratum(shots: Shots, strata: list[str]) -> dict[str, list[int]]:
    places = defaultdict(list)
    for place in shots.indices:
        places[strata[place]].append(place)
    return dict(places)


@settings(deadline=None, max_examples=60)
@given(STRATA, st.integers(0, 2**31), st.data())
def test_k_of_each_class_are_drawn_and_fewer_are_a_prefix_of_more_class_by_class(
    strata: list[str], seed: int, data: st.DataObject
) -> None:
    most = min(Counter(strata).values())
    k = data.draw(st.integers(1, most))
    fewer, more = (by_stratum(draw(DATA, "de", strata, number, seed), strata) for number in (k, most))
    assert {stratum: len(places) for stratum, places in fewer.items()} == dict.fromkeys(strata, k)
    assert fewer == {stratum: places[:k] for stratum, places in more.items()}
    assert all(len(set(places)) == most for places in more.values())


@settings(deadline=None, max_examples=40)
@given(STRATA, st.integers(0, 2**31))
def test_the_examples_of_a_class_come_in_the_order_that_they_have_without_classes(strata: list[str], seed: int) -> None:
    k = min(Counter(strata).values())
    order = draw_of(len(strata), len(strata), seed).indices
    for stratum, places in by_stratum(draw(DATA, "de", strata, k, seed), strata).items():
        assert places == [place for place in order if strata[place] == stratum][:k]


def test_one_draw_is_pinned() -> None:
    shots = draw_of(100, 5, 1)
    assert shots.language == "de"
    assert shots.indices == (11, 12, 8, 49, 10)
    assert shots == draw_of(100, 5, 1)
    assert draw(DATA, "de", CLASSES * 30, 2, 2).indices == (64, 54, 68, 73, 14, 48)


@pytest.mark.parametrize("other", [(2, "de", DATA), (1, "hi", DATA), (1, "de", DATA[::-1])])
def test_another_seed_language_or_data_gives_other_shots(other: tuple[int, str, str]) -> None:
    first, second = draw_of(100, 10, 1), draw_of(100, 10, *other)
    assert first.indices != second.indices
    assert first.digest != second.digest


def test_equal_draws_have_equal_digests_and_others_have_others() -> None:
    draws = [draw_of(10, k, seed) for k in (1, 5, 10) for seed in range(40)]
    assert len({shots.digest for shots in draws}) == len({shots.indices for shots in draws}) < len(draws)
    assert draw_of(1, 1, 1, "hi").digest != draw_of(1, 1, 1).digest != draw_of(1, 1, 1, data="").digest


def test_more_shots_than_examples_are_refused() -> None:
    assert len(draw_of(5, 5, 1).indices) == 5
    with pytest.raises(ValueError, match="de: 6 shots asked of 5 examples"):
        draw_of(5, 6, 1)
    with pytest.raises(ValueError, match="de: 1 shots asked of 0 examples"):
        draw_of(0, 1, 1)


def test_more_shots_than_examples_of_a_class_are_refused_and_the_class_is_named() -> None:
    strata = [*["neutral"] * 5, *["entailment"] * 3]
    assert len(draw(DATA, "de", strata, 3, 1).indices) == 6
    with pytest.raises(ValueError, match="de: 4 shots asked of 3 examples of 'entailment'"):
        draw(DATA, "de", strata, 4, 1)


def test_over_seeds_every_example_is_drawn_equally_often_in_every_place() -> None:
    draws = [draw_of(20, 3, seed).indices for seed in range(2000)]
    for place in range(3):
        counts = Counter(indices[place] for indices in draws)
        assert len(counts) == 20
        assert sum((count - 100) ** 2 / 100 for count in counts.values()) < 43.8  # 0.1% point, 19 degrees of freedom


def test_over_seeds_every_example_of_a_class_is_drawn_equally_often() -> None:
    strata = [*["neutral"] * 20, *["entailment"] * 5]
    draws = [by_stratum(draw(DATA, "de", strata, 1, seed), strata) for seed in range(2000)]
    for stratum, limit in (("neutral", 43.8), ("entailment", 18.5)):  # 0.1% points, 19 and 4 degrees of freedom
        counts = Counter(places[stratum][0] for places in draws)
        expected = 2000 / strata.count(stratum)
        assert len(counts) == strata.count(stratum)
        assert sum((count - expected) ** 2 / expected for count in counts.values()) < limit
