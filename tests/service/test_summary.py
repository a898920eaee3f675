"""Summaries over the REST interface, on every database, beside pandas and the paper."""

import random
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from starlette.testclient import TestClient

from plans import TRAINING, config_of, result_of, score_of, spec_of, trial_of
from search_spaces.plan import Plan
from search_spaces.spec import ExperimentSpec
from service.reports import published
from service.reports.cells import cells
from service.reports.report import Report
from service.reports.rows import selected
from service.reports.summary import beside_published
from service.reports.summary import summary as summary_of
from service.store import Store
from service.store.query import EVERYTHING
from trainers import Outcome
from trainers.tasks import TASKS
from trainers.trial import Training

LANGUAGES = ("en", "de", "hi", "sw")
METHODS = {"zero-shot": 0, "ord-FS": 5, "naive-mix-train": 5, "gradient-mix-train": 5}

Rows = list[dict[str, Any]]


def score(method: str, seed: int, language: str) -> float:
    return random.Random(f"{method} {seed} {language}").uniform(20, 90)


def experiment(
    store: Store,
    seeds: range,
    lacking: tuple[str, int, str] | None = None,
    surgery: float = 0.5,
    training: Training = TRAINING,
    **fields: Any,
) -> str:
    """An experiment over LANGUAGES that is done, but for the score of one (method, seed, language)."""
    wanted = {"target_languages": list(LANGUAGES[1:]), "methods": list(METHODS), "seeds": list(seeds)}
    spec = spec_of(**wanted, **fields)
    metric, plan = TASKS[spec.task].metric, Plan()
    for seed in seeds:
        for method, k in METHODS.items():
            alpha = surgery if method == "gradient-mix-train" else None
            config = config_of(
                method,
                task=spec.task,
                target_languages=("de", "hi", "sw") if k else (),
                k=k,
                seed=seed,
                alpha=alpha,
                encoder=spec.encoder,
                training=training,
            )
            plan.add(trial_of(config, evaluate=dict.fromkeys(LANGUAGES, "test")))
            plan.results.extend(result_of(config, language) for language in LANGUAGES)
    id_ = store.experiments.add(spec, plan)
    for digest, trial in store.trials.outstanding(id_).items():
        method, seed = trial.config.method, trial.config.seed
        attempt = store.trials.started(id_, digest)
        scores = tuple(
            score_of(language, score(method, seed, language) + more, metric=name)
            for language in LANGUAGES
            for name, more in ((metric, 0.0), ("precision", 1.0))
            if (method, seed, language) != lacking
        )
        store.trials.succeeded(
            digest, attempt, Outcome(selected={"source-dev": 10}, scores=scores, facts={"shots": {}})
        )
    return id_


def with_marks(store: Store, mark: str) -> str:
    """An experiment whose scores of ord-FS in German have a mark, in both metrics."""
    plan = Plan()
    for method, k in METHODS.items():
        config = config_of(method, target_languages=("de",), k=k, seed=1, alpha=0.5 if "gradient" in method else None)
        plan.add(trial_of(config, evaluate=dict.fromkeys(LANGUAGES, "test")))
        plan.results.extend(result_of(config, language) for language in LANGUAGES)
    id_ = store.experiments.add(spec_of(target_languages=list(LANGUAGES[1:]), methods=list(METHODS), seeds=[1]), plan)
    for digest, trial in store.trials.outstanding(id_).items():
        scores = tuple(
            score_of(language, 33.3, metric=name, **{mark: (trial.config.method, language) == ("ord-FS", "de")})
            for language in LANGUAGES
            for name in ("f1", "precision")
        )
        outcome = Outcome(selected={"source-dev": 10}, scores=scores, facts={"shots": {}})
        store.trials.succeeded(digest, store.trials.started(id_, digest), outcome)
    return id_


def summary(client: TestClient, by: str, **asked: Any) -> Rows:
    answer = client.get("/v1/results/summary", params={"by": by, **asked})
    assert answer.status_code == 200, answer.text
    found: Rows = answer.json()["summary"]
    return found


