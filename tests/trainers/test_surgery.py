"""Stochastic gradient surgery: Eq. 1 over hard gradients, the draws of Algorithm 1, and an optimizer to torch."""

import copy
import io
import math
import pickle
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers import get_linear_schedule_with_warmup

from trainers.surgery.optimizer import Operation, StochasticGradientSurgery

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
    return surgery.project(oracle), gradients_of(surgery)


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
    surgery.project(oracle)
    once = flat(gradients_of(surgery))
    surgery.project(oracle)
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
        surgeon([G[0], G[1]]).project([G[0]])


def test_all_parameters_are_one_vector_however_they_are_grouped() -> None:
    parts = [nn.Parameter(torch.zeros_like(x)) for x in G]
    for parameter, gradient in zip(parts, G, strict=True):
        parameter.grad = gradient.clone()
    grouped = torch.optim.SGD([{"params": parts[:1]}, {"params": parts[1:], "lr": 1.0}], lr=0.1)
    surgery = StochasticGradientSurgery(grouped, {"de": []}, 1.0, 0)
    assert surgery.project(OPPOSED)
    assert same(gradients_of(surgery), after_projection(list(G), list(OPPOSED))[1])


def test_gradients_in_any_memory_layout_are_the_same_vector() -> None:
    g, oracle = torch.randn(40, 30), -torch.rand(40, 30)
    _, expected = after_projection([g], [oracle])
    surgery = surgeon([g])
    surgery.param_groups[0]["params"][0].grad = g.t().contiguous().t()
    surgery.project([oracle.t().contiguous().t()])
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


# What is not finite


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["oracle", "training"])
def test_a_gradient_that_is_not_finite_means_no_surgery(bad: float, where: str) -> None:
    g, oracle = [x.clone() for x in G], [x.clone() for x in OPPOSED]
    (oracle if where == "oracle" else g)[1][2, 3] = bad
    conflict, result = after_projection(list(g), list(oracle))
    assert not conflict
    assert all(torch.equal(x.nan_to_num(7), y.nan_to_num(7)) for x, y in zip(g, result, strict=True) if y is not None)


def test_a_gradient_that_is_not_finite_is_counted() -> None:
    parameter = nn.Parameter(torch.ones(3))
    surgery = StochasticGradientSurgery(torch.optim.SGD([parameter], lr=0.1), {"de": math.nan, "hi": -1.0}, 1.0, 3)
    for _ in range(40):
        parameter.grad = torch.ones(3)
        operation = surgery.operate(lambda factor: (parameter.sum() * factor).backward())
        assert operation is not None
        if operation.language == "de":
            assert (operation.cosine, operation.conflict) == (None, False)
            assert torch.equal(parameter.grad, torch.ones(3))
        else:
            assert operation.conflict
            assert torch.equal(parameter.grad, torch.zeros(3))
    metrics = surgery.metrics()
    de, hi = metrics["per_language"]["de"], metrics["per_language"]["hi"]
    assert metrics["nonfinite"] == de["nonfinite"] == de["operations"] > 0
    assert hi["nonfinite"] == 0
    assert metrics["conflict_rate"] == hi["conflict_rate"] == 1.0
    assert metrics["mean_cosine"] == pytest.approx(-1.0)
    assert de["conflict_rate"] is None
    assert de["mean_cosine"] is None


# Training with it


class Net(nn.Module):
    """Six inputs, dropout, three classes; and a parameter that no loss reaches."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.ones(5))
        self.layers = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Dropout(0.3), nn.Linear(16, 3))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layers(inputs)


LabelledBatch = tuple[Tensor, Tensor]
STEPS = 60


def batch(seed: int) -> LabelledBatch:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(8, 6, generator=generator), torch.randint(3, (8,), generator=generator)


class Run:
    """A model in training, with or without surgery. Oracle labels are another language's: conflicts happen."""

    def __init__(
        self, alpha: float | None, oracle: dict[str, LabelledBatch] | None = None, seed: int = 4, clip: float = 1.0
    ) -> None:
        torch.manual_seed(7)
        self.model = Net()
        self.clip = clip
        self.adamw = torch.optim.AdamW(self.model.parameters(), lr=1e-2)
        self.optimizer: torch.optim.Optimizer = self.adamw
        if alpha is not None:
            oracle = oracle or {"de": batch(1001), "hi": batch(1002), "sw": batch(1003)}
            self.optimizer = StochasticGradientSurgery(self.adamw, oracle, alpha, seed)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: 1 / (1 + step / 10))
        self.losses: list[float] = []
        self.operations: list[Operation | None] = []

    def loss(self, data: LabelledBatch) -> Tensor:
        return nn.functional.cross_entropy(self.model(data[0]), data[1])

    def step(self, number: int) -> None:
        loss = self.loss(batch(number % 10))
        loss.backward()
        if isinstance(self.optimizer, StochasticGradientSurgery):
            self.operations.append(self.optimizer.operate(lambda data: self.loss(data).backward()))
        nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad()
        self.losses.append(loss.item())

    def steps(self, first: int, last: int) -> "Run":
        for number in range(first, last):
            self.step(number)
        return self

    def weights(self) -> list[Tensor]:
        return [parameter.detach().clone() for parameter in self.model.parameters()]


