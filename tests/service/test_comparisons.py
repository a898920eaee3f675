"""Comparisons over the REST interface: each side a filter, what differs, and tests over test examples."""

import random
import statistics
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scipy import stats
from starlette.testclient import TestClient

from plans import TRAINING, config_of, result_of, score_of, spec_of, trial_of
from search_spaces.environment import Environment
from search_spaces.method_space import MethodSpace
from search_spaces.plan import Plan
from service.client import Client, ServiceError
from service.store import Store
from trainers import Outcome
from trainers.artifacts import predictions
from trainers.artifacts.folder_place import FolderPlace
from trainers.artifacts.layout import predictions_file
from trainers.tasks.ner import NER
from trainers.trial import Training

LANGUAGES = ("en", "de", "hi")
SURGERY, NAIVE, ORD, ZERO = "gradient-mix-train", "naive-mix-train", "ord-FS", "zero-shot"
TAGS = ("O", "O", "B-PER", "I-PER", "B-LOC")
SENTENCES = 150
COMPARE = "/v1/results/compare"

# Shares of tags that models mistake: of each side, in these tests.
MISTAKES = {ZERO: 0.5, ORD: 0.3, SURGERY: 0.25}


@pytest.fixture
def client(tmp_path: Path, sqlite_store: Store, client_over: Any) -> Iterator[TestClient]:
    with client_over(sqlite_store, Environment(tmp_path, tmp_path, None, None, None)) as client:
        yield client


def gold(language: str) -> list[list[str]]:
    draw = random.Random(language)
    return [draw.choices(TAGS, k=draw.randint(1, 8)) for _ in range(SENTENCES)]


def predicted(language: str, mistakes: float, of: str) -> list[list[str]]:
    draw = random.Random(f"{language} {mistakes} {of}")
    return [[draw.choice(TAGS) if draw.random() < mistakes else tag for tag in one] for one in gold(language)]


def experiment(
    store: Store,
    home: Path,
    methods: dict[str, float | None],
    seeds: int = 3,
    candidate: str = "",
    training: Training = TRAINING,
    **fields: Any,
) -> str:
    """An experiment of some methods, each with α, that is done; its trials' predictions lie in the home."""
    spec = spec_of(methods=list(methods), seeds=list(range(1, seeds + 1)), **fields)
    plan = Plan()
    for seed in spec.seeds:
        for method, alpha in methods.items():
            targets = () if method == ZERO else ("de", "hi")
            config = config_of(
                method,
                seed=seed,
                alpha=alpha,
                target_languages=targets,
                training=training,
                encoder=spec.encoder,
            )
            plan.add(trial_of(config, evaluate=dict.fromkeys(LANGUAGES, "test")))
            plan.results.extend(result_of(config, language, candidate=candidate) for language in LANGUAGES)
    return done(store, home, store.experiments.add(spec, plan))


def done(store: Store, home: Path, id_: str) -> str:
    for digest, trial in store.trials.outstanding(id_).items():
        attempt, scores = store.trials.started(id_, digest), []
        for language in LANGUAGES:
            found = predicted(language, MISTAKES[trial.config.method] * (1.2 - 0.2 * (trial.config.alpha or 0)), digest)
            path = predictions_file(home, digest, step=10, language=language, split="test", data="test")
            predictions.write(FolderPlace(home), path, "ner", range(SENTENCES), gold(language), found)
            scores.append(score_of(language, NER.metrics(gold(language), found)["f1"]))
            scores.append(score_of(language, 50.0, split="dev", data="dev"))
        outcome = Outcome(selected={"source-dev": 10}, scores=tuple(scores), facts={"shots": {}})
        store.trials.succeeded(digest, attempt, outcome)
    return id_


def compared(client: TestClient, **asked: Any) -> dict[str, Any]:
    answer = client.get(COMPARE, params=asked)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def refused(client: TestClient, **asked: Any) -> str:
    answer = client.get(COMPARE, params=asked)
    assert answer.status_code == 422, answer.text
    [error] = answer.json()["errors"]
    return f"{error['field']}: {error['message']}"


def sides(better: str = SURGERY, over: str = ORD, **asked: Any) -> dict[str, Any]:
    return {"better.method": better, "over.method": over, **asked}


def scores(client: TestClient, **asked: Any) -> dict[tuple[str, int], float]:
    rows = client.get("/v1/results", params={"split": "test", **asked}).json()["results"]
    return {(row["language"], row["seed"]): row["value"] for row in rows if row["language"] != "en"}