def test_a_seed_s_value_is_the_mean_over_targets_and_mean_sd_and_n_are_over_seeds(
    store: Store, client: TestClient
) -> None:
    experiment(store, range(1, 6))
    rows = {row["method"]: row for row in summary(client, "method,k")}
    assert {(row["method"], row["k"]) for row in rows.values()} == set(METHODS.items())
    for method, row in rows.items():
        table = pd.DataFrame([[score(method, seed, language) for language in LANGUAGES] for seed in range(1, 6)])
        targets, whole = table.iloc[:, 1:].mean(axis=1), table.mean(axis=1)
        assert row["mean"] == pytest.approx(targets.mean())
        assert row["sd"] == pytest.approx(targets.std())
        assert (row["min"], row["max"]) == (pytest.approx(targets.min()), pytest.approx(targets.max()))
        assert row["mean_with_source"] == pytest.approx(whole.mean())
        assert row["sd_with_source"] == pytest.approx(whole.std())
        assert (row["n"], row["seeds"], row["languages"], row["missing"], row["complete"]) == (5, 5, 4, 0, True)
        assert row["mixed"] == []
    [first] = [row for row in rows.values() if row["method"] == "zero-shot"]
    assert first["best"]  # the only one at K = 0
    few = [row for row in rows.values() if row["k"] == 5]
    assert [row["best"] for row in few] == [row["mean"] == max(one["mean"] for one in few) for row in few]


def test_none_is_the_best_of_means_over_unlike_numbers_of_seeds(store: Store, client: TestClient) -> None:
    experiment(store, range(1, 4))
    few = spec_of(target_languages=list(LANGUAGES[1:]), methods=["mix-FT"], seeds=[1])
    plan = Plan()
    config = config_of("mix-FT", target_languages=LANGUAGES[1:], k=5, seed=1)
    plan.add(trial_of(config, evaluate=dict.fromkeys(LANGUAGES, "test")))
    plan.results.extend(result_of(config, language) for language in LANGUAGES)
    id_ = store.experiments.add(few, plan)
    [(digest, _)] = store.trials.outstanding(id_).items()
    scores = tuple(score_of(language, 99.0) for language in LANGUAGES)
    outcome = Outcome(selected={"source-dev": 10}, scores=scores, facts={"shots": {}})
    store.trials.succeeded(digest, store.trials.started(id_, digest), outcome)
    rows = [row for row in summary(client, "method,k") if row["k"] == 5]
    assert {row["n"] for row in rows} == {1, 3}
    assert all(row["complete"] for row in rows)
    assert not any(row["best"] for row in rows)


def test_by_language_and_by_seed(store: Store, client: TestClient) -> None:
    experiment(store, range(1, 4))
    for row in summary(client, "method,language"):
        values = pd.Series([score(row["method"], seed, row["language"]) for seed in range(1, 4)])
        assert (row["mean"], row["sd"]) == (pytest.approx(values.mean()), pytest.approx(values.std()))
    for row in summary(client, "seed", method="ord-FS"):
        targets = [score("ord-FS", row["seed"], language) for language in LANGUAGES[1:]]
        assert row["mean"] == pytest.approx(sum(targets) / 3)
        assert (row["n"], row["sd"]) == (1, None)


def test_a_seed_that_lacks_a_language_does_not_count_and_its_group_says_so(store: Store, client: TestClient) -> None:
    experiment(store, range(1, 6), lacking=("ord-FS", 2, "hi"))
    rows = {row["method"]: row for row in summary(client, "method")}
    values = pd.Series(
        [sum(score("ord-FS", seed, language) for language in LANGUAGES[1:]) / 3 for seed in (1, 3, 4, 5)]
    )
    short = rows["ord-FS"]
    assert (short["mean"], short["sd"]) == (pytest.approx(values.mean()), pytest.approx(values.std()))
    assert (short["n"], short["seeds"], short["missing"], short["complete"]) == (4, 5, 1, False)
    assert all(row["complete"] for method, row in rows.items() if method != "ord-FS")
    assert not any(row["best"] for row in rows.values())  # one of them lacks a seed
    unfinished = store.experiments.add(*_planned_only())
    [row] = summary(client, "method", experiment=unfinished)
    assert (row["mean"], row["n"], row["missing"], row["complete"]) == (None, 0, 1, False)


