"""The data of a spec: every form comes back as it was written, and all else is one problem that names the forms."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.spec import parse
from trainers.data.sources import SOURCES

FORMS = ["sample", "xtreme-r", {"folder": "mine/of 2020"}, {"folder": "\\u0000"}, {"dataset": "mine"}]

MALFORMED = [
    "xtreme", "folder", "dataset", "", None, 7, True, [], ["sample"], {}, {"sample": None}, {"sample": "x"},
    {"xtreme-r": {}}, {"folder": ""}, {"folder": 3}, {"folder": ["a"]}, {"folder": "y" * 501}, {"folder": "a\0b"},
    {"folder": "\ud800"}, {"folder": "a", "dataset": "b"}, {"dataset": {"name": "b"}}, {"\ud800": 1},
]  # fmt: skip

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(list(SOURCES)),
    lambda part: st.lists(part, max_size=2) | st.dictionaries(st.sampled_from([*SOURCES, "other"]), part, max_size=2),
    max_leaves=4,
)


def body(data: Any) -> dict[str, Any]:
    return {
        "task": "ner", "encoder": "-", "data": data, "target_languages": ["de"], "methods": ["zero-shot"], "k": [1],
        "seeds": [1],
    }  # fmt: skip


@pytest.mark.parametrize("data", FORMS, ids=str)
def test_a_form_comes_back_as_it_was_written(data: Any) -> None:
    spec, problems = parse(body(data))
    assert problems == []
    assert spec.model_dump(mode="json")["data"] == data


@pytest.mark.parametrize("data", MALFORMED, ids=ascii)
def test_all_else_is_one_problem_that_names_every_form(data: Any) -> None:
    _, [problem] = parse(body(data))
    assert problem.field == "data"
    assert [source.form for source in SOURCES.values() if source.form not in problem.message] == []
    problem.message.encode()


@given(JSON)
def test_any_json_is_a_form_or_one_problem(data: Any) -> None:
    spec, problems = parse(body(data))
    if problems:
        assert [problem.field for problem in problems] == ["data"]
    else:
        assert spec.model_dump(mode="json")["data"] == data
