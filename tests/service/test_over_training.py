"""Reports on trainings, on every database: dev scores over epochs, and what surgery met in each language."""

from collections.abc import Callable
from pathlib import Path
from statistics import stdev
from typing import Any

import pytest
from starlette.testclient import TestClient

from plans import config_of, result_of, score_of, spec_of, trial_of
from search_spaces.environment import Environment
from search_spaces.plan import Plan
from service.store import Store
from trainers import Outcome, Report

RATES = {1: {"de": 0.25, "hi": 0.5}, 2: {"de": 0.75, "hi": None}}  # by seed
DEV = {1: (50.0, 60.0), 2: (54.0, 61.0)}  # of the source, by seed and epoch


@pytest.fixture
def client(store: Store, client_over: Callable[[Store, Environment], TestClient], tmp_path: Path) -> TestClient:
    return client_over(store, Environment(tmp_path, tmp_path, cpus=2, gpus=0))


@pytest.fixture
def id_(store: Store) -> str:
    """An experiment of two seeds of surgery, one of which lost all of Hindi to overflow."""
    plan, configs = Plan(), {}
    for seed in RATES:
        config = config_of("gradient-mix-train", alpha=0.5, seed=seed, target_languages=("de", "hi"))
        configs[seed] = config
        plan.add(trial_of(config, evaluate={"de": "test", "hi": "test"}))
        plan.results.extend(result_of(config, language) for language in ("de", "hi"))
        plan.results.append(result_of(config, "en", split="dev", data="dev"))
    id_ = store.experiments.add(spec_of(methods=["gradient-mix-train"], seeds=[1, 2]), plan)
    for seed, config in configs.items():
        attempt = store.trials.started(id_, config.digest)
        for epoch, value in enumerate(DEV[seed], 1):
            dev = score_of("en", value, step=10 * epoch, epoch=epoch, split="dev", data="dev")
            report = Report(epoch=epoch, step=10 * epoch, scores=(dev,), measures={"loss": 1.0})
            store.trials.reported(config.digest, attempt, report)
        met = {
            language: {
                "operations": 20, "nonfinite": 20 if rate is None else 0, "conflict_rate": rate, "mean_cosine": 0.1,
            }
            for language, rate in RATES[seed].items()
        }  # fmt: skip
        facts = {"shots": {}, "training": {"surgery": {"operations": 40, "nonfinite": 0, "per_language": met}}}
        tests = tuple(score_of(language, 40.0, step=20, epoch=2) for language in ("de", "hi"))
        store.trials.succeeded(config.digest, attempt, Outcome(selected={"source-dev": 20}, scores=tests, facts=facts))
    return id_


def data(client: TestClient, name: str, **asked: Any) -> list[dict[str, Any]]:
    answer = client.get(f"/v1/reports/{name}", params=asked)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["data"])


def test_conflicts_of_a_language_are_means_over_trainings(client: TestClient, id_: str) -> None:
    found = {row["language"]: row for row in data(client, "conflicts-by-language", experiment=id_)}
    assert set(found) == {"de", "hi"}
    assert (found["de"]["mean"], found["de"]["n"], found["de"]["operations"]) == (50.0, 2, 40)
    assert found["de"]["sd"] == pytest.approx(stdev([25.0, 75.0]))
    assert (found["hi"]["mean"], found["hi"]["sd"], found["hi"]["n"], found["hi"]["operations"]) == (50.0, None, 1, 20)


def test_dev_scores_are_means_over_seeds_at_each_epoch(client: TestClient, id_: str) -> None:
    first, second = data(client, "dev-curves", experiment=id_)
    assert (first["epoch"], first["mean"], first["n"], first["of"]) == (1, 52.0, 2, "source")
    assert first["sd"] == pytest.approx(stdev([50.0, 54.0]))
    assert (second["epoch"], second["mean"]) == (2, 60.5)
    drawn = client.get(f"/v1/reports/dev-curves?experiment={id_}&format=svg")
    assert drawn.headers["content-type"] == "image/svg+xml"


def test_without_surgery_or_dev_scores_there_are_words(client: TestClient, store: Store) -> None:
    plan = Plan()
    plan.add(trial_of(config_of(), evaluate={"de": "test"}))
    plan.results.append(result_of(config_of(), "de"))
    id_ = store.experiments.add(spec_of(), plan)
    for name in ("conflicts-by-language", "dev-curves"):
        answer = client.get(f"/v1/reports/{name}?experiment={id_}")
        assert answer.status_code == 422
        assert "there are no" in answer.json()["errors"][0]["message"]