def test_a_mean_that_lacks_a_seed_is_marked_in_reports_with_its_number_of_seeds(
    store: Store, client: TestClient
) -> None:
    experiment(store, range(1, 6), lacking=("ord-FS", 2, "hi"))
    values = pd.Series([sum(score("ord-FS", seed, language) for language in LANGUAGES) / 4 for seed in (1, 3, 4, 5)])
    table = client.get("/v1/reports/table-1", params={"format": "markdown"}).text
    assert f"| {values.mean():.2f} ± {values.std():.2f}* (n = 4) |" in table
    assert table.count("* (n = ") == 1
    assert "Mean and sd over 4 to 5 seeds " in table
    hindi = pd.Series([score("ord-FS", seed, "hi") for seed in (1, 3, 4, 5)]).mean()
    by_language = client.get("/v1/reports/table-4", params={"format": "markdown"}).text
    assert f"| {hindi:.2f}* (n = 4) | " in by_language
    assert by_language.count("* (n = 4)") == 2  # Hindi, and the average


def test_a_mean_over_fewer_seeds_than_others_of_its_task_is_marked() -> None:
    found = pd.DataFrame(
        {"task": ["ner", "ner", "xnli"], "mean": [50.0, 40.0, 30.0], "n": [5, 3, 3], "seeds": [5, 3, 3],
         "complete": True, "left_out": [[], [], ["kk"]]}
    )  # fmt: skip
    assert cells(found) == ["50.00", "40.00* (n = 3)", "30.00†"]
    assert cells(found[1:]) == ["40.00", "30.00†"]


def _planned_only() -> tuple[ExperimentSpec, Plan]:
    config, plan = config_of("mix-FT"), Plan()
    plan.add(trial_of(config, selections=("last",), evaluate={"de": "test"}))
    plan.results.append(result_of(config, "de", selection="last"))
    return spec_of(target_languages=["de"], methods=["mix-FT"]), plan


def test_a_trial_of_several_experiments_counts_once(store: Store, client: TestClient) -> None:
    first = experiment(store, range(1, 4))
    before = summary(client, "method,k")
    second = experiment(store, range(2, 4))
    assert summary(client, "method,k") == before
    by_experiment = summary(client, "experiment,method")
    assert {(row["experiment"], row["n"]) for row in by_experiment} == {(first, 3), (second, 2)}


def test_what_is_unlike_within_a_group_is_named(store: Store, client: TestClient) -> None:
    experiment(store, range(1, 3))
    [row] = summary(client, "task")
    assert row["mixed"] == ["method", "k", "alpha"]
    experiment(store, range(1, 3), encoder="another")
    assert {tuple(row["mixed"]) for row in summary(client, "method")} == {("encoder", "encoder_digest")}
    assert {tuple(row["mixed"]) for row in summary(client, "method,encoder")} == {()}


def grouped(store: Store, test_sets: dict[str, str]) -> str:
    """One model for each of two targets, each scored in the source language as well: by 10 points apart."""
    plan = Plan()
    for target in ("de", "hi"):
        config = config_of("naive-mix-train", target_languages=(target,))
        plan.add(trial_of(config, evaluate={"en": "test", target: test_sets[target]}))
        plan.results.extend([result_of(config, "en"), result_of(config, target, data=test_sets[target])])
    id_ = store.experiments.add(spec_of(methods=["naive-mix-train"]), plan)
    for digest, trial in store.trials.outstanding(id_).items():
        [target] = trial.config.target_languages
        values = {"en": 80.0, "de": 50.0} if target == "de" else {"en": 90.0, "hi": 40.0}
        scores = tuple(
            score_of(language, value, data=test_sets.get(language, "test"))
            for language, value in values.items()
            if language in trial.wanted.evaluate
        )
        attempt = store.trials.started(id_, digest)
        store.trials.succeeded(
            digest, attempt, Outcome(selected={"source-dev": 10}, scores=scores, facts={"shots": {}})
        )
    return id_