def identical(first: Run, second: Run) -> bool:
    return first.losses == second.losses and all(map(torch.equal, first.weights(), second.weights()))


def test_alpha_zero_is_the_plain_optimizer_bit_for_bit() -> None:
    plain, surgery = Run(None).steps(0, STEPS), Run(0.0).steps(0, STEPS)
    assert identical(plain, surgery)
    assert surgery.operations == [None] * STEPS


def test_alpha_one_without_a_conflict_is_the_plain_optimizer_bit_for_bit() -> None:
    class Agreeing(Run):
        """The oracle pass runs, dropout and all, but its gradient is the training gradient."""

        def step(self, number: int) -> None:
            if isinstance(self.optimizer, StochasticGradientSurgery):
                oracle = self.optimizer.oracle
                for language in oracle:
                    oracle[language] = batch(number % 10)
            super().step(number)

    plain, surgery = Run(None).steps(0, STEPS), Agreeing(1.0).steps(0, STEPS)
    operations = [operation for operation in surgery.operations if operation is not None]
    assert len(operations) == STEPS
    assert not any(operation.conflict for operation in operations)
    # Dropout of its own: the same data, and yet another gradient.
    assert any(operation.cosine is not None and operation.cosine < 0.999 for operation in operations)
    assert identical(plain, surgery)


def test_conflicts_change_the_training_and_the_unused_parameter_has_no_part() -> None:
    plain, surgery = Run(None).steps(0, STEPS), Run(1.0).steps(0, STEPS)
    assert any(operation is not None and operation.conflict for operation in surgery.operations)
    assert not identical(plain, surgery)
    assert torch.equal(surgery.model.unused, torch.ones(5))


def test_the_same_seed_gives_the_same_training_and_another_seed_another() -> None:
    assert identical(Run(0.5).steps(0, STEPS), Run(0.5).steps(0, STEPS))
    assert not identical(Run(0.5).steps(0, STEPS), Run(0.5, seed=5).steps(0, STEPS))


def test_the_global_random_stream_goes_on_as_if_there_had_been_no_oracle_pass() -> None:
    run = Run(1.0)
    run.loss(batch(0)).backward()
    before = torch.get_rng_state()
    assert isinstance(run.optimizer, StochasticGradientSurgery)
    assert run.optimizer.operate(lambda data: run.loss(data).backward()) is not None
    assert torch.equal(torch.get_rng_state(), before)


def test_the_training_gradients_stay_the_same_tensor_objects() -> None:
    run = Run(1.0)
    assert isinstance(run.optimizer, StochasticGradientSurgery)
    for number in range(20):
        run.model.zero_grad()
        run.loss(batch(number)).backward()
        before = [parameter.grad for parameter in run.model.parameters()]
        run.optimizer.operate(lambda data: run.loss(data).backward())
        assert all(parameter.grad is old for parameter, old in zip(run.model.parameters(), before, strict=True))


class BrokenError(RuntimeError):
    pass


@pytest.mark.parametrize("after_backward", [False, True])
def test_an_exception_in_the_oracle_pass_propagates_and_leaves_the_training_gradients(after_backward: bool) -> None:
    run = Run(1.0)
    assert isinstance(run.optimizer, StochasticGradientSurgery)
    run.loss(batch(0)).backward()
    before = [parameter.grad for parameter in run.model.parameters()]
    copies = [None if gradient is None else gradient.clone() for gradient in before]
    stream = torch.get_rng_state()

    def backward(data: LabelledBatch) -> None:
        if after_backward:
            run.loss(data).backward()
        raise BrokenError

    with pytest.raises(BrokenError):
        run.optimizer.operate(backward)
    after = [parameter.grad for parameter in run.model.parameters()]
    assert all(old is new for old, new in zip(before, after, strict=True))
    assert same(after, copies)
    assert torch.equal(torch.get_rng_state(), stream)
    assert run.optimizer.metrics()["operations"] == 0


