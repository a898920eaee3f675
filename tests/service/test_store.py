"""The store's contract, which every database must keep."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from search_spaces.plan import Plan, PlannedResult, PlannedTrial
from search_spaces.spec import ExperimentSpec
from service.store import BadCursorError, KeyReusedError, Query, Store, Submission
from service.store.query import equal
from trainers import Outcome, Report, Score, TrialConfig
from trainers.data.token_counts import Size
from trainers.trial import Selection, Split, Training, Wanted, Work

TRAINING = Training(
    epochs=3, batch_size=32, learning_rate=2e-5, weight_decay=0.0, adam_epsilon=1e-8, clip_norm=1.0, warmup_steps=0,
    max_length=128,
)  # fmt: skip


def spec_of(**fields: object) -> ExperimentSpec:
    base = {
        "task": "ner",
        "encoder": "e",
        "data": "sample",
        "target_languages": ["de", "hi"],
        "methods": ["zero-shot"],
        "k": [5],
        "seeds": [1],
    }
    return ExperimentSpec.model_validate({**base, **fields})


def config_of(method: str = "zero-shot", targets: tuple[str, ...] = (), seed: int = 1) -> TrialConfig:
    return TrialConfig(
        task="ner",
        method=method,
        source_language="en",
        target_languages=targets,
        k=5 if targets else 0,
        seed=seed,
        alpha=None,
        protocol="paper",
        training=TRAINING,
        encoder="encoder",
        encoder_digest="digest",
        data_digest="data",
    )


SOURCE = config_of()
ADAPTED = config_of("ord-FS", ("de",))


def result_of(
    method: str, k: int, language: str, config: TrialConfig, selection: Selection, split: Split = "test"
) -> PlannedResult:
    data = f"{language}-{'data' if split == 'test' else split}"
    return PlannedResult(
        method=method,
        k=k,
        seed=1,
        alpha=None,
        candidate="",
        judged_on="",
        language=language,
        split=split,
        trial=config.digest,
        selection=selection,
        data=data,
    )


def source_of(*languages: str) -> PlannedTrial:
    evaluate = {language: f"{language}-data" for language in languages}
    return PlannedTrial(config=SOURCE, source=None, wanted=Wanted(selections=("source-dev",), evaluate=evaluate))


def plan_of(*selections: Selection) -> Plan:
    """A source training scored on en, de and hi, and a model adapted to de, its last step and others selected."""
    plan = Plan()
    plan.add(source_of("en", "de", "hi"))
    plan.add(
        PlannedTrial(
            config=ADAPTED, source=SOURCE, wanted=Wanted(selections=("last", *selections), evaluate={"de": "de-data"})
        )
    )
    for language in ("en", "de", "hi"):
        plan.results.append(result_of("zero-shot", 0, language, SOURCE, "source-dev"))
    plan.results.append(result_of("zero-shot", 0, "en", SOURCE, "source-dev", "dev"))
    plan.results.append(result_of("ord-FS", 5, "de", ADAPTED, "last"))
    plan.results.append(result_of("ord-FS", 5, "en", SOURCE, "source-dev"))
    if "target-dev" in selections:
        plan.results.append(result_of("ord-FS+dev", 5, "de", ADAPTED, "target-dev"))
        plan.results.append(result_of("ord-FS+dev", 5, "de", ADAPTED, "target-dev", "dev"))
    return plan


def priced(plan: Plan, seconds: Mapping[str, float]) -> Plan:
    trials = {
        digest: replace(trial, wanted=replace(trial.wanted, estimate=seconds[digest]))
        for digest, trial in plan.trials.items()
    }
    return Plan(trials, plan.results)


def score(
    language: str, value: float, split: Split = "test", data: str | None = None, step: int = 10, epoch: int = 1
) -> Score:
    data = data or f"{language}-{'data' if split == 'test' else split}"
    return Score(
        step=step,
        epoch=epoch,
        language=language,
        split=split,
        metric="f1",
        value=value,
        examples=10,
        data=data,
        cut=False,
    )


def report_of(*scores: Score, epoch: int = 1, step: int = 10) -> Report:
    return Report(epoch=epoch, step=step, scores=scores, measures={"loss": 1.0})


def outcome_of(*scores: Score, **selected: int) -> Outcome:
    """`selected` has underscores for hyphens."""
    names: dict[Any, int] = {name.replace("_", "-"): step for name, step in selected.items()}
    return Outcome(selected=names, scores=scores, facts={"shots": {}})


def finished_in(seconds: float, scores: tuple[Score, ...], examples: int = 10) -> Outcome:
    """What a source training on a CPU thread came to."""
    training = Work(sub_words=100, seconds=seconds, steps=10, parameters=1000)
    work = {"training": asdict(training), "evaluation": asdict(Work(sub_words=50, seconds=1.0))}
    sizes = {"split": {"examples": examples, "windows": examples + 1, "sub_words": 200}}
    facts = {"shots": {}, "work": work, "sizes": sizes, "threads": 1, "device": "cpu (x86_64)"}
    return Outcome(selected={"source-dev": 10}, scores=scores, facts=facts)


def cost_of(store: Store, experiment: str) -> dict[str, Any]:
    found = store.experiments.one(experiment)
    assert found is not None
    return dict(found.cost)


def finish(store: Store, experiment: str, config: TrialConfig, *scores: Score) -> None:
    """One attempt at a trial whose only selection chose step 10."""
    attempt = store.trials.started(experiment, config.digest)
    selected = {"source_dev": 10} if config is SOURCE else {"last": 10}
    store.trials.succeeded(config.digest, attempt, outcome_of(*scores, **selected))


def page_of(
    store: Store, filters: dict[str, list[Any]], limit: int, cursor: str | None = None
) -> tuple[list[dict[str, Any]], str | None]:
    """Result rows that have one of some values in each column, and the cursor of the next page."""
    found = store.results.rows(Query(equal(filters)), limit, cursor)
    return found.rows, found.next


def values(store: Store, experiment: str, **filters: str) -> list[float]:
    """What the experiment's results of some kind are."""
    rows, _ = page_of(store, {"experiment": [experiment], **{name: [value] for name, value in filters.items()}}, 1000)
    return [row["value"] for row in rows]