def test_the_source_counts_once_where_each_model_is_for_some_of_the_targets(store: Store, client: TestClient) -> None:
    grouped(store, {"de": "test", "hi": "test"})
    [row] = summary(client, "method,k")
    assert (row["mean"], row["mean_with_source"]) == (45.0, pytest.approx((85 + 50 + 40) / 3))
    assert (row["languages"], row["n"], row["complete"], row["mixed"]) == (3, 1, True, ["trial"])
    table = client.get("/v1/reports/table-1").json()["data"]
    assert [one["mean_with_source"] for one in table] == [row["mean_with_source"]]


def test_what_is_unlike_is_neither_compared_nor_in_one_report(store: Store, client: TestClient) -> None:
    first = experiment(store, range(1, 3))
    experiment(store, range(1, 3), encoder="another")
    for path in ("reports/table-1?", "reports/table-4?", "reports/table-2?", "reports/alpha?"):
        answer = client.get(f"/v1/{path}")
        assert answer.status_code == 422, path
        assert "differ in encoder (another, e; task ner)" in answer.json()["errors"][0]["message"]
        assert client.get(f"/v1/{path}&experiment={first}").status_code == 200, path


def test_values_of_alpha_are_told_apart(store: Store, client: TestClient) -> None:
    experiment(store, range(1, 3))
    experiment(store, range(3, 5), surgery=0.7)
    rows = {row["method"]: row for row in summary(client, "method")}
    assert (rows["gradient-mix-train"]["mixed"], rows["ord-FS"]["mixed"], rows["ord-FS"]["n"]) == (["alpha"], [], 4)
    refused = client.get("/v1/reports/table-1")
    assert refused.status_code == 422
    assert "differ in alpha (0.5, 0.7; task ner)" in refused.json()["errors"][0]["message"]
    curve = client.get("/v1/reports/alpha").json()["data"]
    assert [(row["alpha"], row["n"]) for row in curve] == [(0.5, 2), (0.7, 2)]


def test_test_sets_that_were_cut_in_several_ways_are_told_apart(store: Store, client: TestClient) -> None:
    grouped(store, {"de": "test", "hi": "test"})
    grouped(store, {"de": "first ten", "hi": "test"})
    assert {row["language"]: row["mixed"] for row in summary(client, "language")} == {
        "de": ["examples"],
        "en": ["trial"],
        "hi": [],
    }
    refused = client.get("/v1/reports/table-1")
    assert refused.status_code == 422
    assert "differ in examples (" in refused.json()["errors"][0]["message"]