# Draws


def draws(
    alpha: float, seed: int, number: int, languages: Sequence[str] = ("de", "hi", "sw", "zh")
) -> list[tuple[str, float]]:
    parameter = nn.Parameter(torch.ones(1))
    oracle = dict.fromkeys(languages, 0)
    surgery = StochasticGradientSurgery(torch.optim.SGD([parameter], lr=0.1), oracle, alpha, seed)
    return [surgery.draw() for _ in range(number)]


def chi_square(counts: Sequence[int], total: int) -> float:
    expected = total / len(counts)
    return sum((count - expected) ** 2 / expected for count in counts)


def test_languages_and_p_are_drawn_uniformly_and_independently() -> None:
    number = 10_000
    drawn = draws(0.5, 1, number)
    languages = Counter(language for language, _ in drawn)
    tenths = Counter(int(p * 10) for _, p in drawn)
    both = Counter((language, int(p * 5)) for language, p in drawn)
    assert all(0.0 <= p < 1.0 for _, p in drawn)
    # 0.1% points of chi-square with 3, 9 and 19 degrees of freedom.
    assert sorted(languages) == ["de", "hi", "sw", "zh"]
    assert chi_square(list(languages.values()), number) < 16.3
    assert sorted(tenths) == list(range(10))
    assert chi_square(list(tenths.values()), number) < 27.9
    assert len(both) == 20
    assert chi_square(list(both.values()), number) < 43.8


def test_successive_draws_are_independent() -> None:
    drawn = draws(0.5, 2, 10_000)
    steps = Counter((first, second) for (first, _), (second, _) in zip(drawn[::2], drawn[1::2], strict=True))
    assert len(steps) == 16
    assert chi_square(list(steps.values()), 5_000) < 37.7  # 0.1% point, 15 degrees of freedom


def test_draws_depend_on_the_seed_alone() -> None:
    drawn = draws(0.1, 1, 100)
    assert drawn == draws(1.0, 1, 100) == draws(0.0, 1, 100)
    assert drawn == draws(0.1, 1, 100, languages=("zh", "sw", "de", "hi"))
    assert drawn != draws(0.1, 2, 100)


def test_whether_surgery_happens_does_not_change_the_languages_that_are_met() -> None:
    def met(alpha: float) -> dict[int, tuple[str, float]]:
        operations = Run(alpha).steps(0, STEPS).operations
        return {place: (op.language, op.p) for place, op in enumerate(operations) if op is not None}

    always, sometimes = met(1.0), met(0.3)
    assert len(always) == STEPS
    assert 0 < len(sometimes) < STEPS
    assert sometimes == {place: drawn for place, drawn in always.items() if drawn[1] < 0.3}


def test_metrics_count_what_the_operations_said() -> None:
    run = Run(0.6).steps(0, STEPS)
    assert isinstance(run.optimizer, StochasticGradientSurgery)
    metrics = run.optimizer.metrics()
    operations = [operation for operation in run.operations if operation is not None]
    assert set(metrics) == {"conflict_rate", "mean_cosine", "operations", "skipped", "nonfinite", "per_language"}
    assert metrics["operations"] == len(operations) > 0
    assert metrics["skipped"] == STEPS - len(operations) > 0
    assert metrics["nonfinite"] == 0
    assert sorted(metrics["per_language"]) == ["de", "hi", "sw"]
    for language, part in [(None, metrics), *metrics["per_language"].items()]:
        own = [operation for operation in operations if language in (None, operation.language)]
        assert part["operations"] == len(own)
        assert part["conflict_rate"] == pytest.approx(sum(operation.conflict for operation in own) / len(own))
        assert part["mean_cosine"] == pytest.approx(sum(operation.cosine or 0.0 for operation in own) / len(own))
    assert all(
        operation.conflict == (operation.cosine is not None and operation.cosine < 0) for operation in operations
    )


def test_metrics_before_any_step_are_empty() -> None:
    run = Run(1.0)
    assert isinstance(run.optimizer, StochasticGradientSurgery)
    metrics = run.optimizer.metrics()
    assert (metrics["operations"], metrics["skipped"]) == (0, 0)
    assert metrics["conflict_rate"] is None
    assert metrics["mean_cosine"] is None


# Saved, resumed, and handed to what torch hands optimizers to


