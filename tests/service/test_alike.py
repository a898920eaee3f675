"""What may stand in one report, in one mean or be compared: all of a trial's setting counts, and is named."""

import itertools
import random
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from starlette.testclient import TestClient

from plans import TRAINING, config_of, result_of, score_of, spec_of, trial_of
from search_spaces.environment import Environment
from search_spaces.plan import Plan
from service.reports.papers_setting import from_the_paper
from service.reports.setting import NAMES, between, setting_of, within
from service.store import Store
from trainers import NUMERICS, Outcome, TrialConfig
from trainers.sampling import Sampling
from trainers.tasks import TASKS
from trainers.trial import Training

LANGUAGES = ("en", "de", "hi")
NAIVE, SURGERY, ORD = "naive-mix-train", "gradient-mix-train", "ord-FS"
TABLE = "/v1/reports/table-1"


@pytest.fixture
def client(tmp_path: Path, sqlite_store: Store, client_over: Any) -> Iterator[TestClient]:
    with client_over(sqlite_store, Environment(tmp_path, tmp_path, None, None, None)) as client:
        yield client


def value_of(config: TrialConfig, language: str) -> float:
    return random.Random(f"{config.digest} {language}").uniform(20, 90)


def done(
    store: Store, *methods: str, seeds: tuple[int, ...] = (1, 2), spec: dict[str, Any] | None = None, **config: Any
) -> str:
    """An experiment of mixed methods that is done: a model for both targets, its configuration as given."""
    plan = Plan()
    for method, seed in itertools.product(methods, seeds):
        alpha = 1.0 if method == SURGERY else None
        made = config_of(method, seed=seed, **{"target_languages": ("de", "hi"), "alpha": alpha, **config})
        plan.add(trial_of(made, evaluate=dict.fromkeys(LANGUAGES, "test")))
        of_row = {} if not isinstance(made.alpha, tuple) else {"alpha": None}
        plain = replace(made, alpha=None) if of_row else made
        plan.results.extend(replace(result_of(plain, language), trial=made.digest, **of_row) for language in LANGUAGES)
    id_ = store.experiments.add(spec_of(methods=list(methods), seeds=list(seeds), **(spec or {})), plan)
    for digest, trial in store.trials.outstanding(id_).items():
        scores = tuple(score_of(language, value_of(trial.config, language)) for language in LANGUAGES)
        attempt = store.trials.started(id_, digest)
        outcome = Outcome(selected={"source-dev": 10}, scores=scores, facts={"shots": {}})
        store.trials.succeeded(digest, attempt, outcome)
    return id_


def training(**changed: Any) -> Training:
    return replace(TRAINING, **changed)


def refused(client: TestClient, path: str, **asked: Any) -> str:
    answer = client.get(path, params=asked)
    assert answer.status_code == 422, answer.text
    [error] = answer.json()["errors"]
    return str(error["message"])