def test_an_experiment_comes_back_as_it_was_stored_also_by_another_store(store: Store, url: str) -> None:
    id_ = store.experiments.add(spec_of(name="ñ 中文", owner="Ana", tags=["b", "a", "b"]), plan_of())
    other = Store(url)
    found = other.experiments.one(id_)
    other.close()
    assert found is not None
    assert (found.name, found.owner, found.tags, found.state) == ("ñ 中文", "Ana", ["a", "b"], "queued")
    assert found.trials == {
        "total": 2,
        "queued": 2,
        "running": 0,
        "succeeded": 0,
        "stopped": 0,
        "failed": 0,
        "cancelled": 0,
        "reused": 0,
    }
    assert ExperimentSpec.model_validate(found.spec) == spec_of(name="ñ 中文", owner="Ana", tags=["b", "a", "b"])


def test_an_unknown_id_is_nothing(store: Store) -> None:
    assert store.experiments.one("0" * 12) is None
    assert store.trials.one("0" * 20) is None


def test_results_are_test_scores_at_the_selected_step_and_dev_scores_of_every_epoch(store: Store) -> None:
    id_ = store.experiments.add(spec_of(), plan_of())
    attempt = store.trials.started(id_, SOURCE.digest)
    for epoch in (1, 2):
        dev = score("en", 50.0 + epoch, "dev", step=10 * epoch, epoch=epoch)
        store.trials.reported(SOURCE.digest, attempt, report_of(dev, epoch=epoch, step=10 * epoch))
    tests = {"en": 60.0, "de": 40.0, "hi": 30.0}
    chosen = [score(language, value, step=20, epoch=2) for language, value in tests.items()]
    store.trials.succeeded(SOURCE.digest, attempt, outcome_of(*chosen, source_dev=20))
    finish(store, id_, ADAPTED, score("de", 45.0))
    rows, following = page_of(store, {"experiment": [id_]}, 100)
    assert following is None
    seen = {(row["method"], row["k"], row["language"], row["split"], row["epoch"]): row["value"] for row in rows}
    assert seen == {
        ("zero-shot", 0, "en", "dev", 1): 51.0,
        ("zero-shot", 0, "en", "dev", 2): 52.0,
        ("zero-shot", 0, "en", "test", 2): 60.0,
        ("zero-shot", 0, "de", "test", 2): 40.0,
        ("zero-shot", 0, "hi", "test", 2): 30.0,
        ("ord-FS", 5, "de", "test", 1): 45.0,
        ("ord-FS", 5, "en", "test", 2): 60.0,
    }
    assert len(rows) == len(seen)
    selected = {row["epoch"]: row["selected"] for row in rows if row["split"] == "dev"}
    assert selected == {1: False, 2: True}
    assert all(row["selected"] for row in rows if row["split"] == "test")


def test_a_replayed_step_replaces_itself(store: Store) -> None:
    id_ = store.experiments.add(spec_of(), plan_of())
    finish(store, id_, SOURCE, score("de", 1.0))
    finish(store, id_, SOURCE, score("de", 2.0))
    assert values(store, id_, language="de") == [2.0]


def test_a_late_report_of_an_older_attempt_is_refused(store: Store) -> None:
    id_ = store.experiments.add(spec_of(), plan_of())
    old = store.trials.started(id_, SOURCE.digest)
    new = store.trials.started(id_, SOURCE.digest)
    store.trials.reported(SOURCE.digest, old, report_of(score("en", 1.0, "dev")))
    assert page_of(store, {"experiment": [id_]}, 10) == ([], None)
    store.trials.reported(SOURCE.digest, new, report_of(score("en", 2.0, "dev")))
    assert values(store, id_) == [2.0]
    assert store.trials.succeeded(SOURCE.digest, old, outcome_of(score("de", 3.0), source_dev=10)) == "refused"
    trial = store.trials.one(SOURCE.digest)
    assert trial is not None
    assert trial["facts"] is None
    assert [one["state"] for one in trial["experiments"]] == ["running"]
    assert [one["state"] for one in trial["attempts"]] == ["interrupted", "running"]
    assert values(store, id_) == [2.0]
    partly = outcome_of(score("de", 3.0), score("en", 3.0, data="changed"), source_dev=10)
    assert store.trials.succeeded(SOURCE.digest, new, partly) == "incomplete"


