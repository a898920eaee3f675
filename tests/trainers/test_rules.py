"""Conflict rules: what each makes of two gradients, as vectors, and the state that it keeps."""

import json
import math
from collections.abc import Callable
from itertools import product

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from trainers.methods import METHODS, NAMED
from trainers.one_trial import run
from trainers.surgery import StochasticGradientSurgery
from trainers.surgery.rules import RULES, SUM, CAGrad, GradientSurgery, GradVac, Gramian, PCGrad, Rule, UPGrad
from trainers.trial import Trial

Vector = torch.Tensor

VECTORS = st.lists(st.floats(-100, 100), min_size=4, max_size=4).map(lambda one: torch.tensor(one, dtype=torch.float64))
GRAMIANS = st.tuples(VECTORS, VECTORS).map(lambda pair: gramian_of(*pair))

# Rules that leave nothing against g_o, and those that treat g and g_o alike.
WITHOUT_CONFLICT = [GradientSurgery, PCGrad, UPGrad]
SYMMETRIC = [PCGrad, GradVac, CAGrad, UPGrad]

every_rule = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)


def gramian_of(g: Vector, o: Vector) -> Gramian:
    return Gramian(dot=float(g @ o), square=float(g @ g), oracle_square=float(o @ o))


def by_angle(length: float, oracle_length: float, cosine: float) -> Gramian:
    return Gramian(dot=cosine * length * oracle_length, square=length**2, oracle_square=oracle_length**2)


def are_vectors(gramian: Gramian) -> bool:
    return min(gramian.square, gramian.oracle_square) > 1e-6


def combined(rule: type[Rule], g: Vector, o: Vector) -> Vector:
    """The gradient that the optimizer gets at the first oracle pass."""
    parameter = torch.nn.Parameter(torch.zeros_like(g))
    optimizer = StochasticGradientSurgery(torch.optim.SGD([parameter], lr=1.0), {"de": o}, 1.0, 1, rule)
    parameter.grad = g.clone()
    optimizer.operate(lambda oracle: setattr(parameter, "grad", oracle.clone()))
    assert parameter.grad is not None
    return parameter.grad


def tolerance(*vectors: Vector) -> float:
    return 1e-9 * max(1.0, *(float(vector.norm()) for vector in vectors))


# What holds for every rule

LENGTHS = (1e-30, 1e-3, 1.0, 1e30)

# From opposite to parallel, and what rounding makes of both.
COSINES = (-1 - 1e-7, -1.0, -1 + 1e-15, -1 + 1e-7, -0.5, -1e-12, 0.0, 1e-12, 0.5, 1 - 1e-7, 1.0, 1 + 1e-7)


@every_rule
def test_weights_are_finite_whatever_the_lengths_and_the_angle(rule: type[Rule]) -> None:
    for length, oracle_length in product(LENGTHS, LENGTHS):
        one = rule()
        for cosine in (*COSINES, *reversed(COSINES), *[1.0] * 50, *COSINES):
            assert all(map(math.isfinite, one.weights(by_angle(length, oracle_length, cosine)))), cosine


@every_rule
@pytest.mark.parametrize("length", [1e-25, 1.0, 1e25])
@pytest.mark.parametrize("oracle_length", [1e-25, 1.0, 1e25])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_a_combination_in_float32_is_that_in_float64(
    rule: type[Rule], length: float, oracle_length: float, sign: float
) -> None:
    g, o = torch.tensor([3.0, 4.0]) * length, sign * torch.tensor([4.0, -1.0]) * oracle_length
    exact = combined(rule, g.double(), o.double())
    assert torch.allclose(combined(rule, g, o).double(), exact, rtol=1e-5, atol=1e-6 * float(exact.abs().max()))


@every_rule
@settings(deadline=None, max_examples=100)
@given(GRAMIANS, st.integers(-30, 30))
def test_scaling_both_gradients_scales_the_result(rule: type[Rule], gramian: Gramian, exponent: int) -> None:
    assume(are_vectors(gramian))
    square = 4.0**exponent
    scaled = {name: value * square for name, value in vars(gramian).items()}
    assert rule().weights(Gramian(**scaled)) == pytest.approx(rule().weights(gramian), rel=1e-9, abs=1e-12)


@every_rule
@settings(deadline=None, max_examples=50)
@given(st.lists(GRAMIANS.filter(are_vectors), min_size=1, max_size=12), st.integers(0, 11))
def test_a_state_goes_through_json_and_resumes_to_the_bit(
    rule: type[Rule], gramians: list[Gramian], saved_after: int
) -> None:
    whole, first, resumed = rule(), rule(), rule()
    expected = [whole.weights(gramian) for gramian in gramians]
    found = [first.weights(gramian) for gramian in gramians[:saved_after]]
    resumed.load_state_dict(json.loads(json.dumps(first.state_dict())))
    found += [resumed.weights(gramian) for gramian in gramians[saved_after:]]
    assert found == expected
    assert resumed.state_dict() == whole.state_dict()


