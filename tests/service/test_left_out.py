"""Targets that methods leave out: said from the plan to the report, and never a silent part of a comparison."""

import io
import json
import random
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient

from plans import config_of, result_of, score_of, spec_of, trial_of
from search_spaces.environment import Environment
from search_spaces.plan import Plan
from search_spaces.targets import LeftOut
from service.client import Client
from service.store import Store
from tiny_encoders import write_encoder
from trainers import Outcome

LANGUAGES = ("en", "de", "hi", "kk")
METHODS = {"zero-shot": 0, "ord-FS": 5, "ord-FS+dev": 5}
SAID = {"method": "ord-FS+dev", "language": "kk", "lacks": ["dev"]}
SELECTED = {"zero-shot": "source-dev", "ord-FS": "last", "ord-FS+dev": "target-dev"}


def score(method: str, seed: int, language: str) -> float:
    """Far lower in kk, so that a mean without it is far higher."""
    low = 10.0 if language == "kk" else 60.0
    better = {"zero-shot": 0.0, "ord-FS": 5.0, "ord-FS+dev": 3.0}[method]
    return low + better + random.Random(f"{seed} {language}").random()


def mean(method: str, languages: tuple[str, ...], seeds: range) -> float:
    return sum(score(method, seed, language) for seed in seeds for language in languages) / len(seeds) / len(languages)


def experiment(store: Store, seeds: range = range(1, 4), explained: bool = True, **fields: Any) -> str:
    """An experiment that is done, one of whose methods has no scores in kk."""
    plan = Plan(left_out=[LeftOut("ord-FS+dev", "kk", ("dev",))] if explained else [])
    for seed in seeds:
        source = config_of(seed=seed)
        plan.add(trial_of(source, evaluate=dict.fromkeys(LANGUAGES, "test")))
        plan.results.extend(result_of(source, language) for language in LANGUAGES)
        for target in LANGUAGES[1:]:
            adapted = config_of("ord-FS", seed=seed, target_languages=(target,))
            methods = [method for method in ("ord-FS", "ord-FS+dev") if (method, target) != ("ord-FS+dev", "kk")]
            selections = tuple(SELECTED[method] for method in methods)
            plan.add(trial_of(adapted, source, selections=selections, evaluate={target: "test"}))
            for method in methods:
                plan.results.append(result_of(adapted, target, method=method, selection=SELECTED[method]))
        for method in ("ord-FS", "ord-FS+dev"):
            plan.results.append(result_of(source, "en", method=method, k=5))
    wanted = {"target_languages": list(LANGUAGES[1:]), "methods": list(METHODS), "seeds": list(seeds)}
    id_ = store.experiments.add(spec_of(**wanted, **fields), plan)
    for digest, trial in store.trials.outstanding(id_).items():
        steps = {selection: 10 * place for place, selection in enumerate(trial.wanted.selections, 1)}
        methods = {method: steps[selection] for method, selection in SELECTED.items() if selection in steps}
        scores = tuple(
            score_of(language, score(method, trial.config.seed, language), step=step)
            for method, step in methods.items()
            for language in trial.wanted.evaluate
        )
        attempt = store.trials.started(id_, digest)
        store.trials.succeeded(digest, attempt, Outcome(selected=steps, scores=scores, facts={"shots": {}}))
    return id_


def summary(client: TestClient, by: str, **asked: Any) -> dict[str, dict[str, Any]]:
    answer = client.get("/v1/results/summary", params={"by": by, **asked})
    assert answer.status_code == 200, answer.text
    return {row["method"]: row for row in answer.json()["summary"]}


def test_experiments_and_results_say_what_is_left_out_and_why(store: Store, client: TestClient) -> None:
    other = experiment(store, range(8, 9), explained=False)
    id_ = experiment(store)
    assert client.get(f"/v1/experiments/{id_}").json()["left_out"] == [SAID]
    listed = {one["id"]: one["left_out"] for one in client.get("/v1/experiments").json()["experiments"]}
    assert listed == {id_: [SAID], other: []}
    assert client.get("/v1/results").json()["left_out"] == [{"experiment": id_, **SAID}]
    assert client.get("/v1/results", params={"experiment": id_, "columns": "value"}).json()["left_out"] != []
    assert client.get("/v1/results", params={"experiment": other}).json()["left_out"] == []