def test_a_trial_that_is_done_is_reused_by_the_next_experiment(store: Store) -> None:
    id_ = store.experiments.add(spec_of(), plan_of())
    finish(store, id_, SOURCE, score("en", 1.0), score("de", 2.0), score("hi", 3.0))
    second = store.experiments.add(spec_of(), plan_of())
    found = store.experiments.one(second)
    assert found is not None
    assert found.trials["reused"] == 1
    assert list(store.trials.outstanding(second)) == [ADAPTED.digest]
    assert {row["language"] for row in page_of(store, {"experiment": [second]}, 10)[0]} == {"en", "de", "hi"}


def test_a_trial_without_the_models_that_are_to_be_kept_is_run_again_and_once_they_are_there_it_is_not(
    store: Store,
) -> None:
    def submitted(*, keep: bool) -> str:
        plan = Plan()
        source = source_of("en")
        plan.add(replace(source, wanted=replace(source.wanted, keep=keep)))
        plan.results.append(result_of("zero-shot", 0, "en", SOURCE, "source-dev"))
        return store.experiments.add(spec_of(), plan)

    finish(store, submitted(keep=False), SOURCE, score("en", 1.0))
    assert store.trials.outstanding(submitted(keep=False)) == {}
    keeping = submitted(keep=True)
    assert store.trials.outstanding(keeping)[SOURCE.digest].wanted.evaluate == {}
    finish(store, keeping, SOURCE)
    assert store.trials.outstanding(submitted(keep=True)) == {}
    found = store.experiments.one(keeping)
    assert found is not None
    assert found.trials["succeeded"] == 1


def test_what_is_known_of_a_plan_is_what_is_missing_trained_counted_and_measured(store: Store) -> None:
    made = plan_of()
    before = store.experiments.known(spec_of(), made)
    assert before.missing == {SOURCE.digest: ("en", "de", "hi"), ADAPTED.digest: ("de",)}
    assert not before.trained | set(before.sizes)
    assert before.measured == []
    id_ = store.experiments.add(spec_of(), made)
    attempt = store.trials.started(id_, SOURCE.digest)
    store.trials.succeeded(SOURCE.digest, attempt, finished_in(2.0, (score("en", 1.0), score("hi", 3.0))))
    after = store.experiments.known(spec_of(), made)
    assert after.missing == {SOURCE.digest: ("de",), ADAPTED.digest: ("de",)}
    assert after.trained == {SOURCE.digest}
    assert after.sizes == {"split": Size(10, 11, 200)}
    [one] = after.measured
    assert (one.adapts, one.training.seconds, one.evaluation.sub_words) == (False, 2.0, 50)
    assert one.seconds >= 0


@pytest.mark.parametrize(
    "other",
    [
        {"task": "pos"},
        {"training": {"precision": "bf16"}},
        {"resources": {"cpus_per_trial": 2}},
        {"resources": {"gpus_per_trial": 1}},
    ],
)
def test_trials_of_another_kind_are_no_measure(store: Store, other: dict[str, Any]) -> None:
    id_ = store.experiments.add(spec_of(), plan_of())
    attempt = store.trials.started(id_, SOURCE.digest)
    store.trials.succeeded(SOURCE.digest, attempt, finished_in(2.0, ()))
    assert len(store.experiments.known(spec_of(), plan_of()).measured) == 1
    assert store.experiments.known(spec_of(**other), plan_of()).measured == []


def test_of_a_split_the_size_of_the_most_examples_is_kept(store: Store) -> None:
    id_ = store.experiments.add(spec_of(), plan_of())
    for examples in (10, 30, 20):
        attempt = store.trials.started(id_, SOURCE.digest)
        store.trials.succeeded(SOURCE.digest, attempt, finished_in(1.0, (), examples))
    assert store.experiments.known(spec_of(), plan_of()).sizes == {"split": Size(30, 31, 200)}


def test_what_was_planned_is_spent_and_left(store: Store) -> None:
    resources = {"cpus_per_trial": 2}
    id_ = store.experiments.add(
        spec_of(resources=resources), priced(plan_of(), {SOURCE.digest: 60.0, ADAPTED.digest: 30.0})
    )
    assert cost_of(store, id_) == {"planned": 180.0, "spent": 0.0, "left": 180.0, "error": None}
    finish(store, id_, SOURCE, score("en", 1.0), score("de", 2.0), score("hi", 3.0))
    cost = cost_of(store, id_)
    taken = cost["spent"] / 2
    assert cost["planned"] == 180.0
    assert 0 < taken < 60
    assert cost["error"] == pytest.approx(60 / taken)
    assert cost["left"] == pytest.approx(2 * 30 / cost["error"])
    finish(store, id_, ADAPTED, score("de", 4.0))
    assert cost_of(store, id_)["left"] == 0