@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_resuming_in_the_middle_is_bit_exact(alpha: float) -> None:
    whole = Run(alpha).steps(0, STEPS)
    first = Run(alpha).steps(0, STEPS // 2)
    file = io.BytesIO()
    parts = (first.model.state_dict(), first.optimizer.state_dict(), first.schedule.state_dict(), torch.get_rng_state())
    torch.save(parts, file)
    file.seek(0)
    resumed = Run(alpha, seed=99)
    model, optimizer, schedule, stream = torch.load(file, weights_only=True)
    resumed.model.load_state_dict(model)
    resumed.optimizer.load_state_dict(optimizer)
    resumed.schedule.load_state_dict(schedule)
    torch.set_rng_state(stream)
    resumed.steps(STEPS // 2, STEPS)
    assert first.losses + resumed.losses == whole.losses
    assert all(map(torch.equal, whole.weights(), resumed.weights()))
    assert isinstance(resumed.optimizer, StochasticGradientSurgery)
    assert isinstance(whole.optimizer, StochasticGradientSurgery)
    assert resumed.optimizer.metrics() == whole.optimizer.metrics()


def test_a_state_does_not_change_while_training_goes_on() -> None:
    run = Run(1.0).steps(0, 5)
    state = run.optimizer.state_dict()["surgery"]
    kept = copy.deepcopy(state)
    run.steps(5, 10)
    assert torch.equal(state["random_state"], kept["random_state"])
    assert (state["languages"], state["skipped"]) == (kept["languages"], kept["skipped"])


def test_the_state_of_a_plain_optimizer_is_refused() -> None:
    plain, surgery = Run(None).steps(0, 3), Run(1.0)
    with pytest.raises(ValueError, match="plain optimizer"):
        surgery.optimizer.load_state_dict(plain.optimizer.state_dict())


def test_the_state_of_other_languages_is_refused_and_changes_nothing() -> None:
    other = Run(1.0, oracle={"fi": batch(1)}).steps(0, 3)
    surgery = Run(1.0)
    with pytest.raises(ValueError, match="fi"):
        surgery.optimizer.load_state_dict(other.optimizer.state_dict())
    assert identical(surgery.steps(0, 10), Run(1.0).steps(0, 10))


def lambda_schedule(optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))


def linear_schedule(optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
    return get_linear_schedule_with_warmup(optimizer, 2, 40)


def cosine_schedule(optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 30)


Schedule = Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler]


@pytest.mark.parametrize("make", [lambda_schedule, linear_schedule, cosine_schedule])
def test_a_schedule_moves_the_learning_rate_before_and_after_a_state_is_loaded(make: Schedule) -> None:
    def rates(wrap: bool) -> list[float]:
        parameter = nn.Parameter(torch.ones(2))
        optimizer: torch.optim.Optimizer = torch.optim.AdamW([parameter], lr=1.0)
        inner = optimizer
        if wrap:
            optimizer = StochasticGradientSurgery(optimizer, {"de": 0}, 1.0, 0)
        schedule = make(optimizer)
        found = []
        for step in range(12):
            if step == 6:
                optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
            parameter.grad = torch.ones(2)
            optimizer.step()
            schedule.step()
            found.append(inner.param_groups[0]["lr"])
        return found

    assert rates(wrap=True) == rates(wrap=False)
    assert len(set(rates(wrap=True))) == 12


def test_it_is_an_optimizer_with_the_wrapped_optimizers_own_objects() -> None:
    run = Run(1.0).steps(0, 3)
    assert isinstance(run.optimizer, torch.optim.Optimizer)

    def are_shared() -> bool:
        return (
            run.optimizer.param_groups is run.adamw.param_groups
            and run.optimizer.state is run.adamw.state
            and run.optimizer.defaults is run.adamw.defaults
        )

    assert are_shared()
    run.optimizer.load_state_dict(copy.deepcopy(run.optimizer.state_dict()))
    assert are_shared()
    extra = nn.Parameter(torch.ones(2))
    run.optimizer.add_param_group({"params": [extra], "lr": 0.5})
    assert run.adamw.param_groups[-1]["params"] == [extra]
    assert "AdamW" in repr(run.optimizer)


def test_step_hooks_are_called_once_a_step() -> None:
    run = Run(1.0)
    called = []
    run.optimizer.register_step_pre_hook(lambda *_: called.append("before"))
    run.optimizer.register_step_post_hook(lambda *_: called.append("after"))
    run.steps(0, 2)
    assert called == ["before", "after"] * 2


def test_a_step_with_a_closure_returns_its_loss() -> None:
    run = Run(1.0)
    assert run.optimizer.step(lambda: torch.tensor(3.0)) == 3.0


def scaled_run(scale: float, steps: int) -> tuple[Run, list[bool]]:
    """Training with a `GradScaler` that scales both losses."""
    run = Run(1.0)
    assert isinstance(run.optimizer, StochasticGradientSurgery)
    surgery = run.optimizer
    scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=5)
    for number in range(steps):
        scaler.scale(run.loss(batch(number % 10))).backward()
        scaler.unscale_(surgery)
        run.operations.append(surgery.operate(lambda data: scaler.scale(run.loss(data)).backward()))
        nn.utils.clip_grad_norm_(run.model.parameters(), run.clip)
        scaler.step(surgery)
        scaler.update()
        surgery.zero_grad()
        run.schedule.step()
    return run, [operation is not None and operation.conflict for operation in run.operations]