def test_frames_and_files_say_it(store: Store, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment(store, range(8, 9), explained=False)
    id_ = experiment(store)
    said = [{"experiment": id_, **SAID}]
    monkeypatch.setattr("service.connection.httpx2.Client", lambda **_: client)
    notebook = Client()
    assert notebook.results().attrs["left_out"] == said
    assert notebook.results(id_, where={"column": "k", "op": "ge", "value": 5}).attrs["left_out"] == said
    rows = notebook.results(id_, columns=["value"])
    assert rows.attrs["left_out"] == said
    assert notebook.results(id_, language="kk", method="ord-FS+dev").attrs["left_out"] == []
    assert notebook.results(id_, since=rows.attrs["now"]).attrs["left_out"] == []
    assert notebook.compare({"method": "ord-FS"}, {"method": "ord-FS+dev"}).attrs["left_out"] == [SAID]
    assert notebook.table(id_, "f1").attrs["left_out"] == [SAID]
    file = client.get("/v1/results", params={"format": "parquet"}).content
    metadata = pq.read_schema(io.BytesIO(file)).metadata
    assert json.loads(metadata[b"left_out"]) == said


def test_a_plan_that_is_added_later_says_it_as_well(store: Store, client: TestClient) -> None:
    id_ = store.experiments.add(spec_of(), None)
    assert client.get(f"/v1/experiments/{id_}").json()["left_out"] == []
    store.experiments.add_plan(id_, Plan(left_out=[LeftOut("mix-FT", "hi", ("train", "dev"))]))
    said = {"method": "mix-FT", "language": "hi", "lacks": ["train", "dev"]}
    assert client.get(f"/v1/experiments/{id_}").json()["left_out"] == [said]


def test_a_mean_over_fewer_languages_says_so_and_is_compared_over_those_that_all_have(
    store: Store, client: TestClient
) -> None:
    experiment(store)
    rows, seeds = summary(client, "method,k"), range(1, 4)
    with_dev, without = rows["ord-FS+dev"], rows["ord-FS"]
    assert with_dev["mean"] == pytest.approx(mean("ord-FS+dev", ("de", "hi"), seeds))
    assert without["mean"] == pytest.approx(mean("ord-FS", ("de", "hi", "kk"), seeds))
    assert with_dev["mean"] > without["mean"]  # of unlike languages: it is not better
    assert with_dev["mean_in_common"] == with_dev["mean"]
    assert without["mean_in_common"] == pytest.approx(mean("ord-FS", ("de", "hi"), seeds))
    assert (with_dev["best"], without["best"]) == (False, True)
    assert (with_dev["complete"], with_dev["n"], with_dev["missing"]) == (True, 3, 0)
    assert (with_dev["left_out"], without["left_out"]) == (["kk (no dev split)"], [])
    assert (with_dev["languages"], without["languages"]) == (3, 4)
    assert {tuple(row["left_out"]) for row in summary(client, "method,language").values()} == {()}
    assert "languages 3 (paper: 48)" in summary(client, "task,method,k", published=True)["ord-FS+dev"]["differs"]


def test_methods_are_compared_on_the_languages_that_both_have(store: Store, client: TestClient) -> None:
    experiment(store)
    asked = {"better.method": "ord-FS", "over.method": "ord-FS+dev"}
    found = client.get("/v1/results/compare", params=asked).json()
    assert {row["language"] for row in found["languages"]} == {"de", "hi"}
    assert found["overall"]["gain"] == pytest.approx(2.0)
    assert found["left_out"] == [SAID]
    found = client.get("/v1/results/compare", params={**asked, "over.method": "zero-shot"}).json()
    assert {row["language"] for row in found["languages"]} == {"de", "hi", "kk"}
    assert found["left_out"] == []


@pytest.mark.parametrize("name", ["table-1", "table-4"])
def test_tables_mark_the_mean_and_color_it_by_the_same_languages(store: Store, client: TestClient, name: str) -> None:
    experiment(store)
    report = client.get(f"/v1/reports/{name}").json()
    assert "ord-FS+dev leaves out kk (no dev split)." in report["notes"]
    means = {row["method"]: row for row in report["data"] if name == "table-1" or row["language"] == "avg."}
    seeds = range(1, 4)
    zero = mean("zero-shot", ("en", "de", "hi"), seeds)
    assert means["ord-FS+dev"]["over_zero_shot"] == pytest.approx(means["ord-FS+dev"]["mean_with_source"] - zero)
    assert means["ord-FS"]["over_zero_shot"] == pytest.approx(15 / 4)  # the source's own score is zero-shot's
    lines = client.get(f"/v1/reports/{name}", params={"format": "markdown"}).text.splitlines()
    [marked] = [line for line in lines if "†" in line and line.startswith("|")]
    assert "ord-FS+dev" in marked
    assert r"$\dagger$" in client.get(f"/v1/reports/{name}", params={"format": "latex"}).text


def test_unlike_languages_that_nothing_explains_are_refused(store: Store, client: TestClient) -> None:
    experiment(store, explained=False)
    for path in (
        "reports/table-1?",
        "reports/table-4?",
        "results/compare?better.method=ord-FS&over.method=ord-FS+dev&",
    ):
        answer = client.get(f"/v1/{path.replace('+', '%2B')}")
        assert answer.status_code == 422, path
        assert "kk" in answer.json()["errors"][0]["message"]
    rows = summary(client, "method,k")
    assert not rows["ord-FS+dev"]["best"]


# From what is submitted


@pytest.fixture
def body(tmp_path: Path) -> dict[str, Any]:
    """pos in a folder that has no dev set for Kazakh, with a tiny encoder."""
    for language, split in [(one, split) for one in ("en", "kk", "tr") for split in ("train", "dev", "test")]:
        if (language, split) != ("kk", "dev"):
            path = tmp_path / "data" / "mine" / "pos" / language / f"{split}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(json.dumps({"tokens": [str(n)], "tags": ["NOUN"]}) for n in range(9)))
    write_encoder(tmp_path / "encoder")
    return {
        "task": "pos", "encoder": str(tmp_path / "encoder"), "data": {"folder": "mine"}, "target_languages": "all",
        "methods": ["zero-shot", "ord-FS", "ord-FS+dev"], "k": [2], "seeds": [1],
    }  # fmt: skip


def test_a_dry_run_and_a_submission_say_it(
    sqlite_store: Store, client_over: Any, tmp_path: Path, body: dict[str, Any]
) -> None:
    (tmp_path / "home").mkdir()
    client = client_over(sqlite_store, Environment(tmp_path / "home", tmp_path / "data", 1, 0))
    assert client.post("/v1/plans", json=body).json()["left_out"] == [SAID]
    answer = client.post("/v1/experiments", json=body)
    assert answer.status_code == 201, answer.text
    assert answer.json()["left_out"] == [SAID]
    named = client.post("/v1/plans", json={**body, "target_languages": ["kk", "tr"]})
    assert named.json()["left_out"] == [SAID]
