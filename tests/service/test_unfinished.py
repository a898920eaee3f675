"""What is not there yet: comparisons, gains and searches of experiments that are not done say so."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from plans import config_of, result_of, score_of, spec_of, trial_of
from search_spaces.environment import Environment
from search_spaces.plan import Plan
from service.store import Store
from trainers import Outcome

SURGERY, NAIVE, ORD = "gradient-mix-train", "naive-mix-train", "ord-FS"
WHOLE = ((1, "de"), (2, "de"), (1, "hi"), (2, "hi"))


@pytest.fixture
def client(tmp_path: Path, sqlite_store: Store, client_over: Any) -> Iterator[TestClient]:
    with client_over(sqlite_store, Environment(tmp_path, tmp_path, None, None, None)) as client:
        yield client


def compare(client: TestClient, better: str, over: str, **asked: Any) -> Any:
    sides = {"better.method": better, "over.method": over}
    return client.get("/v1/results/compare", params=sides | asked).json()


def unfinished(store: Store, methods: dict[str, float | None], there: tuple[tuple[int, str], ...]) -> str:
    """An experiment of two seeds, whose models of one target each are done where seed and target are `there`.

    Of methods, or of the values of a search over α, named "alpha ...": the one of 0.5 has no scores.
    """
    plan, words = Plan(), ("alpha " if all(name.startswith("alpha") for name in methods) else "")
    for (name, alpha), seed, language in itertools.product(methods.items(), (1, 2), ("de", "hi")):
        method = SURGERY if words else name
        config = config_of(method, seed=seed, alpha=alpha, target_languages=(language,))
        plan.add(trial_of(config, evaluate={language: "test"}))
        candidate = f"{words}{alpha:g}" if words else ""
        plan.results.append(result_of(config, language, candidate=candidate, judged_on="source-dev" if words else ""))
    search = {"alpha": {"grid": list(methods.values())}} if words else {}
    named = [SURGERY] if words else list(methods)
    id_ = store.experiments.add(spec_of(methods=named, seeds=[1, 2], **search), plan)
    for digest, trial in store.trials.outstanding(id_).items():
        [language] = trial.config.target_languages
        if (trial.config.seed, language) in there and trial.config.alpha != 0.5:
            attempt = store.trials.started(id_, digest)
            outcome = Outcome(selected={"source-dev": 10}, scores=(score_of(language, 50.0),), facts={"shots": {}})
            store.trials.succeeded(digest, attempt, outcome)
    return id_


def test_a_comparison_counts_the_scores_that_are_not_there_yet(sqlite_store: Store, client: TestClient) -> None:
    unfinished(sqlite_store, {NAIVE: None, "mix-FT": None}, there=WHOLE)
    assert compare(client, "mix-FT", NAIVE)["missing"] == 0
    unfinished(sqlite_store, {ORD: None, "cagrad-mix-train": None}, there=((1, "de"), (2, "de")))
    found = compare(client, "cagrad-mix-train", ORD)
    assert [row["language"] for row in found["languages"]] == ["de"]
    assert found["missing"] == 4


def test_a_candidate_that_alone_has_scores_is_not_the_chosen_one(sqlite_store: Store, client: TestClient) -> None:
    unfinished(sqlite_store, {NAIVE: None, ORD: None}, there=WHOLE)
    of_search = {"alpha 1": 1.0, "alpha 0.5": 0.5}
    id_ = unfinished(sqlite_store, of_search, there=WHOLE)
    [error] = compare(client, SURGERY, NAIVE)["errors"]
    assert error["message"] == (
        f"the search of experiment {id_} has chosen no candidate so far: name one (alpha 0.5, alpha 1)"
    )
    assert compare(client, SURGERY, NAIVE, **{"better.alpha": 1.0})["overall"]["gain"] == 0.0


def test_gains_by_family_say_which_languages_and_seeds_they_lack(sqlite_store: Store, client: TestClient) -> None:
    unfinished(sqlite_store, {NAIVE: None, SURGERY: 1.0}, there=((1, "de"),))
    for name in ("gain-by-family", "gain-by-script"):
        table = client.get(f"/v1/reports/{name}", params={"format": "markdown"}).text
        assert "| 1 | 0.00 | – | 1* |" in table
        assert r"\* lacks seeds or languages; not there: de (seed 2); hi (seed 1, 2)." in table
