"""Spaces of hyperparameters and the candidates that follow from them."""

import math
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.method_space import Candidate, MethodSpace
from search_spaces.spaces import LogUniform, Uniform, draw, from_unit
from search_spaces.spec import ExperimentSpec, parse

BASE: dict[str, Any] = {
    "task": "ner", "encoder": "-", "data": "sample", "target_languages": ["de", "hi"],
    "methods": ["naive-mix-train", "gradient-mix-train"], "k": [5], "seeds": [1, 2],
}  # fmt: skip

FORMS = {
    "number": (0.3, [0.3]),
    "zero": (-0.0, [0.0]),
    "grid": ({"grid": [0, 0.5, 1]}, [0.0, 0.5, 1.0]),
    "schedule": ({"schedule": [[0, 1], [2, 0.1]]}, [((0, 1.0), (2, 0.1))]),
}

WRONG = {
    "above": ({"grid": [0.5, 1.5]}, "1.5 is outside [0, 1]"),
    "below": ({"grid": [-0.5]}, "-0.5 is outside [0, 1]"),
    "not a number": (float("nan"), "finite"),
    "not a number in a grid": ({"grid": [float("nan")]}, "finite"),
    "empty": ({"grid": []}, "at least 1"),
    "twice": ({"grid": [0.1, 0.1]}, "twice"),
    "reversed": ({"uniform": [1, 0], "samples": 3}, "not below"),
    "logarithm of zero": ({"loguniform": [0, 1], "samples": 3}, "above 0"),
    "one bound": ({"uniform": [0.5], "samples": 3}, "at least 2"),
    "no samples at all": ({"uniform": [0, 1], "samples": 0}, "greater than or equal to 1"),
    "late schedule": ({"schedule": [[1, 0.5]]}, "start at 0"),
    "unordered schedule": ({"schedule": [[0, 0.5], [3, 1], [2, 0]]}, "grow"),
    "half an epoch": ({"schedule": [[0, 0.5], [1.5, 1]]}, "whole"),
    "two forms": ({"grid": [0.5], "uniform": [0, 1]}, "no such field"),
    "no form": ({"values": [0.5]}, "should be a number"),
    "text": ("all", "should be a number"),
    "a truth value": (True, "should be a number"),
}


def spec_with(**fields: Any) -> ExperimentSpec:
    return ExperimentSpec.model_validate({**BASE, **fields})


@pytest.mark.parametrize("form", FORMS)
def test_alpha_takes_each_form_of_a_space(form: str) -> None:
    given_form, expected = FORMS[form]
    spec = spec_with(alpha=given_form)
    found = [candidate.alpha for candidate in MethodSpace(spec, "gradient-mix-train").candidates()]
    assert found == expected
    assert all(math.copysign(1, value) == 1 for value in found if isinstance(value, float))


@pytest.mark.parametrize("wrong", WRONG)
def test_a_space_that_is_wrong_is_refused_by_name_and_with_what_is_allowed(wrong: str) -> None:
    value, words = WRONG[wrong]
    _, problems = parse({**BASE, "alpha": value})
    assert [problem.field for problem in problems] == ["alpha"]
    assert words in problems[0].message
    assert "allowed: null" in problems[0].message


@pytest.mark.parametrize(
    ("field", "value"),
    [("learning_rate", {"grid": [0]}), ("batch_size", {"grid": [1.5]}), ("batch_size", {"uniform": [0, 8]}),
     ("epochs", {"schedule": [[0, 1]]}), ("epochs", 2.5), ("epochs", {"grid": [5000]})],
)  # fmt: skip
def test_spaces_of_training_are_checked_by_their_own_limits(field: str, value: Any) -> None:
    _, problems = parse({**BASE, "training": {field: value}})
    assert [problem.field for problem in problems] == [f"training.{field}"]


def test_a_method_without_surgery_has_no_candidate_for_alpha() -> None:
    spec = spec_with(alpha={"grid": [0, 0.5]}, training={"learning_rate": {"grid": [1e-5, 1e-4, 1e-3]}})
    assert len(MethodSpace(spec, "naive-mix-train").candidates()) == 3
    assert len(set(MethodSpace(spec, "gradient-mix-train").candidates())) == 6
    assert {candidate.alpha for candidate in MethodSpace(spec, "naive-mix-train").candidates()} == {None}
    for method in spec.methods:
        assert MethodSpace(spec, method).count == len(MethodSpace(spec, method).candidates())