def test_two_methods_are_paired_by_seed(sqlite_store: Store, client: TestClient, tmp_path: Path) -> None:
    experiment(sqlite_store, tmp_path, {SURGERY: 1.0, ORD: None}, seeds=5)
    found = compared(client, **sides())
    ours, theirs = scores(client, method=SURGERY), scores(client, method=ORD)
    for row in found["languages"]:
        gains = [ours[row["language"], seed] - theirs[row["language"], seed] for seed in range(1, 6)]
        oracle = stats.ttest_1samp(gains, 0)
        assert row["gain"] == pytest.approx(statistics.fmean(gains))
        assert row["p"] == pytest.approx(oracle.pvalue)
        interval = oracle.confidence_interval(0.95)
        assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high))
        assert row["p_holm"] >= row["p"]
        assert row["p_permutation"] >= row["smallest_p"] == 0.0625
    assert found["overall"]["gain"] == pytest.approx(statistics.fmean(row["gain"] for row in found["languages"]))
    assert sum(found["overall"][name] for name in ("wins", "ties", "losses")) == 10
    assert (found["unit"], found["numerics"]) == ("seeds", found["numerics"])
    assert found["differs"] == {
        "method": {"better": [SURGERY], "over": [ORD]},
        "alpha": {"better": [1.0], "over": [None]},
    }
    narrow = compared(client, **sides(interval="bootstrap"))["overall"]
    assert narrow["high"] < found["overall"]["high"]
    assert narrow["p"] == found["overall"]["p"]


def test_one_alpha_over_another(sqlite_store: Store, client: TestClient, tmp_path: Path) -> None:
    for alpha in (1.0, 0.1):
        experiment(sqlite_store, tmp_path, {SURGERY: alpha})
    found = compared(client, **{"better.alpha": 1, "over.alpha": 0.1, "method": SURGERY})
    assert found["differs"] == {"alpha": {"better": [1.0], "over": [0.1]}}
    ours, theirs = (scores(client, alpha=alpha) for alpha in (1, 0.1))
    assert found["overall"]["gain"] == pytest.approx(statistics.fmean(ours[one] - theirs[one] for one in ours))


def test_zero_shot_is_the_same_at_every_k(sqlite_store: Store, client: TestClient, tmp_path: Path) -> None:
    experiment(sqlite_store, tmp_path, {ORD: None, ZERO: None})
    found = compared(client, **sides(ORD, ZERO))
    assert found["differs"]["k"] == {"better": [5], "over": [0]}
    assert compared(client, **sides(ORD, ZERO), k=5) == found


def test_alpha_of_both_sides_is_that_of_the_one_that_has_any(
    sqlite_store: Store, client: TestClient, tmp_path: Path
) -> None:
    for alpha in (1.0, 0.1):
        experiment(sqlite_store, tmp_path, {SURGERY: alpha, ORD: None})
    found = compared(client, **sides(SURGERY, ORD), alpha=0.1)
    assert found["differs"]["alpha"] == {"better": [0.1], "over": [None]}


def test_one_experiment_over_another(sqlite_store: Store, client: TestClient, tmp_path: Path) -> None:
    first = experiment(sqlite_store, tmp_path, {ORD: None})
    second = experiment(sqlite_store, tmp_path, {ORD: None}, encoder="another")
    asked = {"better.experiment": first, "over.experiment": second}
    assert refused(client, **asked) == (
        "better: the sides also differ in encoder (e and another), encoder_digest (that of e and that of another): name"
        " what is to be compared in a side, or allow it, as allow=encoder"
    )
    named = compared(client, **asked, **{"better.encoder": "e"})
    assert named == compared(client, **asked, allow="encoder")
    digests = {"better": ["that of e"], "over": ["that of another"]}
    assert named["differs"] == {"encoder": {"better": ["e"], "over": ["another"]}, "encoder_digest": digests}
    assert compared(client, **{"better.encoder": "e", "over.encoder": "another"}) == named


def test_test_sets_that_differ_are_refused(sqlite_store: Store, client: TestClient, tmp_path: Path) -> None:
    experiment(sqlite_store, tmp_path, {ORD: None})
    config, plan = config_of("mix-FT"), Plan()
    plan.add(trial_of(config, evaluate={"de": "first ten"}))
    plan.results.append(result_of(config, "de", data="first ten"))
    id_ = sqlite_store.experiments.add(spec_of(methods=["mix-FT"]), plan)
    attempt = sqlite_store.trials.started(id_, config.digest)
    outcome = Outcome(selected={"source-dev": 10}, scores=(score_of("de", 50.0, data="first ten"),), facts={})
    sqlite_store.trials.succeeded(config.digest, attempt, outcome)
    asked = sides("mix-FT", ORD, language="de", seed=1)
    assert "also differ in examples (first ten and test)" in refused(client, **asked)
    assert compared(client, **asked, allow="examples")["overall"]["gain"]
    assert refused(client, **asked, allow="examples", unit="items").startswith(
        "unit: the predictions de.test.first ten"
    )