def got(client: TestClient, path: str, **asked: Any) -> Any:
    answer = client.get(path, params=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


# Experiments that are not alike


@pytest.fixture
def both(sqlite_store: Store) -> tuple[str, str]:
    """One epoch on 50 examples, and ten epochs on all."""
    return (
        done(sqlite_store, NAIVE, SURGERY, training=training(epochs=1, max_source_examples=50)),
        done(sqlite_store, NAIVE, SURGERY, seeds=(3, 4), training=training(epochs=10)),
    )


def test_unlike_experiments_are_in_no_report_until_it_is_allowed_and_said(
    client: TestClient, both: tuple[str, str]
) -> None:
    words = "epochs (1, 10; task ner) and max_source_examples (50, all; task ner)"
    for path in (TABLE, "/v1/reports/table-4", "/v1/reports/alpha", "/v1/reports/gain-by-family"):
        message = refused(client, path)
        assert message.startswith(f"results that differ in {words} are not for one report"), path
        assert message.endswith("or allow it, as allow=epochs")
    assert "max_source_examples (50, all" in refused(client, TABLE, allow="epochs")
    for allow in (["epochs", "max_source_examples"], "epochs,max_source_examples"):
        found = got(client, TABLE, allow=allow)
        assert f"As allowed, these differ: {words.replace(' and ', ', ')}." in found["notes"]
        assert {row["n"] for row in found["data"]} == {4}
    for id_ in both:
        assert not any("differ:" in note for note in got(client, TABLE, experiment=id_)["notes"])
    assert "'colour' is unknown; allowed: method" in refused(client, TABLE, allow="epochs,colour")


def test_a_summary_names_what_its_means_mix(client: TestClient, both: tuple[str, str]) -> None:
    for row in got(client, "/v1/results/summary", by="method,k")["summary"]:
        assert row["mixed"] == ["epochs", "max_source_examples"]
    for row in got(client, "/v1/results/summary", by="experiment,method,k")["summary"]:
        assert row["mixed"] == []


def test_unlike_sides_are_refused_until_it_is_allowed(sqlite_store: Store, client: TestClient) -> None:
    first = done(sqlite_store, NAIVE, training=training(epochs=1, learning_rate=1e-5))
    second = done(sqlite_store, NAIVE, training=training(epochs=10, learning_rate=1e-5))
    asked = {"better.experiment": second, "over.experiment": first}
    message = refused(client, "/v1/results/compare", **asked)
    assert message.startswith("the sides also differ in epochs (10 and 1): name what")
    found = got(client, "/v1/results/compare", **asked, allow="epochs")
    assert found["differs"] == {"epochs": {"better": [10], "over": [1]}}
    rows = pd.DataFrame(got(client, "/v1/results", split="test")["results"])
    targets = rows[rows["language"] != "en"].groupby("experiment")["value"].mean()
    assert found["overall"]["gain"] == pytest.approx(targets[second] - targets[first])


def test_rows_of_one_table_are_of_one_setting(sqlite_store: Store, client: TestClient) -> None:
    done(sqlite_store, NAIVE, training=training(learning_rate=1e-5))
    done(sqlite_store, SURGERY, training=training(learning_rate=3e-5))
    assert refused(client, TABLE).startswith("results that differ in learning_rate (1e-05, 3e-05; task ner) are")
    sides = {"better.method": SURGERY, "over.method": NAIVE}
    assert "differ in learning_rate (3e-05 and 1e-05)" in refused(client, "/v1/results/compare", **sides)


def test_a_package_that_brings_a_rule_is_a_part_of_the_method(sqlite_store: Store, client: TestClient) -> None:
    done(sqlite_store, NAIVE)
    done(sqlite_store, SURGERY, plugins=(("rule", "rules", "1.0"),))
    assert {row["method"] for row in got(client, TABLE)["data"]} == {NAIVE, SURGERY}
    sides = {"better.method": SURGERY, "over.method": NAIVE}
    assert got(client, "/v1/results/compare", **sides)["overall"]["seeds"] == 2


UNLIKE: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "weights of one name": ({}, {"encoder_digest": "other"}, "encoder_digest (other, that of e; task ner)"),
    "training data of one name": ({}, {"data_digest": "other"}, "data_digest (data, other; task ner)"),
    "targets of a model": (
        {},
        {"target_languages": ("de", "hi", "sw")},
        "target_languages (de hi, de hi sw; task ner)",
    ),
    "schedules": ({"alpha": ((0, 1.0), (2, 0.5))}, {"alpha": ((0, 1.0),)}, "alpha (0:1, 0:1 2:0.5; task ner)"),
    "batches": ({}, {"training": training(batching="bucketed")}, "batching (bucketed, shuffled; task ner)"),
    "packages": ({}, {"plugins": (("task", "tasks", "1.0"),)}, "plugins (none, task tasks 1.0; task ner)"),
    "versions of a rule": (
        {"plugins": (("rule", "rules", "1.0"),)},
        {"plugins": (("rule", "rules", "2.0"),)},
        "plugins (rule rules 1.0, rule rules 2.0; task ner)",
    ),
    "data": ({}, {"spec": {"data": {"folder": "a"}}}, "data (folder a, sample; task ner)"),
}


@pytest.mark.parametrize("name", UNLIKE)
def test_seeds_are_of_one_setting(sqlite_store: Store, client: TestClient, name: str) -> None:
    one, other, words = UNLIKE[name]
    done(sqlite_store, SURGERY, seeds=(1,), **one)
    done(sqlite_store, SURGERY, seeds=(2,), **other)
    assert f"results that differ in {words}" in refused(client, TABLE)
    [row] = got(client, "/v1/results/summary", by="method,k")["summary"]
    assert row["mixed"] == [words.partition(" ")[0]]


