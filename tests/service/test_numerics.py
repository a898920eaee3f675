"""Results of several NUMERICS: each is marked with its own, none are mixed, and an experiment is submitted again."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from sqlalchemy import create_engine, select, update
from starlette.testclient import TestClient

from plans import config_of, result_of, score_of, spec_of, trial_of
from search_spaces.environment import Environment
from search_spaces.plan import Plan
from service.store import Store
from service.store.schema import planned_results, trials
from service.store.states import MoveName
from trainers import NUMERICS, Outcome, Report
from trainers.cosines import gradient_cosines
from trainers.trial import FIRST_NUMERICS, DataReference, Trial, Wanted

Fields = dict[str, Any]

LANGUAGES = ("en", "de")
METHODS = ("zero-shot", "ord-FS", "gradient-mix-train")
COMPARED = "results/compare?better.method=gradient-mix-train&over.method=ord-FS"
REPORTS = ("reports/table-1?", "reports/table-4?", "reports/table-2?", "reports/alpha?", "reports/conflicts?")


def planned(numerics: int, **fields: Any) -> tuple[Any, Plan]:
    """An experiment of a trial for each method."""
    plan = Plan()
    for method in METHODS:
        config = config_of(method, alpha=0.5 if method == "gradient-mix-train" else None, numerics=numerics)
        plan.add(trial_of(config, evaluate=dict.fromkeys(LANGUAGES, "test")))
        plan.results.extend(result_of(config, language) for language in LANGUAGES)
    return spec_of(target_languages=["de"], methods=list(METHODS), **fields), plan


def finished(store: Store, numerics: int) -> str:
    """An experiment that is done."""
    id_ = store.experiments.add(*planned(numerics))
    for digest, trial in store.trials.outstanding(id_).items():
        scores = tuple(score_of(language, 10.0 * numerics) for language in LANGUAGES)
        attempt = store.trials.started(id_, digest)
        if trial.config.alpha is not None:
            met = {"operations": 10, "nonfinite": 0, "conflict_rate": 0.5}
            store.trials.reported(digest, attempt, Report(epoch=1, step=10, scores=(), measures={"surgery": met}))
        store.trials.succeeded(digest, attempt, Outcome(selected={"source-dev": 10}, scores=scores, facts={}))
    assert store.control.move(id_, "succeed")
    return id_


def as_version_1(url: str) -> None:
    """Trials of FIRST_NUMERICS and their results as version 0.1.0 left them: their configurations do not name it."""
    engine = create_engine(url)
    with engine.begin() as connection:
        for digest, config in connection.execute(select(trials.c.digest, trials.c.config)).all():
            if config.get("numerics") == FIRST_NUMERICS:
                del config["numerics"]
                connection.execute(update(trials).filter_by(digest=digest).values(config=config))
                connection.execute(update(planned_results).filter_by(trial=digest).values(numerics=FIRST_NUMERICS))
    engine.dispose()


def ran_with(url: str, torch: Sequence[str]) -> None:
    """Trials say with which version of torch they ran, and that transformers was the same."""
    engine = create_engine(url)
    with engine.begin() as connection:
        for digest, version in zip(connection.scalars(select(trials.c.digest)).all(), torch, strict=True):
            facts = {"packages": {"torch": version, "transformers": "5.23.0"}}
            connection.execute(update(trials).filter_by(digest=digest).values(facts=facts))
    engine.dispose()


@pytest.fixture
def both(store: Store, url: str) -> dict[int, str]:
    """The same experiment under version 1's NUMERICS and ours, by NUMERICS."""
    ids = {numerics: finished(store, numerics) for numerics in (FIRST_NUMERICS, NUMERICS)}
    as_version_1(url)
    return ids