@every_rule
def test_it_says_what_it_is(rule: type[Rule]) -> None:
    assert "(20" in (rule.__doc__ or "")  # the paper's year
    assert rule.scale.name in ("training gradient", "sum", "mean")
    assert METHODS[f"{rule.name}-mix-train"].rule == rule.name


@pytest.mark.parametrize("rule", SYMMETRIC)
@settings(deadline=None, max_examples=100)
@given(GRAMIANS)
def test_exchanging_the_gradients_exchanges_their_weights(rule: type[Rule], gramian: Gramian) -> None:
    assume(are_vectors(gramian))
    exchanged = Gramian(dot=gramian.dot, square=gramian.oracle_square, oracle_square=gramian.square)
    assert rule().weights(exchanged) == pytest.approx(rule().weights(gramian)[::-1], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("rule", WITHOUT_CONFLICT)
@settings(deadline=None, max_examples=200)
@given(VECTORS, VECTORS)
def test_nothing_against_the_oracle_gradient_is_left(rule: type[Rule], g: Vector, o: Vector) -> None:
    assume(are_vectors(gramian_of(g, o)))
    assert combined(rule, g, o) @ o >= -tolerance(g, o) * float(o.norm() + 1)


@every_rule
def test_a_rule_that_draws_leaves_the_global_random_stream_alone(rule: type[Rule]) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    combined(rule, torch.ones(4, dtype=torch.float64), -torch.ones(4, dtype=torch.float64))
    assert torch.equal(torch.rand(3), expected)


# Eq. 1


@pytest.mark.parametrize(("dot", "weights"), [(-2.0, (1.0, 0.5)), (0.0, (1.0, 0.0)), (2.0, (1.0, 0.0))])
def test_equation_1(dot: float, weights: tuple[float, float]) -> None:
    assert GradientSurgery().weights(Gramian(dot=dot, square=9.0, oracle_square=4.0)) == weights


@settings(deadline=None, max_examples=100)
@given(VECTORS, VECTORS)
def test_without_a_conflict_eq_1_changes_nothing(g: Vector, o: Vector) -> None:
    assume(g @ o >= 0 and are_vectors(gramian_of(g, o)))
    assert torch.equal(combined(GradientSurgery, g, o), g)


# PCGrad


@settings(deadline=None, max_examples=200)
@given(VECTORS, VECTORS)
def test_pcgrad_is_torchjds_aggregator_over_both_gradients(g: Vector, o: Vector) -> None:
    from torchjd.aggregation import PCGrad as Aggregator

    assume(are_vectors(gramian_of(g, o)))
    expected = Aggregator()(torch.stack((g, o)))
    assert torch.allclose(combined(PCGrad, g, o), expected, rtol=1e-9, atol=tolerance(g, o))


@settings(deadline=None, max_examples=100)
@given(VECTORS, VECTORS)
def test_without_a_conflict_pcgrad_adds(g: Vector, o: Vector) -> None:
    assume(g @ o >= 0 and are_vectors(gramian_of(g, o)))
    assert torch.allclose(combined(PCGrad, g, o), g + o)


# GradVac

PAIRS = st.lists(
    st.tuples(VECTORS, VECTORS).filter(lambda pair: are_vectors(gramian_of(*pair))), min_size=1, max_size=9
)


def summed(rule: Rule, g: Vector, o: Vector) -> Vector:
    """The next combination of one instance."""
    weight, oracle_weight = rule.weights(gramian_of(g, o))
    return weight * g + oracle_weight * o


class LiteralGradVac:
    """Algorithm 1 of the paper for two tasks, as it stands there."""

    def __init__(self) -> None:
        self.target = {(0, 1): 0.0, (1, 0): 0.0}

    def __call__(self, *gradients: Vector) -> Vector:
        altered = [gradient.clone() for gradient in gradients]
        for i, j in self.target:
            mine, other, wanted = altered[i], gradients[j], self.target[i, j]
            cosine = min(1.0, max(-1.0, float(mine @ other / (mine.norm() * other.norm()))))
            if cosine < wanted:
                above = mine.norm() * (wanted * math.sqrt(1 - cosine**2) - cosine * math.sqrt(1 - wanted**2))
                altered[i] = mine + above / (other.norm() * math.sqrt(1 - wanted**2)) * other
            self.target[i, j] = (1 - 0.01) * wanted + 0.01 * cosine
        return altered[0] + altered[1]


@settings(deadline=None, max_examples=200)
@given(PAIRS)
def test_gradvac_is_the_papers_algorithm_over_any_course_of_gradients(pairs: list[tuple[Vector, Vector]]) -> None:
    ours, literal = GradVac(), LiteralGradVac()
    for g, o in pairs:
        assert torch.allclose(summed(ours, g, o), literal(g, o), rtol=1e-6, atol=1e3 * tolerance(g, o))
        assert ours.target == pytest.approx(literal.target[0, 1], abs=1e-9)


@settings(deadline=None, max_examples=100)
@given(PAIRS)
def test_gradvac_is_torchjds_aggregator(pairs: list[tuple[Vector, Vector]]) -> None:
    from torchjd.aggregation import GradVac as Aggregator

    ours, theirs = GradVac(), Aggregator(beta=0.01, eps=0.0)
    for g, o in pairs:
        expected = theirs(torch.stack((g, o)))
        assert torch.allclose(summed(ours, g, o), expected, rtol=1e-6, atol=1e3 * tolerance(g, o))


@settings(deadline=None, max_examples=100)
@given(GRAMIANS, st.floats(-0.9, 0.9))
def test_gradvac_turns_each_gradient_to_the_target_and_no_further(gramian: Gramian, target: float) -> None:
    assume(are_vectors(gramian) and abs(gramian.cosine) < 1 - 1e-6)
    rule = GradVac()
    rule.load_state_dict({"target": target})
    weight, oracle_weight = rule.weights(gramian)
    dot, square, oracle_square = gramian.dot, gramian.square, gramian.oracle_square
    # g' = g + added g_o, and g_o' = g_o + added g
    for added, one, other in (oracle_weight - 1, square, oracle_square), (weight - 1, oracle_square, square):
        length = math.sqrt(one + 2 * added * dot + added**2 * other)
        after = (dot + added * other) / (length * math.sqrt(other))
        assert after == pytest.approx(max(gramian.cosine, target), abs=1e-6)


def test_gradvacs_target_follows_the_cosines_of_its_language() -> None:
    rule, expected = GradVac(), 0.0
    for cosine in (0.5, 0.5, -0.25, 0.75):
        rule.weights(by_angle(3.0, 0.1, cosine))
        expected = 0.99 * expected + 0.01 * cosine
        assert rule.state_dict() == {"target": pytest.approx(expected, rel=1e-12)}


@settings(deadline=None, max_examples=100)
@given(VECTORS, VECTORS)
def test_gradvac_begins_as_pcgrad(g: Vector, o: Vector) -> None:
    assume(are_vectors(gramian_of(g, o)))
    assert torch.allclose(combined(GradVac, g, o), combined(PCGrad, g, o), rtol=1e-9, atol=tolerance(g, o))


def test_a_target_that_nears_one_is_never_divided_by_zero() -> None:
    rule = GradVac()
    for _ in range(5000):
        rule.weights(by_angle(1.0, 2.0, 1.0))
    assert rule.target > 1 - 1e-14
    assert all(map(math.isfinite, rule.weights(by_angle(1.0, 2.0, -1.0))))


# CAGrad


def least(direction: Vector, g: Vector, o: Vector) -> float:
    """What a direction does for the gradient that it does least for."""
    return min(float(direction @ g), float(direction @ o))


@settings(deadline=None, max_examples=200)
@given(VECTORS, VECTORS)
def test_cagrad_solves_the_papers_problem(g: Vector, o: Vector) -> None:
    """No vector of the ball around the mean has a larger smallest inner product; all that could lie in one plane."""
    assume(are_vectors(gramian_of(g, o)))
    found, mean = combined(CAGrad, g, o), (g + o) / 2
    size = float(g.norm() + o.norm())
    assert float((found - mean).norm()) <= 0.5 * float(mean.norm()) + 1e-7 * size
    plane = torch.linalg.qr(torch.stack((g, o)).T).Q.T
    angles = torch.linspace(0, 2 * math.pi, 2000, dtype=torch.float64)
    circle = mean + 0.5 * mean.norm() * (torch.stack((angles.cos(), angles.sin()), 1) @ plane)
    best = torch.minimum(circle @ g, circle @ o).max()
    assert least(found, g, o) >= float(best) - 1e-7 * size**2
    assert found @ mean >= 0.5 * mean @ mean - 1e-7 * size**2


@settings(deadline=None, max_examples=60)
@given(VECTORS, VECTORS)
def test_cagrad_is_torchjds_aggregator(g: Vector, o: Vector) -> None:
    from torchjd.aggregation import CAGrad as Aggregator

    assume(are_vectors(gramian_of(g, o)) and abs(gramian_of(g, o).cosine) < 0.999)
    ours, theirs = combined(CAGrad, g, o), Aggregator(c=0.5, norm_eps=0.0)(torch.stack((g, o)))
    size = float(g.norm() + o.norm())
    assert float((ours - theirs).norm()) <= 1e-3 * size  # the solver stops early along what is nearly level
    assert least(ours, g, o) >= least(theirs, g, o) - 1e-7 * size**2


@settings(deadline=None, max_examples=100)
@given(GRAMIANS.filter(are_vectors))
def test_without_a_radius_cagrad_is_the_mean(gramian: Gramian) -> None:
    class Mean(CAGrad):
        c = 0.0

    assert Mean().weights(gramian) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("g", "o", "expected"),
    [
        ([2.0, 0.0], [2.0, 0.0], [3.0, 0.0]),  # one direction: half more of it
        ([2.0, 0.0], [-2.0, 0.0], [0.0, 0.0]),  # nothing helps both
        ([4.0, 0.0], [-2.0, 0.0], [0.5, 0.0]),  # the ball leaves no way to the other side of the shorter one
        ([1.0, 1.0], [1.0, -1.0], [1.5, 0.0]),
        ([1.0, 2.0], [1.0, -2.0], [1.5, 0.0]),
    ],
)
def test_cagrad_by_hand(g: list[float], o: list[float], expected: list[float]) -> None:
    found = combined(CAGrad, torch.tensor(g, dtype=torch.float64), torch.tensor(o, dtype=torch.float64))
    assert found.tolist() == pytest.approx(expected, abs=1e-12)