def searched(store: Store, home: Path, objectives: dict[float, float | None]) -> str:
    """A search over the learning rate of naive-mix-train, by the objective of each."""
    spec = spec_of(
        methods=[NAIVE],
        seeds=[1, 2, 3],
        training={"epochs": 3, "learning_rate": {"grid": list(objectives)}},
        alpha=None,
    )
    space, plan = MethodSpace(spec, NAIVE), Plan()
    for rate in objectives:
        for seed in spec.seeds:
            training = replace(TRAINING, learning_rate=rate)
            config = config_of(NAIVE, seed=seed, target_languages=("de", "hi"), training=training)
            plan.add(trial_of(config, evaluate=dict.fromkeys(LANGUAGES, "test"), judge={"en": "dev"}, sweep="sweep"))
            words = space.label(space.candidate_of(config))
            plan.results.extend(
                result_of(config, language, candidate=words, judged_on="source-dev") for language in LANGUAGES
            )
    id_ = store.experiments.add(spec, plan)
    for digest, trial in store.trials.outstanding(id_).items():
        attempt = store.trials.started(id_, digest)
        rate = trial.config.training.learning_rate
        objective = objectives[rate]
        found = [] if objective is None else [score_of("en", objective, split="dev", data="dev")]
        found += [score_of(language, 1e6 * rate + trial.config.seed) for language in LANGUAGES]
        store.trials.succeeded(
            digest, attempt, Outcome(selected={"source-dev": 10}, scores=tuple(found), facts={"shots": {}})
        )
    return id_


def test_of_a_search_the_chosen_candidate_counts_or_one_that_is_named(
    sqlite_store: Store, client: TestClient, tmp_path: Path
) -> None:
    experiment(sqlite_store, tmp_path, {ZERO: None})
    searched(sqlite_store, tmp_path, {1e-5: 60.0, 3e-5: 80.0, 5e-5: 70.0})
    found = compared(client, **sides(NAIVE, ZERO))
    [words] = found["differs"]["candidate"]["better"]
    assert "3e-05" in words
    assert found["differs"]["judged_on"] == {"better": ["source-dev"], "over": [""]}
    zero = scores(client, method=ZERO)
    assert found["overall"]["gain"] == pytest.approx(30 + 2 - statistics.fmean(zero.values()))
    other = words.replace("3e-05", "5e-05")
    named = compared(client, **sides(NAIVE, ZERO), **{"better.candidate": other})
    assert named["overall"]["gain"] == pytest.approx(found["overall"]["gain"] + 20)
    two = compared(client, method=NAIVE, **{"better.candidate": other, "over.candidate": words})
    assert two["overall"]["gain"] == pytest.approx(20)
    assert (two["overall"]["p"], two["overall"]["low"]) == (None, None)  # of no variance


def test_a_search_that_has_not_chosen_says_so(sqlite_store: Store, client: TestClient, tmp_path: Path) -> None:
    experiment(sqlite_store, tmp_path, {ZERO: None})
    id_ = searched(sqlite_store, tmp_path, {1e-5: None, 3e-5: None})
    assert refused(client, **sides(NAIVE, ZERO)) == (
        f"better: the search of experiment {id_} has chosen no candidate so far: name one (learning_rate 1e-05,"
        " learning_rate 3e-05)"
    )


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (
            {},
            f"better: several values of method ({SURGERY}, {ORD}, {ZERO}), k (0, 5): choose one by better.method,",
        ),
        (sides(better="mix-FT"), "better.method: no experiment has 'mix-FT'; there are: gradient-mix-train, "),
        (sides(k=7), "k: no experiment has 7; there are: 0, 5"),
        (sides(**{"better.k": 0}), "better: no scores on target languages"),
        (sides(**{"over.seed": 1}), "better: differences are paired by seed: over lacks seeds 2, 3"),
        (sides(**{"over.language": "hi"}), "better: runs do not have the same languages: over, seed 1 lacks de; over"),
        (sides(allow="colour"), "allow: 'colour' is unknown; allowed: method, k, alpha"),
        (sides(unit="words"), "unit: "),
        (sides(unit="items", interval="bootstrap"), "interval: with the unit items there is one kind; allowed: t"),
        ({"better": SURGERY, "over": ORD}, "better: there is no such parameter"),
        ({"better.colour": "red"}, "better.colour: there is no such parameter"),
        ({"better.k": "-1"}, "better.k: "),
        ({"over.method": "a\0"}, "over.method: "),
    ],
)
def test_what_cannot_be_compared_is_refused_with_its_field(
    sqlite_store: Store, client: TestClient, tmp_path: Path, asked: dict[str, Any], words: str
) -> None:
    experiment(sqlite_store, tmp_path, {SURGERY: 1.0, ORD: None, ZERO: None})
    answer = client.get(COMPARE, params=asked)
    assert answer.status_code == 422
    error = answer.json()["errors"][0]
    assert f"{error['field']}: {error['message']}".startswith(words)


