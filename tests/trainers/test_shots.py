"""Shots: nested, distinct, the same for everybody, different by seed, language and data, and uniform."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers.shots import draw

DATA = "0123456789abcdef0123"


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 80), st.integers(0, 2**31), st.data())
def test_fewer_shots_are_a_prefix_of_more_and_all_are_distinct(examples: int, seed: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, examples))
    fewer, all_ = (draw(DATA, "de", examples, number, seed).indices for number in (k, examples))
    assert fewer == all_[:k]
    assert sorted(all_) == list(range(examples))


def test_one_draw_is_pinned() -> None:
    shots = draw(DATA, "de", 100, 5, 1)
    assert shots.language == "de"
    assert shots.indices == (11, 12, 8, 49, 10)
    assert shots == draw(DATA, "de", 100, 5, 1)


@pytest.mark.parametrize("other", [(DATA, "de", 100, 10, 2), (DATA, "hi", 100, 10, 1), (DATA[::-1], "de", 100, 10, 1)])
def test_another_seed_language_or_data_gives_other_shots(other: tuple[str, str, int, int, int]) -> None:
    first, second = draw(DATA, "de", 100, 10, 1), draw(*other)
    assert first.indices != second.indices
    assert first.digest != second.digest


def test_equal_draws_have_equal_digests_and_others_have_others() -> None:
    draws = [draw(DATA, "de", 10, k, seed) for k in (1, 5, 10) for seed in range(40)]
    assert len({shots.digest for shots in draws}) == len({shots.indices for shots in draws}) < len(draws)
    assert draw(DATA, "hi", 1, 1, 1).digest != draw(DATA, "de", 1, 1, 1).digest != draw("", "de", 1, 1, 1).digest


def test_more_shots_than_examples_are_refused() -> None:
    assert len(draw(DATA, "de", 5, 5, 1).indices) == 5
    with pytest.raises(ValueError, match="de: 6 shots asked of a training split of 5 examples"):
        draw(DATA, "de", 5, 6, 1)


def test_over_seeds_every_example_is_drawn_equally_often_in_every_place() -> None:
    draws = [draw(DATA, "de", 20, 3, seed).indices for seed in range(2000)]
    for place in range(3):
        counts = Counter(indices[place] for indices in draws)
        assert len(counts) == 20
        assert sum((count - 100) ** 2 / 100 for count in counts.values()) < 43.8  # 0.1% point, 19 degrees of freedom
