"""The training loop: its batches, its updates in parts and in other precisions, its schedule and its reports."""

import copy
import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from token_windows import Corpus, oracle, training
from trainers.surgery.rules import GradientSurgery, PCGrad
from trainers.training.batches import (
    PART_COST,
    POOLED_BATCHES,
    bucketed_batches,
    parts_of_similar_length,
    shuffled_batches,
)
from trainers.training.finite import NotFiniteError
from trainers.training.loop import Loop, Oracle, Progress
from trainers.training.schedule import linear_decay


def batches(lengths: list[int], batch_size: int, seed: int = 1) -> list[list[int]]:
    return bucketed_batches(lengths, batch_size, torch.Generator().manual_seed(seed))


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
    first, second = (bucketed_batches(lengths, 8, generator) for _ in range(2))
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


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 500), st.integers(1, 40), st.integers(0, 2**32))
def test_shuffled_batches_are_a_random_order_cut(number: int, batch_size: int, seed: int) -> None:
    made = shuffled_batches(number, batch_size, torch.Generator().manual_seed(seed))
    flat = [place for batch in made for place in batch]
    assert flat == torch.randperm(number, generator=torch.Generator().manual_seed(seed)).tolist()
    assert {len(batch) for batch in made[:-1]} <= {batch_size}
    assert 0 < len(made[-1]) <= batch_size


@pytest.mark.parametrize(("batching", "near"), [("shuffled", 1.0), ("bucketed", 7.3)])
def test_a_word_weighs_the_same_in_short_and_in_long_sentences_where_batches_are_shuffled(
    batching: str, near: float
) -> None:
    lengths = some_lengths(3200)
    weights: dict[int, list[float]] = {}
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        made = (
            shuffled_batches(len(lengths), 32, generator)
            if batching == "shuffled"
            else bucketed_batches(lengths, 32, generator)
        )
        for batch in made:
            words = sum(lengths[place] for place in batch)
            for place in batch:
                weights.setdefault(lengths[place], []).append(1 / words)
    short = fmean(weight for length, found in weights.items() if length < 15 for weight in found)
    long = fmean(weight for length, found in weights.items() if length >= 45 for weight in found)
    assert short / long == pytest.approx(near, rel=0.1)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=8), st.integers(1, 8), st.integers(0, 60))
def test_no_division_of_a_batch_costs_less_than_its_parts(lengths: list[int], most: int, part_cost: int) -> None:
    def cost(parts: list[list[int]]) -> int:
        return sum(part_cost + len(part) * max(lengths[place] for place in part) for part in parts)

    def partitions(places: list[int]) -> Iterator[list[list[int]]]:
        if not places:
            yield []
            return
        first, *rest = places
        for others in itertools.chain.from_iterable(itertools.combinations(rest, size) for size in range(most)):
            for further in partitions([place for place in rest if place not in others]):
                yield [[first, *others], *further]

    parts = parts_of_similar_length(lengths, most, part_cost)
    assert sorted(place for part in parts for place in part) == list(range(len(lengths)))
    assert max(map(len, parts)) <= most
    if len(lengths) <= 6:
        assert cost(parts) == min(map(cost, partitions(list(range(len(lengths))))))


# Whole loops over a tiny model


@pytest.fixture(autouse=True)
def _device(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Corpus, "device", device)


def trained(corpus: Corpus, of: Oracle | None = None, **changed: Any) -> tuple[list[Tensor], list[Progress]]:
    """The gradients that the optimizer got at the first update, and what was reported."""
    loop = Loop(corpus.model(), corpus.training_set(), training(**changed), 1, of)
    first: list[Tensor] = []

    def keep(*_: object) -> None:
        first.extend([] if first else [p.grad.clone() for p in loop.model.parameters() if p.grad is not None])

    loop.optimizer.register_step_pre_hook(keep)
    reports: list[Progress] = []
    loop.run(reports.append)
    return first, reports


def distance(some: list[Tensor], others: list[Tensor]) -> float:
    """Of two gradients, relative to their length."""
    a, b = (torch.cat([part.flatten() for part in parts]).double() for parts in (some, others))
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize("of", [None, oracle(), oracle(rule=PCGrad)], ids=["plain", "surgery", "pcgrad"])
@pytest.mark.parametrize("accumulation", [2, 5, 12])
def test_dividing_an_update_changes_neither_its_gradient_nor_its_loss(
    tiny_encoder: Path, accumulation: int, of: Oracle | None
) -> None:
    corpus = Corpus(tiny_encoder)
    whole, reports = trained(corpus, of)
    divided, others = trained(corpus, of, accumulation=accumulation)
    assert distance(divided, whole) < 1e-5
    assert others[0].measures["loss"] == pytest.approx(reports[0].measures["loss"], rel=1e-3)
    assert others[0].step == reports[0].step == 2
    if of is not None:
        assert others[0].measures["surgery"]["operations"] == 2