def test_the_same_weights_under_two_names_are_one_encoder(sqlite_store: Store, client: TestClient) -> None:
    done(sqlite_store, NAIVE, seeds=(1,), encoder="/models/e", encoder_digest="of both")
    done(sqlite_store, NAIVE, seeds=(2,), encoder="e", encoder_digest="of both")
    assert got(client, TABLE)["data"][0]["n"] == 2


def test_gradient_accumulation_counts_where_it_changes_the_gradient(sqlite_store: Store, client: TestClient) -> None:
    done(sqlite_store, NAIVE, seeds=(1,), training=training(accumulation=4))
    done(sqlite_store, NAIVE, seeds=(2,))
    assert got(client, TABLE)["data"][0]["n"] == 2
    parts = {"batching": "micro-batches"}
    done(sqlite_store, SURGERY, seeds=(1,), training=training(accumulation=4, **parts))
    done(sqlite_store, SURGERY, seeds=(2,), training=training(**parts))
    assert "accumulation (1, 4; task ner)" in refused(client, TABLE, method=SURGERY)


def test_a_schedule_is_not_the_alpha_that_it_starts_with(sqlite_store: Store, client: TestClient) -> None:
    first = done(sqlite_store, SURGERY, alpha=((0, 1.0), (2, 0.5)))
    second = done(sqlite_store, SURGERY)
    asked = {"better.experiment": first, "over.experiment": second}
    assert "differ in alpha (0:1 2:0.5 and 1)" in refused(client, "/v1/results/compare", **asked)


def test_naming_the_protocol_names_what_it_sets_and_nothing_else(sqlite_store: Store, client: TestClient) -> None:
    def under(protocol: str, **changed: Any) -> str:
        own = replace(TASKS["tydiqa"].under(protocol).training, **changed)
        of_task = {"task": "tydiqa", "protocol": protocol}
        return done(sqlite_store, NAIVE, training=own, spec=of_task, **of_task)

    under("paper")
    released, shorter = under("released-code"), under("released-code", epochs=2)
    sides = {"better.protocol": "released-code", "over.protocol": "paper"}
    found = got(client, "/v1/results/compare", **sides, **{"better.experiment": released})
    assert found["differs"]["epochs"] == {"better": [30], "over": [60]}
    assert {"protocol", "learning_rate", "warmup_steps"} <= set(found["differs"])
    message = refused(client, "/v1/results/compare", **sides, **{"better.experiment": shorter})
    assert message.startswith("the sides also differ in epochs (2 and 60): name")


def test_what_was_searched_may_differ_between_rows_and_is_printed(sqlite_store: Store, client: TestClient) -> None:
    grid = {"training": {"epochs": 3, "learning_rate": {"grid": [1e-5, 3e-5]}}}
    plan = Plan()
    for method, rate in itertools.product((NAIVE, SURGERY), (1e-5, 3e-5)):
        made = config_of(method, alpha=1.0 if method == SURGERY else None, training=training(learning_rate=rate))
        plan.add(trial_of(made, evaluate={"de": "test"}))
        plan.results.append(result_of(made, "de", candidate=f"learning_rate {rate:g}", judged_on="source-dev"))
    id_ = sqlite_store.experiments.add(spec_of(methods=[NAIVE, SURGERY], target_languages=["de"], **grid), plan)
    for digest, trial in sqlite_store.trials.outstanding(id_).items():
        scores = (score_of("de", value_of(trial.config, "de")),)
        attempt = sqlite_store.trials.started(id_, digest)
        sqlite_store.trials.succeeded(digest, attempt, Outcome(selected={"source-dev": 10}, scores=scores, facts={}))
    assert refused(client, TABLE).startswith("results that differ in candidate (learning_rate 1e-05,")
    sides = {"better.method": SURGERY, "over.method": NAIVE}
    named = {"better.candidate": "learning_rate 3e-05", "over.candidate": "learning_rate 1e-05"}
    differs = got(client, "/v1/results/compare", **sides, **named)["differs"]
    assert differs["learning_rate"] == {"better": [3e-5], "over": [1e-5]}


