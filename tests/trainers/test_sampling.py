"""Targets up-sampled: languages have the shares of the formula, windows their turns, and shots stay as they are."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers.sampling import Sampling, shares
from trainers.training import loop
from trainers.training.sampled_epochs import SampledEpochs
from trainers.trial import Trial

Make = Callable[..., Trial]
Train = Callable[[Trial], Any]


def test_shares_are_those_of_the_formula() -> None:
    assert shares([1000, 10], 1) == pytest.approx([1000 / 1010, 10 / 1010])
    assert shares([1024, 32, 1], 5) == pytest.approx([4 / 7, 2 / 7, 1 / 7])
    assert shares([1000, 10, 1], 1e6) == pytest.approx([1 / 3] * 3, rel=1e-4)


LANGUAGES = st.lists(st.integers(1, 60), min_size=1, max_size=5)


@settings(deadline=None, max_examples=60)
@given(LANGUAGES, st.floats(1, 50), st.integers(0, 2**31))
def test_an_epoch_is_as_long_as_before_and_a_language_s_windows_take_turns(
    sizes: list[int], temperature: float, seed: int
) -> None:
    languages = [[100 * number + place for place in range(size)] for number, size in enumerate(sizes)]
    drawn = SampledEpochs(languages, temperature)(torch.Generator().manual_seed(seed))
    assert len(drawn) == sum(sizes)
    counts = Counter(drawn)
    assert set(counts) <= {window for language in languages for window in language}
    for language in languages:
        of_language = [counts[window] for window in language]
        assert max(of_language) - min(of_language) <= 1


def test_over_epochs_languages_have_their_shares() -> None:
    sizes, temperature, epochs = (1000, 60, 10, 10), 5.0, 40
    languages = [[10_000 * number + place for place in range(size)] for number, size in enumerate(sizes)]
    generator = torch.Generator().manual_seed(1)
    draw = SampledEpochs(languages, temperature)
    counts = Counter(window // 10_000 for _ in range(epochs) for window in draw(generator))
    weights = [size**0.2 for size in sizes]
    expected = [epochs * sum(sizes) * weight / sum(weights) for weight in weights]
    squares = sum((counts[number] - mean) ** 2 / mean for number, mean in enumerate(expected))
    assert squares < 16.3  # 0.1% point, 3 degrees of freedom


@pytest.fixture
def trained_on(train: Train, monkeypatch: pytest.MonkeyPatch) -> Callable[[Trial], tuple[list[int], Any]]:
    """Trains; the windows of all batches in their order, and the run."""

    def watched(trial: Trial) -> tuple[list[int], Any]:
        seen: list[int] = []
        update = loop.Loop._update

        def watch(self: loop.Loop, indices: Any) -> None:
            seen.extend(indices)
            update(self, indices)

        with monkeypatch.context() as patched:
            patched.setattr(loop.Loop, "_update", watch)
            return seen, train(trial)

    return watched


def test_repeated_shots_are_seen_so_often_in_each_epoch_and_the_source_once(
    trained_on: Callable[[Trial], tuple[list[int], Any]], make_trial: Make
) -> None:
    plain, before = trained_on(make_trial("naive-mix-train"))
    seen, after = trained_on(make_trial("naive-mix-train", sampling=Sampling(repeat_shots=4)))
    assert set(Counter(plain).values()) == {2}  # two epochs
    source, shots = range(96), range(96, 102)
    assert Counter(seen) == {**dict.fromkeys(source, 2), **dict.fromkeys(shots, 8)}
    assert set(seen[:120]) == {*source, *shots}
    assert after.reports[-1].step == 2 * -(-(96 + 4 * 6) // 16)
    assert after.outcome.facts["shots"] == before.outcome.facts["shots"]


def test_at_a_temperature_an_epoch_has_more_shots_in_as_many_steps(
    trained_on: Callable[[Trial], tuple[list[int], Any]], make_trial: Make
) -> None:
    plain, before = trained_on(make_trial("gradient-mix-train"))
    seen, after = trained_on(make_trial("gradient-mix-train", sampling=Sampling(temperature=5.0)))
    assert len(seen) == len(plain) == 2 * 102
    assert sum(index >= 96 for index in plain) == 2 * 6
    expected = 204 * 2 * 3**0.2 / (96**0.2 + 2 * 3**0.2)  # 102
    assert abs(sum(index >= 96 for index in seen) - expected) < 25  # 3.5 standard deviations
    assert after.outcome.facts["shots"] == before.outcome.facts["shots"]
    again, _ = trained_on(make_trial("gradient-mix-train", sampling=Sampling(temperature=5.0)))
    assert again == seen
