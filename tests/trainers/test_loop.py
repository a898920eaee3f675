"""The training loop's batches."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers.loop import POOLED_BATCHES, shuffled_batches


def batches(lengths: list[int], batch_size: int, seed: int = 1) -> list[list[int]]:
    return shuffled_batches(lengths, batch_size, torch.Generator().manual_seed(seed))


def some_lengths(number: int) -> list[int]:
    return torch.randint(3, 60, (number,), generator=torch.Generator().manual_seed(number)).tolist()


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 1500), st.integers(1, 40), st.integers(0, 2**32))
def test_every_window_once_in_as_few_batches_as_the_batch_size_allows(number: int, batch_size: int, seed: int) -> None:
    made = batches(some_lengths(number), batch_size, seed)
    assert sorted(place for batch in made for place in batch) == list(range(number))
    assert len(made) == -(-number // batch_size)
    assert sorted(map(len, made), reverse=True)[: number // batch_size] == [batch_size] * (number // batch_size)


def test_the_order_is_a_function_of_the_generator() -> None:
    lengths = some_lengths(500)
    assert batches(lengths, 8) == batches(lengths, 8)
    assert batches(lengths, 8) != batches(lengths, 8, seed=2)
    generator = torch.Generator().manual_seed(1)
    first, second = (shuffled_batches(lengths, 8, generator) for _ in range(2))
    assert first == batches(lengths, 8)
    assert second != first


def test_a_batch_has_windows_of_similar_length() -> None:
    lengths = some_lengths(8 * POOLED_BATCHES * 3)

    def padded(made: list[list[int]]) -> int:
        return sum(len(batch) * max(lengths[place] for place in batch) for batch in made)

    made = batches(lengths, 8)
    order = torch.randperm(len(lengths)).tolist()
    unsorted = [order[first : first + 8] for first in range(0, len(order), 8)]
    assert padded(made) - sum(lengths) < 0.2 * (padded(unsorted) - sum(lengths))


def test_batches_come_in_no_order_of_length_and_no_window_has_a_place_of_its_own() -> None:
    lengths = list(range(64))
    firsts = {batches(lengths, 4, seed)[0][0] // 4 for seed in range(200)}
    assert len(firsts) == 16
    means = [sum(batch) / 4 for batch in batches(lengths, 4)]
    assert means != sorted(means)
    assert means != sorted(means, reverse=True)


def test_windows_of_equal_length_are_mixed_anew_each_time() -> None:
    together = [next(set(batch) for batch in batches([5] * 100, 10, seed) if 0 in batch) for seed in range(20)]
    assert len(set(map(frozenset, together))) == 20