def test_results_have_their_task_which_every_route_filters_by(store: Store, client: TestClient) -> None:
    for task in ("xnli", "ner"):
        experiment(store, range(1, 3), task=task)
    rows = client.get("/v1/results?sort=task").json()["results"]
    assert [row["task"] for row in rows] == sorted(["ner", "xnli"] * (len(rows) // 2))
    assert client.get("/v1/results?task=xnli").json()["results"] == [row for row in rows if row["task"] == "xnli"]
    tree = {"where": {"column": "task", "op": "gt", "value": "ner"}}
    assert {row["task"] for row in client.post("/v1/results/query", json=tree).json()["results"]} == {"xnli"}
    assert [row["mixed"] for row in summary(client, "method", task="ner")] == [[]] * len(METHODS)
    assert summary(client, "method,k", task="ner", published=True)[0]["published"]
    assert {row["task"] for row in client.get("/v1/reports/alpha?task=ner").json()["data"]} == {"ner"}


def test_a_metric_may_be_named(store: Store, client: TestClient) -> None:
    experiment(store, range(1, 3))
    main, other = summary(client, "method"), summary(client, "method", metric="precision")
    assert [row["mean"] for row in other] == [pytest.approx(row["mean"] + 1) for row in main]


def test_published_figures_stand_beside_ours_with_what_differs(store: Store, client: TestClient) -> None:
    experiment(store, range(1, 3))
    table = published.table1().set_index(["task", "method", "k"])["mean_with_source"]
    for row in summary(client, "task,method,k", published=True):
        printed = table["ner", row["method"], row["k"]]
        assert row["published"] == printed
        assert row["difference"] == pytest.approx(row["mean_with_source"] - printed)
        assert row["differs"] == [
            "seeds 2 (paper: 5)",
            "languages 4 (paper: 48)",
            "encoder e (paper: xlm-roberta-large)",
            "data sample (paper: xtreme-r)",
            "epochs 3 (paper: 10)",
            *(["alpha 0.5 (paper: 1)"] if row["method"] == "gradient-mix-train" else []),
        ]
    languages = published.per_language()
    for row in summary(client, "method,k,language", published=True):
        same = (languages["method"] == row["method"]) & (languages["k"] == row["k"]) & (languages["task"] == "ner")
        [printed] = languages["value"][same & (languages["language"] == row["language"])].tolist() or [None]
        assert row["published"] == printed
    refused = client.get("/v1/results/summary?by=method&published=true")
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "by")


DATA = {
    "sample": "sample",
    "xtreme-r": "xtreme-r",
    "a/folder": {"folder": "a/folder"},
    "mine": {"dataset": "mine"},
}


@pytest.mark.parametrize(("words", "data"), DATA.items(), ids=DATA)
def test_the_data_of_a_summary_are_words(store: Store, client: TestClient, words: str, data: Any) -> None:
    experiment(store, range(1, 3), data=data)
    assert {row["data"] for row in summary(client, "method,data")} == {words}


@pytest.mark.parametrize("data", ["xtreme-r", {"folder": "xtreme-r"}, {"dataset": "xtreme-r"}], ids=str)
def test_only_xtreme_r_itself_is_the_paper_s_data_whatever_others_are_called(
    store: Store, client: TestClient, data: Any
) -> None:
    experiment(store, range(1, 3), data=data)
    for row in summary(client, "task,method,k", published=True):
        said = [] if data == "xtreme-r" else [f"data {' '.join(next(iter(data.items())))} (paper: xtreme-r)"]
        assert [words for words in row["differs"] if words.startswith("data ")] == said


def test_data_that_were_accepted_though_they_differ_are_named(store: Store, client: TestClient) -> None:
    id_ = experiment(store, range(1, 3), data="xtreme-r")
    before = summary(client, "task,method,k", published=True)
    store.control.fetched(id_, ["ner, de: train has 19,999 examples instead of 20,000"])
    words = "counts ner, de: train has 19,999 examples instead of 20,000 (paper: none)"
    for row, old in zip(summary(client, "task,method,k", published=True), before, strict=True):
        assert set(row["differs"]) - set(old["differs"]) == {words}
    notes = client.get("/v1/reports/table-1").json()["notes"]
    assert (
        f"Not as in the paper: alpha 0.5 (paper: 1), {words}, encoder e (paper: xlm-roberta-large), epochs 3 (paper:"
        " 10), languages 4 (paper: 48), seeds 2 (paper: 5)."
    ) in notes


def test_a_task_that_is_not_in_the_paper_has_no_published_figures_and_says_so(store: Store, client: TestClient) -> None:
    id_ = experiment(store, range(1, 3), task="pawsx")
    for by in ("task,method,k", "method,k,language"):
        rows = summary(client, by, published=True)
        assert len(rows) >= len(METHODS)
        assert {(row["published"], row["difference"], *row["differs"]) for row in rows} == {
            (None, None, "task pawsx (paper: none)")
        }
    report = client.get("/v1/reports/table-1").json()
    assert "Not in the paper: pawsx." in report["notes"]
    assert {row["published"] for row in report["data"]} == {None}
    experiment(store, range(1, 3))
    notes = client.get("/v1/reports/table-1").json()["notes"]
    assert notes[-4].startswith("Not as in the paper: alpha 0.5 (paper: 1), data sample (paper: xtreme-r), ")
    assert notes[-3] == "Not in the paper: pawsx."
    assert {row["task"] for row in summary(client, "task", experiment=id_)} == {"pawsx"}
    assert published.published_of("a task of a package that is gone") is None


@pytest.mark.parametrize(
    ("path", "field", "words"),
    [
        ("summary?by=colour", "by", "allowed: "),
        ("summary?by=method&metric=%00", "metric", "NUL"),
        ("summary?by=method&colour=1", "colour", "no such"),
        ("summary?by=method&format=xml", "format", "json"),
    ],
)
def test_a_summary_that_is_none_is_refused(store: Store, client: TestClient, path: str, field: str, words: str) -> None:
    experiment(store, range(1, 3))
    answer = client.get(f"/v1/results/{path}")
    assert answer.status_code == 422, answer.text
    [error] = answer.json()["errors"]
    assert error["field"] == field
    assert words in error["message"]


def test_a_summary_in_arrow_s_form_has_its_types_also_where_it_knows_no_number(
    store: Store, client: TestClient
) -> None:
    experiment(store, range(1, 2))
    found = []
    for by in ("method,alpha", "method,alpha,experiment"):
        answer = client.get("/v1/results/summary", params={"by": by, "format": "arrow"})
        with pa.ipc.open_stream(answer.content) as stream:
            found.append(stream.read_pandas())
    assert found[0]["mean"].tolist() == [row["mean"] for row in summary(client, "method,alpha")]
    for frame in found:
        assert (frame["sd"].dtype, frame["n"].dtype, frame["complete"].dtype) == (float, int, bool)
    wanted = {"by": "method,alpha", "format": "arrow", "method": "zero-shot", "k": 5}
    answer = client.get("/v1/results/summary", params=wanted)
    with pa.ipc.open_stream(answer.content) as stream:
        nothing = stream.read_pandas()
    assert (len(nothing), list(nothing.dtypes.items())) == (0, list(found[0].dtypes.items()))


def test_where_there_is_nothing_there_is_no_summary(client: TestClient) -> None:
    assert summary(client, "method,k") == []
    assert summary(client, "method,k", published=True) == []


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        ("one_label", "Models that predict the same label everywhere: ner, ord-FS, K = 5 (de)."),
        (
            "surgery_overflow",
            "Models that lost more than a tenth of all, or of a language's, surgery operations to overflow: ner,"
            " ord-FS, K = 5 (seed 1).",
        ),
    ],
)
def test_marks_are_told_of_wherever_their_scores_are(store: Store, client: TestClient, mark: str, said: str) -> None:
    id_ = with_marks(store, mark)
    rows = client.get("/v1/results", params={"experiment": id_}).json()["results"]
    assert len(rows) == 2 * len(METHODS) * len(LANGUAGES)
    assert {(row["method"], row["language"], row["metric"]) for row in rows if row[mark]} == {
        ("ord-FS", "de", "f1"),
        ("ord-FS", "de", "precision"),
    }
    same = {"column": mark, "op": "eq", "value": True}
    asked = {"where": same, "columns": ["language"], "sort": [mark]}
    assert client.post("/v1/results/query", json=asked).json()["results"] == [{"language": "de"}] * 2
    assert {row["method"]: row[mark] for row in summary(client, "method")} == {
        method: int(method == "ord-FS") for method in METHODS
    }
    assert {row["language"]: row[mark] for row in summary(client, "language", method="ord-FS")} == {
        language: int(language == "de") for language in LANGUAGES
    }
    compared = {"better.method": "gradient-mix-train", "over.method": "ord-FS", "k": 5}
    assert client.get("/v1/results/compare", params=compared).json()[mark] == 1
    others = {**compared, "over.method": "naive-mix-train"}
    assert client.get("/v1/results/compare", params=others).json()[mark] == 0
    for name in ("table-1", "table-2", "table-4"):
        assert said in client.get(f"/v1/reports/{name}").json()["notes"], name
    assert said in client.get("/v1/reports/table-1", params={"format": "markdown"}).text
    for name in ("alpha", "gain-by-family"):  # which are of other methods
        assert said.partition(":")[0] not in client.get(f"/v1/reports/{name}", params={"format": "markdown"}).text, name
    [scores] = store.objectives.by_selection(next(row["trial"] for row in rows if row[mark])).values()
    marked = [(score.language, score.metric) for score in scores if getattr(score, mark)]
    assert marked == [("de", "f1"), ("de", "precision")]
    assert len(scores) == 2 * len(LANGUAGES)


