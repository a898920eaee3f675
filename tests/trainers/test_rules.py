"""Conflict rules: what they make of two gradients, as vectors."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from trainers.surgery.optimizer import StochasticGradientSurgery
from trainers.surgery.rules import Rule, pcgrad, surgery

VECTORS = st.lists(st.floats(-100, 100), min_size=4, max_size=4).map(lambda one: torch.tensor(one, dtype=torch.float64))


def combined(rule: Rule, g: torch.Tensor, o: torch.Tensor) -> torch.Tensor:
    """The gradient that the optimizer gets."""
    parameter = torch.nn.Parameter(torch.zeros(4, dtype=torch.float64))
    optimizer = StochasticGradientSurgery(torch.optim.SGD([parameter], lr=1.0), {"de": o}, 1.0, 1, rule)
    parameter.grad = g.clone()
    optimizer.operate(lambda oracle: setattr(parameter, "grad", oracle.clone()))
    assert parameter.grad is not None
    return parameter.grad


def tolerance(*vectors: torch.Tensor) -> float:
    return 1e-9 * max(1.0, *(float(vector.norm()) for vector in vectors))


@settings(deadline=None, max_examples=200)
@given(VECTORS, VECTORS)
def test_pcgrad_is_torchjds_aggregator_over_both_gradients(g: torch.Tensor, o: torch.Tensor) -> None:
    from torchjd.aggregation import PCGrad

    assume(g.norm() > 1e-3 and o.norm() > 1e-3)
    expected = PCGrad()(torch.stack((g, o)))
    assert torch.allclose(combined(pcgrad, g, o), expected, rtol=1e-9, atol=tolerance(g, o))


@settings(deadline=None, max_examples=200)
@given(VECTORS, VECTORS)
def test_after_pcgrad_neither_gradient_is_hurt(g: torch.Tensor, o: torch.Tensor) -> None:
    assume(g.norm() > 1e-3 and o.norm() > 1e-3)
    found = combined(pcgrad, g, o)
    assert found @ g >= -tolerance(g, o) * float(g.norm() + 1)
    assert found @ o >= -tolerance(g, o) * float(o.norm() + 1)


@settings(deadline=None, max_examples=200)
@given(VECTORS, VECTORS)
def test_without_a_conflict_surgery_changes_nothing_and_pcgrad_adds(g: torch.Tensor, o: torch.Tensor) -> None:
    assume(g @ o >= 0 and g.norm() > 1e-3 and o.norm() > 1e-3)
    assert torch.equal(combined(surgery, g, o), g)
    assert torch.allclose(combined(pcgrad, g, o), g + o)


@pytest.mark.parametrize(("dot", "weights"), [(-2.0, (1.0, 0.5)), (0.0, (1.0, 0.0)), (2.0, (1.0, 0.0))])
def test_equation_1(dot: float, weights: tuple[float, float]) -> None:
    assert surgery(dot, 9.0, 4.0) == pytest.approx(weights)


def test_a_rule_that_draws_leaves_the_global_random_stream_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    combined(pcgrad, torch.ones(4, dtype=torch.float64), -torch.ones(4, dtype=torch.float64))
    assert torch.equal(torch.rand(3), expected)