def test_what_is_reused_was_not_planned_to_take_anything_and_what_is_not_estimated_is_not_known(store: Store) -> None:
    unknown = store.experiments.add(spec_of(), plan_of())
    assert (cost_of(store, unknown)["planned"], cost_of(store, unknown)["left"]) == (None, None)
    finish(store, unknown, SOURCE, score("en", 1.0), score("de", 2.0), score("hi", 3.0))
    second = store.experiments.add(spec_of(), priced(plan_of(), {SOURCE.digest: 0.0, ADAPTED.digest: 30.0}))
    assert cost_of(store, second) == {"planned": 30.0, "spent": 0.0, "left": 30.0, "error": None}


def test_what_failed_is_spent_too(store: Store) -> None:
    id_ = store.experiments.add(spec_of(), priced(plan_of(), {SOURCE.digest: 60.0, ADAPTED.digest: 30.0}))
    store.trials.started(id_, SOURCE.digest)
    store.trials.failed(id_, SOURCE.digest, "no room")
    cost = cost_of(store, id_)
    assert cost["spent"] > 0
    assert (cost["left"], cost["error"]) == (30.0, None)
    assert store.experiments.spent(id_) == (1, pytest.approx(cost["spent"]))


def test_what_ended_before_it_began_spends_nothing_even_if_it_ran_for_another_experiment(store: Store) -> None:
    ran, never = (store.experiments.add(spec_of(), plan_of()) for _ in range(2))
    store.trials.started(ran, SOURCE.digest)
    store.trials.failed(ran, SOURCE.digest, "no room")
    before = store.trials.one(SOURCE.digest)
    store.trials.failed(never, SOURCE.digest, "no room")
    store.trials.stopped(never, ADAPTED.digest, "the budget is used up")
    assert store.experiments.spent(never) == (0, 0.0)
    after = store.trials.one(SOURCE.digest)
    assert before is not None
    assert after is not None
    assert after["attempts"] == before["attempts"]


def test_only_the_missing_languages_of_a_trial_are_outstanding(store: Store) -> None:
    id_ = store.experiments.add(spec_of(), plan_of())
    finish(store, id_, SOURCE, score("en", 1.0), score("hi", 3.0, data="other test data"))
    outstanding = store.trials.outstanding(id_)
    assert outstanding[SOURCE.digest].wanted.evaluate == {"de": "de-data", "hi": "hi-data"}
    assert outstanding[ADAPTED.digest].source == SOURCE


def test_scores_over_other_test_data_are_kept_apart(store: Store) -> None:
    id_ = store.experiments.add(spec_of(), plan_of())
    finish(store, id_, SOURCE, score("de", 1.0))
    finish(store, id_, SOURCE, score("de", 9.0, data="first 10 examples"))
    assert values(store, id_, language="de") == [1.0]


def test_a_trial_that_another_experiment_has_done_meanwhile_is_reused(store: Store) -> None:
    first, second = store.experiments.add(spec_of(), plan_of()), store.experiments.add(spec_of(), plan_of())
    finish(store, first, SOURCE, score("en", 1.0), score("de", 2.0), score("hi", 3.0))
    assert list(store.trials.outstanding(second)) == [ADAPTED.digest]
    found = store.experiments.one(first)
    assert found is not None
    assert found.trials["succeeded"] == 1


def test_a_trial_s_failure_is_that_of_the_experiment_that_ran_it(store: Store) -> None:
    done = store.experiments.add(spec_of(), plan_of())
    finish(store, done, SOURCE, score("en", 1.0), score("de", 2.0), score("hi", 3.0))
    wider = Plan()
    wider.add(source_of("fr"))
    wider.results.append(result_of("zero-shot", 0, "fr", SOURCE, "source-dev"))
    failing = store.experiments.add(spec_of(), wider)
    store.trials.started(failing, SOURCE.digest)
    store.trials.failed(failing, SOURCE.digest, "no room")
    waiting = store.experiments.add(spec_of(), wider)
    states = {id_: store.experiments.one(id_) for id_ in (done, failing, waiting)}
    assert [len(found.failures) for found in states.values() if found] == [0, 1, 0]
    assert [found.trials["queued"] for found in states.values() if found] == [1, 0, 1]


def test_nothing_runs_in_an_experiment_that_was_stopped(store: Store) -> None:
    id_ = store.experiments.add(spec_of(), plan_of())
    store.control.set_driver(id_, 1, 2.0)
    store.control.move(id_, "start")
    store.trials.started(id_, SOURCE.digest)
    store.control.move(id_, "requeue", "the server was stopped")
    store.control.release_driver(id_)
    found = store.experiments.one(id_)
    assert found is not None
    assert (found.state, found.reason) == ("queued", "the server was stopped")
    assert (found.trials["running"], found.trials["queued"]) == (0, 2)


def test_measures_of_a_training_that_diverged_can_be_stored_and_read(store: Store) -> None:
    id_ = store.experiments.add(spec_of(), plan_of())
    attempt = store.trials.started(id_, SOURCE.digest)
    measures = {"loss": float("nan"), "by": [float("inf")]}
    store.trials.reported(
        SOURCE.digest, attempt, Report(epoch=1, step=10, scores=(score("en", 0.0, "dev"),), measures=measures)
    )
    store.trials.succeeded(
        SOURCE.digest, attempt, Outcome(selected={"source-dev": 10}, scores=(score("en", 0.0),), facts=measures)
    )
    trial = store.trials.one(SOURCE.digest)
    assert trial is not None
    assert trial["facts"] == {"loss": None, "by": [None]}