def test_a_candidate_says_what_is_searched_and_nothing_else() -> None:
    spec = spec_with(alpha={"grid": [0, 0.5]}, training={"epochs": 2, "learning_rate": {"grid": [1e-3]}})
    surgery, naive = (MethodSpace(spec, method) for method in ("gradient-mix-train", "naive-mix-train"))
    assert [surgery.label(one) for one in surgery.candidates()] == ["alpha 0", "alpha 0.5"]
    [only] = naive.candidates()
    assert naive.label(only) == ""
    assert only.training(spec).learning_rate == 1e-3


def test_draws_are_the_same_everywhere_and_differ_by_hyperparameter_and_seed() -> None:
    space = Uniform(uniform=[0, 1])
    drawn = {
        (name, seed): [draw(space, False, name, seed, place) for place in range(5)]
        for name in ("alpha", "learning_rate")
        for seed in (0, 1)
    }
    assert len(set(drawn["alpha", 0])) == 5
    assert len({tuple(values) for values in drawn.values()}) == 4


def test_uniform_draws_fill_their_range_and_loguniform_draws_its_logarithm() -> None:
    uniform = [float(draw(Uniform(uniform=[2, 4]), False, "x", 0, place)) for place in range(4000)]  # type: ignore[arg-type]
    assert min(uniform) >= 2
    assert max(uniform) <= 4
    assert abs(fmean(uniform) - 3) < 0.05
    logarithms = [
        math.log10(float(draw(LogUniform(loguniform=[1e-4, 1]), False, "x", 0, place)))  # type: ignore[arg-type]
        for place in range(4000)
    ]
    assert abs(fmean(logarithms) + 2) < 0.08


@given(st.integers(1, 100), st.integers(1, 100), st.floats(0, 1, exclude_max=True))
def test_whole_numbers_are_drawn_within_their_bounds(low: int, more: int, unit: float) -> None:
    value = from_unit(Uniform(uniform=[low, low + more]), unit, True)
    assert isinstance(value, int)
    assert low <= value <= low + more


def test_both_bounds_of_whole_numbers_can_be_drawn() -> None:
    space = Uniform(uniform=[1, 3])
    assert {from_unit(space, unit, True) for unit in (0.0, 0.5, 0.999999)} == {1, 2, 3}


def test_a_random_search_draws_all_spaces_together() -> None:
    spec = spec_with(
        alpha={"uniform": [0, 1]},
        training={"learning_rate": {"loguniform": [1e-5, 1e-3]}, "batch_size": {"grid": [16, 32]}},
        search={"searcher": {"name": "random", "samples": 20, "seed": 3}},
    )
    found = MethodSpace(spec, "gradient-mix-train").candidates()
    assert len(found) == 20
    assert len({one.alpha for one in found}) > 15
    assert {one.batch_size for one in found} == {16, 32}
    assert found == MethodSpace(spec, "gradient-mix-train").candidates()
    again = spec.model_copy(update={"search": spec_with(search={"searcher": {"name": "random", "samples": 20}}).search})
    assert found != MethodSpace(again, "gradient-mix-train").candidates()


def test_what_tpe_will_propose_is_not_known_before() -> None:
    spec = spec_with(alpha={"uniform": [0, 1]}, search={"searcher": {"name": "tpe", "samples": 7}})
    assert MethodSpace(spec, "gradient-mix-train").candidates() == []
    assert MethodSpace(spec, "gradient-mix-train").count == 7
    assert MethodSpace(spec, "naive-mix-train").candidates() == [Candidate()]


def test_a_spec_survives_its_way_through_the_store() -> None:
    spec = spec_with(
        alpha={"loguniform": [0.01, 1], "samples": 3},
        training={"learning_rate": {"schedule": [[0, 1e-4], [1, 1e-5]]}},
        search={"scheduler": {"name": "asha", "grace_period": 2}},
    )
    assert ExperimentSpec.model_validate(spec.model_dump(mode="json")) == spec


def test_whole_numbers_may_be_written_as_languages_with_one_type_of_number_do() -> None:
    spec = {"task": "ner", "encoder": "e", "data": "sample", "target_languages": ["de"], "methods": ["ord-FS"]}
    whole = {"k": [5], "seeds": [1], "priority": -3, "training": {"epochs": 4, "accumulation": 2}}
    written = {"k": [5.0], "seeds": [1.0], "priority": -3.0, "training": {"epochs": 4.0, "accumulation": 2.0}}
    (expected, _), (found, problems) = parse({**spec, **whole}), parse({**spec, **written})
    assert problems == []
    assert found.model_dump_json() == expected.model_dump_json()
    for wrong in (5.5, True, "5", float("inf")):
        assert [one.field for one in parse({**spec, **whole, "k": [wrong]})[1]] == ["k"]
