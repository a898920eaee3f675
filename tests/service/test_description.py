"""The description of the interface, `/openapi.json`: it is valid, tells of all that is sent, and answers keep to it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.testclient import TestClient

from fuzzed import COSTLY, LEFT_OUT, TOKEN, fuzz, old_service
from service import frames
from service.api import create_app
from service.web import add_pages

Fields = dict[str, Any]


@pytest.fixture(scope="module")
def description() -> Fields:
    app = create_app(None, None, TOKEN)  # type: ignore[arg-type]  # nothing is asked
    add_pages(app)
    return dict(json.loads(json.dumps(app.openapi())))


@pytest.fixture
def operations(description: Fields) -> dict[str, Fields]:
    """What is told of each route, by its method and path."""
    paths = description["paths"]
    return {f"{method.upper()} {path}": one for path, of in paths.items() for method, one in of.items()}


def test_the_description_is_valid(description: Fields) -> None:
    assert [str(error) for error in OpenAPIV31SpecValidator(description).iter_errors()] == []


def test_each_route_has_a_name_and_words_of_its_own(operations: dict[str, Fields]) -> None:
    names = [one["operationId"] for one in operations.values()]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() and name.islower() for name in names)
    assert len({one["summary"] for one in operations.values()}) == len(names)
    for route, one in operations.items():
        assert one["tags"], route
        assert one["description"], route
        assert "." not in one["summary"], route
        for parameter in one.get("parameters", ()):
            assert parameter.get("description"), (route, parameter["name"])


def test_names_of_routes_stay(operations: dict[str, Fields]) -> None:
    """Methods of generated clients are called so."""
    assert {route: one["operationId"] for route, one in operations.items()} == NAMES


def test_each_answer_has_a_media_type_and_a_schema(operations: dict[str, Fields]) -> None:
    for route, one in operations.items():
        answers = one["responses"]
        assert any(status.startswith("2") for status in answers), route
        for status, answer in answers.items():
            where = f"{route} {status}"
            assert answer["description"], where
            if status == "204":
                assert "content" not in answer, where
                continue
            assert answer["content"], where
            if status >= "400":
                [(media_type, content)] = answer["content"].items()
                assert media_type == "application/problem+json", where
                assert content["schema"] == {"$ref": "#/components/schemas/ProblemDetails"}, where
            for media_type, content in answer["content"].items():
                assert content["schema"], (where, media_type)
                assert media_type != "application/json" or "$ref" in content["schema"], where


def test_each_route_tells_of_the_problems_that_any_of_its_kind_has(operations: dict[str, Fields]) -> None:
    for route, one in operations.items():
        told = set(one["responses"])
        assert {"400", "500", "503", "507"} <= told, route
        assert ("401" in told) == bool(one.get("security")) == (route != "GET /healthz"), route
        assert ("404" in told) == ("{" in route), route
        assert ("403" in told) == (not route.startswith("GET")), route
        assert ({"408", "413"} <= told) == ("requestBody" in one), route
        assert ("422" in told) == ("/v1/" in route), route


def test_examples_keep_to_their_schemas(description: Fields) -> None:
    found = list(examples(description))
    assert len(found) > 30
    for schema, example in found:
        whole = {**schema, "components": description["components"]}
        Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(example)


def test_what_each_route_must_be_given_has_an_example(operations: dict[str, Fields]) -> None:
    for route, one in operations.items():
        for parameter in (asked for asked in one.get("parameters", ()) if asked["required"]):
            assert list(examples(parameter)), (route, parameter["name"])
        for media_type, content in one.get("requestBody", {}).get("content", {}).items():
            assert media_type != "application/json" or content["examples"], route


def examples(part: Any) -> Iterator[tuple[Fields, Any]]:
    """Each example of a part of the description, with its schema."""
    if isinstance(part, list):
        for one in part:
            yield from examples(one)
    if not isinstance(part, dict):
        return
    told = part.get("examples")
    if isinstance(told, list):
        yield from ((part, one) for one in told)
    elif isinstance(told, dict) and "schema" in part:
        yield from ((part["schema"], one["value"]) for one in told.values())
    for one in part.values():
        yield from examples(one)


def test_frames_have_the_columns_of_the_answers(description: Fields) -> None:
    schemas = description["components"]["schemas"]
    told = {"ListedExperiment": frames.EXPERIMENTS, "Shots": frames.SHOTS, "Sample": frames.SAMPLES}
    for name, columns in {**told, "Candidate": frames.CANDIDATES, "ListedTrial": frames.TRIALS}.items():
        assert set(schemas[name]["properties"]) == set(columns), name


def test_a_wrong_method_is_told_of_all_that_are_right() -> None:
    app = create_app(None, None, None)  # type: ignore[arg-type]  # nothing is asked
    add_pages(app)
    client = TestClient(app, base_url="http://127.0.0.1")
    right = {
        ("PUT", "/v1/experiments/x"): "DELETE, GET, HEAD, PATCH",
        ("PUT", "/v1/plans"): "POST",
        ("PUT", "/healthz"): "GET, HEAD",
        ("PUT", "/docs"): "GET, HEAD",
        ("PUT", "/new"): "GET, HEAD, POST",
        ("GET", "/sign-out"): "POST",
        ("GET", "/experiments/x/pause"): "POST",
    }
    for (method, path), allowed in right.items():
        answer = client.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed), path
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.service
def test_five_hundred_requests_are_answered_as_the_description_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operations: dict[str, Fields]
) -> None:
    monkeypatch.setenv("ALLASPRAK_HOME", str(tmp_path / "home"))
    app, store = old_service(tmp_path / "home")
    left_out = (*LEFT_OUT, *COSTLY)
    found = fuzz(app, store, 18, ("examples", "fuzzing"), left_out)
    store.close()
    assert not found.failures, "\n\n".join(found.failures)
    assert found.cases >= 500
    asked = {one["operationId"] for route, one in operations.items() if route.startswith("GET")}
    assert asked - {*left_out} <= set(found.succeeded), "never answered with what is asked for"


NAMES = {
    "POST /v1/experiments": "submit_experiment",
    "GET /v1/experiments": "list_experiments",
    "POST /v1/experiments/{id}/resubmit": "resubmit_experiment",
    "GET /v1/experiments/{id}/page": "get_experiment_page",
    "GET /v1/presets": "list_presets",
    "POST /v1/plans": "plan_experiment",
    "GET /v1/experiments/{id}": "get_experiment",
    "PATCH /v1/experiments/{id}": "change_experiment",
    "DELETE /v1/experiments/{id}": "delete_experiment",
    "GET /v1/experiments/{id}/log": "get_experiment_log",
    "GET /v1/experiments/{id}/shots": "get_shots",
    "GET /v1/experiments/{id}/shots/examples": "get_shot_examples",
    "GET /v1/experiments/{id}/sweep": "get_sweep",
    "POST /v1/experiments/{id}/cancel": "cancel_experiment",
    "POST /v1/experiments/{id}/pause": "pause_experiment",
    "POST /v1/experiments/{id}/resume": "resume_experiment",
    "POST /v1/experiments/{id}/retry": "retry_experiment",
    "GET /v1/tasks": "list_tasks",
    "GET /v1/methods": "list_methods",
    "GET /v1/languages": "list_languages",
    "GET /v1/encoders": "list_encoders",
    "GET /v1/datasets": "list_datasets",
    "POST /v1/datasets": "add_dataset",
    "GET /v1/datasets/{name}": "get_dataset",
    "DELETE /v1/datasets/{name}": "delete_dataset",
    "GET /v1/datasets/{name}/splits": "get_dataset_splits",
    "GET /v1/datasets/{name}/examples": "get_dataset_examples",
    "GET /v1/experiments/{id}/events": "follow_experiment",
    "GET /v1/experiments/{id}/history": "list_events",
    "GET /v1/experiments/{id}/trials": "list_trials",
    "GET /v1/trials/{id}": "get_trial",
    "GET /v1/trials/{id}/log": "get_trial_log",
    "GET /v1/trials/{id}/predictions": "get_predictions",
    "GET /v1/trials/{id}/examples": "get_examples",
    "GET /v1/trials/{id}/model": "get_model",
    "GET /v1/results": "get_results",
    "POST /v1/results/query": "query_results",
    "GET /v1/results/summary": "summarize_results",
    "GET /v1/results/compare": "compare_results",
    "GET /v1/reports": "list_reports",
    "GET /v1/reports/{name}": "get_report",
    "GET /v1/pool": "get_pool",
    "GET /metrics": "get_metrics",
    "GET /healthz": "get_health",
}