def test_over_examples_two_models_of_each_seed_are_tested(
    sqlite_store: Store, client: TestClient, tmp_path: Path
) -> None:
    experiment(sqlite_store, tmp_path, {SURGERY: 1.0, ORD: None, ZERO: None})
    found = compared(client, **sides(ORD, ZERO), unit="items")
    ours, theirs = scores(client, method=ORD), scores(client, method=ZERO)
    assert found["unit"] == "items"
    assert {(row["language"], row["seed"]) for row in found["languages"]} == set(ours)
    for row in found["languages"]:
        assert row["gain"] == pytest.approx(ours[row["language"], row["seed"]] - theirs[row["language"], row["seed"]])
        assert row["low"] < row["gain"] < row["high"]
        assert 1 / 10_001 <= row["p"] < 0.001
        assert row["examples"] == SENTENCES
    for row in found["overall"]:
        of_seed = [one for one in found["languages"] if one["seed"] == row["seed"]]
        assert row["gain"] == pytest.approx(statistics.fmean(one["gain"] for one in of_seed))
        low, high = sorted(one["p"] for one in of_seed)
        assert sorted(one["p_holm"] for one in of_seed) == pytest.approx([2 * low, max(2 * low, high)])
        assert row["high"] - row["low"] < min(one["high"] - one["low"] for one in found["languages"])
    close = compared(client, **sides(SURGERY, SURGERY), unit="items")
    assert {row["p"] for row in close["languages"]} == {1.0}


def test_with_the_examples_an_interval_over_seeds_is_wider(
    sqlite_store: Store, client: TestClient, tmp_path: Path
) -> None:
    experiment(sqlite_store, tmp_path, {ORD: None, ZERO: None}, seeds=4)
    seeds, both = (compared(client, **sides(ORD, ZERO), unit=unit) for unit in ("seeds", "seeds-and-items"))
    assert both["unit"] == "seeds-and-items"
    for one, other in zip([seeds["overall"], *seeds["languages"]], [both["overall"], *both["languages"]], strict=True):
        assert other["gain"] == pytest.approx(one["gain"])
        assert other["sd"] == pytest.approx(one["sd"])
        assert other["sd_examples"] >= 0
        wider = other["high"] - other["low"] - (one["high"] - one["low"])
        assert wider == pytest.approx(0) if other["sd_examples"] == 0 else wider != 0


def test_predictions_that_were_not_kept_are_named(sqlite_store: Store, client: TestClient, tmp_path: Path) -> None:
    experiment(sqlite_store, tmp_path, {SURGERY: 1.0, ORD: None})
    for path in (tmp_path / "predictions").glob("*/hi.*"):
        path.unlink()
    words = refused(client, **sides(), unit="seeds-and-items")
    assert words.startswith("unit: the predictions hi.test.test.10.arrow of trial ")
    assert words.endswith(" were not kept on this machine")
    assert compared(client, **sides(), unit="seeds-and-items", language="de")["overall"]["seeds"] == 3


def test_a_notebook_gets_frames_of_numbers_with_the_rest_beside_them(
    sqlite_store: Store, client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment(sqlite_store, tmp_path, {SURGERY: 1.0, ORD: None}, seeds=1)
    monkeypatch.setattr("service.connection.httpx2.Client", lambda **_: client)
    notebook = Client()
    gains = notebook.compare({"method": SURGERY, "alpha": 1}, {"method": [ORD]}, k=5)
    assert (gains["p"].dtype, gains["low"].dtype) == (float, float)  # null, of one seed
    assert gains[["p", "low", "high", "sd"]].isna().all(axis=None)
    assert (gains.attrs["unit"], gains.attrs["overall"]["p"], set(gains.attrs["differs"])) == (
        "seeds", None, {"method", "alpha"},
    )  # fmt: skip
    items = notebook.compare({"method": SURGERY}, {"method": ORD}, unit="items", allow=["encoder", "k"])
    assert items["p"].between(0, 1).all()
    assert [row["seed"] for row in items.attrs["overall"]] == [1]
    with pytest.raises(ServiceError, match=r"over\.method: no experiment has 'mix-FT'; there are"):
        notebook.compare({"method": SURGERY}, {"method": "mix-FT"})