def test_the_refusal_of_a_long_search_is_a_sentence(sqlite_store: Store, client: TestClient) -> None:
    plan, rates = Plan(), [place * 1e-6 for place in range(1, 21)]
    for rate, seed in itertools.product(rates, (1, 2)):
        made = config_of(NAIVE, seed=seed, training=training(learning_rate=rate))
        plan.add(trial_of(made, evaluate={"de": "test"}))
        plan.results.append(result_of(made, "de", candidate=f"learning_rate {rate:g}", judged_on="source-dev"))
    grid = {"training": {"learning_rate": {"grid": rates}}}
    sqlite_store.experiments.add(spec_of(methods=[NAIVE], target_languages=["de"], **grid), plan)
    named = "learning_rate 1.1e-05, learning_rate 1.2e-05, learning_rate 1.3e-05 and 17 more"
    assert refused(client, TABLE) == (
        f"results that differ in candidate ({named}; task ner, k 5, method {NAIVE}) are not for one report: name a"
        " candidate, or the chosen ones by chosen=true, or what else tells them apart, or allow it, as"
        " allow=candidate,learning_rate"
    )
    notes = " ".join(got(client, TABLE, allow="candidate,learning_rate")["notes"])
    assert f"As allowed, these differ: candidate ({named}; task ner, k 5, method {NAIVE})" in notes


# The paper's setting


def paper_s(task: str = "ner", **changed: Any) -> TrialConfig:
    """A configuration as the paper's of surgery."""
    known = TASKS[task].published
    assert known is not None
    own = TASKS[task].under("paper")
    targets = tuple(f"l{number:02d}" for number in range(known.languages - 1))
    config = config_of(SURGERY, task=task, alpha=own.alpha, training=own.training, encoder=known.encoder,
                       target_languages=targets)  # fmt: skip
    return replace(config, **changed)


def differs(config: TrialConfig, seeds: int = 5, languages: int | None = None, **spec: Any) -> list[str]:
    known = TASKS[config.task].published
    assert known is not None
    counts, selection = spec.pop("counts", ()), spec.pop("selection", "")
    setting = setting_of(config, {"data": "xtreme-r", **spec}, counts, (), selection)
    return from_the_paper([setting], config.task, known.metric, seeds, languages or known.languages)


@pytest.mark.parametrize("task", [name for name, task in TASKS.items() if task.published])
def test_nothing_differs_in_the_paper_s_setting(task: str) -> None:
    assert differs(paper_s(task)) == []


OTHERS: dict[str, Any] = {
    "batching": "bucketed", "precision": "bf16", "schedule_first": True, "evaluate_every": 100,
    "max_source_examples": 50, "learning_rate": ((0, 1e-5), (5, 5e-6)),
}  # fmt: skip


@pytest.mark.parametrize("name", [field.name for field in fields(Training)])
def test_every_hyperparameter_that_is_not_the_paper_s_is_named_with_both_values(name: str) -> None:
    config = paper_s()
    own = getattr(config.training, name)
    other = OTHERS.get(name, own + 1 if isinstance(own, int | float) else None)
    assert other != own
    found = differs(replace(config, training=replace(config.training, **{name: other})))
    if name == "accumulation":  # the same gradient
        assert found == []
        return
    [words] = found
    assert words.startswith(f"{name} ")
    assert words.endswith(")")
    assert " (paper: " in words
    assert name in NAMES


NOT_THE_PAPER_S: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "alpha": ({"alpha": 0.5}, {}, "alpha 0.5 (paper: 1)"),
    "numerics": ({"numerics": 3}, {}, f"numerics 3 (paper: {NUMERICS})"),
    "encoder": ({"encoder": "a/b"}, {}, "encoder a/b (paper: xlm-roberta-large)"),
    "protocol": ({"protocol": "released-code", "training": TASKS["ner"].under("released-code").training}, {},
                 "protocol released-code (paper: paper)"),
    "source": ({"source_language": "de"}, {}, "source_language de (paper: en)"),
    "data": ({}, {"data": {"folder": "xtreme-r"}}, "data folder xtreme-r (paper: xtreme-r)"),
    "counts": ({}, {"counts": ["ner, de: ..."]}, "counts ner, de: ... (paper: none)"),
    "test sets": ({}, {"training": {"max_test_examples": 100}}, "max_test_examples 100 (paper: all)"),
    "seeds": ({}, {"seeds": 3}, "seeds 3 (paper: 5)"),
    "languages": ({}, {"languages": 4}, "languages 4 (paper: 48)"),
    "targets": ({"target_languages": ("de",)}, {}, "target_languages 1 (paper: 47)"),
    "average": ({}, {"selection": "average:3"}, "average 3 (paper: 0)"),
    "held-out shots": ({"held_out": 1}, {}, "held_out 1 (paper: 0)"),
    "sampling": ({"sampling": Sampling(repeat_shots=10)}, {}, "sampling repeat_shots 10 (paper: none)"),
    "packages": ({"plugins": (("rule", "rules", "1.0"),)}, {}, "plugins rule rules 1.0 (paper: none)"),
    "population": ({"population": "p"}, {}, "population yes (paper: no)"),
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_THE_PAPER_S)
def test_what_is_not_the_paper_s_is_named_alone_with_both_values(name: str) -> None:
    config, asked, words = NOT_THE_PAPER_S[name]
    assert differs(paper_s(**config), **asked) == [words]