def test_a_failed_trial_names_its_reason_and_a_retry_clears_it(store: Store) -> None:
    id_ = store.experiments.add(spec_of(), plan_of())
    finish(store, id_, SOURCE, score("en", 1.0), score("de", 2.0), score("hi", 3.0))
    store.trials.started(id_, ADAPTED.digest)
    store.trials.failed(id_, ADAPTED.digest, "no room")
    found = store.experiments.one(id_)
    assert found is not None
    assert [(one["trial"], one["reason"]) for one in found.failures] == [(ADAPTED.digest, "no room")]
    assert not store.trials.outstanding(id_)  # also of a driver that starts again: it is for a retry
    store.control.move(id_, "fail", "1 of 2")
    store.control.move(id_, "retry")
    again = store.experiments.one(id_)
    assert again is not None
    assert not again.failures
    assert list(store.trials.outstanding(id_)) == [ADAPTED.digest]


def test_one_key_is_one_experiment_also_for_simultaneous_writers(store: Store) -> None:
    asked = Submission("key", "digest")
    with ThreadPoolExecutor(8) as threads:
        ids = set(threads.map(lambda _: store.experiments.add(spec_of(), plan_of(), submission=asked), range(40)))
    assert ids == {store.experiments.submitted(asked)} == {one.id for one in store.experiments.page(limit=100)[0]}
    with pytest.raises(KeyReusedError, match="came with another"):
        store.experiments.add(spec_of(), None, submission=Submission("key", "another"))
    assert store.experiments.submitted(Submission("other", "digest")) is None
    assert len(store.experiments.page(limit=100)[0]) == 1


def test_experiments_are_deleted_while_others_plan_the_same_trials(store: Store) -> None:
    def submit_and_delete(number: int) -> None:
        id_ = store.experiments.add(spec_of(), plan_of())
        assert set(store.trials.outstanding(id_)) == {SOURCE.digest, ADAPTED.digest}
        store.control.move(id_, "cancel")
        assert store.control.delete(id_) is not None

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(submit_and_delete, range(150)))
    assert store.experiments.page(limit=100)[0] == []
    assert store.trials.one(SOURCE.digest) is None


def test_a_trial_that_was_stopped_is_nobody_s_unless_another_experiment_waits_for_it(store: Store) -> None:
    one, other = (store.experiments.add(spec_of(), plan_of()) for _ in range(2))
    store.trials.started(one, SOURCE.digest)
    assert not store.trials.stopped(one, SOURCE.digest, "the scheduler stopped it")
    store.trials.failed(other, SOURCE.digest, "no room")
    assert not store.trials.stopped(one, SOURCE.digest, "the scheduler stopped it")  # the other may be retried
    store.control.move(other, "cancel")
    store.control.delete(other)
    assert store.trials.stopped(one, SOURCE.digest, "the scheduler stopped it")


def test_an_attempt_knows_its_device_seconds_while_its_experiment_is_known(store: Store) -> None:
    one, _ = (store.experiments.add(spec_of(resources={"cpus_per_trial": 2}), plan_of()) for _ in range(2))
    attempt = store.trials.started(one, SOURCE.digest)
    assert [tried["device_seconds"] for tried in store.trials.one(SOURCE.digest)["attempts"]] == [None]  # type: ignore[index]
    store.trials.succeeded(SOURCE.digest, attempt, outcome_of(score("en", 1.0), source_dev=10))
    [tried] = store.trials.one(SOURCE.digest)["attempts"]  # type: ignore[index]
    assert tried["device_seconds"] == pytest.approx(2 * (tried["ended"] - tried["started"])) != 0
    store.control.move(one, "cancel")
    store.control.delete(one)
    assert [tried["device_seconds"] for tried in store.trials.one(SOURCE.digest)["attempts"]] == [None]  # type: ignore[index]


def test_an_experiment_has_one_driver_and_none_when_it_is_not_to_go_on(store: Store) -> None:
    id_, paused = (store.experiments.add(spec_of(), plan_of()) for _ in range(2))
    assert store.control.set_driver(id_, 1, 2.0)
    assert store.control.set_driver(id_, 1, 2.0)  # its server and the driver itself both say so
    assert not store.control.set_driver(id_, 3, 4.0)
    assert store.control.drivers() == {id_: (1, 2.0)}
    store.control.move(paused, "pause")
    assert not store.control.set_driver(paused, 3, 4.0)


def test_so_many_experiments_have_drivers_and_those_of_a_higher_priority_take_their_room(store: Store) -> None:
    def submit(priority: int, count: int) -> list[str]:
        return [store.experiments.add(spec_of(priority=priority), plan_of()) for _ in range(count)]

    def start() -> None:
        for id_ in store.control.runnable(3):
            assert store.control.set_driver(id_, 1, 2.0)

    low = submit(0, 5)
    start()
    assert set(store.control.drivers()) == set(low[:3])
    [high] = submit(1, 1)
    assert store.control.runnable(3) == []
    assert store.control.outranked(3) == [low[2]]
    store.control.release_driver(low[2])
    start()
    assert set(store.control.drivers()) == {high, *low[:2]}
    assert store.control.outranked(3) == []
    highest = submit(2, 4)
    assert set(store.control.outranked(3)) == {high, *low[:2]}
    for id_ in store.control.outranked(3):
        store.control.release_driver(id_)
    start()
    assert set(store.control.drivers()) == set(highest[:3])


