"""Stochastic gradient surgery: the draws of Algorithm 1, training with it, and an optimizer to torch."""

import copy
import io
import math
import pickle
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import get_linear_schedule_with_warmup

from trainers.surgery import StochasticGradientSurgery
from trainers.surgery.optimizer import Operation
from trainers.surgery.rules import RULES, SUM, GradientSurgery, Gramian, Rule

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
        self,
        alpha: float | None,
        oracle: dict[str, LabelledBatch] | None = None,
        seed: int = 4,
        clip: float = 1.0,
        rule: type[Rule] = GradientSurgery,
    ) -> None:
        torch.manual_seed(7)
        self.model = Net()
        self.clip = clip
        self.adamw = torch.optim.AdamW(self.model.parameters(), lr=1e-2)
        self.optimizer: torch.optim.Optimizer = self.adamw
        if alpha is not None:
            oracle = oracle or {"de": batch(1001), "hi": batch(1002), "sw": batch(1003)}
            self.optimizer = StochasticGradientSurgery(self.adamw, oracle, alpha, seed, rule)
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
    assert all(map(lambda x, y: x is y or torch.equal(x, y), after, copies))
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
    assert set(metrics) == {
        "conflict_rate", "finite", "mean_cosine", "nonfinite", "operations", "per_language", "skipped",
    }  # fmt: skip
    assert metrics["operations"] == len(operations) > 0
    assert metrics["skipped"] == STEPS - len(operations) > 0
    assert metrics["nonfinite"] == 0
    assert sorted(metrics["per_language"]) == ["de", "hi", "sw"]
    for language, part in [(None, metrics), *metrics["per_language"].items()]:
        own = [operation for operation in operations if language in (None, operation.language)]
        assert part["operations"] == part["finite"] == len(own)
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


class Fading(Rule):
    """g plus the oracle gradient, which counts half as much at each pass over its language."""

    name = "fading"
    scale = SUM

    def __init__(self) -> None:
        self.passes = 0

    def weights(self, gramian: Gramian) -> tuple[float, float]:
        self.passes += 1
        return 1.0, 0.5**self.passes

    def state_dict(self) -> dict[str, Any]:
        return {"passes": self.passes}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.passes = state["passes"]


@pytest.mark.parametrize("rule", [*RULES.values(), Fading], ids=lambda rule: rule.name)
@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_resuming_in_the_middle_is_bit_exact(alpha: float, rule: type[Rule]) -> None:
    whole = Run(alpha, rule=rule).steps(0, STEPS)
    first = Run(alpha, rule=rule).steps(0, STEPS // 2)
    file = io.BytesIO()
    parts = (first.model.state_dict(), first.optimizer.state_dict(), first.schedule.state_dict(), torch.get_rng_state())
    torch.save(parts, file)
    file.seek(0)
    resumed = Run(alpha, seed=99, rule=rule).steps(0, 3)
    model, optimizer, schedule, stream = torch.load(file, weights_only=True)
    resumed.model.load_state_dict(model)
    resumed.optimizer.load_state_dict(optimizer)
    resumed.schedule.load_state_dict(schedule)
    torch.set_rng_state(stream)
    resumed.steps(STEPS // 2, STEPS)
    assert first.losses + resumed.losses[3:] == whole.losses
    assert all(map(torch.equal, whole.weights(), resumed.weights()))
    assert isinstance(resumed.optimizer, StochasticGradientSurgery)
    assert isinstance(whole.optimizer, StochasticGradientSurgery)
    assert resumed.optimizer.metrics() == whole.optimizer.metrics()


@pytest.mark.parametrize("rule", [*RULES.values(), Fading], ids=lambda rule: rule.name)
def test_a_state_does_not_change_while_training_goes_on(rule: type[Rule]) -> None:
    run = Run(1.0, rule=rule).steps(0, 5)
    state = run.optimizer.state_dict()["surgery"]
    kept = copy.deepcopy(state)
    run.steps(5, 10)
    assert torch.equal(state.pop("random_state"), kept.pop("random_state"))
    assert state == kept


def test_each_language_has_a_rule_of_its_own() -> None:
    run = Run(1.0, rule=Fading).steps(0, STEPS)
    met = Counter(operation.language for operation in run.operations if operation is not None)
    assert len(met) == 3
    state = run.optimizer.state_dict()["surgery"]
    assert state["rules"] == {language: {"passes": number} for language, number in met.items()}


def test_a_rule_meets_only_gradients_that_are_finite_and_not_zero() -> None:
    parameter = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    surgery = StochasticGradientSurgery(optimizer, {"de": 0}, 1.0, 0, Fading)
    for oracle in (math.nan, math.inf, 0.0):
        parameter.grad = torch.ones(3)
        surgery.project([torch.full((3,), oracle)], "de")
        assert torch.equal(parameter.grad, torch.ones(3))
        assert surgery.state_dict()["surgery"]["rules"] == {"de": {"passes": 0}}
    surgery.project([torch.ones(3)], "de")
    assert torch.equal(parameter.grad, torch.full((3,), 1.5))


def test_the_state_of_a_rule_without_state_has_the_form_that_it_always_had() -> None:
    state = Run(1.0).steps(0, 3).optimizer.state_dict()["surgery"]
    assert set(state) == {"languages", "skipped", "random_state"}


def test_a_state_from_before_rules_had_any_makes_them_begin_anew() -> None:
    before, run = Run(1.0).steps(0, 3), Run(1.0, rule=Fading).steps(0, 3)
    run.optimizer.load_state_dict(before.optimizer.state_dict())
    rules = run.optimizer.state_dict()["surgery"]["rules"]
    assert rules == {language: {"passes": 0} for language in ("de", "hi", "sw")}


def test_the_state_of_another_rule_is_refused_and_changes_nothing() -> None:
    other, surgery = Run(1.0, rule=Fading).steps(0, 3), Run(1.0)
    with pytest.raises(ValueError, match="rule 'gradient' has no state, but was given one with passes"):
        surgery.optimizer.load_state_dict(other.optimizer.state_dict())
    assert identical(surgery.steps(0, 10), Run(1.0).steps(0, 10))


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