def test_a_gradient_scaler_changes_nothing_with_a_scale_that_is_a_power_of_two() -> None:
    scaled_training, conflicts = scaled_run(2.0**10, 30)
    plain = Run(1.0).steps(0, 30)
    assert any(conflicts)
    assert conflicts == [operation is not None and operation.conflict for operation in plain.operations]
    assert all(map(torch.equal, scaled_training.weights(), plain.weights()))


def test_a_gradient_scaler_skips_the_step_of_an_overflow() -> None:
    parameter = nn.Parameter(torch.ones(2))
    surgery = StochasticGradientSurgery(torch.optim.SGD([parameter], lr=0.1), {"de": -1.0}, 1.0, 0)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    scaler.scale((parameter * math.inf).sum()).backward()
    scaler.unscale_(surgery)
    surgery.operate(lambda factor: (parameter * factor).sum().backward())
    scaler.step(surgery)
    scaler.update()
    assert torch.equal(parameter.detach(), torch.ones(2))
    assert scaler.get_scale() == 4.0
    assert surgery.metrics()["nonfinite"] == 1


def by_pickle(run: Run) -> tuple[nn.Module, StochasticGradientSurgery[LabelledBatch]]:
    restored = pickle.loads(pickle.dumps((run.model, run.optimizer)))
    assert isinstance(restored, tuple)
    return restored


def by_deepcopy(run: Run) -> tuple[nn.Module, StochasticGradientSurgery[LabelledBatch]]:
    return copy.deepcopy((run.model, run.optimizer))  # type: ignore[return-value]


class Unscheduled(Run):
    def __init__(self) -> None:
        super().__init__(1.0)
        assert isinstance(self.optimizer, StochasticGradientSurgery)
        self.optimizer = StochasticGradientSurgery(self.adamw, self.optimizer.oracle, 1.0, 4)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.adamw, lambda _: 1.0)


@pytest.mark.parametrize("make_copy", [by_pickle, by_deepcopy])
@pytest.mark.parametrize("kind", ["never scheduled", "scheduled"])
def test_a_copy_goes_on_by_itself_with_the_same_draws(
    make_copy: Callable[[Run], tuple[nn.Module, StochasticGradientSurgery[LabelledBatch]]], kind: str
) -> None:
    run = (Unscheduled() if kind == "never scheduled" else Run(1.0)).steps(0, 10)
    stream = torch.get_rng_state()
    model, optimizer = make_copy(run)
    original = run.weights()
    assert {id(parameter) for group in optimizer.param_groups for parameter in group["params"]} == {
        id(parameter) for parameter in model.parameters()
    }
    nn.functional.cross_entropy(model(batch(1)[0]), batch(1)[1]).backward()
    operation = optimizer.operate(lambda data: nn.functional.cross_entropy(model(data[0]), data[1]).backward())
    optimizer.step()
    assert all(map(torch.equal, original, run.weights()))
    assert not all(map(torch.equal, original, [parameter.detach() for parameter in model.parameters()]))
    torch.set_rng_state(stream)
    run.clip = math.inf
    run.step(1)
    assert run.operations[-1] == operation
    assert optimizer.metrics() == run.optimizer.metrics()  # type: ignore[attr-defined]
    assert all(map(torch.equal, run.weights(), [parameter.detach() for parameter in model.parameters()]))


@pytest.mark.parametrize("alpha", [-0.1, 1.0000001, math.nan, math.inf])
def test_an_alpha_that_is_no_probability_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="probability"):
        Run(alpha)


def test_an_empty_oracle_set_is_refused() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1)
    with pytest.raises(ValueError, match="oracle set is empty"):
        StochasticGradientSurgery(optimizer, {}, 1.0, 0)


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