def test_a_driver_is_unwanted_from_a_pause_or_cancellation_until_it_is_released(store: Store) -> None:
    paused, cancelled, done, wanted = (store.experiments.add(spec_of(), plan_of()) for _ in range(4))
    for pid, id_ in enumerate((paused, cancelled, done, wanted)):
        store.control.set_driver(id_, pid, 2.0)
        store.control.move(id_, "start")
        store.trials.started(id_, SOURCE.digest)
    assert not store.control.unwanted()
    store.control.move(paused, "pause")
    store.control.move(paused, "resume")  # its driver is to be stopped all the same: it has been told so
    store.control.move(cancelled, "cancel")
    store.control.move(done, "succeed")
    assert store.control.unwanted() == {paused: (0, 2.0), cancelled: (1, 2.0), done: (2, 2.0)}
    assert store.control.delete(cancelled) is None
    for id_ in (paused, cancelled, done):
        store.control.release_driver(id_)
    assert store.control.drivers() == {wanted: (3, 2.0)}
    assert not store.control.unwanted()
    counts = {id_: found.trials for id_ in (paused, cancelled) if (found := store.experiments.one(id_))}
    assert (counts[paused]["queued"], counts[paused]["running"]) == (2, 0)
    assert (counts[cancelled]["cancelled"], counts[cancelled]["queued"]) == (2, 0)


def test_a_deleted_experiment_takes_with_it_what_no_other_one_plans(store: Store) -> None:
    alone = Plan()
    alone.add(source_of("en"))
    alone.results.append(result_of("zero-shot", 0, "en", SOURCE, "source-dev"))
    kept, id_ = store.experiments.add(spec_of(), alone), store.experiments.add(spec_of(tags=["t"]), plan_of())
    finish(store, id_, SOURCE, score("en", 1.0), score("de", 2.0), score("hi", 3.0))
    finish(store, id_, ADAPTED, score("de", 4.0))
    assert store.control.delete(id_) is None
    store.control.move(id_, "succeed")
    assert store.control.delete(id_) == [ADAPTED.digest]
    assert store.experiments.one(id_) is store.trials.one(ADAPTED.digest) is None
    assert store.control.delete(id_) is None
    rows, _ = page_of(store, {}, 100)
    assert [(row["experiment"], row["value"]) for row in rows] == [(kept, 1.0)]
    store.control.move(kept, "succeed")
    assert store.control.delete(kept) == [SOURCE.digest]
    assert not page_of(store, {}, 100)[0]


def test_a_final_state_stays(store: Store) -> None:
    id_ = store.experiments.add(spec_of(), plan_of())
    assert store.control.move(id_, "fail", "disk full")
    assert not store.control.move(id_, "start")
    found = store.experiments.one(id_)
    assert found is not None
    assert (found.state, found.reason) == ("failed", "disk full")


def test_active_experiments_get_drivers_those_of_the_highest_priority_first(store: Store) -> None:
    first, second, third = (store.experiments.add(spec_of(), plan_of()) for _ in range(3))
    assert store.control.runnable(2) == [first, second]
    store.control.set_priority(third, 1)
    assert store.control.runnable(2) == [third, first]
    store.control.set_driver(third, 1, 2.0)
    assert store.control.runnable(2) == [first]
    store.control.move(first, "pause")
    assert store.control.runnable(2) == [second]
    store.control.move(third, "succeed")
    assert store.control.runnable(2) == [second]


def test_a_driver_that_died_has_a_successor_the_later_the_more_often_until_a_trial_gets_further(store: Store) -> None:
    id_ = store.experiments.add(spec_of(), plan_of())
    for deaths, delay in ((1, 0), (2, 60), (3, 60)):
        store.control.set_driver(id_, 1, 2.0)
        store.control.move(id_, "start")
        attempt = store.trials.started(id_, SOURCE.digest)
        store.control.driver_died(id_, "died {deaths} times, {delay} s", (0.0, 60.0))
        found = store.experiments.one(id_)
        assert found is not None
        assert (found.state, found.reason) == ("queued", f"died {deaths} times, {delay} s")
        assert found.trials["running"] == 0
        assert store.control.runnable(1) == ([] if delay else [id_])
        assert store.trials.one(SOURCE.digest)["attempts"][-1]["state"] == "interrupted"  # type: ignore[index]
        store.trials.succeeded(SOURCE.digest, attempt, outcome_of(score("en", 1.0), source_dev=10))  # too late
    for epoch, waits in ((1, False), (1, True), (2, False), (1, True)):  # an epoch that was there before is no progress
        attempt = store.trials.started(id_, SOURCE.digest)
        store.trials.reported(SOURCE.digest, attempt, report_of(score("en", 1.0, "dev"), epoch=epoch))
        store.control.driver_died(id_, "died", (0.0, 60.0))
        assert store.control.runnable(1) == ([] if waits else [id_])
    store.control.move(id_, "pause")
    store.control.move(id_, "resume")
    assert store.control.runnable(1) == [id_]  # whoever resumes it does not want to wait
    finish(store, id_, SOURCE, score("en", 1.0), score("de", 2.0), score("hi", 3.0))
    store.control.driver_died(id_, "died", (0.0, 60.0))
    assert store.control.runnable(1) == [id_]
    store.control.move(id_, "cancel")
    store.control.driver_died(id_, "died", ())
    found = store.experiments.one(id_)
    assert found is not None
    assert found.state == "cancelled"