@pytest.mark.parametrize(
    ("of", "words"),
    [
        ({"split": "dev"}, ["split dev (paper: test)"]),
        ({"method": "pcgrad-mix-train"}, ["method pcgrad-mix-train (paper: none in its tables)"]),
        ({"k": 3}, ["k 3 (paper: 1, 5, 10)"]),
        ({"k": 10, "method": SURGERY}, []),
        ({"k": 0, "method": "zero-shot"}, []),
    ],
)
def test_what_no_table_of_the_paper_has_is_not_in_its_setting(of: dict[str, Any], words: list[str]) -> None:
    config = paper_s("xnli")
    known = TASKS["xnli"].published
    assert known is not None
    setting = setting_of(config, {"data": "xtreme-r"}, ())
    assert from_the_paper([setting], "xnli", known.metric, 5, known.languages, **of) == words


def test_the_encoder_s_name_counts_wherever_it_lies() -> None:
    for encoder in ("/models/xlm-roberta-large", "FacebookAI/xlm-roberta-large"):
        assert differs(paper_s(encoder=encoder, encoder_revision="c23d21b")) == []


def test_the_table_says_that_it_is_in_the_paper_s_setting_only_if_it_is(
    sqlite_store: Store, client: TestClient
) -> None:
    languages = ("en", *paper_s().target_languages)

    def run(seeds: range, **changed: Any) -> str:
        plan = Plan()
        for seed in seeds:
            made = replace(paper_s(), seed=seed, **changed)
            plan.add(trial_of(made, evaluate=dict.fromkeys(languages, "test")))
            plan.results.extend(result_of(made, language) for language in languages)
        id_ = sqlite_store.experiments.add(spec_of(data="xtreme-r"), plan)
        for digest, trial in sqlite_store.trials.outstanding(id_).items():
            scores = tuple(score_of(language, value_of(trial.config, language)) for language in languages)
            attempt = sqlite_store.trials.started(id_, digest)
            outcome = Outcome(selected={"source-dev": 10}, scores=scores, facts={})
            sqlite_store.trials.succeeded(digest, attempt, outcome)
        return id_

    whole = run(range(1, 6))
    assert "In the paper's setting." in got(client, TABLE, experiment=whole)["notes"]
    some = got(client, TABLE, experiment=whole, seed=[1, 2, 3])["notes"]
    assert "Not as in the paper: seeds 3 (paper: 5)." in some
    short = run(range(1, 6), training=replace(paper_s().training, epochs=1))
    assert "Not as in the paper: epochs 1 (paper: 10)." in got(client, TABLE, experiment=short)["notes"]
    rows = got(client, "/v1/results/summary", by="method,k", experiment=short, published=True)["summary"]
    assert [row["differs"] for row in rows] == [["epochs 1 (paper: 10)"]]


# What settings themselves obey


def test_within_and_between_name_what_a_plain_comparison_of_configurations_names() -> None:
    draw = random.Random(1)
    for _ in range(200):
        one, other = ({"epochs": draw.randint(1, 2), "batch_size": draw.randint(8, 9), "max_length": draw.randint(1, 2)}
                      for _ in range(2))  # fmt: skip
        settings = [setting_of(config_of(training=training(**each)), {"data": "sample"}, ())
                    for each in (one, other)]  # fmt: skip
        expected = {name: [one[name], other[name]] for name in one if one[name] != other[name]}
        assert within(settings) == expected
        assert between(settings[:1], settings[1:]) == {name: ([a], [b]) for name, (a, b) in expected.items()}
