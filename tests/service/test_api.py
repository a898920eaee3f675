"""The REST interface over a real store: what is refused and how, what is accepted and shown."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError
from starlette.testclient import TestClient

from search_spaces.environment import Environment
from search_spaces.spec import ExperimentSpec, ResourcesSpec, TrainingSpec
from service.api import create_app
from service.api.catalog import Registration
from service.api.control import Change
from service.api.results import ResultBody
from service.store import Store
from trainers.encoders.offline import NAME as OFFLINE_ENCODER
from trainers.methods import METHODS
from trainers.tasks import TASKS

Fields = dict[str, Any]


@pytest.fixture
def store(sqlite_store: Store) -> Store:
    return sqlite_store


def environment_of(home: Path) -> Environment:
    return Environment(home, home / "data", cpus=2, gpus=0)


@pytest.fixture
def client(store: Store, tmp_path: Path, client_over: Any) -> TestClient:
    found: TestClient = client_over(store, environment_of(tmp_path))
    return found


def fields_of(answer: Any) -> dict[str, str]:
    """{field: message} of a problem."""
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == answer.status_code
    return {error["field"]: error["message"] for error in body["errors"]}


def write_data(root: Path, **languages: dict[str, int]) -> Path:
    """A folder of ner data: per language how many examples each split has."""
    for language, splits in languages.items():
        folder = root / "ner" / language
        folder.mkdir(parents=True)
        for split, count in splits.items():
            lines = [json.dumps({"tokens": [f"{language}{n}", "x"], "tags": ["B-PER", "O"]}) for n in range(count)]
            (folder / f"{split}.jsonl").write_text("\n".join(lines))
    return root


WHOLE = {"train": 8, "dev": 4, "test": 4}


def test_an_experiment_is_accepted_and_shown(client: TestClient, spec: Fields) -> None:
    answer = client.post("/v1/experiments", json=spec)
    assert answer.status_code == 201
    id_ = answer.json()["id"]
    assert answer.headers["location"] == f"/v1/experiments/{id_}"
    shown = client.get(answer.headers["location"]).json()
    assert {**shown, "warnings": [], "disk": None} == {**answer.json(), "disk": None}
    assert shown["state"] == "queued"
    # one source training, a model adapted to each of two targets, two mixed trainings
    assert shown["trials"]["total"] == 5
    del shown["disk"]  # which a list does not count
    assert client.get("/v1/experiments").json()["experiments"] == [shown]


def test_a_plan_says_what_an_experiment_would_take_and_stores_nothing(client: TestClient, spec: Fields) -> None:
    answer = client.post("/v1/plans", json=spec)
    assert answer.status_code == 200
    made = answer.json()
    assert (made["trials"], made["source_trainings"], made["reused"]) == (5, 1, 0)
    assert {(row["method"], row["k"], row["trials"]) for row in made["by_method"]} == {
        ("zero-shot", 0, 1), ("ord-FS", 5, 2), ("naive-mix-train", 5, 1), ("gradient-mix-train", 5, 1)
    }  # fmt: skip
    # two epochs of 64 sentences, of 10 more in the two mixed trainings; two times 5 shots in batches of 5
    assert made["steps"] == 2 * 2 + 2 * 2 * 3 + 2 * 2
    assert made["device_hours"] > 0
    assert min(made["tokens"][name] for name in ("training", "oracle", "evaluation")) > 0
    assert client.get("/v1/experiments").json()["experiments"] == []


def test_a_plan_s_time_is_what_an_experiment_shows_as_planned_and_left(client: TestClient, spec: Fields) -> None:
    hours = client.post("/v1/plans", json=spec).json()["device_hours"]
    cost = client.post("/v1/experiments", json=spec).json()["cost"]
    assert cost == {
        "planned": pytest.approx(3600 * hours), "spent": 0, "left": pytest.approx(3600 * hours), "error": None,
        "eta": None,
    }  # fmt: skip


def test_a_running_experiment_has_an_eta(client: TestClient, spec: Fields, store: Store) -> None:
    id_ = client.post("/v1/experiments", json={**spec, "resources": {}}).json()["id"]
    store.control.move(id_, "start")
    cost = client.get(f"/v1/experiments/{id_}").json()["cost"]
    at_once = 2  # of the pool's two threads each trial takes one
    expected = time.time() + cost["left"] / at_once
    assert datetime.fromisoformat(cost["eta"]).timestamp() == pytest.approx(expected, abs=5)


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"k": [0]}, "k", "from 1"),
        ({"alpha": 1.5}, "alpha", "[0, 1]"),
        ({"target_languages": ["xx"]}, "target_languages", "allowed"),
        ({"encoder": "/nowhere"}, "encoder", "/nowhere: it is not a folder that can be read"),
        ({"data": "xtreme-r", "target_languages": ["yo"]}, "data", "fetched when an experiment is submitted"),
    ],
)
def test_a_spec_is_planned_only_if_it_would_be_accepted_and_its_data_are_here(
    client: TestClient, spec: Fields, change: Fields, field: str, words: str
) -> None:
    answer = client.post("/v1/plans", json={**spec, **change})
    assert answer.status_code == 422
    assert words in fields_of(answer)[field]


def test_a_plan_of_a_body_that_is_not_json_is_refused(client: TestClient) -> None:
    assert client.post("/v1/plans", content=b"{}", headers={"content-type": "text/plain"}).status_code == 415
    broken = client.post("/v1/plans", content=b"{", headers={"content-type": "application/json"})
    assert "not JSON" in fields_of(broken)["body"]


def test_every_route_refuses_a_body_with_a_key_that_stands_twice(client: TestClient) -> None:
    taking = [
        (method, path)
        for path, operations in client.get("/openapi.json").json()["paths"].items()
        for method, operation in operations.items()
        if "application/json" in operation.get("requestBody", {}).get("content", ())
    ]
    assert len(taking) >= 5
    for method, path in taking:
        answer = client.request(
            method, path.format(id="0"), content=b'{"k": 1, "k": 5}', headers={"content-type": "application/json"}
        )
        assert answer.status_code == 422, path
        assert "the key 'k' stands twice in an object" in fields_of(answer)["body"]


def test_every_wrong_field_is_named_at_once_with_what_is_allowed(client: TestClient, spec: Fields) -> None:
    wrong = {
        **spec,
        "task": "parsing",
        "methods": ["zero-shot", "magic"],
        "k": [0],
        "seeds": [1, 1],
        "alpha": 1.5,
        "protocol": "rumour",
        "training": {"epochs": 0, "learning_rate": "fast", "speed": 1},
        "resources": {"cpus_per_trial": 3, "gpus_per_trial": 1},
        "encoder": "/nowhere",
        "source_language": "de",
        "colour": "red",
    }
    found = fields_of(client.post("/v1/experiments", json=wrong))
    allowed = {
        "task": "ner",
        "methods": "gradient-mix-train",
        "k": "from 1",
        "seeds": "distinct",
        "alpha": "[0, 1]",
        "protocol": "paper",
        "training.epochs": "from 1 to 1000",
        "training.learning_rate": "(0, 1]",
        "training.speed": "no such field",
        "resources.cpus_per_trial": "up to 2",
        "resources.gpus_per_trial": "up to 0",
        "encoder": "/nowhere",
        "target_languages": "source",
        "colour": "no such field",
    }
    assert {field: words for field, words in allowed.items() if words not in found.get(field, "")} == {}
    assert set(found) == set(allowed)
    assert client.get("/v1/experiments").json()["experiments"] == []


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"target_languages": ["xx"]}, "target_languages", "'xx'"),
        ({"target_languages": ["en"]}, "target_languages", "source"),
        ({"target_languages": []}, "target_languages", "list"),
        ({"target_languages": ["de", "de"]}, "target_languages", "twice"),
        ({"source_language": "qq"}, "source_language", "'qq'"),
        ({"k": [61]}, "k", "60 training examples"),
        ({"k": []}, "k", "list"),
        ({"k": [True]}, "k", "whole numbers"),
        ({"seeds": [2**63]}, "seeds", "2147483647"),
        ({"seeds": [-1]}, "seeds", "from 0"),
        ({"alpha": True}, "alpha", "[0, 1]"),
        ({"alpha": {"grid": [0.1, 1.1]}}, "alpha", "1.1 is outside [0, 1]"),
        ({"training": {"learning_rate": {"uniform": [0, 1]}}}, "training.learning_rate", "(0, 1]"),
        ({"search": {"scheduler": {"name": "asha"}}}, "search.scheduler", "nothing is searched"),
        ({"search": {"objective": "test"}}, "search.objective", "source-dev"),
        ({"test_at": "never"}, "test_at", "every"),
        ({"allow_large": 1}, "allow_large", "true"),
        ({"name": "a\0b"}, "name", "NUL"),
        ({"name": "x" * 201}, "name", "200"),
        ({"encoder": "no such encoder!"}, "encoder", "hub"),
        ({"data": "xtreme"}, "data", "sample"),
        ({"data": {"folder": "../.."}}, "data", "data root"),
        ({"data": {"folder": "/etc"}}, "data", "data root"),
        ({"data": {"folder": "nothing"}}, "data", "no such folder"),
        ({"data": "xtreme-r", "target_languages": ["wo"]}, "target_languages", "af, ar"),
        ({"training": {"learning_rate": 0}}, "training.learning_rate", "(0, 1]"),
        ({"training": {"precision": "fp8"}}, "training.precision", "fp32, bf16, fp16"),
        ({"training": {"accumulation": 33}}, "training.accumulation", "up to the batch size"),
        ({"grouping": [["de"]]}, "grouping", "one list: hi"),
        ({"grouping": "randomly"}, "grouping", "script"),
        ({"keep": "best"}, "keep", "selected"),
        ({"task": "xnli", "k": [21]}, "k", "20 training examples of hi labeled"),
        ({"resources": {"max_concurrent_trials": 0}}, "resources.max_concurrent_trials", "from 1"),
        ({"resources": []}, "resources", "object"),
        ({"seeds": list(range(1000)), "k": list(range(1, 61))}, "allow_large", "10000"),
    ],
)
def test_a_wrong_field_is_refused_by_name(
    client: TestClient, spec: Fields, change: Fields, field: str, words: str
) -> None:
    answer = client.post("/v1/experiments", json={**spec, **change})
    assert answer.status_code == 422
    found = fields_of(answer)
    assert words in found.pop(field)
    assert not found


@pytest.mark.parametrize("field", ["task", "encoder", "data", "target_languages", "methods", "k", "seeds"])
def test_a_missing_field_is_named(client: TestClient, spec: Fields, field: str) -> None:
    del spec[field]
    assert "required" in fields_of(client.post("/v1/experiments", json=spec))[field]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"7",
        b'{"task": NaN}',
        b'{"alpha": 1e400, "training": {"learning_rate": Infinity}}',
        b'{"name": "\\ud800"}',
        b'{"\\ud800": 1}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"seeds": [' + b"9" * 5000 + b"]}",
    ],
)
def test_a_broken_body_is_a_problem_not_a_crash(client: TestClient, body: bytes) -> None:
    answer = client.post("/v1/experiments", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert fields_of(answer)


def test_a_body_must_say_that_it_is_json_and_have_a_bounded_size(client: TestClient) -> None:
    assert client.post("/v1/experiments", content=b"{}", headers={"content-type": "text/plain"}).status_code == 415
    headers = {"content-type": "application/json"}
    huge = client.post("/v1/experiments", content=b" " * (2**20 + 1), headers=headers)
    assert huge.status_code == 413


def test_the_folder_is_checked_line_by_line(client: TestClient, spec: Fields, tmp_path: Path) -> None:
    root = write_data(tmp_path / "data" / "mine", en=WHOLE, fi=WHOLE)
    good = {**spec, "data": {"folder": "mine"}, "target_languages": ["fi"]}
    assert client.post("/v1/experiments", json=good).status_code == 201
    assert client.post("/v1/experiments", json={**good, "target_languages": "all"}).status_code == 201
    assert "8 training examples of fi" in fields_of(client.post("/v1/experiments", json={**good, "k": [9]}))["k"]
    lines = (root / "ner/fi/train.jsonl").read_text().splitlines()
    (root / "ner/fi/train.jsonl").write_text("\n".join([*lines[:2], '{"tokens": ["a"], "tags"', *lines[3:]]))
    (root / "ner/fi/test.jsonl").write_text('{"tokens": ["a"], "tags": ["B-MISC"]}\n')
    message = client.post("/v1/experiments", json=good).json()["errors"]
    text = json.dumps(message)
    assert "fi/train.jsonl, line 3" in text
    assert "B-MISC" in text
    assert "allowed: B-PER, I-PER, O" in text


def test_what_is_odd_about_the_data_is_a_warning_in_the_answer(
    client: TestClient, spec: Fields, tmp_path: Path
) -> None:
    root = write_data(tmp_path / "data" / "mine", en=WHOLE, fi=WHOLE, zzz=WHOLE, sv={"train": 8, "dev": 4})
    (root / "ner/fi/test.jsonl").write_text('{"tokens": ["a"], "tags": ["I-PER"]}\n')
    (root / "ner/sv/README.md").write_text("no test set yet")
    odd = {**spec, "data": {"folder": "mine"}, "target_languages": "all"}
    wanted = [
        "'zzz' is no language code that is known, such as 'de' or 'zh-Hant'; it is taken as it is",
        "ner/sv has no test split, only train and dev: nothing can be scored on it",
        "ner/fi/test.jsonl, line 1: an entity begins with I-, where IOB2 has B-; it counts as an entity",
    ]
    assert client.post("/v1/plans", json=odd).json()["warnings"] == wanted
    keyed = {"Idempotency-Key": "one"}
    assert client.post("/v1/experiments", json=odd, headers=keyed).json()["warnings"] == wanted
    assert client.post("/v1/experiments", json=odd, headers=keyed).json()["warnings"] == []
    named = {**odd, "target_languages": ["fi"]}
    assert client.post("/v1/plans", json=named).json()["warnings"] == wanted[2:]
    assert client.post("/v1/plans", json={**spec, "data": "sample"}).json()["warnings"] == []


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 100_000,
        b'{"tokens": [' + b"9" * 5000 + b'], "tags": ["O"]}',
        b'{"tokens": ["\\ud800"], "tags": ["O"]}',
        b'{"tokens": ["a"], "tags": ["O"], "score": NaN}',
        b'{"tokens": ["\xff"], "tags": ["O"]}',
        b'{"tokens": ["a", "b"], "tags": ["O"]}',
        b'{"tokens": ["a"], "tags": ["PER"]}',
    ],
)
def test_a_malformed_line_is_named(client: TestClient, spec: Fields, tmp_path: Path, line: bytes) -> None:
    root = write_data(tmp_path / "data" / "mine", en=WHOLE, fi=WHOLE)
    with (root / "ner/fi/test.jsonl").open("ab") as file:
        file.write(b"\n" + line + b"\n")
    answer = client.post("/v1/experiments", json={**spec, "data": {"folder": "mine"}, "target_languages": ["fi"]})
    assert "fi/test.jsonl, line 5" in fields_of(answer)["data"]


def test_only_what_could_be_a_language_is_one(client: TestClient, spec: Fields, tmp_path: Path) -> None:
    write_data(tmp_path / "data" / "mine", **{"en": WHOLE, "fi": WHOLE, ".de.123": WHOLE, "x" * 60: WHOLE})
    spec = {**spec, "data": {"folder": "mine"}, "target_languages": "all", "methods": ["zero-shot"]}
    answer = client.post("/v1/experiments", json=spec)
    results = client.get("/v1/experiments/" + answer.json()["id"]).json()
    assert results["trials"]["total"] == 1
    assert fields_of(client.post("/v1/experiments", json={**spec, "target_languages": ["sv"]}))[
        "target_languages"
    ].endswith("allowed: en, fi")


def test_a_folder_with_the_source_alone_has_no_targets(client: TestClient, spec: Fields, tmp_path: Path) -> None:
    write_data(tmp_path / "data" / "mine", en=WHOLE)
    answer = client.post("/v1/experiments", json={**spec, "data": {"folder": "mine"}, "target_languages": "all"})
    assert "no other language" in fields_of(answer)["target_languages"]


def test_many_may_ask_for_new_data_at_the_same_time(client: TestClient, spec: Fields, tmp_path: Path) -> None:
    write_data(tmp_path / "data" / "mine", en=WHOLE, fi=WHOLE)
    body = {**spec, "data": {"folder": "mine"}, "target_languages": ["fi"]}
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda _: client.post("/v1/experiments", json=body).status_code, range(32)))
    assert answers == [201] * 32


def test_a_hundred_requests_with_one_key_make_one_experiment_and_each_is_told_its_id(
    client: TestClient, spec: Fields
) -> None:
    def post(_: int) -> Any:
        return client.post("/v1/experiments", json=spec, headers={"Idempotency-Key": "ana-1"})

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(post, range(100)))
    assert [answer.status_code for answer in answers] == [201] * 100
    [id_] = {answer.json()["id"] for answer in answers}
    assert [one["id"] for one in client.get("/v1/experiments").json()["experiments"]] == [id_]
    other = client.post("/v1/experiments", json={**spec, "seeds": [9]}, headers={"Idempotency-Key": "ana-1"})
    assert other.status_code == 422
    assert id_ in fields_of(other)["Idempotency-Key"]
    assert post(0).json()["id"] == id_
    for key in ("", "x" * 201, "with space"):
        refused = client.post("/v1/experiments", json=spec, headers={"Idempotency-Key": key})
        assert refused.status_code == 422
        assert "idempotency-key" in fields_of(refused)


def test_control_moves_an_experiment_and_repeating_it_is_harmless(client: TestClient, spec: Fields) -> None:
    id_ = client.post("/v1/experiments", json={**spec, "priority": 3}).json()["id"]

    def ask(name: str) -> tuple[int, str]:
        answer = client.post(f"/v1/experiments/{id_}/{name}")
        return answer.status_code, answer.json().get("state") or answer.json()["detail"]

    assert ask("retry") == (200, "queued")
    assert [ask("pause"), ask("pause")] == [(200, "paused")] * 2
    assert ask("retry") == (409, "retry is for an experiment that is failed, not paused")
    assert [ask("resume"), ask("resume")] == [(200, "queued")] * 2
    assert client.get(f"/v1/experiments/{id_}").json()["priority"] == 3
    assert client.patch(f"/v1/experiments/{id_}", json={"priority": -5}).json()["priority"] == -5
    refused = client.delete(f"/v1/experiments/{id_}")
    assert (refused.status_code, refused.json()["detail"][:12]) == (409, "it is queued")
    assert [ask("cancel"), ask("cancel")] == [(200, "cancelled")] * 2
    shown = client.get(f"/v1/experiments/{id_}").json()
    assert (shown["trials"]["cancelled"], shown["trials"]["queued"], shown["progress"]) == (5, 0, 0)
    assert ask("resume") == (409, "resume is for an experiment that is paused, not cancelled")
    assert client.delete(f"/v1/experiments/{id_}").status_code == 204
    assert client.delete(f"/v1/experiments/{id_}").status_code == 404
    assert ask("cancel")[0] == 404


@pytest.mark.parametrize("body", [{"priority": 101}, {"priority": True}, {"priority": "1"}, {}, {"priorty": 1}, [1]])
def test_a_priority_that_is_none_is_refused(client: TestClient, spec: Fields, body: Any) -> None:
    id_ = client.post("/v1/experiments", json=spec).json()["id"]
    answer = client.patch(f"/v1/experiments/{id_}", json=body)
    assert answer.status_code == 422
    assert fields_of(answer)
    assert client.get(f"/v1/experiments/{id_}").json()["priority"] == 0
    assert client.post("/v1/experiments", json={**spec, "priority": 1000}).status_code == 422


def test_problems_of_fields_that_depend_on_each_other_come_together(client: TestClient, spec: Fields) -> None:
    for change, fields in (
        ({"k": [0], "target_languages": ["de", "xx"]}, {"k", "target_languages"}),
        ({"k": [99], "target_languages": ["de", "xx"]}, {"k", "target_languages"}),
        ({"methods": ["nope"], "target_languages": ["xx"]}, {"methods", "target_languages"}),
        ({"source_language": "yy", "target_languages": ["xx"]}, {"source_language", "target_languages"}),
        ({"source_language": "yy", "target_languages": []}, {"source_language", "target_languages"}),
        (
            {"resources": {"cpus_per_trial": 0, "gpus_per_trial": 5}},
            {"resources.cpus_per_trial", "resources.gpus_per_trial"},
        ),
    ):
        assert set(fields_of(client.post("/v1/experiments", json={**spec, **change}))) == fields


@pytest.mark.parametrize(
    "encoder",
    ["offline/other", "xlm-roberta-nowhere", "a..b", "a--b", "x.git", "aé/b", "n" * 200, "~nobody/x", "./" + "a" * 300],
)
def test_an_encoder_that_cannot_be_had_is_refused(
    client: TestClient, spec: Fields, encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    assert fields_of(client.post("/v1/experiments", json={**spec, "encoder": encoder})).keys() == {"encoder"}


def test_a_long_list_costs_no_more_than_its_length(client: TestClient, spec: Fields) -> None:
    answer = client.post("/v1/experiments", json={**spec, "methods": ["ord-FS"] * 50_000})
    assert "at most 100" in fields_of(answer)["methods"]
    flood = {f"field{number}": 1 for number in range(30_000)}
    assert len(client.post("/v1/experiments", json={**spec, **flood}).json()["errors"]) == 100
    assert len(client.get("/v1/results", params={"k": ["one"] * 500}).json()["errors"]) == 100


@pytest.mark.parametrize("body", [ExperimentSpec, ResourcesSpec, TrainingSpec, ResultBody, Change, Registration])
def test_unknown_fields_cost_no_error_each(body: type[BaseModel]) -> None:
    """A validator made an error of each of 90,000, and nobody else was answered for 0.4 seconds."""
    with pytest.raises(ValidationError) as raised:
        body.model_validate({f"field{number}": 1 for number in range(90_000)})
    required = sum(field.is_required() for field in body.model_fields.values())
    assert raised.value.error_count() == 100 + required


def test_a_flood_of_unknown_fields_is_refused_beside_what_else_is_wrong(client: TestClient) -> None:
    flood = {f"field{number}": 1 for number in range(30_000)}
    for fields in ({**flood, "limit": 0}, {"limit": 0, **flood}):
        errors = client.post("/v1/results/query", json=fields).json()["errors"]
        assert len(errors) == 100
        assert errors[0]["field"] == "limit"
        assert {one["message"] for one in errors[1:]} == {"there is no such parameter"}


def test_minus_zero_is_zero(client: TestClient, spec: Fields, store: Store) -> None:
    trials = []
    for alpha in (0.0, -0.0):
        spec = {**spec, "methods": ["gradient-mix-train"], "alpha": alpha}
        trials.append(list(store.trials.outstanding(client.post("/v1/experiments", json=spec).json()["id"])))
    assert trials[0] == trials[1]


def test_a_folder_may_not_leave_the_data_root_by_a_link(client: TestClient, spec: Fields, tmp_path: Path) -> None:
    outside = write_data(tmp_path / "outside", en=WHOLE, fi=WHOLE)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "link").symlink_to(outside)
    answer = client.post("/v1/experiments", json={**spec, "data": {"folder": "link"}, "target_languages": ["fi"]})
    assert "data root" in fields_of(answer)["data"]


def test_hub_data_are_accepted_and_fetched_later(client: TestClient, spec: Fields) -> None:
    answer = client.post("/v1/experiments", json={**spec, "data": "xtreme-r", "target_languages": ["yo"]})
    assert answer.status_code == 201
    assert answer.json()["trials"]["total"] == 0


def test_what_a_reader_would_write_is_accepted(client: TestClient, spec: Fields, tiny_encoder_for_all: Path) -> None:
    for change in (
        {"alpha": 0},
        {"alpha": 1},
        {"alpha": None},
        {"tags": "pilot"},
        {"tags": ["a", "b"], "owner": "Ana 🙂"},
        {"target_languages": "all"},
        {"training": {}},
        {"training": {"max_source_examples": None}},
        {"resources": {"cpus_per_trial": 2, "gpus_per_trial": 0, "max_concurrent_trials": None}},
        {"encoder": OFFLINE_ENCODER},
        {"grouping": [["hi"], ["de"]]},
        {"grouping": "script", "keep": "all", "protocol": "released-code", "training": {"precision": "bf16"}},
        *(
            {"task": task, "methods": list(METHODS), "average": 2, "encoder": str(tiny_encoder_for_all)}
            for task in TASKS
        ),
    ):
        assert client.post("/v1/experiments", json={**spec, **change}).status_code == 201, change


def test_experiments_are_found_by_owner_and_tags(client: TestClient, spec: Fields) -> None:
    for owner, tags in (("ana", ["a", "both"]), ("bo", "both")):
        client.post("/v1/experiments", json={**spec, "owner": owner, "tags": tags})
    assert [one["owner"] for one in client.get("/v1/experiments?tags=both").json()["experiments"]] == ["bo", "ana"]
    assert [one["tags"] for one in client.get("/v1/experiments?owner=ana").json()["experiments"]] == [["a", "both"]]
    assert client.get("/v1/experiments?owner=ana&tags=b").json()["errors"][0]["field"] == "tags"
    assert client.get("/v1/experiments?owner=ana&state=paused").json() == {"experiments": [], "next": None}


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/experiments?limit=-1", "limit"),
        ("/v1/experiments?limit=1000000000", "limit"),
        ("/v1/experiments?colour=red", "colour"),
        ("/v1/experiments?state=done", "state"),
        ("/v1/experiments?state=failed&state=running", "state"),
        ("/v1/results?limit=1&k=1&k=5&limit=2", "limit"),
        ("/v1/presets?colour=red", "colour"),
        ("/v1/results?split=tset", "split"),
        ("/v1/experiments?cursor=nonsense", "cursor"),
        ("/v1/experiments?cursor=W3RydWUsIngiXQ", "cursor"),
        ("/v1/experiments?cursor=WzEsIlx1ZDgwMCJd", "cursor"),
        ("/v1/results?limit=0", "limit"),
        ("/v1/results?k=9223372036854775808", "k"),
        ("/v1/results?alpha=nan", "alpha"),
        ("/v1/results?format=xml", "format"),
        ("/v1/results?colour=red", "colour"),
        ("/v1/results?cursor=WzEsMl0x", "cursor"),
        ("/v1/results?language=a%00b", "language"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(client: TestClient, path: str, field: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 422
    assert any(field in name for name in fields_of(answer))


@pytest.mark.parametrize(
    "path", ["/v1/experiments/nothing", "/v1/experiments/%2e%2e", "/v1/trials/x%00", "/v1/nowhere", "/v1/trials/%F0"]
)
def test_what_is_not_there_is_a_404_problem(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    fields_of(answer)


def test_results_are_json_or_csv(client: TestClient) -> None:
    assert client.get("/v1/results").json() == {"results": [], "left_out": [], "next": None, "now": 0}
    table = client.get("/v1/results?format=csv")
    assert table.headers["content-type"].startswith("text/csv")
    assert table.text.split() == [
        "experiment,trial,method,k,seed,alpha,candidate,language,split,metric,epoch,value,examples,cut,selected,"
        "selection,judged_on,task,numerics,one_label,surgery_overflow"
    ]


def test_a_token_is_asked_for_where_one_is_set(store: Store, tmp_path: Path) -> None:
    app = create_app(store, lambda: environment_of(tmp_path), token="s3cret")
    client = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "s3cret"}):
        answer = client.get("/v1/experiments", headers=headers)
        assert answer.status_code == 401
        fields_of(answer)
    assert client.get("/v1/experiments", headers={"Authorization": "Bearer s3cret"}).status_code == 200
    assert client.get("/healthz").status_code == 200
    description = client.get("/openapi.json").json()  # whose page then asks for the token
    assert description["paths"]["/v1/experiments"]["get"]["security"] == [{"HTTPBearer": []}]


@pytest.mark.parametrize("path", ["/v1/experiments", "/metrics", "/healthz"])
def test_without_a_token_only_this_machine_s_names_are_answered(client: TestClient, path: str) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example", "0.0.0.0", "[", "[::1", "", "a b"):
        answer = client.get(path, headers={"Host": host})
        assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
        assert "Host" in answer.json()["detail"]
    for host in ("localhost:8000", "127.0.0.1", "127.0.0.2:80", "[::1]:8000"):
        assert client.get(path, headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    ("query", "status", "named"),
    [
        ("language=de", 404, "there is no trial"),
        ("", 422, "language"),
        ("language=../../etc", 422, "language"),
        ("language=de&split=all", 422, "split"),
        ("language=de&selection=best", 422, "selection"),
        ("language=de&format=csv", 422, "format"),
    ],
)
def test_predictions_of_what_is_not_there_are_refused(client: TestClient, query: str, status: int, named: str) -> None:
    answer = client.get(f"/v1/trials/{'0' * 20}/predictions?{query}")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert named in json.dumps(answer.json())


def test_the_shots_of_what_is_not_there_or_has_not_run_are_none(client: TestClient, spec: Fields) -> None:
    assert client.get(f"/v1/experiments/{'0' * 12}/shots").status_code == 404
    id_ = client.post("/v1/experiments", json=spec).json()["id"]
    assert client.get(f"/v1/experiments/{id_}/shots").json() == {"shots": [], "samples": []}


@pytest.mark.parametrize(
    ("method", "path"), [("DELETE", ""), ("POST", "/cancel"), ("POST", "/pause"), ("GET", "/shots")]
)
def test_nothing_is_done_for_who_asks_for_something_else(
    client: TestClient, spec: Fields, method: str, path: str
) -> None:
    id_ = client.post("/v1/experiments", json=spec).json()["id"]
    answer = client.request(method, f"/v1/experiments/{id_}{path}?dry_run=true")
    assert answer.status_code == 422
    assert fields_of(answer) == {"dry_run": "there is no such parameter"}
    assert client.get(f"/v1/experiments/{id_}").json()["state"] == "queued"


def test_an_experiment_that_no_calendar_sees_the_end_of_is_shown_and_cancelled(
    client: TestClient, store: Store, spec: Fields, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = client.post("/v1/experiments", json=spec).json()["id"]
    store.control.move(id_, "start")
    endless = {"planned": 1e13, "spent": 0.0, "left": 1e13, "error": None}
    monkeypatch.setattr("service.store.progress.costs.cost", lambda *_: endless)
    shown = client.get(f"/v1/experiments/{id_}")
    assert (shown.status_code, shown.json()["cost"]["eta"]) == (200, None)
    assert client.post(f"/v1/experiments/{id_}/cancel").json()["state"] == "cancelled"


def test_a_state_that_nobody_is_in_is_counted_as_none(client: TestClient) -> None:
    said = client.get("/metrics").text.splitlines()
    for what, state in (("experiments", "paused"), ("trials", "failed"), ("attempts", "died")):
        assert f'allasprak_{what}{{state="{state}"}} 0.0' in said


def test_two_who_delete_at_once_are_told_at_once(client: TestClient, spec: Fields) -> None:
    id_ = client.post("/v1/experiments", json=spec).json()["id"]
    client.post(f"/v1/experiments/{id_}/cancel")
    with ThreadPoolExecutor(4) as pool:
        begin = time.monotonic()
        answers = sorted(pool.map(lambda _: client.delete(f"/v1/experiments/{id_}").status_code, range(4)))
    assert answers == [204, 404, 404, 404]
    assert time.monotonic() - begin < 5


def test_what_has_not_run_has_said_nothing(client: TestClient, store: Store, spec: Fields) -> None:
    assert client.get(f"/v1/experiments/{'0' * 12}/log").status_code == 404
    id_ = client.post("/v1/experiments", json=spec).json()["id"]
    for path in (f"experiments/{id_}", *(f"trials/{trial}" for trial in store.experiments.plan_of(id_) or {})):
        answer = client.get(f"/v1/{path}/log")
        assert (answer.status_code, answer.text.strip()) == (200, "")