def test_a_store_outlives_its_server_s_connections(postgres: str) -> None:
    store = Store(postgres)
    id_ = store.experiments.add(spec_of(), plan_of())
    store.experiments.page(limit=1)
    engine = create_engine(postgres)
    with engine.begin() as connection:
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        assert len(connection.execute(text(f"{others} AND backend_type = 'client backend'")).all()) >= 2
    engine.dispose()
    assert store.control.move(id_, "pause")
    found = store.experiments.one(id_)
    assert found is not None
    assert found.state == "paused"
    store.close()


def test_experiments_are_filtered_and_paged_newest_first(store: Store) -> None:
    ids = [store.experiments.add(spec_of(owner=f"o{n % 2}", tags=["all", f"t{n}"]), None) for n in range(7)]
    page, cursor = store.experiments.page(limit=4)
    rest, end = store.experiments.page(limit=4, cursor=cursor)
    assert [one.id for one in page + rest] == ids[::-1]
    assert end is None
    assert [one.id for one in store.experiments.page(limit=10, owner="o1")[0]] == ids[5::-2]
    assert [one.id for one in store.experiments.page(limit=10, tags="t3")[0]] == [ids[3]]


def test_pages_of_results_add_up_to_one(store: Store) -> None:
    id_ = store.experiments.add(spec_of(tags="x"), plan_of())
    finish(store, id_, SOURCE, score("en", 1.0), score("de", 2.0), score("hi", 3.0))
    whole, _ = page_of(store, {"tags": ["x"]}, 100)
    paged, cursor = [], None
    while True:
        rows, cursor = page_of(store, {"tags": ["x"]}, 1, cursor)
        paged += rows
        if cursor is None:
            break
    assert paged == whole
    assert len(whole) == 4


NO_CURSORS = ("", "x", "!!!", "bnVsbA", "WzEsMl0", "W10", "é", "WyJhIiwxXQ", "W3RydWUsdHJ1ZV0", "W05hTiwieCJd")


@pytest.mark.parametrize("cursor", NO_CURSORS)
def test_a_cursor_that_no_page_ended_with_is_refused(store: Store, cursor: str) -> None:
    with pytest.raises(BadCursorError):
        store.experiments.page(limit=1, cursor=cursor)