# UPGrad


@settings(deadline=None, max_examples=200)
@given(VECTORS, VECTORS)
def test_upgrad_is_torchjds_aggregator(g: Vector, o: Vector) -> None:
    from torchjd.aggregation import UPGrad as Aggregator
    from torchjd.linalg import QuadprogProjector

    assume(are_vectors(gramian_of(g, o)) and abs(gramian_of(g, o).cosine) < 0.999)
    assume(1e-3 < g.norm() / o.norm() < 1e3)  # the solver refuses matrices near singular ones
    aggregator = Aggregator(projector=QuadprogProjector(norm_eps=0.0, reg_eps=0.0))
    expected = aggregator(torch.stack((g, o)))
    assert torch.allclose(combined(UPGrad, g, o), expected, rtol=1e-6, atol=1e3 * tolerance(g, o))


@settings(deadline=None, max_examples=200)
@given(VECTORS, VECTORS)
def test_upgrad_projects_each_gradient_to_the_nearest_without_a_conflict(g: Vector, o: Vector) -> None:
    """By what characterizes a projection onto a convex cone: it is in the cone, and the rest is at right angles to it
    and against everything in the cone."""
    assume(are_vectors(gramian_of(g, o)))
    conflict = min(0.0, float(g @ o))
    total = torch.zeros_like(g)
    for one, other in ((g, o), (o, g)):
        projected = one - conflict / (other @ other) * other
        rest, near = one - projected, 1e3 * tolerance(g, o) * float(g.norm() + o.norm())
        assert min(float(projected @ g), float(projected @ o)) >= -near
        assert float(rest @ projected) == pytest.approx(0.0, abs=near)
        assert float(rest @ other) <= near  # the rest is in the polar cone: a multiple of -other
        total += projected / 2
    assert torch.allclose(combined(UPGrad, g, o), total, rtol=1e-9, atol=tolerance(g, o))


