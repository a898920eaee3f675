"""Which targets share a model, and how often surgery operates for it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.groups import groups, ungroupable
from search_spaces.method_space import MethodSpace
from search_spaces.spec import ExperimentSpec
from trainers.languages import LANGUAGES
from trainers.methods import METHODS
from trainers.protocols import PROTOCOLS


def spec_of(grouping: Any = "all", **fields: Any) -> ExperimentSpec:
    base: dict[str, Any] = {
        "task": "ner", "encoder": "e", "data": "sample", "target_languages": "all", "methods": ["gradient-mix-train"],
        "k": [5], "seeds": [1],
    }  # fmt: skip
    return ExperimentSpec.model_validate({**base, "grouping": grouping, **fields})


def alpha_of(spec: ExperimentSpec, languages: int) -> Any:
    [candidate] = MethodSpace(spec, "gradient-mix-train").candidates()
    return candidate.surgery_alpha(spec, languages)


TARGETS = ("ru", "fi", "bg", "hi", "hu", "mr")


def grouped(grouping: Any, method: str = "mix-FT", targets: tuple[str, ...] = TARGETS) -> list[tuple[str, ...]]:
    return groups(spec_of(grouping), method, targets)


def test_the_groups_of_each_kind() -> None:
    assert grouped("all") == [("bg", "fi", "hi", "hu", "mr", "ru")]
    assert grouped("single") == [("bg",), ("fi",), ("hi",), ("hu",), ("mr",), ("ru",)]
    assert grouped("script") == [("bg", "ru"), ("fi", "hu"), ("hi", "mr")]
    assert grouped("family", targets=(*TARGETS, "en")) == [("bg", "ru"), ("en",), ("fi", "hu"), ("hi", "mr")]
    assert grouped([["hi", "fi"], ["ru", "mr", "bg"], ["hu"]]) == [("fi", "hi"), ("bg", "mr", "ru"), ("hu",)]


@given(
    st.lists(st.sampled_from(sorted(LANGUAGES)), min_size=1, unique=True),
    st.sampled_from(("all", "single", "script", "family")),
    st.sampled_from(sorted(METHODS)),
)
def test_every_target_is_in_one_group_whatever_the_order_of_targets(
    targets: list[str], grouping: str, method: str
) -> None:
    made = grouped(grouping, method, tuple(targets))
    assert sorted(target for group in made for target in group) == sorted(targets)
    assert made == grouped(grouping, method, tuple(reversed(targets)))
    if grouping in ("script", "family") and METHODS[method].few_shot and not METHODS[method].model_per_target:
        shared = [{getattr(LANGUAGES[target], grouping) for target in group} for group in made]
        assert [len(kinds) for kinds in shared] == [1] * len(made)
        assert len(set.union(*shared)) == len(made)


@pytest.mark.parametrize("grouping", ["all", "single", "script", "family", [["ru", "fi"], ["bg", "hi", "hu", "mr"]]])
def test_a_method_without_shots_has_one_model_and_one_of_single_targets_has_as_many_as_targets(grouping: Any) -> None:
    assert grouped(grouping, "zero-shot") == [tuple(sorted(TARGETS))]
    for method in ("ord-FS", "ord-FS+dev"):
        assert grouped(grouping, method) == [(target,) for target in sorted(TARGETS)]


def test_targets_that_can_be_grouped_have_no_problem() -> None:
    for grouping in ("all", "single", "script", "family", [["ru", "fi"], ["bg", "hi", "hu", "mr"]]):
        assert ungroupable(spec_of(grouping), TARGETS) is None
    assert ungroupable(spec_of("all"), ("xx",)) is None
    assert ungroupable(spec_of("single"), ("xx",)) is None
    assert ungroupable(spec_of([["xx", "ru"]]), ("ru", "xx")) is None


@pytest.mark.parametrize(
    ("lists", "named"),
    [
        ([["ru"]], "fi"),  # a target in none
        ([["ru", "fi"], ["fi"]], "fi"),  # in two
        ([["ru", "ru", "fi"]], "ru"),  # twice in one
        ([["ru", "fi"], ["de"]], "de"),  # no target
        ([["ru", "de"]], "de, fi"),
    ],
)
def test_lists_name_each_target_once(lists: list[list[str]], named: str) -> None:
    assert ungroupable(spec_of(lists), ("ru", "fi")) == f"each target must be in one list: {named}"


@pytest.mark.parametrize("grouping", ["script", "family"])
def test_languages_of_which_nothing_is_known_have_no_script_and_no_family(grouping: str) -> None:
    problem = ungroupable(spec_of(grouping), ("ru", "xx", "fi", "yy"))
    assert problem == f"the {grouping} of xx, yy is not known: give lists of targets"


# Alpha


GROUPINGS = ("all", "single", "script", [["ru", "fi"]])


@pytest.mark.parametrize("grouping", GROUPINGS)
@pytest.mark.parametrize(
    ("task", "alphas"),  # of a model of 1, 2, 3, 4, 7, 10, 11 and 47 targets
    [("ner", [0.1, 0.2, 0.3, 0.4, 0.7, 1.0, 1.0, 1.0]), ("pos", [1.0] * 8), ("tydiqa", [0.1] * 8), ("xnli", [0.1] * 8),
     ("pawsx", [0.1] * 8)],
)  # fmt: skip
def test_alpha_is_that_of_the_paper_for_a_model_of_so_many_targets_however_they_are_grouped(
    grouping: Any, task: str, alphas: list[float]
) -> None:
    for protocol in PROTOCOLS:
        spec = spec_of(grouping, task=task, protocol=protocol)
        assert [alpha_of(spec, targets) for targets in (1, 2, 3, 4, 7, 10, 11, 47)] == alphas


def test_an_alpha_of_the_spec_counts_for_groups_of_any_size() -> None:
    assert {alpha_of(spec_of("single", alpha=0.0), languages) for languages in (1, 4)} == {0.0}
    assert {alpha_of(spec_of("script", alpha=0.7), languages) for languages in (1, 4)} == {0.7}