def test_eight_writers_lose_nothing(store: Store, url: str) -> None:
    id_ = store.experiments.add(spec_of(), plan_of())
    attempt = store.trials.started(id_, SOURCE.digest)

    def write(writer: int) -> None:
        own = Store(url)
        for epoch in range(10):
            step = 100 * writer + epoch
            dev = score("en", float(step), "dev", step=step, epoch=epoch)
            own.trials.reported(SOURCE.digest, attempt, report_of(dev, epoch=epoch, step=step))
        own.close()

    threads = [Thread(target=write, args=(writer,)) for writer in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    written = [100.0 * writer + epoch for writer in range(8) for epoch in range(10)]
    assert sorted(values(store, id_)) == written


# Several selections of one trial


def finish_both(store: Store, experiment: str, last: int, target_dev: int) -> None:
    """The adapted model's trial: reports at steps 10 and 20, tests of the steps that its two selections choose."""
    attempt = store.trials.started(experiment, ADAPTED.digest)
    for step in (10, 20):
        dev = score("de", float(step), "dev", step=step, epoch=step // 10)
        store.trials.reported(ADAPTED.digest, attempt, report_of(dev, epoch=step // 10, step=step))
    tests = [score("de", 100.0 - step, step=step, epoch=step // 10) for step in sorted({last, target_dev})]
    store.trials.succeeded(ADAPTED.digest, attempt, outcome_of(*tests, last=last, target_dev=target_dev))


def test_two_selections_of_a_trial_give_two_results_of_two_steps(store: Store) -> None:
    id_ = store.experiments.add(spec_of(), plan_of("target-dev"))
    finish_both(store, id_, last=20, target_dev=10)
    rows, _ = page_of(store, {"experiment": [id_]}, 100)
    tests = {row["method"]: (row["selection"], row["epoch"], row["value"]) for row in rows if row["split"] == "test"}
    assert tests == {"ord-FS": ("last", 2, 80.0), "ord-FS+dev": ("target-dev", 1, 90.0)}
    dev = [(row["method"], row["epoch"], row["selected"]) for row in rows if row["split"] == "dev"]
    assert dev == [("ord-FS+dev", 1, True), ("ord-FS+dev", 2, False)]
    assert len({row["trial"] for row in rows}) == 1


def test_two_selections_of_the_same_step_give_two_results_of_one_score(store: Store) -> None:
    id_ = store.experiments.add(spec_of(), plan_of("target-dev"))
    finish_both(store, id_, last=20, target_dev=20)
    rows, _ = page_of(store, {"experiment": [id_], "split": ["test"]}, 100)
    assert [(row["method"], row["selection"], row["epoch"], row["value"]) for row in rows] == [
        ("ord-FS", "last", 2, 80.0),
        ("ord-FS+dev", "target-dev", 2, 80.0),
    ]
    found = store.objectives.by_selection(ADAPTED.digest)
    assert found["last"] == found["target-dev"]


def test_the_scores_of_each_selection_are_those_at_its_step(store: Store) -> None:
    assert store.objectives.by_selection(ADAPTED.digest) == {}
    id_ = store.experiments.add(spec_of(), plan_of("target-dev"))
    finish_both(store, id_, last=20, target_dev=10)
    assert store.objectives.by_selection(ADAPTED.digest) == {
        "last": [score("de", 20.0, "dev", step=20, epoch=2), score("de", 80.0, step=20, epoch=2)],
        "target-dev": [score("de", 10.0, "dev"), score("de", 90.0)],
    }


def test_a_trial_is_reused_only_if_every_selection_that_is_asked_for_has_its_scores(store: Store) -> None:
    one, both = plan_of(), plan_of("target-dev")
    first = store.experiments.add(spec_of(), one)
    finish(store, first, ADAPTED, score("de", 1.0))
    second = store.experiments.add(spec_of(), both)
    outstanding = store.trials.outstanding(second)[ADAPTED.digest]
    assert (outstanding.wanted.selections, outstanding.wanted.evaluate) == (("last", "target-dev"), {"de": "de-data"})
    finish_both(store, second, last=20, target_dev=10)
    for plan in (one, both):
        again = store.experiments.one(store.experiments.add(spec_of(), plan))
        assert again is not None
        assert again.trials["reused"] == 1


def test_a_selection_without_a_test_score_at_its_step_is_not_done(store: Store) -> None:
    id_ = store.experiments.add(spec_of(), plan_of("target-dev"))
    attempt = store.trials.started(id_, ADAPTED.digest)
    store.trials.succeeded(ADAPTED.digest, attempt, outcome_of(score("de", 1.0), last=10, target_dev=20))
    assert store.trials.outstanding(id_)[ADAPTED.digest].wanted.evaluate == {"de": "de-data"}
    found = store.experiments.one(id_)
    assert found is not None
    assert found.trials["succeeded"] == 0


def test_a_later_attempt_moves_the_selections_and_the_results_with_them(store: Store) -> None:
    id_ = store.experiments.add(spec_of(), plan_of("target-dev"))
    finish_both(store, id_, last=20, target_dev=20)
    finish_both(store, id_, last=20, target_dev=10)
    assert values(store, id_, method="ord-FS", split="test") == [80.0]
    assert values(store, id_, method="ord-FS+dev", split="test") == [90.0]


def test_a_late_attempt_changes_no_selection(store: Store) -> None:
    id_ = store.experiments.add(spec_of(), plan_of("target-dev"))
    old = store.trials.started(id_, ADAPTED.digest)
    finish_both(store, id_, last=20, target_dev=10)
    before = store.objectives.by_selection(ADAPTED.digest), page_of(store, {"experiment": [id_]}, 100)
    late = outcome_of(score("de", 3.0, step=20), score("de", 4.0, step=30), last=30, target_dev=20)
    store.trials.succeeded(ADAPTED.digest, old, late)
    assert (store.objectives.by_selection(ADAPTED.digest), page_of(store, {"experiment": [id_]}, 100)) == before


# Draws


def test_the_draws_of_an_experiment_are_those_of_its_trials_that_are_done_each_once(store: Store) -> None:
    mixed = config_of("naive-mix-train", ("de", "hi"))
    plan = plan_of()
    plan.add(
        PlannedTrial(config=mixed, source=None, wanted=Wanted(selections=("source-dev",), evaluate={"de": "de-data"}))
    )
    id_ = store.experiments.add(spec_of(), plan)
    assert store.objectives.shots(id_) == []
    draws = {
        language: {"split": "train", "indices": [3, 1], "ids": ["c", "a"], "digest": f"{language} draw"}
        for language in ("hi", "de")
    }
    finish(store, id_, SOURCE, score("en", 1.0), score("de", 2.0), score("hi", 3.0))
    for config, languages, selection in ((ADAPTED, ["de"], "last"), (mixed, ["hi", "de"], "source-dev")):
        attempt = store.trials.started(id_, config.digest)
        facts = {"shots": {language: draws[language] for language in languages}}
        store.trials.succeeded(
            config.digest, attempt, Outcome(selected={selection: 10}, scores=(score("de", 1.0),), facts=facts)
        )  # type: ignore[dict-item]
    assert store.objectives.shots(id_) == [
        {"language": language, "k": 5, "seed": 1, **draws[language]} for language in ("de", "hi")
    ]