@settings(deadline=None, max_examples=50)
@given(VECTORS, VECTORS)
def test_upgrad_is_half_of_pcgrad(g: Vector, o: Vector) -> None:
    assume(are_vectors(gramian_of(g, o)))
    assert torch.allclose(2 * combined(UPGrad, g, o), combined(PCGrad, g, o), rtol=1e-9, atol=tolerance(g, o))


# Rules of other packages


def test_the_papers_methods_come_first_and_each_other_rule_has_one() -> None:
    assert list(METHODS) == [*NAMED, *(f"{name}-mix-train" for name in RULES if name != "gradient")]
    assert len(METHODS) == len(list(METHODS))
    for name in ("pcgrad", "gradient", "unknown-mix-train", "-mix-train", ""):
        assert name not in METHODS


@pytest.mark.usefixtures("contributed_rule")
def test_a_rule_of_another_package_is_a_method_that_trains(make_trial: Callable[..., Trial]) -> None:
    assert list(METHODS)[-1] == "half-mix-train"
    assert METHODS["half-mix-train"].surgery
    outcome = run(make_trial("half-mix-train", epochs=1), lambda _: None)
    assert outcome.facts["training"]["surgery"]["operations"] == 7
    plain = run(make_trial("naive-mix-train", epochs=1), lambda _: None)
    assert outcome.facts["training"]["loss"] != plain.facts["training"]["loss"]


def test_a_rule_without_a_name_or_a_scale_is_refused() -> None:
    with pytest.raises(TypeError, match="the conflict rule Nameless has no name"):

        class Nameless(Rule):
            scale = SUM