@pytest.mark.parametrize("task", ["pos", "tydiqa"])
def test_a_published_figure_stands_beside_the_same_metric_alone(store: Store, client: TestClient, task: str) -> None:
    experiment(store, range(1, 3), task=task)
    known = TASKS[task].published
    assert known is not None
    for by in ("method,k", "method,k,language"):
        ours, other = (summary(client, by, published=True, **asked) for asked in ({}, {"metric": "precision"}))
        assert any(row["published"] for row in ours)
        assert {(row["published"], row["difference"]) for row in other} == {(None, None)}
        assert {row["differs"][0] for row in other} == {f"metric precision (paper: {known.metric})"}
        assert not any("metric" in words for row in ours for words in row["differs"])


def test_every_report_takes_a_metric(store: Store, client: TestClient) -> None:
    experiment(store, range(1, 3), task="pos")
    experiment(store, range(1, 3), task="xnli")
    for name in ("table-1", "table-2", "table-5", "alpha", "gain-by-family"):
        main, other = (
            client.get(f"/v1/reports/{name}", params={"task": "pos", **asked}).json()["data"]
            for asked in ({}, {"metric": "precision"})
        )
        for column in ("mean", "mean_with_source"):
            if column in main[0]:
                shifted = [pytest.approx(row[column] + 1) for row in main]
                assert [row[column] for row in other] == shifted, name
        if "gain" in main[0]:  # the same for both metrics, which are one point apart everywhere
            assert [row["gain"] for row in other] == [pytest.approx(row["gain"]) for row in main]
    refused = client.get("/v1/reports/table-1?metric=colour")
    assert refused.status_code == 422
    assert "no experiment has 'colour'; there are:" in refused.json()["errors"][0]["message"]
    only = client.get("/v1/reports/table-1?metric=accuracy").json()
    assert {row["task"] for row in only["data"]} == {"xnli"}
    assert all(row["published"] for row in only["data"])