@pytest.mark.parametrize("of", [None, oracle()], ids=["plain", "surgery"])
def test_a_batch_has_the_gradient_that_it_has_when_padded_to_one_length(
    tiny_encoder: Path, of: Oracle | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = Corpus(tiny_encoder)
    divided, reports = trained(corpus, of)
    monkeypatch.setitem(PART_COST, corpus.device, 10**6)
    whole, others = trained(corpus, of)
    assert distance(divided, whole) < 1e-5
    assert reports[0].measures["loss"] == pytest.approx(others[0].measures["loss"], rel=1e-3)


def test_a_batch_has_the_gradient_of_the_mean_over_all_its_words(tiny_encoder: Path) -> None:
    corpus = Corpus(tiny_encoder, number=12)
    found, _ = trained(corpus)
    model = corpus.model().train()
    batch = corpus._collate(range(12))
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten()).backward()
    expected = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert distance(found, expected) < 1e-5


@pytest.mark.parametrize("accumulation", [1, 12])
def test_windows_without_terms_change_nothing(tiny_encoder: Path, accumulation: int) -> None:
    """As a package's task may have them: the mean over such a window alone is no number."""
    corpus = Corpus(tiny_encoder, number=12)
    for place in (0, 5, 6):
        corpus.labels[place][:] = -100
    found, _ = trained(
        corpus, Oracle(shots={"de": range(3)}, alpha=1.0, rule=GradientSurgery), accumulation=accumulation
    )
    model = corpus.model().train()

    def gradient(places: Sequence[int]) -> list[Tensor]:
        model.zero_grad()
        model(**corpus._collate(places)).loss.backward()
        return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]

    g, o = gradient(range(12)), gradient(range(3))
    dot = sum(float((a * b).sum()) for a, b in zip(g, o, strict=True))
    share = min(dot, 0.0) / sum(float((b * b).sum()) for b in o)
    assert distance(found, [a - share * b for a, b in zip(g, o, strict=True)]) < 1e-5


def test_an_update_without_terms_ends_the_training(tiny_encoder: Path) -> None:
    corpus = Corpus(tiny_encoder, number=12)
    for labels in corpus.labels:
        labels[:] = -100
    with pytest.raises(NotFiniteError, match="the loss is nan at step 1"):
        trained(corpus)


def test_micro_batches_count_equally_in_random_order(tiny_encoder: Path) -> None:
    corpus = Corpus(tiny_encoder, number=12)
    found, _ = trained(corpus, batching="micro-batches", accumulation=3)
    model = corpus.model().train()
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1)).tolist()
    for first in (0, 4, 8):
        (model(**corpus._collate(order[first : first + 4])).loss / 3).backward()
    assert distance(found, [one.grad for one in model.parameters() if one.grad is not None]) < 1e-5


def test_the_released_code_operates_after_every_part_of_an_update(tiny_encoder: Path) -> None:
    corpus = Corpus(tiny_encoder)
    micro: dict[str, Any] = {"accumulation": 4, "batching": "micro-batches"}
    _, reports = trained(corpus, oracle(released_code=True), **micro)
    assert reports[0].measures["surgery"]["operations"] == 2 * 4
    _, reports = trained(corpus, oracle(alpha=0.5, released_code=True), **micro, epochs=20)
    met = reports[-1].measures["surgery"]
    assert met["operations"] + met["skipped"] == 20 * 2 * 4


def test_an_oracle_sample_is_drawn_anew_and_repeatably(tiny_encoder: Path) -> None:
    corpus = Corpus(tiny_encoder)
    seen: list[tuple[int, ...]] = []

    class Watched(Loop):
        def _parts(self, indices: Sequence[int]) -> list[tuple[Sequence[int], float]]:
            if len(indices) == 2:
                seen.append(tuple(indices))
            return super()._parts(indices)

    for _ in range(2):
        loop = Watched(corpus.model(), corpus.training_set(), training(epochs=6), 1, oracle(sample=2))
        loop.run(lambda _: None)
    assert seen[:12] == seen[12:]
    assert len(set(seen)) > 5
    assert all(set(places) <= set(range(10)) for places in seen)


@pytest.mark.parametrize(("precision", "near"), [("bf16", 0.1), ("fp16", 0.02)])
@pytest.mark.parametrize("of", [None, oracle()], ids=["plain", "surgery"])
def test_other_precisions_give_nearly_the_same_gradient_in_fp32_weights(
    tiny_encoder: Path, precision: str, near: float, of: Oracle | None
) -> None:
    corpus = Corpus(tiny_encoder)
    exact, _ = trained(corpus, of)
    rough, reports = trained(corpus, of, precision=precision)
    assert 0 < distance(rough, exact) < near
    assert {part.dtype for part in rough} == {torch.float32}
    assert ("loss_scale" in reports[0].measures) == (precision == "fp16")


