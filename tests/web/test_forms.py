"""Forms that derive from a schema: what they are filled in with, right or wrong, they say; new fields are in them."""

import json
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from plans import spec_of
from search_spaces.presets import names, preset
from search_spaces.problems import SpecError
from search_spaces.spec import ExperimentSpec, TrainingSpec, parse
from service.web.forms import as_json, every, fields_of, filled_in, posted, said

FIELDS = fields_of(ExperimentSpec)

ALPHAS: list[Any] = [
    None,
    0.5,
    {"grid": [0, 0.5, 1]},
    {"uniform": [0, 1], "samples": 4},
    {"loguniform": [0.01, 1]},
    {"schedule": [[0, 0.1], [3, 1]]},
]
SEARCHES: list[Any] = [
    {"searcher": {"name": "random", "samples": 4, "seed": 3}, "scheduler": None, "budget": {"trials": 9}},
    {"searcher": {"name": "tpe", "samples": 4}, "scheduler": {"name": "asha", "reduction_factor": 2}},
    {"scheduler": {"name": "pbt", "population": "one"}, "objective": "target-dev", "budget": {"device_hours": 0.5}},
]
DATA: list[Any] = ["sample", "xtreme-r", {"dataset": "mine"}, {"folder": "a, b/c"}]
OTHERS: list[dict[str, Any]] = [
    {"target_languages": "all", "grouping": "family"},
    {"grouping": [["de"], ["hi"]], "tags": ["one", "two words"], "allow_large": True},
    {"tags": "one", "sampling": {"temperature": 5.0}, "priority": -3, "keep": "none", "test_at": "every"},
    {"sampling": {"repeat_shots": 4}, "seeds": [0, 1, 2**31 - 1], "name": '  ß أ 中 "quoted" <b>'},
    {"training": {"epochs": {"grid": [2, 4]}, "learning_rate": 3e-5, "precision": "bf16", "accumulation": 2}},
    {"resources": {"gpus_per_trial": 0.5, "max_concurrent_trials": 3}, "protocol": "released-code"},
]


@pytest.mark.parametrize("name", names())
def test_a_form_that_is_filled_in_for_a_preset_says_it(name: str) -> None:
    again = said(FIELDS, filled_in(FIELDS, preset(name)))
    assert ExperimentSpec.model_validate(again) == ExperimentSpec.model_validate(preset(name))
    assert json.loads(as_json(again)) == again


@pytest.mark.parametrize(
    "changed",
    [*({"alpha": one} for one in ALPHAS), *({"search": one} for one in SEARCHES), *({"data": one} for one in DATA),
     *OTHERS],
    ids=str,
)  # fmt: skip
def test_every_form_of_a_value_comes_back(changed: dict[str, Any]) -> None:
    spec = spec_of(**changed)
    stored = spec.model_dump(mode="json")
    again = ExperimentSpec.model_validate(said(FIELDS, filled_in(FIELDS, stored)))
    expected = spec.model_copy(update={"tags": spec.tag_list(), "name": spec.name.strip()})
    assert again == expected


def test_what_has_its_default_is_left_out() -> None:
    stored = spec_of(name="x").model_dump(mode="json")
    assert len(stored) == len(ExperimentSpec.model_fields)
    left = said(FIELDS, filled_in(FIELDS, stored))
    given = {"name", "task", "encoder", "data", "target_languages", "methods", "k", "seeds"}
    assert set(left) - {"search"} == given


def test_what_is_wrong_stays_as_it_was_written() -> None:
    """So that the refusal can quote it."""
    filled = {**filled_in(FIELDS, preset("sample")), "k": ["five, 2.5 1e400"], "seeds": [""], "priority": ["NaN"]}
    found = said(FIELDS, filled)
    assert (found["k"], found["seeds"], found["priority"]) == (["five", 2.5, "1e400"], [], "NaN")
    _, problems = parse(found)
    assert {problem.field for problem in problems} == {"k", "seeds", "priority"}


@pytest.mark.parametrize(
    ("path", "form", "inputs", "field"),
    [
        ("alpha", "value", {"alpha.value": ""}, "alpha"),
        ("alpha", "grid", {"alpha.grid.grid": ""}, "alpha"),
        ("alpha", "uniform", {"alpha.uniform.uniform": "1, x"}, "alpha"),
        ("data", "folder", {"data.folder.folder": ""}, "data"),
        ("search.searcher", "tpe", {"search.searcher.tpe.samples": ""}, "search.searcher.samples"),
        ("search.budget", "trials", {"search.budget.trials.trials": ""}, "search.budget"),
    ],
)
def test_a_form_that_is_chosen_and_not_filled_in_is_refused(
    path: str, form: str, inputs: dict[str, str], field: str
) -> None:
    filled = {**filled_in(FIELDS, preset("sample")), f"{path}:form": [form]}
    body = said(FIELDS, {**filled, **{name: [text] for name, text in inputs.items()}})
    try:
        _, problems = parse(body)
    except SpecError as error:
        problems = error.problems
    assert [problem.field for problem in problems] == [field]


class MoreTraining(TrainingSpec):
    dropout: float = Field(0.1, description="a share")


class Kind(BaseModel):
    name: Literal["kind"]
    size: int = 3


class More(ExperimentSpec):
    training: MoreTraining = Field(default_factory=MoreTraining)  # type: ignore[assignment]
    color: Literal["red", "green"] = "red"
    loud: bool = False
    words: list[str] = Field(default_factory=list)
    kind: Kind | float | None = None


def test_a_field_that_a_spec_gets_is_in_the_form_by_itself() -> None:
    fields = fields_of(More)
    kinds = {field.path: field.kind for field in every(fields)}
    assert kinds["training.dropout"] == "number"
    assert [kinds[name] for name in ("color", "loud", "words", "kind")] == ["choice", "flag", "texts", "forms"]
    given = {"color": "green", "loud": True, "words": ["a", "b"], "kind": {"name": "kind", "size": 5}}
    again = said(fields, filled_in(fields, {**preset("sample"), **given, "training": {"dropout": 0.5}}))
    assert {name: again[name] for name in given} == given
    assert again["training"] == {"dropout": 0.5}


def test_a_browser_s_form_is_read() -> None:
    assert posted(b"a=1&a=2&b=&c=%E4%B8%AD+x%0D%0Ay") == {"a": ["1", "2"], "b": [""], "c": ["中 x\ny"]}
    with pytest.raises(SpecError, match="more inputs than allowed: 5,000"):
        posted(b"&".join(b"a=1" for _ in range(6000)))


def test_json_that_cannot_be_sent_as_it_is_is_escaped() -> None:
    text = as_json({"name": "\ud800"})
    text.encode()
    assert json.loads(text) == {"name": "\ud800"}