def test_rows_in_every_form_say_their_numerics(client: TestClient, both: dict[int, str]) -> None:
    rows = client.get("/v1/results").json()["results"]
    assert {(row["experiment"], row["numerics"]) for row in rows} == {(id_, number) for number, id_ in both.items()}
    assert {row["value"] for row in rows if row["numerics"] == 3} == {30.0}
    table = pd.read_csv(io.StringIO(client.get("/v1/results?format=csv").text))
    arrow = pa.ipc.open_stream(client.get("/v1/results?format=arrow").content).read_all()
    assert list(table["numerics"]) == arrow["numerics"].to_pylist() == [row["numerics"] for row in rows]
    only = client.get("/v1/results?numerics=3").json()["results"]
    assert only == [row for row in rows if row["numerics"] == 3]
    tree = {"where": {"column": "numerics", "op": "lt", "value": NUMERICS}, "sort": ["-numerics"]}
    assert client.post("/v1/results/query", json=tree).json()["results"] == only
    ordered = client.get("/v1/results?sort=-numerics&limit=7").json()
    further = client.get("/v1/results", params={"sort": "-numerics", "cursor": ordered["next"]}).json()
    assert [row["numerics"] for row in (*ordered["results"], *further["results"])] == [NUMERICS] * 6 + [
        FIRST_NUMERICS
    ] * 6


def test_experiments_and_trials_say_their_numerics(client: TestClient, both: dict[int, str]) -> None:
    for number, id_ in both.items():
        assert client.get(f"/v1/experiments/{id_}").json()["numerics"] == number
        [trial] = {row["trial"] for row in client.get(f"/v1/results?experiment={id_}&k=0").json()["results"]}
        assert client.get(f"/v1/trials/{trial}").json()["config"]["numerics"] == number
    listed = client.get("/v1/experiments").json()["experiments"]
    assert {one["id"]: one["numerics"] for one in listed} == {id_: number for number, id_ in both.items()}


def test_summaries_say_their_numerics_and_name_a_mixture(client: TestClient, both: dict[int, str]) -> None:
    mixed = client.get("/v1/results/summary?by=method").json()["summary"]
    assert [(row["numerics"], row["mixed"]) for row in mixed] == [(None, ["numerics"])] * len(METHODS)
    apart = client.get("/v1/results/summary?by=method,numerics").json()["summary"]
    assert [(row["numerics"], row["mean"], row["mixed"]) for row in apart] == [
        (FIRST_NUMERICS, 10.0 * FIRST_NUMERICS, []),
        (NUMERICS, 10.0 * NUMERICS, []),
    ] * 3
    for form in ("csv", "arrow"):
        answer = client.get(f"/v1/results/summary?by=method&numerics=3&format={form}")
        found = (
            pd.read_csv(io.StringIO(answer.text))
            if form == "csv"
            else pa.ipc.open_stream(answer.content).read_all().to_pandas()
        )
        assert list(found["numerics"]) == [3] * len(METHODS)


@pytest.mark.parametrize("path", [*REPORTS, f"{COMPARED}&"])
def test_no_report_and_no_comparison_mixes_them(client: TestClient, both: dict[int, str], path: str) -> None:
    refused = client.get(f"/v1/{path}")
    assert refused.status_code == 422
    assert f"differ in numerics ({FIRST_NUMERICS}, {NUMERICS}; task ner)" in refused.json()["errors"][0]["message"]
    for number in both:
        assert client.get(f"/v1/{path}numerics={number}").status_code == 200


def test_reports_and_comparisons_say_their_numerics(client: TestClient, both: dict[int, str]) -> None:
    for number, id_ in both.items():
        assert client.get(f"/v1/{COMPARED}&experiment={id_}").json()["numerics"] == number
        for path in REPORTS:
            found = client.get(f"/v1/{path}experiment={id_}").json()
            assert {row["numerics"] for row in found["data"]} == {number}
            assert found["notes"][-1] == f"NUMERICS {number}."
            for form in ("markdown", "latex"):
                assert f"NUMERICS {number}." in client.get(f"/v1/{path}experiment={id_}&format={form}").text
            table = pd.read_csv(io.StringIO(client.get(f"/v1/{path}experiment={id_}&format=csv").text))
            assert set(table["numerics"]) == {number}


def test_a_report_names_packages_of_several_versions(store: Store, url: str, client: TestClient) -> None:
    path = f"/v1/reports/table-1?experiment={finished(store, NUMERICS)}"
    for versions, note in (
        (["2.13.0"] * len(METHODS), None),
        (["2.13.0", "2.12.0", "2.13.0"], "Trained with several versions of packages: torch 2.12.0 and 2.13.0."),
    ):
        ran_with(url, versions)
        said = [one for one in client.get(path).json()["notes"] if "versions" in one]
        assert said == ([note] if note else [])