def test_a_scale_that_overflows_skips_the_update_is_counted_and_halved(tiny_encoder: Path) -> None:
    corpus = Corpus(tiny_encoder)
    loop = Loop(corpus.model(), corpus.training_set(), training(precision="fp16", epochs=4), 1, oracle())
    loop.scaler = torch.amp.GradScaler(corpus.device, init_scale=2.0**60)
    before = [parameter.detach().clone() for parameter in loop.model.parameters()]
    reports: list[Progress] = []
    loop.run(reports.append)
    after = list(loop.model.parameters())
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert reports[-1].measures["surgery"]["nonfinite"] == 8
    assert reports[-1].measures["loss_scale"] == 2.0**52


def test_a_scale_at_which_only_the_oracle_pass_overflows_is_halved_too(tiny_encoder: Path) -> None:
    corpus = Corpus(tiny_encoder)

    class Steep(Loop):
        """The loss of one language's shots has gradients of 2^30 times their length."""

        def _oracle_backward(self, indices: Sequence[int]) -> None:
            self._backward(indices, 2.0**30 if 0 in indices else 1.0, "oracle")

    loop = Steep(corpus.model(), corpus.training_set(), training(precision="fp16", epochs=40), 1, oracle())
    reports: list[Progress] = []
    loop.run(reports.append)
    met = reports[-1].measures["surgery"]
    assert met["per_language"]["hi"]["nonfinite"] == 0
    assert 0 < met["per_language"]["de"]["nonfinite"] < 0.8 * met["per_language"]["de"]["operations"]
    assert reports[-1].measures["loss_scale"] < 2.0**16


def test_under_the_released_code_an_overflow_is_counted_for_its_own_language_alone(tiny_encoder: Path) -> None:
    corpus = Corpus(tiny_encoder)

    class Steep(Loop):
        def _oracle_backward(self, indices: Sequence[int]) -> None:
            self._backward(indices, 2.0**40 if 0 in indices else 1.0, "oracle")

    micro = training(precision="fp16", epochs=10, accumulation=12, batching="micro-batches")
    loop = Steep(corpus.model(), corpus.training_set(), micro, 1, oracle(released_code=True))
    reports: list[Progress] = []
    loop.run(reports.append)
    met = reports[-1].measures["surgery"]["per_language"]
    assert met["hi"]["nonfinite"] == 0 < met["de"]["nonfinite"]
    assert reports[-1].measures["loss_scale"] < 2.0**16


def test_a_training_whose_loss_scale_falls_to_nothing_ends(tiny_encoder: Path) -> None:
    """Where the forward pass over one language's shots overflows, no scale helps, and in the end nothing is learned."""
    corpus = Corpus(tiny_encoder)

    class Endless(Loop):
        def _oracle_backward(self, indices: Sequence[int]) -> None:
            self._backward(indices, math.inf if 0 in indices else 1.0, "oracle")

    loop = Endless(corpus.model(), corpus.training_set(), training(precision="fp16", epochs=60), 1, oracle())
    with pytest.raises(NotFiniteError, match=r"the loss scale has fallen to .* at step .* try precision bf16"):
        loop.run(lambda _: None)


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 200), st.integers(0, 50), st.booleans())
def test_the_schedule_is_that_of_transformers_shifted_where_the_protocol_says(
    steps: int, warmup: int, first: bool
) -> None:
    from transformers import get_linear_schedule_with_warmup

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    expected = get_linear_schedule_with_warmup(optimizer, warmup, steps).lr_lambdas[0]
    factor = linear_decay(training(warmup_steps=warmup, schedule_first=first), steps)
    for step in range(steps + 2):
        assert factor(step) == pytest.approx(expected(step + first))


@pytest.mark.parametrize(("every", "steps"), [(None, [2, 4, 6]), (1, [1, 2, 3, 4, 5, 6]), (4, [4, 6]), (100, [6])])
def test_reports_come_each_epoch_or_as_often_as_the_training_says(
    tiny_encoder: Path, every: int | None, steps: list[int]
) -> None:
    _, reports = trained(Corpus(tiny_encoder), epochs=3, evaluate_every=every)
    assert [report.step for report in reports] == steps
    assert [report.epoch for report in reports] == [(step + 1) // 2 for step in steps]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_learns_where_it_is_asked_to(tiny_encoder: Path, device: str, precision: str) -> None:
    corpus = Corpus(tiny_encoder)
    loop = Loop(corpus.model(), corpus.training_set(), training(epochs=8, precision=precision), 1, oracle())
    reports: list[Progress] = []
    loop.run(reports.append)
    assert next(loop.model.parameters()).device.type == device
    assert reports[-1].measures["loss"] < reports[0].measures["loss"]
    assert reports[-1].measures["surgery"]["operations"] == 16


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_loop_repeats_itself_and_goes_on_from_a_state_to_the_bit(tiny_encoder: Path, precision: str) -> None:
    corpus = Corpus(tiny_encoder)

    def fresh() -> Loop:
        return Loop(
            corpus.model(), corpus.training_set(), training(epochs=4, precision=precision, accumulation=3), 1, oracle()
        )

    whole, states = fresh(), []
    whole.run(lambda _: None, lambda: states.append(copy.deepcopy(whole.state_dict())))
    resumed = fresh()
    resumed.load_state_dict(states[2])
    resumed.run(lambda _: None)
    for one, other in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other)
