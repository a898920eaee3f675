"""Eq. 1 over hard gradients: all parameters as one vector, whatever their scales and layouts."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from trainers.surgery.optimizer import StochasticGradientSurgery

Gradients = list[Tensor | None]

# Rounding of float32 gradients: of one element, and what a bound on a cosine allows for it.
UNIT = 2.0**-23
BOUND = 2e-6

SHAPES = ((7,), (3, 5), (2, 3, 4), ())


def noise(seed: int, shapes: Sequence[tuple[int, ...]] = SHAPES) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for shape in shapes]


def combined(a: float, first: list[Tensor], b: float, second: list[Tensor]) -> list[Tensor]:
    """a·first + b·second, rounded once."""
    return [(a * x.double() + b * y.double()).float() for x, y in zip(first, second, strict=True)]


def scaled(factor: float, gradients: list[Tensor]) -> list[Tensor]:
    return combined(factor, gradients, 0.0, gradients)


def with_scales(gradients: list[Tensor], *scales: float) -> list[Tensor]:
    return [scale * gradient for scale, gradient in zip(scales, gradients, strict=True)]


G, H = noise(1), noise(2)
OPPOSED = combined(-0.5, G, 0.8, H)

# name: (training gradient, oracle gradient)
HARD: dict[str, tuple[list[Tensor], list[Tensor]]] = {
    "conflicting": (G, OPPOSED),
    "agreeing": (G, scaled(-1.0, OPPOSED)),
    "one number each": ([torch.tensor(2.0), torch.tensor(1.0)], [torch.tensor(-3.0), torch.tensor(1.0)]),
    "tiny both, 1e-18": (scaled(1e-18, G), scaled(1e-18, OPPOSED)),
    "huge both, 1e18": (scaled(1e18, G), scaled(1e18, OPPOSED)),
    "huge against tiny": (scaled(1e18, G), scaled(1e-18, OPPOSED)),
    "tiny against huge": (scaled(1e-18, G), scaled(1e18, OPPOSED)),
    "squares beyond float32": (scaled(1e30, G), scaled(1e30, OPPOSED)),
    "squares below float32": (scaled(1e-30, G), scaled(1e-30, OPPOSED)),
    "further apart than float32 is wide": (scaled(1e25, G), scaled(1e-25, OPPOSED)),
    "nearer zero than float32 goes": (scaled(1e-25, G), scaled(1e20, OPPOSED)),
    "mixed scales": (with_scales(G, 1e9, 1.0, 1e-9, 1e3), with_scales(OPPOSED, 1e9, 1.0, 1e-9, 1e3)),
    "crossed scales": (with_scales(G, 1e9, 1.0, 1e-9, 1e3), with_scales(OPPOSED, 1e-9, 1.0, 1e9, -1e-3)),
    "nearly parallel": (G, combined(1.0, G, 1e-4, H)),
    "nearly opposite": (G, combined(-1.0, G, 1e-1, H)),
    "very nearly opposite": (G, combined(-1.0, G, 1e-4, H)),
    "opposite": (G, scaled(-1.0, G)),
    "orthogonal": (
        [torch.tensor([1.0, 0.0]), torch.tensor([[2.0]])],
        [torch.tensor([0.0, 5.0]), torch.tensor([[0.0]])],
    ),
    "barely in conflict": (
        [torch.tensor([1.0, 1e-6]), torch.tensor([[2.0]])],
        [torch.tensor([0.0, -5.0]), torch.tensor([[0.0]])],
    ),
    "opposed in one parameter only": ([*G[:3], -100 * G[3]], [*G[:3], 100 * G[3]]),
    "zero oracle": (G, scaled(0.0, G)),
    "zero training": (scaled(0.0, G), G),
}  # fmt: skip

# Those whose coefficient g·g_o / |g_o|² float32 can hold, also 1024 times.
WITHIN_FLOAT32 = [name for name in HARD if not {"against", "apart", "nearer"} & {*name.split()}]

# Their squares stay on one side of the edge beyond which they are summed in float64, with other last bits.
SCALED = [
    (name, factor) for name in WITHIN_FLOAT32 for factor in (1024.0, 1 / 1024) if factor < 1 or "huge" not in name
]

pairs = pytest.mark.parametrize(("g", "oracle"), HARD.values(), ids=HARD)


def surgeon(g: Gradients) -> StochasticGradientSurgery[Gradients]:
    """Surgery over parameters that have these training gradients (None for a parameter without)."""
    parameters = []
    for gradient in g:
        parameter = nn.Parameter(torch.zeros(() if gradient is None else gradient.shape))
        parameter.grad = None if gradient is None else gradient.clone()
        parameters.append(parameter)
    return StochasticGradientSurgery(torch.optim.SGD(parameters, lr=0.1), {"de": []}, 1.0, 0)


def gradients_of(surgery: StochasticGradientSurgery[Gradients]) -> Gradients:
    return [parameter.grad for group in surgery.param_groups for parameter in group["params"]]


def after_projection(g: Gradients, oracle: Gradients) -> tuple[bool, Gradients]:
    surgery = surgeon(g)
    return surgery.project(oracle, "de"), gradients_of(surgery)


def flat(gradients: Gradients) -> np.ndarray:
    """All of them as one vector, in float64."""
    return np.concatenate([gradient.double().reshape(-1).numpy() for gradient in gradients if gradient is not None])


def literal_eq_1(g: np.ndarray, oracle: np.ndarray) -> np.ndarray:
    """Eq. 1 as it stands in the paper."""
    if g @ oracle >= 0:
        return g
    return g - (g @ oracle) / (oracle @ oracle) * oracle


def same(first: Gradients, second: Gradients) -> bool:
    """Bit for bit."""
    return all(
        (x is None) == (y is None) and (x is None or y is None or torch.equal(x, y))
        for x, y in zip(first, second, strict=True)
    )


def check_eq_1(g: list[Tensor], oracle: list[Tensor]) -> None:
    """Everything Eq. 1 promises of one pair, as far as float32 gradients can keep it."""
    conflict, result = after_projection(g, oracle)
    before, o, after = flat(g), flat(oracle), flat(result)
    assert conflict == bool(before @ o < 0)
    if not conflict:
        assert same(result, g)
        return
    length, along, remains = (float(np.linalg.norm(vector)) for vector in (before, o, after))
    cosine = before @ o / (length * along)
    # What rounding leaves along g_o is a fraction of |g|; of |g'| it is more, the more of g was removed.
    assert abs(after @ o) <= BOUND * length * along
    if remains >= 0.1 * length:
        assert abs(after @ o) <= BOUND * remains * along
        assert remains**2 == pytest.approx(length**2 * (1 - cosine**2), rel=1e-5)
    assert remains**2 == pytest.approx(length**2 * (1 - cosine**2), rel=1e-5, abs=1e-6 * length**2)
    removed = before - after
    across = removed - (removed @ o) / (along**2) * o
    assert np.linalg.norm(across) <= BOUND * length
    assert np.abs(after - literal_eq_1(before, o)).max() <= BOUND * np.abs(before).max()


@pairs
def test_after_a_conflict_nothing_along_the_oracle_gradient_is_left_and_nothing_else_changes(
    g: list[Tensor], oracle: list[Tensor]
) -> None:
    check_eq_1(g, oracle)


@pytest.mark.parametrize(
    "name", ["conflicting", "nearly opposite", "huge both, 1e18", "tiny both, 1e-18", "mixed scales"]
)
def test_the_projected_gradient_is_orthogonal_to_the_oracle_gradient(name: str) -> None:
    g, oracle = HARD[name]
    conflict, result = after_projection(g, oracle)
    after, o = flat(result), flat(oracle)
    assert conflict
    assert abs(after @ o) <= BOUND * np.linalg.norm(after) * np.linalg.norm(o)


@st.composite
def gradient_pairs(draw: st.DrawFn) -> tuple[list[Tensor], list[Tensor]]:
    """Several parameters with ordinary numbers, each parameter and each gradient at a scale of its own."""
    sizes = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    numbers = st.floats(-8, 8, width=16, allow_subnormal=False)
    exponents = st.integers(-20, 20)
    both = []
    for _ in range(2):
        scale = 2.0 ** draw(exponents)
        both.append(
            [
                torch.tensor(draw(st.lists(numbers, min_size=size, max_size=size)))
                * scale
                * 2.0 ** draw(st.integers(-4, 4))
                for size in sizes
            ]
        )
    return both[0], both[1]


@settings(deadline=None, max_examples=200)
@given(gradient_pairs())
def test_eq_1_holds_for_whatever_gradients(pair: tuple[list[Tensor], list[Tensor]]) -> None:
    check_eq_1(*pair)


@pairs
def test_a_second_projection_changes_nothing_beyond_rounding(g: list[Tensor], oracle: list[Tensor]) -> None:
    surgery = surgeon(g)
    surgery.project(oracle, "de")
    once = flat(gradients_of(surgery))
    surgery.project(oracle, "de")
    assert np.linalg.norm(flat(gradients_of(surgery)) - once) <= BOUND * np.linalg.norm(flat(g))


@pytest.mark.parametrize(("name", "factor"), SCALED)
def test_scaling_the_oracle_loss_changes_not_one_bit(name: str, factor: float) -> None:
    g, oracle = HARD[name]
    assert same(after_projection(g, oracle)[1], after_projection(g, [factor * o for o in oracle])[1])


@pytest.mark.parametrize(("name", "factor"), SCALED)
def test_scaling_the_training_loss_scales_the_result(name: str, factor: float) -> None:
    g, oracle = HARD[name]
    conflict, result = after_projection(g, oracle)
    conflict_scaled, result_scaled = after_projection([factor * x for x in g], oracle)
    assert conflict == conflict_scaled
    assert same([factor * x for x in result if x is not None], result_scaled)


@pairs
@pytest.mark.parametrize("place", [0, 1, -1])
def test_an_unused_parameter_anywhere_changes_nothing(g: list[Tensor], oracle: list[Tensor], place: int) -> None:
    place %= len(g) + 1
    conflict, result = after_projection(g, oracle)
    longer: Gradients = [*g[:place], None, *g[place:]]
    longer_oracle: Gradients = [*oracle[:place], None, *oracle[place:]]
    conflict_longer, result_longer = after_projection(longer, longer_oracle)
    assert conflict == conflict_longer
    assert result_longer[place] is None
    assert same([*result_longer[:place], *result_longer[place + 1 :]], result)


@pytest.mark.parametrize("place", range(len(SHAPES)))
def test_a_parameter_without_an_oracle_gradient_keeps_its_gradient_and_has_no_part(place: int) -> None:
    oracle: Gradients = [None if other == place else o for other, o in enumerate(OPPOSED)]
    conflict, result = after_projection(list(G), oracle)
    others = [x for other, x in enumerate(G) if other != place]
    conflict_others, result_others = after_projection(list(others), [o for o in oracle if o is not None])
    assert conflict
    assert conflict_others
    assert torch.equal(G[place], result[place])  # type: ignore[arg-type]
    assert same([*result[:place], *result[place + 1 :]], result_others)


def test_a_parameter_with_an_oracle_gradient_alone_gets_none() -> None:
    conflict, result = after_projection([G[0], None], [-G[0], torch.ones(())])
    assert conflict
    assert result[1] is None


def test_no_gradient_in_common_is_no_conflict() -> None:
    conflict, result = after_projection([G[0], None], [None, G[0]])
    assert not conflict
    assert torch.equal(G[0], result[0])  # type: ignore[arg-type]


def test_as_many_oracle_gradients_as_parameters_are_needed() -> None:
    with pytest.raises(ValueError, match="1 oracle gradients for 2 parameters"):
        surgeon([G[0], G[1]]).project([G[0]], "de")


def test_a_language_without_shots_is_refused() -> None:
    with pytest.raises(ValueError, match="'fi' has no oracle set; allowed: de"):
        surgeon([G[0]]).project([G[0]], "fi")


def test_all_parameters_are_one_vector_however_they_are_grouped() -> None:
    parts = [nn.Parameter(torch.zeros_like(x)) for x in G]
    for parameter, gradient in zip(parts, G, strict=True):
        parameter.grad = gradient.clone()
    grouped = torch.optim.SGD([{"params": parts[:1]}, {"params": parts[1:], "lr": 1.0}], lr=0.1)
    surgery = StochasticGradientSurgery(grouped, {"de": []}, 1.0, 0)
    assert surgery.project(OPPOSED, "de")
    assert same(gradients_of(surgery), after_projection(list(G), list(OPPOSED))[1])


def test_gradients_in_any_memory_layout_are_the_same_vector() -> None:
    g, oracle = torch.randn(40, 30), -torch.rand(40, 30)
    _, expected = after_projection([g], [oracle])
    surgery = surgeon([g])
    surgery.param_groups[0]["params"][0].grad = g.t().contiguous().t()
    surgery.project([oracle.t().contiguous().t()], "de")
    assert expected[0] is not None
    assert torch.allclose(surgery.param_groups[0]["params"][0].grad, expected[0], rtol=1e-6, atol=1e-7)


def test_the_cosine_of_twenty_million_elements_of_one_sign_is_exact_to_a_millionth() -> None:
    generator = torch.Generator().manual_seed(5)
    g = torch.rand(20_000_000, generator=generator)
    oracle = -torch.rand(20_000_000, generator=generator)
    parameter = nn.Parameter(torch.zeros_like(g))
    parameter.grad = g.clone()
    surgery = StochasticGradientSurgery(torch.optim.SGD([parameter], lr=0.1), {"de": oracle}, 1.0, 0)

    def backward(batch: Tensor) -> None:
        parameter.grad = batch

    operation = surgery.operate(backward)
    a, b = g.numpy().astype(np.float64), oracle.numpy().astype(np.float64)
    dot, square, oracle_square = a @ b, a @ a, b @ b
    cosine = dot / math.sqrt(square * oracle_square)
    assert operation is not None
    assert operation.cosine == pytest.approx(cosine, rel=1e-6)
    after = parameter.grad.numpy().astype(np.float64)
    assert after @ after == pytest.approx(square * (1 - cosine**2), rel=1e-6)
    assert abs(after @ b) <= BOUND * math.sqrt(after @ after * oracle_square)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["oracle", "training"])
def test_a_gradient_that_is_not_finite_means_no_surgery(bad: float, where: str) -> None:
    g, oracle = [x.clone() for x in G], [x.clone() for x in OPPOSED]
    (oracle if where == "oracle" else g)[1][2, 3] = bad
    conflict, result = after_projection(list(g), list(oracle))
    assert not conflict
    assert all(torch.equal(x.nan_to_num(7), y.nan_to_num(7)) for x, y in zip(g, result, strict=True) if y is not None)


@settings(deadline=None, max_examples=60)
@given(st.floats(-3.1, 3.1), st.integers(-12, 12))
@example(math.pi / 2, 0)
def test_two_dimensions_by_the_law_of_cosines(angle: float, exponent: int) -> None:
    assume(abs(math.cos(angle)) > 1e-5)
    g = torch.tensor([1.0, 0.0])
    oracle = torch.tensor([math.cos(angle), math.sin(angle)]) * 2.0**exponent
    conflict, result = after_projection([g], [oracle])
    assert conflict == (math.cos(angle) < 0)
    if conflict:
        expected = [math.sin(angle) ** 2, -math.sin(angle) * math.cos(angle)]
        assert result[0] is not None
        assert result[0].tolist() == pytest.approx(expected, abs=1e-6)


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 40), st.sets(st.integers(0, 39)), st.sampled_from([1e-28, 1.0, 1e12]), st.sampled_from([-1, 1]))
def test_a_sparse_oracle_gradient_of_a_table_is_the_dense_one(
    width: int, rows: set[int], scale: float, sign: int
) -> None:
    g = noise(width, ((40, width), (7,)))
    table = torch.zeros(40, width)
    table[sorted(rows)] = noise(width + 1, ((len(rows), width),))[0] - sign * g[0][sorted(rows)]
    oracle = scaled(scale, [table, -sign * g[1]])
    conflict, dense = after_projection(list(g), list(oracle))
    also, sparse = after_projection(list(g), [oracle[0].to_sparse(1).coalesce(), oracle[1]])
    assert also == conflict
    assert np.abs(flat(sparse) - flat(dense)).max() <= BOUND * np.abs(flat(dense)).max()