def in_every_form(client: TestClient, name: str, **asked: Any) -> dict[str, str]:
    forms = ("json", "csv", "markdown", "latex", "html")
    answers = {form: client.get(f"/v1/reports/{name}", params={**asked, "format": form}) for form in forms}
    assert {answer.status_code for answer in answers.values()} == {200}, answers["json"].text
    return {form: answer.text for form, answer in answers.items()}


def test_table_1_has_the_paper_s_figures_beside_ours_in_every_form(store: Store, client: TestClient) -> None:
    experiment(store, range(1, 3))
    table = published.table1().set_index(["task", "method", "k"])["mean_with_source"]
    without, beside = (in_every_form(client, "table-1", **asked) for asked in ({}, {"published": True}))
    for method, k in METHODS.items():
        ours = pd.Series([sum(score(method, seed, one) for one in LANGUAGES) / 4 for seed in (1, 2)])
        cell, printed = f"{ours.mean():.2f} ± {ours.std():.2f}", f"{table['ner', method, k]:.2f}"
        assert f"| {k} | {method} | {cell} | {printed} |" in beside["markdown"]
        assert rf"{cell.replace('±', '$' + chr(92) + 'pm$')} & {printed} \\" in beside["latex"]
        assert f"{cell}</td><td>{printed}</td>" in beside["html"]
        assert f"| {k} | {method} | {cell} |\n" in without["markdown"]
        for form in ("json", "csv"):
            assert printed.rstrip("0") in beside[form]
    for form in ("markdown", "latex", "html"):
        assert "ner, paper" in beside[form]
        assert "ner, paper" not in without[form]