def test_what_failed_before_is_not_retried_and_keeps_its_failures(store: Store, url: str, client: TestClient) -> None:
    for numerics, status in ((FIRST_NUMERICS, 409), (NUMERICS, 200)):
        id_ = store.experiments.add(*planned(numerics))
        as_version_1(url)
        for digest in store.trials.outstanding(id_):
            store.trials.failed(id_, digest, "the disk is full")
        store.control.move(id_, "fail", "3 of 3 trials failed")
        before = client.get(f"/v1/experiments/{id_}").json()
        answer = client.post(f"/v1/experiments/{id_}/retry")
        assert answer.status_code == status
        after = client.get(f"/v1/experiments/{id_}").json()
        if status == 200:
            assert (after["state"], after["failures"]) == ("queued", [])
            continue
        assert {**after, "disk": None} == {**before, "disk": None}
        assert len(after["failures"]) == len(METHODS)
        assert f"NUMERICS {FIRST_NUMERICS}, and this one has {NUMERICS}" in answer.json()["detail"]
        assert "/resubmit submits it again" in answer.json()["detail"]


def test_unfinished_experiments_of_another_numerics_are_found(store: Store, url: str) -> None:
    ways: dict[str, MoveName | None] = {"queued": None, "running": "start", "paused": "pause", "failed": "fail"}
    old = {}
    for state, way in ways.items():
        for numerics in (FIRST_NUMERICS, NUMERICS):
            id_ = store.experiments.add(*planned(numerics))
            assert way is None or store.control.move(id_, way)
            if numerics != NUMERICS and state != "failed":
                old[id_] = numerics
    store.experiments.add(spec_of(), None)  # not planned yet: it is of no NUMERICS
    as_version_1(url)
    assert store.control.outdated(NUMERICS) == old


def test_an_experiment_is_submitted_again_once_and_stays(
    sqlite_store: Store, tmp_path: Path, client_over: Any, spec: Fields
) -> None:
    client: TestClient = client_over(sqlite_store, Environment(tmp_path, tmp_path, 2, 0, None))
    first = client.post("/v1/experiments", json={**spec, "name": "first", "owner": "Bo", "tags": ["a"]}).json()
    client.post(f"/v1/experiments/{first['id']}/cancel")
    before = client.get(f"/v1/experiments/{first['id']}").json()
    answer = client.post(f"/v1/experiments/{first['id']}/resubmit")
    assert answer.status_code == 201
    again = answer.json()
    assert answer.headers["location"] == f"/v1/experiments/{again['id']}" != f"/v1/experiments/{first['id']}"
    assert (again["state"], again["numerics"], again["trials"]) == ("queued", NUMERICS, first["trials"])
    same = ("name", "owner", "tags", "spec")
    assert [again[name] for name in same] == [before[name] for name in same]
    assert client.post(f"/v1/experiments/{first['id']}/resubmit").json()["id"] == again["id"]
    assert client.get(f"/v1/experiments/{first['id']}").json() == before
    assert len(client.get("/v1/experiments").json()["experiments"]) == 2
    assert client.post("/v1/experiments/nothing/resubmit").status_code == 404


def test_what_is_no_longer_accepted_is_refused_with_all_that_is_wrong(client: TestClient, both: dict[int, str]) -> None:
    answer = client.post(f"/v1/experiments/{both[FIRST_NUMERICS]}/resubmit")
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["encoder"]


def test_a_trial_of_another_numerics_is_neither_trained_nor_measured(tmp_path: Path) -> None:
    from trainers import run

    config = config_of(numerics=FIRST_NUMERICS)
    wanted = Wanted(selections=("source-dev",))
    trial = Trial(
        config=config, source=None, data=DataReference("sample"), wanted=wanted, max_test_examples=None, home=tmp_path
    )
    words = f"the trial {config.digest} is of NUMERICS 3; allowed: {NUMERICS}"
    with pytest.raises(ValueError, match=words):
        run(trial, lambda _: None)
    with pytest.raises(ValueError, match=words):
        gradient_cosines(trial, "source-dev")
    assert not any(tmp_path.iterdir())
