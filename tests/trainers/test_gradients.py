"""Figure 1: cosines of languages' gradients, of which only a few are held at a time."""

import gc
import weakref
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from trainers.cosines import cosines, gradient_cosines
from trainers.one_trial import run
from trainers.trial import Trial

Make = Callable[..., Trial]


def some_gradients(number: int) -> dict[str, list[Tensor]]:
    generator = torch.Generator().manual_seed(number)
    return {f"l{place}": [torch.randn(3, 2, generator=generator), torch.randn(5, generator=generator)]
            for place in range(number)}  # fmt: skip


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 9), st.integers(1, 10))
def test_the_matrix_is_that_of_all_gradients_at_once(number: int, at_once: int) -> None:
    gradients = some_gradients(number)
    flat = torch.stack([torch.cat([part.flatten() for part in parts]) for parts in gradients.values()]).double()
    unit = flat / flat.norm(dim=1, keepdim=True)
    found = cosines(gradients.__getitem__, list(gradients), at_once)
    assert torch.allclose(found, unit @ unit.T, atol=1e-12)
    assert torch.equal(found, found.T)


@pytest.mark.parametrize("at_once", [1, 3, 10])
def test_no_more_gradients_are_held_than_asked(at_once: int) -> None:
    alive: weakref.WeakSet[Tensor] = weakref.WeakSet()
    most, computed = 0, 0

    def gradient_of(language: str) -> list[Tensor]:
        nonlocal most, computed
        gradient = [part.clone() for part in some_gradients(10)[language]]
        gc.collect()
        alive.add(gradient[0])
        most, computed = max(most, len(alive)), computed + 1
        return gradient

    cosines(gradient_of, [f"l{place}" for place in range(10)], at_once)
    assert most == min(at_once, 9) + 1  # those that are kept, and the one that is compared with them
    assert computed == {1: 55, 3: 22, 10: 10}[at_once]


def test_a_kept_models_figure(make_trial: Make) -> None:
    trial = make_trial("gradient-mix-train", keep=True, target_languages=("de", "hi", "sw"))
    run(trial, lambda _: None)
    [selection] = trial.wanted.selections
    languages, matrix = gradient_cosines(trial, selection, at_once=2)
    assert languages == ("en", "de", "hi", "sw")
    assert matrix.shape == (4, 4)
    assert torch.allclose(matrix.diagonal(), torch.ones(4, dtype=torch.float64))
    assert ((matrix >= -1 - 1e-12) & (matrix <= 1 + 1e-12)).all()
    off_diagonal = matrix[~torch.eye(4, dtype=torch.bool)]
    assert len(set(off_diagonal.tolist())) == 6
    for at_once in (1, 8):
        assert torch.allclose(gradient_cosines(trial, selection, at_once)[1], matrix, atol=1e-9)


def test_a_model_that_was_not_kept_is_named(make_trial: Make) -> None:
    trial = make_trial("naive-mix-train")
    run(trial, lambda _: None)
    with pytest.raises(ValueError, match=f"the model of trial {trial.config.digest} was not kept"):
        gradient_cosines(trial, "source-dev")