def test_tables_by_language_have_the_paper_s_rows_below_ours(store: Store, client: TestClient) -> None:
    experiment(store, range(1, 3))
    rows = published.per_language()
    rows = rows[(rows["task"] == "ner") & (rows["row_mean_matches_published_average"] != "no")]
    table = rows.set_index(["method", "k", "language"])["value"]
    beside = in_every_form(client, "table-4", published=True)
    lines = [line.strip("| ").split(" | ") for line in beside["markdown"].splitlines() if line.startswith("| ")]
    assert lines[0] == ["k", "method", "of", "en", "de", "hi", "sw", "avg."]
    paper_s = {(method, int(k)): cells for k, method, of, *cells in lines[1:] if of == "paper"}
    assert set(paper_s) == set(METHODS.items())
    for (method, k), found in paper_s.items():
        expected = [table.get((method, k, language)) for language in LANGUAGES]
        assert found[:-1] == ["–" if value is None else f"{value:.2f}" for value in expected]
    assert "<td>paper</td>" in beside["html"]
    assert " & paper & " in beside["latex"]
    assert beside["csv"].splitlines()[0].endswith("published,difference,differs,task")


def test_published_gains_stand_beside_ours(store: Store, client: TestClient) -> None:
    experiment(store, range(1, 3))
    rows = published.per_language()
    rows = rows[(rows["task"] == "ner") & (rows["k"] == 5)].set_index(["language", "method"])["value"]
    for row in client.get("/v1/reports/table-2?published=true").json()["data"]:
        language = row["language"]
        gain = rows[language, "gradient-mix-train"] - rows[language, "ord-FS"]
        assert row["published"] == pytest.approx(gain)
        assert f"| {gain:.2f} |" in client.get("/v1/reports/table-2?published=true&format=markdown").text


def test_a_report_without_published_figures_says_which_have_some(store: Store, client: TestClient) -> None:
    experiment(store, range(1, 3))
    answer = client.get("/v1/reports/alpha?published=true")
    assert answer.status_code == 422
    words = "allowed with table-1, table-2, table-4, table-5, table-6, table-7, table-8"
    assert answer.json()["errors"][0]["message"].endswith(words)


def test_latex_names_the_packages_that_it_needs(store: Store, client: TestClient) -> None:
    experiment(store, range(1, 3))
    needs = {"table-1": r"\usepackage{booktabs}, \usepackage[table]{xcolor}", "table-2": r"\usepackage{booktabs}"}
    for name, packages in needs.items():
        latex = client.get(f"/v1/reports/{name}?format=latex").text
        assert latex.splitlines()[0] == f"% Needs: {packages}"
        assert ("cellcolor" in latex) == ("xcolor" in packages)
        assert r"\toprule" in latex


def test_dev_scores_have_no_published_figure_beside_them(store: Store) -> None:
    experiment(store, range(1, 3))
    rows, by = selected(store, EVERYTHING), ["method", "k"]
    tests, devs = (beside_published(summary_of(rows, by), rows, by, split) for split in ("test", "dev"))
    assert tests["published"].notna().all()
    assert devs["published"].isna().all()
    assert all("split dev (paper: test)" in differs for differs in devs["differs"])


def test_forms_keep_what_is_special_in_them() -> None:
    table = pd.DataFrame({"a|b": ["1.00* (n = 1)"]}, index=pd.Index(["~^\\<"], name="x"))
    found = Report("t", table, table, ("* lacks seeds.",))
    assert found.markdown().splitlines()[2:] == [r"| x | a\|b |", "|---|---|", r"| ~^\\\< | 1.00* (n = 1) |", "",
                                                r"\* lacks seeds."]  # fmt: skip
    special = r"\textasciitilde{}\textasciicircum{}\textbackslash{}\textless{}"
    assert f"\n{special} & 1.00* (n = 1) \\\\\n" in found.latex()
